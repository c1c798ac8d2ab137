"""Maps of the sources in the page's colours, with the numbers that belong to each."""

import re
from pathlib import Path

import pytest

from panodiff.files import write_csv, write_json
from panodiff.report.sections.sources import show_sources

MAPS = ("before", "after", "with_synthetic")


def write(folder: Path, sources: tuple[str, ...] = ("adld", "null", "tufts"), num_images: int = 4) -> None:
    rows = [
        {"map": name, "id": f"{source}-{index}", "source": source, "split": "train", "x": index, "y": number}
        for name in MAPS
        for number, source in enumerate([*sources, "synthetic"] if name == "with_synthetic" else sources)
        for index in range(num_images)
    ]
    write_csv(folder / "tsne.csv", rows[0], rows)
    accuracy = {"value": 0.756, "low": 0.701, "high": 0.804}
    encoder = {"knn_accuracy": accuracy, "silhouette": -0.254}
    pixels = {"knn_accuracy": accuracy | {"value": 0.78}, "silhouette": 0.04}
    mixing = {"value": 0.41, "low": 0.3, "high": 0.52, "chance": 0.2, "chance_within_sources": 0.22}
    found = {"num_images": 12, "chance": 0.333, "encoder": encoder, "pixels": pixels, "num_images_of": {"synthetic": 4}}
    maps = {
        "before": found,
        "after": found | {"encoder": encoder | {"silhouette": None}},
        "with_synthetic": found | {"encoder": encoder | {"mixing": mixing}, "pixels": pixels | {"mixing": mixing}},
    }
    write_json(folder / "separability.json", {"profile": "smoke", "num_neighbours": 5, "maps": maps})


def marks(svg: str) -> dict[str, set[str]]:
    """The shapes that are drawn, each with the colours that it is drawn in."""
    found: dict[str, set[str]] = {}
    for shape, style in re.findall(r'<use xlink:href="#([^"]+)"[^>]*style="([^"]+)"', svg):
        found.setdefault(shape, set()).add(style)
    return found


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_each_map_says_its_numbers_and_only_the_last_one_how_synthetic_images_mix(tmp_path: Path):
    write(tmp_path)
    before, after, last = (plain(chart.caption) for chart in show_sources(tmp_path)["maps"])
    for caption in (before, after, last):
        assert "The encoder tells the source of 76 % [70, 80], 33 % by chance." in caption
    assert "41 % [30, 52] are synthetic, 22 % by chance." in last
    assert "synthetic" not in before + after


def test_the_table_has_a_row_a_map_and_one_of_the_mixing(tmp_path: Path):
    write(tmp_path)
    shown = show_sources(tmp_path)
    assert shown["num_neighbours"] == 5
    assert [[plain(cell) for cell in row[1:]] for row in shown["rows"]] == [
        ["12", "33 %", "76 % [70, 80]", "−0.25", "78 % [70, 80]", "0.04"],
        ["12", "33 %", "76 % [70, 80]", "—", "78 % [70, 80]", "0.04"],
        ["12", "33 %", "76 % [70, 80]", "−0.25", "78 % [70, 80]", "0.04"],
        ["4", "22 %", "41 % [30, 52]", "", "41 % [30, 52]", ""],
    ]


def test_colours_are_the_page_s_and_synthetic_images_are_in_the_ink_of_its_text(tmp_path: Path):
    write(tmp_path)
    for chart, count in zip(show_sources(tmp_path)["maps"], (3, 3, 4), strict=True):
        styles = [style for of_shape in marks(chart.svg).values() for style in of_shape]
        assert len(marks(chart.svg)) == 2 * count  # those of the legend are larger
        assert all("var(--" in style for style in styles)
        assert any("var(--ink)" in style for style in styles) == (count == 4)
        assert not re.findall(r"#0[1-7]0[1-7]0[1-7]", chart.svg)


def test_every_source_stands_in_the_legend_by_name(tmp_path: Path):
    write(tmp_path)
    first, _, last = (chart.svg for chart in show_sources(tmp_path)["maps"])
    for source in ("adld", "null", "tufts"):
        assert f">{source}<" in first and f">{source}<" in last
    assert ">synthetic<" in last and ">synthetic<" not in first


@pytest.mark.parametrize("count", [7, 36])
def test_many_sources_differ_by_colour_and_shape_together(tmp_path: Path, count: int):
    write(tmp_path, tuple(f"s{number:02d}" for number in range(count)), num_images=1)
    looks = {
        (shape, style) for shape, styles in marks(show_sources(tmp_path)["maps"][0].svg).items() for style in styles
    }
    assert len({style for _, style in looks}) == 5
    assert len(looks) == 2 * min(count, 35)


def test_no_id_stands_in_two_maps(tmp_path: Path):
    write(tmp_path)
    ids = [name for chart in show_sources(tmp_path)["maps"] for name in re.findall(r'\bid="([^"]+)"', chart.svg)]
    assert ids and len(ids) == len(set(ids))
