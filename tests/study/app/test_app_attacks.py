"""What no reader's browser sends: refused, counted, logged, and of no effect on answers."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from served_studies import STATE, agree, client_of, form_token, give, invited, look, sign_in, write_study
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from panodiff.study.app.database import Database
from panodiff.study.app.guard import HEADERS, NUM_REMEMBERED, Faults, fit_for_log, origin_of
from panodiff.study.app.organizer import CODE_LENGTH, CODE_LETTERS, code_as_kept, invite, new_code
from panodiff.study.app.served import load_served

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Folder of a study and the codes of its two readers."""
    write_study(tmp_path)
    return tmp_path, invited(tmp_path, "R1", "R2")


@pytest.fixture
def reader(study: tuple[Path, dict[str, str]]) -> TestClient:
    client = client_of(study[0])
    agree(client, study[1]["R1"])
    return client


@pytest.mark.parametrize(
    "path",
    [
        "/static/../web.py",
        "/static/..%2fweb.py",
        "/static/%2e%2e/served.py",
        "/static/....//web.py",
        "/static//etc/passwd",
        "/pixels/..%2f..%2fkey.csv",
        "/pixels/%2e%2e/key.csv",
        "/../key.csv",
        "/key.csv",
        "/served/cases.csv",
        "/static/study.css%00.py",
        "/docs",
        "/openapi.json",
        f"/{SCRIPT}",
    ],
)
def test_no_path_leads_to_a_file_of_the_study(reader: TestClient, path: str):
    response = reader.get(path)
    assert response.status_code in (404, 410)
    assert "label" not in response.text and "import" not in response.text and SCRIPT not in response.text


def test_pictures_and_forms_of_another_reader_are_refused(study: tuple[Path, dict[str, str]], reader: TestClient):
    other = client_of(study[0])
    agree(other, study[1]["R2"])
    mine, foreign = look(reader), look(other)
    token = reader.get("/case").text.partition('data-token="')[2].partition('"')[0]
    assert other.get(f"/pixels/{token}").status_code == 410
    assert give(other, foreign | {"form-token": mine["form-token"]}, 1).status_code == 403
    assert client_of(study[0]).get(f"/pixels/{token}").url.path == "/"
    assert reader.get(f"/pixels/{token}").status_code == 200  # none of it used the token up


def test_a_code_of_128_bits_is_kept_as_its_hash_only(study: tuple[Path, dict[str, str]]):
    folder, codes = study
    assert len(set(CODE_LETTERS)) == 32 and 5 * CODE_LENGTH >= 128
    files = b"".join(path.read_bytes() for path in (folder / "state").iterdir())
    for code in codes.values():
        assert code_as_kept(code).encode() in files
        assert code.encode() not in files and code.replace("-", "").encode() not in files
    assert len({new_code() for _ in range(1000)}) == 1000
    for path in (folder / "state").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"position": "2"}, 409),
        ({"position": "99"}, 409),
        ({"position": "-1"}, 400),
        ({"position": str(10**30)}, 400),
        ({"position": "case-0"}, 400),
        ({"level": "0"}, 400),
        ({"level": "6"}, 400),
        ({"level": SCRIPT}, 400),
        ({"level": ""}, 400),
        ({"form_token": "wrong"}, 403),
        ({"form_token": "é"}, 403),
        ({"form_token": "x" * 300}, 400),
    ],
)
def test_forged_answers_are_refused(
    study: tuple[Path, dict[str, str]], reader: TestClient, change: dict[str, str], status: int
):
    shown = look(reader)
    data = {"form_token": shown["form-token"], "position": shown["position"], "level": "3"}
    response = reader.post("/answer", data=data | change)
    assert response.status_code == status
    assert SCRIPT not in response.text
    assert Database(study[0] / STATE).rows("SELECT * FROM showings WHERE answer IS NOT NULL") == []


