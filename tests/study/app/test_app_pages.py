"""The pages in the order in which a reader sees them, and the time for which a case may be seen."""

import hashlib
import time
from pathlib import Path

import pytest
from served_studies import (
    HEIGHT,
    STATE,
    WIDTH,
    agree,
    client_of,
    fields,
    form_token,
    give,
    invited,
    look,
    sign_in,
    text_sha256,
    write_study,
)
from starlette.testclient import TestClient

from panodiff.study.app.database import SESSION_S, Database
from panodiff.study.app.served import load_served
from panodiff.study.app.server import create_app
from panodiff.study.app.showings import (
    GRACE_S,
    Outcome,
    grant_look,
    keep_answer,
    report_painted,
    showings_of,
    take_look,
)

LIMIT_S = 12.0


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, str]:
    """Folder of a study and the code of its one reader."""
    write_study(tmp_path)
    return tmp_path, invited(tmp_path, "R1")["R1"]


def test_a_reader_goes_from_the_code_to_the_thanks(study: tuple[Path, str]):
    client = client_of(study[0])
    agree(client, study[1])
    for number in range(8):
        shown = look(client)
        assert shown["position"] == str(number + 1)
        assert give(client, shown, 1 + number % 5).headers["location"] == "/case"
    page = client.get("/case").text
    assert "Thank you" in page
    assert "Your result" not in page


def test_no_case_is_shown_before_code_consent_and_instructions(study: tuple[Path, str]):
    client = client_of(study[0])
    assert client.get("/case").url.path == "/"
    page = sign_in(client, study[1].lower().replace("-", " "))
    assert page.url.path == "/consent"
    assert client.get("/case").url.path == "/consent"
    assert client.post("/start", data={"form_token": form_token(page.text)}).url.path == "/consent"
    given = {"form_token": form_token(page.text), "text_sha256": text_sha256(page.text)}
    given |= {"role": "student", "years": "0", "agreed": "yes"}
    assert client.post("/consent", data=given).url.path == "/instructions"
    assert client.get("/case").url.path == "/instructions"


@pytest.mark.parametrize(
    "change", [{"role": "king"}, {"years": "-1"}, {"years": "many"}, {"years": "71"}, {"agreed": "no"}, {"agreed": ""}]
)
def test_a_consent_that_is_not_filled_in_is_refused(study: tuple[Path, str], change: dict[str, str]):
    client = client_of(study[0])
    page = sign_in(client, study[1]).text
    given = {"form_token": form_token(page), "text_sha256": text_sha256(page)}
    given |= {"role": "student", "years": "0", "agreed": "yes"} | change
    assert client.post("/consent", data=given).status_code == 400
    assert client.get("/case").url.path == "/consent"


def test_the_consent_that_is_kept_is_to_the_text_that_was_read(study: tuple[Path, str]):
    folder, code = study
    served = load_served(folder / "served")

    def started(text: str) -> TestClient:
        return TestClient(create_app(served, Database(folder / STATE, served), consent=text))

    old = started("Old text")
    page = sign_in(old, code).text
    new = started("New text")
    new.cookies = old.cookies
    given = {"form_token": form_token(page), "role": "student", "years": "0", "agreed": "yes"}
    assert new.post("/consent", data=given | {"text_sha256": text_sha256(page)}).status_code == 409
    page = new.get("/consent").text
    new.post("/consent", data=given | {"text_sha256": text_sha256(page)})
    new.post(
        "/consent", data=given | {"text_sha256": text_sha256(page), "role": "orthodontist"}
    )  # kept as it was first
    (reader,) = Database(folder / STATE).rows("SELECT role, consent_sha256 FROM readers")
    assert tuple(reader) == ("student", hashlib.sha256(b"New text").hexdigest())


