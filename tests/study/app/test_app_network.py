"""The server over HTTPS, behind a proxy, and at its limits of time and number."""

import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from served_studies import agree, client_of, free_port, give, invited, look, write_study

from panodiff.study.app.server import bound, configured

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


def certificate_for(folder: Path, address: str) -> tuple[Path, Path]:
    """Certificate and private key of a server at `address`, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "study")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*encodings))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "cert.pem", folder / "key.pem"


@contextmanager
def serving(folder: Path, *, public: bool = False, **options: Any) -> Iterator[int]:
    """The port of a server in a thread of this process."""
    port = free_port()
    config = configured(client_of(folder).app, "127.0.0.1", port, None, public=public)
    for name, value in options.items():
        setattr(config, name, value)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield port
    finally:
        server.should_exit = True
        thread.join(30)


def test_by_https_a_case_is_answered_and_cookies_go_no_other_way(tmp_path: Path):
    write_study(tmp_path / "data/study", time_limit_s=30)
    command = [sys.executable, "-m", "panodiff.cli", "study"]
    code = subprocess.check_output([*command, "invite", "R1", "--group", "a"], cwd=tmp_path, text=True).split()[-1]
    certificate, key = certificate_for(tmp_path, "127.0.0.1")
    port, log = free_port(), tmp_path / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "serve", "--port", str(port), "--certificate", certificate, "--private-key", key],
            cwd=tmp_path, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while f"https://127.0.0.1:{port}" not in log.read_text():
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        trusting = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusting, follow_redirects=True) as client:
            agree(client, code)
            assert give(client, look(client), 3).status_code == 303
            assert client.get("/").headers["strict-transport-security"]
            cookies = {cookie.name: cookie.secure for cookie in client.cookies.jar}
        assert cookies.keys() == {"__Host-session", "__Host-session-entry"} and all(cookies.values())
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert "without a certificate" not in log.read_text()


@pytest.mark.parametrize(("public", "logged"), [(True, "203.0.113.9"), (False, "127.0.0.1")])
def test_only_the_tunnel_is_believed_where_a_request_comes_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, public: bool, logged: str
):
    write_study(tmp_path)
    invited(tmp_path, "R1")
    caplog.set_level(logging.INFO, "panodiff.study")
    with serving(tmp_path, public=public) as port:
        httpx.get(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-For": "203.0.113.9"})
    assert [line.getMessage().split()[0] for line in caplog.records if "GET /" in line.getMessage()] == [logged]


def test_a_form_that_does_not_arrive_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("panodiff.study.app.guard.BODY_S", 0.3)
    write_study(tmp_path)
    invited(tmp_path, "R1")
    with serving(tmp_path) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"POST /enter HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 100\r\n\r\ncode=".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
        while connection.recv(1000):
            pass  # the rest of the page, then the end of the connection


def test_connections_that_ask_nothing_end_and_those_that_ask_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("panodiff.study.app.patience.HEAD_S", 0.4)
    write_study(tmp_path)
    invited(tmp_path, "R1")
    with serving(tmp_path) as port:
        idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(20)]
        for number, each in enumerate(idle):
            each.sendall(b"GET / HT" * (number % 2))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/").status_code == 200
            began = time.monotonic()
            assert [_ended(each) for each in idle] == [True] * 20
            assert time.monotonic() - began < 5
            assert client.get("/").status_code == 200


def _ended(connection: socket.socket) -> bool:
    """Whether the other side hangs up without a word."""
    with connection:
        try:
            return connection.recv(100) == b""
        except ConnectionResetError:
            return True


def test_more_connections_than_the_limit_are_turned_away_until_one_ends(tmp_path: Path):
    write_study(tmp_path)
    invited(tmp_path, "R1")
    with serving(tmp_path, limit_concurrency=3) as port:
        first = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(3)]
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 503
        for each in first:
            each.close()
        deadline = time.monotonic() + 10
        while httpx.get(f"http://127.0.0.1:{port}/").status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200


def test_a_page_does_not_wait_for_the_acknowledgement_of_its_head(tmp_path: Path):
    write_study(tmp_path)
    invited(tmp_path, "R1")
    with bound(configured(client_of(tmp_path).app, "127.0.0.1", 0, None, public=False)) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_answers_are_for_their_owner_alone(tmp_path: Path):
    write_study(tmp_path)
    invited(tmp_path, "R1")
    client_of(tmp_path).get("/")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    files = list((tmp_path / "state").iterdir())
    assert files and {path.stat().st_mode & 0o777 for path in files} == {0o600}