def test_a_case_that_was_not_shown_cannot_be_answered(reader: TestClient):
    token = reader.get("/case").text.partition('data-form-token="')[2].partition('"')[0]
    assert reader.post("/answer", data={"form_token": token, "position": "1", "level": "3"}).status_code == 409
    assert reader.post("/painted", data={"form_token": token, "position": "1"}).status_code == 409


def test_times_that_a_browser_claims_are_not_used(study: tuple[Path, dict[str, str]], reader: TestClient):
    shown = look(reader)
    forged = {"viewing_s": "99999", "answered": "0", "painted": "0", "case": "other", "warm_up": "0"}
    data = {"form_token": shown["form-token"], "position": "1", "level": "3"} | forged
    assert reader.post("/answer", data=data, follow_redirects=False).status_code == 303
    (row,) = Database(study[0] / STATE).rows("SELECT * FROM showings WHERE answer IS NOT NULL")
    assert 0 <= row["answered"] - row["painted"] < 5
    assert row["warm_up"] == 1


def test_a_replayed_answer_is_one_answer(study: tuple[Path, dict[str, str]], reader: TestClient):
    shown = look(reader)
    assert [give(reader, shown, level).status_code for level in (2, 2, 4, 2)] == [303, 303, 409, 303]
    (row,) = Database(study[0] / STATE).rows("SELECT * FROM showings WHERE answer IS NOT NULL")
    assert row["answer"] == 2


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}],
)
def test_forms_of_other_sites_are_refused(reader: TestClient, headers: dict[str, str]):
    shown = look(reader)
    data = {"form_token": shown["form-token"], "position": "1", "level": "3"}
    assert reader.post("/answer", data=data, headers=headers).status_code == 403
    assert reader.post("/answer", data=data, headers={"Origin": "http://testserver"}).status_code == 200


@pytest.mark.parametrize("path", ["/answer", "/painted", "/consent", "/start", "/leave", "/enter"])
def test_every_form_needs_its_token(reader: TestClient, path: str):
    valid = {"position": "1", "level": "3", "role": "student", "years": "1", "agreed": "yes", "code": "x"}
    valid |= {"text_sha256": "x"}
    assert reader.post(path, data=valid).status_code == 400
    assert reader.post(path, data=valid | {"form_token": "wrong"}).status_code == 403


def test_no_address_is_built_from_the_host_that_a_request_names(reader: TestClient):
    response = reader.get("/case/", headers={"Host": "evil.example"}, follow_redirects=False)
    assert response.status_code == 404 and "evil" not in repr(response.headers)


def test_a_code_typed_into_the_address_does_not_come_into_the_log(
    study: tuple[Path, dict[str, str]], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="panodiff.study")
    code = study[1]["R1"].replace("-", " ")
    for path in (f"/{code}", f"/{'x/' * 56}{code}"):
        client_of(study[0]).get(path)
    assert caplog.text.count(" 404 ") == 2
    assert not [part for part in code.split() if part in caplog.text]


def test_a_code_needs_the_cookie_of_the_form(study: tuple[Path, dict[str, str]]):
    client = client_of(study[0])
    token = form_token(client.get("/").text)
    client.cookies.clear()
    assert client.post("/enter", data={"code": study[1]["R1"], "form_token": token}).status_code == 403


def test_too_much_is_refused_stated_or_not(reader: TestClient):
    body = b"form_token=" + b"x" * 9000
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert reader.post("/answer", content=body, headers=form).status_code == 413
    assert reader.post("/answer", content=iter([body[:5000], body[5000:]]), headers=form).status_code == 413
    assert reader.get("/case?go=" + "1" * 600).status_code == 414
    assert reader.post("/answer", json={}).status_code == 415
    assert reader.post("/answer", files={"level": b"3"}).status_code == 415
    assert reader.put("/answer").status_code == 405
    assert reader.get("/case?go=x").status_code == 400


