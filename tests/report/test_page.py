"""The page as a reader's browser gets it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

VOID = {"img", "meta", "link", "br", "path", "use", "rect", "input"}


class Page(HTMLParser):
    """Elements with their attributes and the names of the elements around them; the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag):
        if tag in self._open:
            del self._open[len(self._open) - 1 - self._open[::-1].index(tag) :]

    def handle_data(self, data):
        if not {"script", "style"} & set(self._open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return {}


@pytest.fixture
def html(project: SimpleNamespace, shared: dict, tmp_path: Path) -> str:
    """The page of the project, made once."""
    if "html" not in shared:
        shared["html"] = project.report(tmp_path)
        shared["summary"] = (tmp_path / "summary.json").read_bytes()
    return shared["html"]


def loaded_from(html: str) -> list[str]:
    """What a browser would load to show the page: sources, style sheets, addresses in styles."""
    elements = Page(html).elements
    attributes = ("src", "srcset", "data", "poster", "action", "xlink:href")
    found = [values[name] or "" for _, values, _ in elements for name in attributes if name in values]
    found += [values["href"] or "" for tag, values, _ in elements if tag != "a" and "href" in values]
    found += re.findall(r"url\(\s*['\"]?([^'\")]*)", html)
    return [*found, *re.findall(r"@import[^;]*", html), *re.findall(r"(?:fetch|import)\(", html)]


def test_the_page_loads_nothing_from_elsewhere(html: str):
    assert [address for address in loaded_from(html) if not address.startswith(("data:", "#"))] == []


@pytest.mark.parametrize(
    "planted",
    ['<img src="https://a.b/c.png">', '<link href="x.css">', "<style>b{c:url(http://a)}</style>", "@import 'a.css';"],
)
def test_a_planted_address_is_found(html: str, planted: str):
    planted_page = html.replace("</body>", f"{planted}</body>")
    assert [address for address in loaded_from(planted_page) if not address.startswith(("data:", "#"))]


def test_every_picture_says_in_words_what_it_shows(html: str):
    for tag, values, _ in Page(html).elements:
        if tag == "img" and "image/gif" not in values["src"]:  # the empty frame of the enlarged view
            assert values["alt"]
        if tag == "svg":
            assert values["role"] == "img"
            assert values["aria-label"]


def test_every_figure_has_a_caption_that_says_what_to_see(html: str):
    figures = re.findall(r"<figure[^>]*>(.*?)</figure>", html, re.S)
    assert len(figures) >= 15
    for figure in figures:
        ((caption),) = re.findall(r"<figcaption>(.*?)</figcaption>", figure, re.S)
        assert len(re.sub(r"<[^>]+>", "", caption).split()) >= 8


def test_no_id_stands_twice_and_every_reference_finds_its_own(html: str):
    ids = [values["id"] for _, values, _ in Page(html).elements if "id" in values]
    assert sorted(ids) == sorted(set(ids))
    inside = re.findall(r'(?:url\(#|href="#)([^)"]+)', html)
    assert inside
    assert set(inside) <= set(ids)


def test_the_page_stays_small(html: str):
    assert len(html.encode()) < 15_000_000


def test_all_that_the_stages_left_is_on_the_page(project: SimpleNamespace, html: str):
    text = Page(html).text
    record = json.loads((project.root / "metrics/provenance/sample.json").read_text(encoding="utf-8"))
    shown = ["synthetic-000004", "adld-000000000", "12.50 images/s", "diffusion.training.num_steps"]
    for expected in [*shown, record["fingerprint"]]:
        assert expected in text
    assert "Synthetic radiograph synthetic-000005" not in html  # report.num_samples is 5, counted from 0


def test_the_data_are_there_to_look_at(html: str):
    page = Page(html)
    shown = [values["alt"] for tag, values, _ in page.elements if tag == "img"]
    assert "Radiographs of adld, with the crop drawn on each" in shown
    assert "Radiographs of tufts, with the crop drawn on each" not in shown  # its stage had nothing to draw
    assert "Groups of radiographs that repeat each other" in shown
    drawn = [values["aria-label"] for tag, values, _ in page.elements if tag == "svg"]
    assert {"Sizes of the files", "Greys of the harmonized images"} <= set(drawn)
    for title in ("Before harmonization", "After harmonization", "With the synthetic images"):
        assert f"{title}: t-SNE of encoder features, by source" in drawn
    assert "Neighbours of synthetic images that are synthetic 9 " in page.text
    assert "upscaled" in page.text


def test_published_counts_stand_beside_those_found_in_the_profile_of_the_datasets(
    project: SimpleNamespace, html: str, tmp_path: Path
):
    account = json.loads((project.root / "metrics/data.json").read_text(encoding="utf-8"))
    account["sources"]["adld"]["published"] = {"files": 4711, "distinct": 4242, "note": "It <grew> later."}
    (tmp_path / "data.json").write_text(json.dumps(account), encoding="utf-8")
    changed = project.report(tmp_path, {"metrics/data.json": tmp_path / "data.json"})
    assert "differ from the published ones" not in Page(html).text
    assert "differ from the published ones" in Page(changed).text
    assert "4711 files, 4242 distinct. It <grew> later." in Page(changed).text
    assert "It <grew>" not in changed


def test_only_the_smoke_profile_says_that_its_patients_are_drawn(project: SimpleNamespace, html: str, tmp_path: Path):
    paper = Page(project.report(tmp_path, profile="paper")).text
    assert "No patients here." in Page(html).text
    assert "not comparable" in Page(html).text
    assert "No patients here." not in paper
    assert "not comparable" not in paper
    assert "BMC Oral Health" in paper  # the terms of a catalogued source


def test_the_same_inputs_give_the_same_summary(project: SimpleNamespace, html: str, shared: dict, tmp_path: Path):
    project.report(tmp_path)
    assert (tmp_path / "summary.json").read_bytes() == shared["summary"]


def test_the_summary_names_its_profile_and_ten_finite_numbers(html: str, shared: dict, evaluation: dict):
    summary = json.loads(shared["summary"])
    assert summary.pop("profile") == "smoke"
    assert len(summary) == 10 and max(map(len, summary)) < 18
    assert all(isinstance(value, int | float) for value in summary.values())
    assert summary["fd_encoder"] == evaluation["sets"]["high"]["synthetic_vs_test"]["fd_encoder"]["value"]
    assert summary["psnr_db"] == evaluation["restoration"]["psnr"]["superres"]["mean"]


def test_a_metric_that_is_absent_comes_with_its_reason(html: str, evaluation: dict):
    assert evaluation["absent"]["lpips"] in Page(html).text


def test_set_metrics_that_are_absent_come_with_their_reason(project: SimpleNamespace, evaluation: dict, tmp_path: Path):
    pair = evaluation["sets"]["high"]["synthetic_vs_test"]
    del pair["precision_encoder"], pair["recall_encoder"]
    pair["absent"] = {"precision_encoder": "too few <images> & friends", "recall_encoder": "too few as well"}
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(evaluation), encoding="utf-8")
    html = project.report(tmp_path, {"metrics/evaluation.json": changed})
    assert "too few &lt;images&gt; &amp; friends" in html
    assert "too few as well" in html
    assert "precision_encoder" not in json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))


