"""The study in headless Chromium, as a reader works with it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, Page, program
from served_studies import STATE, Server, invited, write_study

from panodiff.study.app.database import Database

if program() is None:
    pytest.skip("no Chromium is installed (apt-get install chromium)", allow_module_level=True)

OPEN = "!!document.querySelector('.answers button:enabled')"
SEEN = "document.querySelector('.picture').getContext('2d').getImageData(0, 0, 64, 32).data.some((value) => value)"
UP = "document.querySelector('.notice').textContent.startsWith('Time is up')"
SIZE = (512, 1024)


def at(position: int) -> str:
    """That the case at `position` is shown and may be answered."""
    return f"document.querySelector('#case')?.dataset.position === '{position}' && {OPEN}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def kept(folder: Path) -> list[int | None]:
    rows = Database(folder / STATE).rows("SELECT answer FROM showings ORDER BY reader, position")
    return [row["answer"] for row in rows]


def entered(browser: Browser, server: Server, code: str, **size: int) -> Page:
    """A tab of a reader who is about to see the first case, cookies of its own."""
    page = browser.page(browser.context(), **size)
    page.go(server.address)
    page.until("document.activeElement?.id === 'code'")
    page.type(code)
    page.key("Enter")
    page.until("location.pathname === '/consent' && document.readyState === 'complete'")
    page.run(
        "role.value = 'student'; years.value = 3; document.querySelector('[name=agreed]').checked = true;"
        "document.querySelector('button.main').click()"
    )
    page.until("location.pathname === '/instructions' && document.readyState === 'complete'")
    page.run("document.querySelector('button.main').click()")
    page.until(OPEN)
    return page


def test_a_whole_study_by_keyboard_alone(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_cases=12, num_warm_up=2, break_every=6, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = browser.page(browser.context())
        page.go(server.address)
        page.until("document.activeElement?.id === 'code'")
        page.type(code)
        page.key("Enter")
        page.until("location.pathname === '/consent' && document.readyState === 'complete'")
        tab_to(page, "#role")
        page.key("o")  # a list is chosen from by the first letter
        tab_to(page, "#years")
        page.type("15")
        tab_to(page, "[name=agreed]")
        page.key(" ")
        tab_to(page, "button.main")
        page.key("Enter")
        page.until("location.pathname === '/instructions' && document.readyState === 'complete'")
        tab_to(page, "button.main")
        page.key("Enter")
        for position in range(1, 15):
            if position in (3, 9):
                page.until("location.pathname === '/pause' && document.activeElement?.className === 'main'")
                page.key("Enter")
            page.until(at(position))
            assert page.run(SEEN)
            page.key(str(1 + position % 5), repeat=True)  # a key held down from the case before
            page.key(str(1 + position % 5), f"Digit{1 + position % 5}")
        page.until("location.pathname === '/thanks'")
        page.close()
    assert kept(tmp_path) == [1 + position % 5 for position in range(1, 15)]
    (reader,) = Database(tmp_path / STATE).rows("SELECT role, years FROM readers")
    assert tuple(reader) == ("oral radiologist", 15)


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, which must be seen."""
    for _ in range(12):
        if page.run(f"document.activeElement.matches({selector!r})"):
            assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
        page.key("Tab")
    raise AssertionError(f"{selector} is out of reach of the keyboard")


def test_a_whole_study_by_mouse_with_double_clicks(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_cases=12, num_warm_up=0, time_limit_s=30, size=SIZE)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        for position in range(1, 13):
            page.until(at(position))
            assert page.run("document.querySelectorAll('.chosen').length") == 0  # no default
            page.click(f".answers button[value='{1 + position % 5}']", times=2)
        page.until("location.pathname === '/thanks'")
        page.close()
    assert kept(tmp_path) == [1 + position % 5 for position in range(1, 13)]