def test_warm_up_comes_first_and_breaks_as_often_as_the_study_says(tmp_path: Path):
    write_study(tmp_path, num_cases=6, num_warm_up=2, break_every=2)
    client = client_of(tmp_path)
    agree(client, invited(tmp_path, "R1")["R1"])
    pauses = []
    for number in range(8):
        if client.get("/case").url.path == "/pause":
            pauses.append(number)
        page = client.get("/case", params={"go": number + 1}).text
        assert (f"Warm-up {number + 1} of 2" if number < 2 else f"Radiograph {number - 1} of 6") in page
        give(client, look(client), 3)
    assert pauses == [2, 4, 6]


def test_repeats_come_last_each_half_a_study_after_its_first_look(tmp_path: Path):
    write_study(tmp_path, num_cases=10, num_repeats=4)
    invited(tmp_path, *(f"R{number}" for number in range(20)))
    database = Database(tmp_path / "state/study.sqlite")
    orders = set()
    for (reader,) in database.rows("SELECT id FROM readers"):
        showings = showings_of(database, reader)
        assert [(each.warm_up, each.repeat) for each in showings] == (
            [(True, False)] * 2 + [(False, False)] * 10 + [(False, True)] * 4
        )
        names = [each.name for each in showings]
        assert len(set(names)) == 12
        for at in range(12, 16):
            assert at - names.index(names[at]) >= 5
        orders.add(tuple(names))
    assert len(orders) == 20  # each reader has an order of the own


def test_a_page_asked_for_again_gives_what_is_left_and_after_the_time_nothing(study: tuple[Path, str]):
    client = client_of(study[0])
    agree(client, study[1])
    shown = look(client)
    again = fields(client.get("/case").text)
    assert again["position"] == shown["position"] and 0 < float(again["left"]) < 1
    assert client.get(f"/pixels/{again['token']}").status_code == 200
    unused = fields(client.get("/case").text)["token"]
    time.sleep(1)
    assert client.get(f"/pixels/{unused}").status_code == 410
    late = fields(client.get("/case").text)
    assert late["token"] == "" and late["left"] == "0.000"
    assert give(client, shown, 2).headers["location"] == "/case"  # the answer needs no picture in view


def test_the_code_opens_the_study_at_the_same_case_in_another_browser(study: tuple[Path, str]):
    first = client_of(study[0])
    agree(first, study[1])
    give(first, look(first), 1)
    shown = look(first)
    other = client_of(study[0])
    assert sign_in(other, study[1]).url.path == "/pause"
    again = fields(other.get("/case").text)
    assert again["position"] == shown["position"] == "2"
    assert float(again["left"]) < 1


def test_a_session_ends_after_a_working_day(study: tuple[Path, str]):
    client = client_of(study[0])
    agree(client, study[1])
    database = Database(study[0] / "state/study.sqlite")
    for began, path in ((time.time() - SESSION_S + 60, "/case"), (time.time() - SESSION_S - 1, "/")):
        with database.writing() as connection:
            connection.execute("UPDATE sessions SET created = ?", (began,))
        assert client.get("/case", params={"go": 1}).url.path == path
    assert client.post("/answer", data={"form_token": "x", "position": "1", "level": "3"}).status_code == 401
    agree(client, study[1])
    assert len(database.rows("SELECT * FROM sessions")) == 1  # the old one is gone


def test_leaving_ends_the_session(study: tuple[Path, str]):
    client = client_of(study[0])
    page = sign_in(client, study[1])
    cookie = dict(client.cookies)
    assert client.post("/leave", data={"form_token": form_token(page.text)}).url.path == "/"
    client.cookies.update(cookie)
    assert client.get("/case").url.path == "/"


def test_pixels_are_those_of_the_file_and_of_fixed_length(study: tuple[Path, str]):
    from panodiff.images import read_grey  # noqa: PLC0415

    client = client_of(study[0])
    agree(client, study[1])
    token = fields(client.get("/case").text)["token"]
    pixels = client.get(f"/pixels/{token}").content
    name = showings_of(Database(study[0] / "state/study.sqlite"), 1)[0].name
    assert pixels == read_grey(study[0] / f"served/cases/{name}.png").tobytes()
    assert len(pixels) == HEIGHT * WIDTH