def test_hostile_text_stays_text(project: SimpleNamespace, tmp_path: Path):
    hostile = "<script>alert(1)</script> & 'quoted'"
    manifest = tmp_path / "manifest"
    manifest.mkdir()
    corpus = (project.root / "data/manifest/corpus.csv").read_text(encoding="utf-8")
    (manifest / "corpus.csv").write_text(corpus.replace("cannot be decoded", hostile), encoding="utf-8")
    account = json.loads((project.root / "metrics/data.json").read_text(encoding="utf-8"))
    account["sources"]["<img src=x>"] = account["sources"].pop("adld")
    (tmp_path / "data.json").write_text(json.dumps(account), encoding="utf-8")
    html = project.report(tmp_path, {"data/manifest": manifest, "metrics/data.json": tmp_path / "data.json"})
    assert "<script>alert" not in html
    assert "<img src=x>" not in html
    assert hostile in Page(html).text
    assert "<img src=x>" in Page(html).text


def test_names_that_are_no_unicode_do_not_stop_the_report(project: SimpleNamespace, tmp_path: Path):
    manifest = tmp_path / "manifest"
    manifest.mkdir()
    corpus = (project.root / "data/manifest/corpus.csv").read_bytes()
    (manifest / "corpus.csv").write_bytes(corpus.replace(b"cannot be decoded", b"cannot decode \xff.png"))
    assert "cannot decode" in project.report(tmp_path, {"data/manifest": manifest})


def test_energy_stands_beside_time_and_what_could_not_be_read_says_why(html: str):
    text = Page(html).text
    record = json.loads(Path("metrics/provenance/sample.json").read_text(encoding="utf-8"))
    assert f"GPU {record['energy_j']['gpu'] / 3600:.0f} Wh" in text
    assert text.count("CPU: its counter hides.") == 1


def test_the_browser_is_told_to_load_nothing(html: str):
    (policy,) = [v["content"] for tag, v, _ in Page(html).elements if v.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_the_figures_are_the_same_in_every_run_and_each_has_its_caption(project: SimpleNamespace, tmp_path: Path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        project.report(tmp_path / name)
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "figures").iterdir()} for name in ("one", "other")
    )
    assert one == other
    captions = one.pop("captions.md").decode()
    assert {"headline.csv", "samples-high.png", "samples-low.png", "superres-crops.png", "pipeline.svg"} <= set(one)
    assert [name for name in one if name not in captions] == []
    ElementTree.fromstring(one["pipeline.svg"])
