"""The server as a process: killed at random moments, and with sixty readers at once."""

import asyncio
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
from served_studies import (
    STATE,
    Server,
    agree,
    fields,
    form_token,
    invited,
    text_sha256,
    write_study,
)

from panodiff.study.app.database import Database

NUM_KILLS = 20
NUM_READERS = 60


class Persistent(threading.Thread):
    """A reader who asks again whenever the server does not answer, and notes what was acknowledged."""

    def __init__(self, address: str, cookies: dict[str, str], stop: threading.Event, seed: int) -> None:
        super().__init__(daemon=True)
        self._client = httpx.Client(base_url=address, cookies=cookies, timeout=5)
        self._stop_asked, self._draw = stop, random.Random(seed)
        self.acknowledged: dict[int, int] = {}
        self.wrong: list[str] = []
        self.finished = False

    def run(self) -> None:
        while not self._stop_asked.is_set() and not self.finished:
            try:
                self._one_case()
            except (httpx.TransportError, httpx.RemoteProtocolError):
                time.sleep(0.01)

    def _one_case(self) -> None:
        page = self._client.get("/case", follow_redirects=True)
        self.finished = page.url.path == "/thanks"
        if self.finished:
            return
        shown = fields(page.text)
        data = {"form_token": shown["form-token"], "position": shown["position"]}
        if shown["token"]:
            self._client.get(f"/pixels/{shown['token']}")
        self._client.post("/painted", data=data)
        level = self._draw.randint(1, 5)
        done = self._client.post("/answer", data=data | {"level": str(level)})
        if done.status_code == 303:
            if int(shown["position"]) in self.acknowledged:
                self.wrong.append(f"case {shown['position']} came again")
            self.acknowledged[int(shown["position"])] = level
        elif done.status_code != 409:
            self.wrong.append(f"{done.status_code} for an answer")


def test_killed_at_random_moments_the_server_loses_no_acknowledged_answer_and_doubles_none(tmp_path: Path):
    write_study(tmp_path, num_cases=2000, num_warm_up=0, time_limit_s=60, size=(2, 4))
    codes, draw, stop = invited(tmp_path, "R1", "R2", "R3", "R4"), random.Random(1), threading.Event()
    server = Server(tmp_path)
    server.start()
    readers = []
    for seed, code in enumerate(codes.values()):
        with httpx.Client(base_url=server.address, follow_redirects=True) as client:
            agree(client, code)
            readers.append(Persistent(server.address, dict(client.cookies), stop, seed))
    for reader in readers:
        reader.start()
    progressed = 0
    for _ in range(NUM_KILLS):
        before = sum(len(reader.acknowledged) for reader in readers)
        time.sleep(draw.uniform(0.05, 0.4))
        server.stop(signal.SIGKILL)
        progressed += sum(len(reader.acknowledged) for reader in readers) > before
        server.start()
    stop.set()
    for reader in readers:
        reader.join(20)
    server.stop(signal.SIGKILL)
    database = Database(tmp_path / STATE)
    assert progressed >= NUM_KILLS / 2  # it was killed at work
    for number, reader in enumerate(readers, start=1):
        assert reader.wrong == []
        kept = database.rows("SELECT position, answer FROM showings WHERE reader = ? AND answer IS NOT NULL", number)
        answers = {row["position"]: row["answer"] for row in kept}
        assert reader.acknowledged.items() <= answers.items()
        assert len(answers) - len(reader.acknowledged) <= NUM_KILLS  # kept, but killed before it said so
        assert sorted(answers) == list(range(1, len(answers) + 1))
    assert database.rows("PRAGMA integrity_check")[0][0] == "ok"


async def read_whole_study(address: str, code: str, statuses: Counter[int]) -> int:
    """Go through the study as a browser does; the number of answers acknowledged."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(
        base_url=address, follow_redirects=True, timeout=30, limits=limits, verify=False
    ) as client:
        page = await client.get("/")
        page = await client.post("/enter", data={"code": code, "form_token": form_token(page.text)})
        given = {"role": "student", "years": "1", "agreed": "yes"}
        given |= {"text_sha256": text_sha256(page.text), "form_token": form_token(page.text)}
        page = await client.post("/consent", data=given)
        page = await client.post("/start", data={"form_token": form_token(page.text)})
        num_answered = 0
        while page.url.path == "/case":
            shown = fields(page.text)
            picture = await client.get(f"/pixels/{shown['token']}")
            data = {"form_token": shown["form-token"], "position": shown["position"]}
            painted = await client.post("/painted", data=data)
            page = await client.post("/answer", data=data | {"level": "4"})
            statuses.update(response.status_code for response in (picture, painted, page))
            num_answered += page.status_code == 200
        assert page.url.path == "/thanks"
        return num_answered


def test_sixty_readers_at_once_all_finish_and_nothing_is_lost(tmp_path: Path):
    write_study(tmp_path, num_cases=6, num_warm_up=0, time_limit_s=60, size=(512, 1024))
    codes = invited(tmp_path, *(f"R{number}" for number in range(NUM_READERS)))
    statuses: Counter[int] = Counter()

    async def all_together(address: str) -> list[int]:
        return await asyncio.gather(*(read_whole_study(address, code, statuses) for code in codes.values()))

    with Server(tmp_path) as server:
        answered = asyncio.run(all_together(server.address))
    assert answered == [6] * NUM_READERS
    assert set(statuses) == {200}
    (row,) = Database(tmp_path / STATE).rows("SELECT COUNT(answer) AS answers, COUNT(*) AS cases FROM showings")
    assert row["answers"] == row["cases"] == 6 * NUM_READERS


def test_the_server_says_nothing_of_itself_and_logs_no_secrets(tmp_path: Path):
    write_study(tmp_path)
    code = invited(tmp_path, "R1")["R1"]
    with Server(tmp_path) as server, httpx.Client(base_url=server.address, follow_redirects=True) as client:
        agree(client, code)
        assert "server" not in client.get("/case").headers
        assert client.get("/x" * 20_000).status_code in (400, 414, 431)
        cookies = list(client.cookies.values())
    log = server.log.read_text()
    assert "GET /case 200" in log and "http://127.0.0.1" in log
    assert not [secret for secret in (code, *cookies) if secret in log]
