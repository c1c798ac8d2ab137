"""Sizes and greys of the sources, as the page draws them."""

from pathlib import Path

from panodiff.files import write_csv
from panodiff.report.sections.sheets import draw_corpus


def test_every_source_is_drawn_whatever_its_name(tmp_path: Path):
    sources = ("adld", "null", "nan")
    sizes = [{"id": f"{each}-1", "source": each, "height": 512, "width": 1024} for each in sources]
    greys = [{"source": each, "grey": grey, "fraction": 0.5} for each in sources for grey in (64, 192)]
    write_csv(tmp_path / "sizes.csv", sizes[0], sizes)
    write_csv(tmp_path / "greys.csv", greys[0], greys)
    for chart in draw_corpus(tmp_path):
        assert set(chart.numbers["source"]) == set(sources)
        assert all(each in chart.svg for each in sources)