def test_a_double_click_or_key_at_a_human_pace_answers_one_case(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_cases=8, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        for position, pause_s in enumerate((0.1, 0.2, 0.3, 0.4), start=1):
            page.until(at(position))
            for _ in range(2):
                if position % 2:
                    page.key("4")
                else:
                    page.run("document.querySelector('.answers button[value=\"4\"]').click()")
                time.sleep(pause_s)
        page.until(at(5))
        page.close()
    assert kept(tmp_path) == [4] * 4 + [None] * 4


def test_an_arrow_on_the_number_pad_is_no_answer(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.key("m")
        page.key("ArrowLeft", "Numpad4")
        time.sleep(0.3)
        assert page.run(at(1))
        page.key("4", "Numpad4")
        page.until(at(2))
        page.close()
    assert kept(tmp_path)[:2] == [4, None]


def test_the_time_out_hides_the_picture_which_is_not_to_be_had_again(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=1)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        token = page.run("document.querySelector('#case').dataset.token")
        page.until(UP)
        assert page.run(SEEN) is False
        assert page.run("getComputedStyle(document.querySelector('.picture')).visibility") == "hidden"
        assert page.run(f"fetch('/pixels/{token}').then((response) => response.status)") == 410
        page.reload()
        page.until(UP)
        assert page.run("document.querySelector('#case').dataset.token") == ""
        assert page.run(SEEN) is False
        page.key("4")
        page.until(at(2))
        assert page.run(SEEN)
        page.close()
    assert kept(tmp_path)[:2] == [4, None]
    (row,) = Database(tmp_path / STATE).rows("SELECT * FROM showings WHERE position = 1")
    assert 0 < row["painted"] - row["fetched"] < 1  # the browser did report


def test_reload_back_button_and_second_tab_lose_and_double_nothing(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.key("2")
        page.until(at(2))
        page.reload()
        page.until(at(2))
        assert page.run("Number(document.querySelector('#case').dataset.left) < 30")
        page.run("history.back()")
        page.until("location.pathname !== '/case' && document.readyState === 'complete'")
        page.run("history.forward()")
        page.until(at(2))
        second = browser.page(page.context)
        second.go(server.address)
        second.until("location.pathname === '/pause' && document.activeElement?.className === 'main'")
        second.key("Enter")
        second.until(at(2))
        second.key("5")
        second.until(at(3))
        page.call("Page.bringToFront")
        page.key("1")  # another answer to what the other tab has answered
        page.until("document.querySelector('.notice').textContent.includes('The first answer stays')")
        page.key("Enter")  # Go on has the focus
        page.until(at(3))
        page.key("3")
        page.until(at(4))
        second.close()
        page.close()
    assert kept(tmp_path) == [2, 5, 3, None, None, None]


def test_two_tabs_that_want_the_same_picture_do_not_fight(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.run("document.querySelector('#case').dataset.token = 'used'; begin(document.querySelector('#case'))")
        page.until(f"document.querySelector('#case').dataset.token !== 'used' && {at(1)} && {SEEN}")  # by itself, once
        page.run("(real => window.fetch = (path, ...more) => path.startsWith('/pixels') "
                 "? Promise.resolve(new Response('', {status: 410})) : real(path, ...more))(fetch), 0")  # fmt: skip
        page.run("begin(document.querySelector('#case'))")
        page.until("document.querySelector('.notice').textContent.includes('another window')")
        page.reload()
        page.until(f"{at(1)} && {SEEN}")
        page.close()
    (row,) = Database(tmp_path / STATE).rows("SELECT * FROM showings WHERE fetched IS NOT NULL")
    assert (row["position"], row["answer"]) == (1, None)


BROKEN_ONCE = {  # by the path that is asked for: what comes back instead, once
    "/case": "({ ok: true, status: 200, text: () => Promise.reject(new TypeError('cut off')) })",
    "/pixels": "new Response('<!doctype html>', { status: 200 })",
    "/pixels/": "new Response('', { status: 503 })",
    "/painted": "new Response('', { status: 503 })",
    "/answer": "new Response('', { status: 502 })",
}


@pytest.mark.parametrize("path", BROKEN_ONCE)
def test_what_comes_back_broken_is_asked_for_again(tmp_path: Path, browser: Browser, path: str):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.run(
            "((real, broken) => window.fetch = (path, ...more) => path.startsWith("
            f"{path!r}) && !broken++ ? Promise.resolve({BROKEN_ONCE[path]}) : real(path, ...more))(fetch, 0), 0"
        )
        page.key("2")
        page.until(f"{at(2)} && {SEEN}")
        page.until("document.querySelector('.notice').textContent === ''")
        time.sleep(0.8)  # the second report of the first painted frame
        page.key("4")
        page.until(at(3))
        page.close()
    rows = Database(tmp_path / STATE).rows("SELECT * FROM showings ORDER BY position")
    assert [row["answer"] for row in rows] == [2, 4, None, None, None, None]
    assert rows[1]["painted"] is not None


def test_a_lost_connection_loses_and_doubles_nothing(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.offline(True)
        page.key("2")
        page.until("document.querySelector('.notice').textContent.includes('connection is lost')")
        page.key("3")
        assert kept(tmp_path)[0] is None
        page.offline(False)
        page.until(at(2))
        server.stop(9)
        page.key("4")
        page.until("document.querySelector('.notice').textContent.includes('connection is lost')")
        server.start()
        page.until(at(3))
        page.close()
    assert kept(tmp_path) == [2, 4, None, None, None, None]


def test_a_closed_browser_goes_on_at_the_same_case(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.key("2")
        page.until(at(2))
        page.close()
        page = browser.page(browser.context())  # without the cookies
        page.go(server.address)
        page.until("document.activeElement?.id === 'code'")
        page.type(code)
        page.key("Enter")
        page.until("location.pathname === '/pause' && document.activeElement?.className === 'main'")
        assert page.run("document.body.innerText.includes('Its time runs on')")
        page.key("Enter")
        page.until(at(2))
        assert page.run("Number(document.querySelector('#case').dataset.left) < 30")
        page.close()
    assert kept(tmp_path)[:2] == [2, None]


def test_the_ways_of_looking_closer_work_and_stay_from_case_to_case(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30, size=SIZE)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        filter_ = "document.querySelector('.picture').style.filter"
        loupe = "document.querySelector('.loupe')"
        page.key("i")
        tab_to(page, ".contrast")
        page.key("ArrowRight")
        assert page.run(filter_) == "brightness(100%) contrast(105%) invert(1)"
        page.key("m")
        assert page.run(f"{loupe}.hidden") is False
        page.move(400, 300)
        assert abs(page.run(f"(b => b.x + b.width / 2)({loupe}.getBoundingClientRect())") - 400) < 2
        page.run("document.activeElement.blur()")
        page.key("ArrowRight")
        assert page.run(f"(b => b.x + b.width / 2)({loupe}.getBoundingClientRect())") > 405
        page.key("f")
        page.until("!!document.fullscreenElement")
        page.key("2")
        page.until(at(2))
        assert page.run(filter_) == "brightness(100%) contrast(105%) invert(1)"
        assert (
            page.run("!!document.fullscreenElement && document.querySelector('[data-tool=full]').ariaPressed") == "true"
        )
        page.key("r")
        assert page.run(filter_) == "brightness(100%) contrast(100%) invert(0)"
        assert page.run(f"{loupe}.hidden") is True
        page.close()


def test_under_a_finger_the_magnifier_stands_above_it(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30, size=SIZE)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code, width=820, height=1180, touch=True)
        page.key("m")
        page.touch(400, 600)
        where = "(b => [b.x + b.width / 2, b.bottom, b.top])(document.querySelector('.loupe').getBoundingClientRect())"
        left, bottom, top = page.run(where)
        assert abs(left - 400) < 2 and top < bottom < 600 < bottom + 60
        page.touch(500, 620)
        assert abs(page.run(where)[0] - 500) < 2
        page.close()


# ---- how it looks

CONTRAST = """
(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!texts.length || !element.checkVisibility() || element.matches(':disabled, :disabled *, noscript')) continue;
    const pair = [light(channels(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) found.push([element.outerHTML.slice(0, 80), ratio]);
  }
  for (const element of document.body.querySelectorAll('button, select, input')) {
    const style = getComputedStyle(element);
    if (parseFloat(style.borderTopWidth) === 0 || style.borderTopStyle !== 'solid') continue;
    if (!element.checkVisibility() || element.disabled) continue;
    const pair = [light(channels(style.borderTopColor)), light(behind(element.parentElement))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 3) found.push([element.outerHTML.slice(0, 80), ratio]);
  }
  return found;
})()
"""
SMALL = """
[...document.querySelectorAll('button, select, input:not([type=hidden])')].filter((each) => each.checkVisibility())
  .map((each) => each.type === 'checkbox' ? each.parentElement : each)
  .filter((each) => each.offsetHeight < (innerWidth < 500 ? 35 : 44) || each.offsetWidth < 44)
  .map((each) => each.outerHTML.slice(0, 60))
"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


@pytest.mark.parametrize(("width", "height"), [(390, 844), (820, 1180), (1280, 800), (1280, 640), (844, 390)])
def test_every_page_fits_the_window_with_contrast_and_targets_large_enough(
    tmp_path: Path, browser: Browser, width: int, height: int
):
    write_study(tmp_path, num_cases=2, num_warm_up=2, time_limit_s=1, size=SIZE)
    code = invited(tmp_path, "R1-" + "W" * 29)["R1-" + "W" * 29]

    def looks_right() -> None:
        assert page.run(OVERFLOW) <= 0
        assert page.run(CONTRAST) == []
        assert page.run(SMALL) == []

    with Server(tmp_path) as server:
        page = browser.page(browser.context(), width, height, touch=width < 1200)
        page.go(server.address)
        page.until("document.activeElement?.id === 'code'")
        looks_right()
        page.type("wrong")
        page.key("Enter")
        page.until("!!document.querySelector('.problem') && document.activeElement?.id === 'code'")
        looks_right()
        page.type(code)
        page.key("Enter")
        page.until("location.pathname === '/consent' && document.readyState === 'complete'")
        looks_right()
        page.run("role.value = 'student'; years.value = 3; document.querySelector('[name=agreed]').checked = true")
        page.run("document.querySelector('button.main').click()")
        page.until("location.pathname === '/instructions' && document.readyState === 'complete'")
        assert page.run("scrollY") == 0  # read from the top
        looks_right()
        page.run("document.querySelector('button.main').click()")
        page.until(at(1))
        looks_right()
        answers = "document.querySelector('.answers').getBoundingClientRect()"
        stage = "document.querySelector('.stage').getBoundingClientRect()"
        assert page.run(f"{stage}.top >= 0 && {answers}.top >= 0 && {answers}.bottom <= innerHeight")
        assert page.run(f"{stage}.bottom <= {answers}.top || {stage}.right <= {answers}.left")
        assert page.run(f"2 * {stage}.height > 0.55 * Math.min(innerWidth, 2 * innerHeight) && {stage}.height > 150")
        assert page.run("document.querySelector('.tools').getBoundingClientRect().bottom <= innerHeight")
        page.until(UP)
        looks_right()
        page.key("2")
        page.until(at(2))
        page.key("2")
        page.until("location.pathname === '/pause' && document.activeElement?.className === 'main'")
        looks_right()
        page.key("Enter")
        for position in (3, 4):
            page.until(at(position))
            page.key("2")
        page.until("location.pathname === '/thanks' && document.readyState === 'complete'")
        looks_right()
        page.close()


def test_nothing_comes_from_elsewhere_and_no_rule_of_the_page_is_broken(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=30)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.call(
            "Page.addScriptToEvaluateOnNewDocument",
            source="window.problems = []; const note = (event) => "
            "problems.push(event.type + (event.violatedDirective ?? event.message));"
            "for (const kind of ['securitypolicyviolation', 'error', 'unhandledrejection'])"
            "addEventListener(kind, note, true)",
        )
        page.reload()
        page.until(f"'problems' in window && {at(1)}")
        page.key("m")
        page.key("2")
        page.until(at(2))
        assert page.run("problems") == []
        loaded = page.run("performance.getEntriesByType('resource').map((each) => each.name)")
        assert loaded and all(name.startswith(server.address) for name in loaded)
        page.run("Object.assign(document.createElement('img'), {src: 'https://example.invalid/x.png'})")
        page.until("problems.some((problem) => problem.includes('img-src'))")  # the policy does hold
        page.close()


def test_a_hidden_tab_does_not_spend_the_time(tmp_path: Path, browser: Browser):
    write_study(tmp_path, num_warm_up=0, time_limit_s=1)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server:
        page = entered(browser, server, code)
        page.call(
            "Page.addScriptToEvaluateOnNewDocument",
            source="let away = true; Object.defineProperty(document, 'hidden', {get: () => away}); "
            "window.comeBack = () => { away = false; document.dispatchEvent(new Event('visibilitychange')); }",
        )
        page.key("2")
        page.until(at(2))
        page.key("2")
        page.until(at(3))
        with Database(tmp_path / STATE).writing() as connection:
            connection.execute("UPDATE showings SET fetched = NULL, painted = NULL WHERE position = 3")
        page.reload()
        page.until("!!window.comeBack && document.readyState === 'complete'")
        time.sleep(0.2)
        assert page.run(OPEN) is False
        page.run("comeBack()")
        page.until(at(3))
        page.close()
