"""`--public`, with a program in the place of ngrok that speaks as ngrok does."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from served_studies import free_port, invited, write_study

TOKEN = "a-token-of-ngrok"
NGROK = """#!{python}
import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def note(line):
    with open({log!r}, "a") as log:
        log.write(line + "\\n")

class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({{"tunnels": []}})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        note("tunnel " + json.dumps(asked))
        self.answer({{"name": "x", "uri": "/api/tunnels/x", "public_url": "https://x.ngrok.example", "proto": "https",
                     "config": {{"addr": "http://localhost", "inspect": False}}, "metrics": {{}}}}, 201)
    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

note("began " + str(os.getpid()) + " " + " ".join(sys.argv[1:]) + " token " + os.environ.get("NGROK_AUTHTOKEN", ""))
server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
for message in ('"starting web service" obj=web addr=127.0.0.1:' + str(server.server_port),
                '"client session established"', '"tunnel session started"'):
    print("t=1 lvl=info msg=" + message, flush=True)
while True:
    time.sleep(1)
"""
SERVE = (sys.executable, "-m", "panodiff.cli", "study", "serve", "--public", "--port")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project with a drawn study, an invited reader and the stand-in for ngrok in bin/."""
    write_study(tmp_path)
    invited(tmp_path, "R1")
    (tmp_path / "data/study").mkdir(parents=True)
    (tmp_path / "served").rename(tmp_path / "data/study/served")
    program = tmp_path / "bin/ngrok"
    program.parent.mkdir()
    program.write_text(NGROK.format(python=sys.executable, log=str(tmp_path / "ngrok.log")))
    program.chmod(0o755)
    return tmp_path


def environment(place: Path, *folders: str) -> dict[str, str]:
    path = os.pathsep.join([*folders, "/usr/bin", "/bin"])
    return os.environ | {"NGROK_AUTHTOKEN": TOKEN, "PATH": path, "HOME": str(place)}


def told(place: Path, word: str) -> list[str]:
    log = place / "ngrok.log"
    return [line for line in log.read_text().splitlines() if line.startswith(word)] if log.exists() else []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_tunnel_leads_to_this_server_and_ends_with_it_and_the_token_stays_in_the_environment(
    place: Path, kind: signal.Signals
):
    port, output = free_port(), place / "output"
    with output.open("w") as file:
        server = subprocess.Popen(
            [*SERVE, str(port)], cwd=place, env=environment(place, str(place / "bin")), stdout=file, stderr=file
        )
    deadline = time.monotonic() + 60
    while "https://x.ngrok.example" not in output.read_text() and time.monotonic() < deadline:
        assert server.poll() is None, output.read_text()
        time.sleep(0.05)
    (began,), (tunnel,) = told(place, "began"), told(place, "tunnel")
    pid = int(began.split()[1])
    assert is_running(pid) and str(port) in tunnel and '"inspect": false' in tunnel
    assert began.endswith(f" token {TOKEN}") and began.count(TOKEN) == 1  # and not among the arguments
    time.sleep(0.5)
    server.send_signal(kind)
    server.wait(30)
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)
    kept = [path for path in place.rglob("*") if path.is_file() and path.name != "ngrok.log"]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_no_tunnel_is_opened_to_the_port_of_another_program(place: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = subprocess.run(
            [*SERVE, port], cwd=place, env=environment(place, str(place / "bin")), capture_output=True, check=False
        )
    assert ended.returncode != 0 and b"in use" in ended.stderr
    assert told(place, "began") == []


def test_the_script_that_comes_with_pyngrok_is_not_taken_for_ngrok(place: Path):
    assert shutil.which("ngrok", path=str(Path(sys.executable).parent))
    ended = subprocess.run(
        [*SERVE, str(free_port())],
        cwd=place,
        env=environment(place, str(Path(sys.executable).parent)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2 and "install it from ngrok.com" in ended.stderr