def test_a_form_that_breaks_off_is_no_form(study: tuple[Path, dict[str, str]], reader: TestClient):
    shown = look(reader)
    cookies = "; ".join(f"{name}={value}" for name, value in reader.cookies.items())
    begun = f"form_token={shown['form-token']}&position={shown['position']}&level=3".encode()
    messages = [{"type": "http.request", "body": begun, "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 400

    headers = {"cookie": cookies, "host": "testserver", "content-type": "application/x-www-form-urlencoded"}
    scope = {"type": "http", "method": "POST", "path": "/answer", "query_string": b"", "client": ("testclient", 1)}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(reader.app(scope, receive, send))
    assert Database(study[0] / STATE).rows("SELECT * FROM showings WHERE answer IS NOT NULL") == []


async def post_codes(app: ASGIApp, codes: list[str], address: str) -> list[int]:
    """The status for each code, of requests by hand: a quick attacker's."""
    statuses = []
    for code in codes:
        body = f"code={code}&form_token=own".encode()

        async def receive(body: bytes = body) -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = {"cookie": "session-entry=own", "content-length": str(len(body)), "host": "testserver"}
        headers |= {"content-type": "application/x-www-form-urlencoded"}
        scope = {"type": "http", "method": "POST", "path": "/enter", "query_string": b"", "client": (address, 1)}
        scope |= {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
        await app(scope, receive, send)
    return statuses


def test_ten_thousand_wrong_codes_are_refused_and_keep_nobody_else_out(
    study: tuple[Path, dict[str, str]], caplog: pytest.LogCaptureFixture
):
    folder, codes = study
    app = client_of(folder).app
    caplog.set_level(logging.WARNING, logger="panodiff.study")
    statuses = asyncio.run(post_codes(app, [f"{number:028d}" for number in range(10_000)], "192.0.2.1"))
    assert statuses == [403] * 20 + [429] * 9980  # the first were looked up
    assert caplog.text.count("192.0.2.1 wrong code") == 20
    assert caplog.text.count("192.0.2.1 POST /enter 429") == 9980
    assert asyncio.run(post_codes(app, [codes["R2"]], "192.0.2.2")) == [303]


def test_typing_errors_of_one_do_not_lock_out_others_behind_the_same_address(study: tuple[Path, dict[str, str]]):
    folder, codes = study
    app = client_of(folder).app
    wrong = [f"{number:028d}" for number in range(25)]
    assert asyncio.run(post_codes(app, [*wrong, codes["R1"]], "192.0.2.1")) == [403] * 20 + [429] * 5 + [303]


def test_many_sessions_of_a_reader_are_one_origin_of_faults(study: tuple[Path, dict[str, str]]):
    folder, codes = study
    first = client_of(folder)
    agree(first, codes["R1"])
    second = TestClient(first.app)
    sign_in(second, codes["R1"])
    found = [client.get("/nowhere").status_code for _ in range(60) for client in (first, second)]
    assert found.count(404) == 100 and found[-1] == 429


def test_who_is_refused_too_often_must_wait_but_readers_at_the_same_address_need_not(
    study: tuple[Path, dict[str, str]], reader: TestClient
):
    stranger = TestClient(reader.app)
    assert [stranger.get("/nowhere").status_code for _ in range(101)].count(404) == 100
    assert stranger.get("/").status_code == 429
    assert reader.get("/case").status_code == 200
    assert [reader.get("/nowhere").status_code for _ in range(101)].count(404) == 100
    assert reader.get("/case").status_code == 429


def test_counting_faults_takes_bounded_memory_and_forgets():
    faults = Faults(each=2, window_s=0.05)
    for number in range(3 * NUM_REMEMBERED):
        faults.count(str(number))
    assert len(faults._counts) <= NUM_REMEMBERED
    slow = Faults(each=2, window_s=1000)
    slow.count("a")
    assert not slow.too_many("a")
    slow.count("a")
    assert slow.too_many("a") and not slow.too_many("b")
    over = Faults(each=1, window_s=0)
    over.count("a")
    assert not over.too_many("a")


def test_addresses_of_one_customer_count_as_one():
    assert origin_of({"client": ("2001:db8::1", 1)}) == origin_of({"client": ("2001:db8::ffff", 1)})
    assert origin_of({"client": ("2001:db8:0:1::1", 1)}) != origin_of({"client": ("2001:db8::1", 1)})
    assert origin_of({"client": ("192.0.2.1", 1)}) == "192.0.2.1"


def test_every_response_bears_the_security_headers(reader: TestClient):
    responses = [
        reader.get("/case"),
        reader.get("/case", follow_redirects=False),
        reader.get("/static/study.css"),
        reader.get("/nowhere"),
        reader.put("/answer"),
        reader.post("/answer", data={}),
        reader.get("/case?go=" + "1" * 600),
    ]
    for response in responses:
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    for page in (reader.get("/case").text, reader.get("/instructions").text):
        assert not re.search(r"<style|<script>|\s(style|on[a-z]+)=", page)
        assert "http" not in page


def test_an_error_of_the_server_shows_nothing_and_bears_the_headers(study: tuple[Path, dict[str, str]]):
    client = client_of(study[0])
    broken = TestClient(client.app, raise_server_exceptions=False)
    agree(broken, study[1]["R1"])
    with Database(study[0] / STATE).writing() as connection:
        connection.execute("UPDATE showings SET name = 'gone'")
    token = broken.get("/case").text.partition('data-token="')[2].partition('"')[0]
    response = broken.get(f"/pixels/{token}")
    assert response.status_code == 500
    assert "Traceback" not in response.text and "KeyError" not in response.text
    assert {name: response.headers[name] for name in HEADERS} == HEADERS


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(study: tuple[Path, dict[str, str]]):
    for secure in (False, True):
        client = client_of(study[0], secure=secure)
        token = form_token(client.get("/").text)
        data = {"code": study[1]["R1"], "form_token": token}
        response = client.post("/enter", data=data, follow_redirects=False)
        cookie = response.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
        assert ("Secure" in cookie and cookie.startswith("__Host-")) == secure
        assert ("strict-transport-security" in response.headers) == secure


def test_the_log_tells_who_was_refused_and_no_secrets(
    study: tuple[Path, dict[str, str]], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="panodiff.study")
    client = client_of(study[0])
    agree(client, study[1]["R1"])
    look(client)
    sign_in(client_of(study[0]), "wrong-wrong-wrong")
    client.get(f"/{study[1]['R2']}?code={study[1]['R2']}")
    secrets = [*study[1].values(), *client.cookies.values(), client.get("/case").text.partition('data-token="')[2][:43]]
    assert not [secret for secret in secrets if secret in caplog.text]
    assert "wrong code" in caplog.text and "wrong-wrong" not in caplog.text
    assert "testclient GET /pixels/… 200" in caplog.text
    assert any(record.levelname == "WARNING" and " 404 " in record.getMessage() for record in caplog.records)
    assert "\n" not in fit_for_log("/a\nFAKE LINE") and "\x1b" not in fit_for_log("\x1b[2J")


@pytest.mark.parametrize("pseudonym", [SCRIPT, "=1+1", "", "a" * 33, "Jörg", "a b", "-rf", "a\n"])
def test_only_plain_pseudonyms_are_invited(study: tuple[Path, dict[str, str]], pseudonym: str):
    served = load_served(study[0] / "served")
    database = Database(study[0] / STATE, served)
    with pytest.raises(ValueError, match="pseudonym must be"):
        invite(served, database, ["fine", pseudonym], "experienced")
    with pytest.raises(ValueError, match="taken, nobody was invited"):
        invite(served, database, ["fine", "r1"], "experienced")
    with pytest.raises(ValueError, match="group must be"):
        invite(served, database, ["fine"], SCRIPT)
    assert len(database.rows("SELECT * FROM readers")) == 2
