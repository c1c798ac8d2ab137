"""Small studies for the tests of the app: folders as the stage writes them, servers, readers who answer by script."""

import os
import re
import signal
import socket
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from starlette.testclient import TestClient

from panodiff.files import write_csv, write_json
from panodiff.images import write_grey
from panodiff.study.app.database import Database
from panodiff.study.app.organizer import invite
from panodiff.study.app.served import load_served
from panodiff.study.app.server import consent_text, create_app, serve

HEIGHT, WIDTH = 32, 64
STATE = "state/study.sqlite"
FORKED = get_context("forkserver")  # every server a process of its own, without importing everything anew
FORKED.set_forkserver_preload(["panodiff.study.app.server"])


def write_study(
    folder: Path,
    *,
    num_cases: int = 6,
    num_warm_up: int = 2,
    num_repeats: int = 0,
    break_every: int = 0,
    time_limit_s: float = 1,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Path:
    """A study below `folder`: served/, and key.csv, every second case synthetic and flat; the path of served/."""
    generator, served = np.random.default_rng(0), folder / "served"
    names = [f"case-{generator.integers(2**63):016x}" for _ in range(num_cases + num_warm_up)]
    rows, key = [], []
    for number, name in enumerate(names):
        synthetic, warm_up = number % 2, int(number >= num_cases)
        picture = generator.integers(0, 256, size) if not synthetic else np.full(size, number)  # files of unlike sizes
        write_grey(served / f"cases/{name}.png", picture.astype(np.uint8))
        rows.append({"case": name, "path": f"cases/{name}.png", "warm_up": warm_up})
        key.append({"case": name, "label": ("real", "synthetic")[synthetic], "id": name, "warm_up": warm_up})
    write_csv(served / "cases.csv", ["case", "path", "warm_up"], rows)
    write_csv(folder / "key.csv", ["case", "label", "id", "warm_up"], key)
    rules = {"num_repeats": num_repeats, "break_every": break_every, "time_limit_s": time_limit_s, "size": list(size)}
    write_json(served / "study.json", {"num_cases": num_cases} | rules)
    return served


def invited(folder: Path, *pseudonyms: str) -> dict[str, str]:
    """Codes of new readers of the study in `folder`."""
    study = load_served(folder / "served")
    return invite(study, Database(folder / STATE, study), pseudonyms, "experienced")


def client_of(folder: Path, **options: Any) -> TestClient:
    """A browser without JavaScript at the app itself, without a network in between."""
    served = load_served(folder / "served")
    app = create_app(served, Database(folder / STATE, served), consent=consent_text(served, None), **options)
    return TestClient(app, base_url="https://testserver" if options.get("secure") else "http://testserver")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """The server in a process of its own, on a loopback port, with its log in the study's folder."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: ForkServerProcess | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    def start(self) -> None:
        self.process = FORKED.Process(target=run_server, args=(self.folder, self.port, self.log), daemon=True)
        self.process.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.is_alive():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(self.log.read_text())

    def stop(self, kind: int) -> None:
        assert self.process is not None and self.process.pid is not None
        os.kill(self.process.pid, kind)
        self.process.join(30)


def run_server(folder: Path, port: int, log: Path) -> None:
    """What the server's process does."""
    file = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    serve(folder / "served", folder / STATE, port=port)


def fields(page: str) -> dict[str, str]:
    """What the data attributes of the case page's main element say."""
    main = re.search(r"<main id=\"case\"[^>]*>", page)
    assert main is not None, page
    return dict(re.findall(r'data-([a-z-]+)="([^"]*)"', main[0]))


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def text_sha256(page: str) -> str:
    found = re.search(r'name="text_sha256" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def sign_in(client: httpx.Client, code: str) -> httpx.Response:
    """Enter a code as a browser does."""
    token = form_token(client.get("/").text)
    return client.post("/enter", data={"code": code, "form_token": token})


def agree(client: httpx.Client, code: str) -> None:
    """Sign in, consent if that was not done before, and pass the instructions."""
    page = sign_in(client, code)
    assert page.status_code == 200, page.text
    if page.url.path == "/consent":
        given = {"form_token": form_token(page.text), "text_sha256": text_sha256(page.text)}
        page = client.post("/consent", data=given | {"role": "orthodontist", "years": "12", "agreed": "yes"})
    assert client.post("/start", data={"form_token": form_token(page.text)}).status_code == 200


def look(client: httpx.Client) -> dict[str, str]:
    """Open the current case and have its picture painted; the page's fields."""
    page = client.get("/case")
    if '<main id="case"' not in page.text:
        go = re.search(r'name="go" value="(\d+)"', page.text)
        assert go is not None, page.text
        page = client.get("/case", params={"go": go[1]})
    shown = fields(page.text)
    assert client.get(f"/pixels/{shown['token']}").status_code == 200
    client.post("/painted", data={"form_token": shown["form-token"], "position": shown["position"]})
    return shown


def give(client: httpx.Client, shown: dict[str, str], level: int) -> httpx.Response:
    """Answer the case that `shown` describes; the response itself, wherever it leads."""
    data = {"form_token": shown["form-token"], "position": shown["position"], "level": str(level)}
    return client.post("/answer", data=data, follow_redirects=False)
