"""The page in a browser: it fits, shows all its pictures, asks for nothing, obeys the keyboard, and prints."""

import base64
import re
from types import SimpleNamespace
from typing import Any

import pytest
from devtools import Browser

MOST_PAGES, MOST_BYTES = 60, 20_000_000  # of the print
UNFOLD = "document.querySelectorAll('details').forEach(details => { details.open = true })"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"  # in pixels
BROKEN = """(async () => {
  const broken = [];
  for (const image of document.querySelectorAll("main img")) {
    image.scrollIntoView();
    for (let waited = 0; waited < 100 && !image.complete; waited++) await new Promise(done => setTimeout(done, 20));
    if (!image.complete || !image.naturalWidth) broken.push(image.alt);
  }
  return broken;
})()"""
# Contrast of the text to what it stands on (WCAG 2.2: at least 4.5 to read it with ease), and the latter.
COLOURS = """(() => {
  const style = getComputedStyle(document.body);
  const light = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const [dark, bright] = [light(style.color), light(style.backgroundColor)].sort((a, b) => a - b);
  return {paper: style.backgroundColor, contrast: (bright + 0.05) / (dark + 0.05)};
})()"""


@pytest.fixture(scope="module")
def shared() -> dict[str, str]:
    return {}


@pytest.fixture
def url(project: SimpleNamespace, shared: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the project's page lies, made once."""
    if "url" not in shared:
        folder = tmp_path_factory.mktemp("page")
        project.report(folder)
        shared["url"] = (folder / "report.html").as_uri()
    return shared["url"]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(url: str, width: int):
    with Browser(width, 800) as page:
        page.open(url)
        assert page.evaluate("document.documentElement.clientWidth") == width
        assert page.evaluate(TOO_WIDE) == 0
        page.evaluate(UNFOLD)
        assert page.evaluate(TOO_WIDE) == 0
        page.evaluate(
            f"document.querySelector('main').append(Object.assign(document.createElement('div'), "
            f"{{style: 'width: {width + 50}px; height: 1px'}}))"
        )
        assert page.evaluate(TOO_WIDE) > 0  # the measure sees what is too wide


def test_every_picture_is_there_and_none_comes_from_a_network(url: str):
    with Browser(1280, 800) as page:
        page.call(
            "Page.setBypassCSP", enabled=True
        )  # what the page's own rules would stop shall not be asked for either
        page.open(url)
        page.evaluate(UNFOLD)
        assert page.evaluate("document.querySelectorAll('main img').length") > 15
        assert page.evaluate(BROKEN) == []
        assert addresses(page) and foreign(addresses(page)) == []
        page.evaluate("document.querySelector('main img').src = 'http://127.0.0.1:9/planted.png'")
        assert len(page.evaluate(BROKEN)) == 1
        assert foreign(addresses(page)) == ["http://127.0.0.1:9/planted.png"]


def addresses(page: Browser) -> list[str]:
    return [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]


def foreign(found: list[str]) -> list[str]:
    return [address for address in found if not address.startswith(("file://", "data:"))]


def test_the_keyboard_enlarges_a_picture_and_comes_back_to_it(url: str):
    with Browser(1280, 800) as page:
        page.open(url)
        for _ in range(60):
            page.press("Tab")
            if page.evaluate("document.activeElement.matches('button.zoom')"):
                break
        assert page.evaluate("document.activeElement === document.querySelector('button.zoom')")
        assert not page.evaluate("document.querySelector('dialog').open")
        page.press("Enter")
        assert page.evaluate("document.querySelector('dialog').open")
        shown = page.evaluate("document.querySelector('dialog img').getAttribute('alt')")
        assert shown == page.evaluate("document.querySelector('button.zoom img').alt")
        page.press("Escape")
        assert not page.evaluate("document.querySelector('dialog').open")
        assert page.evaluate("document.activeElement === document.querySelector('button.zoom')")


def test_light_and_dark_have_their_own_paper_and_a_text_that_can_be_read(url: str):
    with Browser(1280, 800) as page:
        page.open(url)
        light, dark = (colours(page, scheme) for scheme in ("light", "dark"))
        assert light["paper"] != dark["paper"]
        assert min(light["contrast"], dark["contrast"]) > 4.5
        assert colours(page, "dark", media="print")["paper"] == "rgb(255, 255, 255)"


def colours(page: Browser, scheme: str, media: str = "screen") -> dict[str, Any]:
    page.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
    return page.evaluate(COLOURS)


def test_it_prints_all_that_is_folded_away_on_a_bounded_number_of_pages(url: str):
    folded = "document.querySelectorAll('details:not([open])').length"
    with Browser(1280, 800) as page:
        page.open(url)
        before = page.evaluate(folded)
        page.evaluate(f"addEventListener('beforeprint', () => {{ globalThis.stillFolded = {folded} }})")
        pdf = base64.b64decode(page.call("Page.printToPDF", printBackground=True)["data"])
        assert before > 0
        assert page.evaluate("globalThis.stillFolded") == 0
        assert page.evaluate(folded) == before
    assert pdf.startswith(b"%PDF-")
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", pdf)) <= MOST_PAGES
    assert len(re.findall(rb"/Subtype\s*/Image\b", pdf)) > 15  # those below the window too, which load late
    assert len(pdf) < MOST_BYTES