# ---- the clock, at times of the test's own


@pytest.fixture
def database(tmp_path: Path) -> Database:
    write_study(tmp_path, time_limit_s=LIMIT_S)
    invited(tmp_path, "R1")
    return Database(tmp_path / STATE)


def test_the_clock_starts_with_the_first_painted_frame(database: Database):
    assert take_look(database, 1, grant_look(database, 1, 1), 100.0) is not None
    assert report_painted(database, 1, 1, 102.0) == LIMIT_S
    assert report_painted(database, 1, 1, 104.0) == LIMIT_S - 2  # the first report stays
    assert take_look(database, 1, grant_look(database, 1, 1), 113.9) is not None
    assert take_look(database, 1, grant_look(database, 1, 1), 114.0) is None


def test_a_browser_that_reports_nothing_gains_no_more_than_the_grace(database: Database):
    assert take_look(database, 1, grant_look(database, 1, 1), 100.0) is not None
    assert report_painted(database, 1, 1, 100.0 + GRACE_S + 3) == LIMIT_S - 3  # too late to count
    assert take_look(database, 1, grant_look(database, 1, 1), 100.0 + GRACE_S + LIMIT_S - 0.1) is not None
    assert take_look(database, 1, grant_look(database, 1, 1), 100.0 + GRACE_S + LIMIT_S) is None


def test_no_report_gives_more_than_the_limit(database: Database):
    take_look(database, 1, grant_look(database, 1, 1), 100.0)
    report_painted(database, 1, 1, 102.0)
    assert showings_of(database, 1)[0].left_s(101.0) == LIMIT_S


def test_a_clock_that_is_set_back_gives_no_second_look(database: Database):
    take_look(database, 1, grant_look(database, 1, 1), 100.0)
    report_painted(database, 1, 1, 101.0)
    spare = grant_look(database, 1, 1)
    assert take_look(database, 1, spare, 99.0) is None
    assert report_painted(database, 1, 1, 99.0) == 0
    keep_answer(database, 1, 1, 2, 99.0)
    assert showings_of(database, 1)[0].response_s is None


def test_a_frame_painted_before_its_picture_went_out_says_nothing(database: Database):
    take_look(database, 1, grant_look(database, 1, 1), 100.0)
    assert report_painted(database, 1, 1, 99.0) == 0
    assert not showings_of(database, 1)[0].reported


def test_a_painted_frame_without_a_picture_is_refused(database: Database):
    assert report_painted(database, 1, 1, 100.0) is None
    assert showings_of(database, 1)[0].painted is None


def test_a_token_is_good_once_and_only_the_newest(database: Database):
    older, newer = grant_look(database, 1, 1), grant_look(database, 1, 1)
    assert take_look(database, 1, older, 100.0) is None
    assert take_look(database, 1, newer, 100.0) is not None
    assert take_look(database, 1, newer, 100.0) is None


def test_of_two_answers_to_a_case_the_first_stays(database: Database):
    assert keep_answer(database, 1, 1, 2, 100.0) is Outcome.NOT_SHOWN
    take_look(database, 1, grant_look(database, 1, 1), 100.0)
    assert keep_answer(database, 1, 1, 2, 101.0) is Outcome.KEPT
    assert keep_answer(database, 1, 1, 2, 102.0) is Outcome.KEPT_BEFORE
    assert keep_answer(database, 1, 1, 3, 103.0) is Outcome.OTHER_BEFORE
    showing = showings_of(database, 1)[0]
    assert (showing.answer, showing.answered) == (2, 101.0)
    assert keep_answer(database, 1, 99, 2, 104.0) is Outcome.NOT_SHOWN


def test_an_answered_case_is_not_shown_again(database: Database):
    take_look(database, 1, grant_look(database, 1, 1), 100.0)
    spare = grant_look(database, 1, 1)
    keep_answer(database, 1, 1, 2, 101.0)
    assert take_look(database, 1, spare, 101.5) is None
    assert take_look(database, 1, grant_look(database, 1, 1), 101.5) is None
