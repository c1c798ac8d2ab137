"""`panodiff study serve`: the app on this machine, in a network, or through a tunnel."""

import logging
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.staticfiles import StaticFiles

from panodiff.study.app.database import Database
from panodiff.study.app.guard import Faults, Guard
from panodiff.study.app.organizer import read_key
from panodiff.study.app.pages import router
from panodiff.study.app.patience import PatientProtocol
from panodiff.study.app.served import Served, load_served
from panodiff.study.app.web import ElsewhereError, RefusedError, Study, page

TEMPLATES, STATIC = Path(__file__).parent / "templates", Path(__file__).parent / "static"
TOKEN_VARIABLE = "NGROK_AUTHTOKEN"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_CONNECTIONS = 512  # more get 503


def serve(
    folder: Path,
    state: Path,
    *,
    consent: Path | None = None,
    key: Path | None = None,
    leaderboard: bool = False,
    host: str = "127.0.0.1",
    port: int = 8000,
    tls: tuple[Path, Path] | None = None,
    public: bool = False,
) -> None:
    """Show the study until stopped.

    Args:
        folder: `served`, as the stage study wrote it.
        state: SQLite file of readers and answers.
        consent: Text that readers agree to, paragraphs with empty lines between; a general one without it.
        key: key.csv, to show each reader the own results in the end; without it, it is never read.
        leaderboard: Show the results of all who have finished to all who have; needs `key`.
        host: Address to listen at.
        port: Port to listen at.
        tls: Certificate and private key, for HTTPS.
        public: Open a tunnel to the internet, by HTTPS; takes NGROK_AUTHTOKEN from the environment.

    Raises:
        ValueError: The study cannot be shown as asked.
    """
    if leaderboard and key is None:
        raise ValueError("a leaderboard needs the results: give key.csv too")
    if public and (host not in LOOPBACK or tls is not None):
        raise ValueError(f"with a tunnel the server must stay on this machine, without a certificate; got {host}")
    served = load_served(folder)
    if key is not None and key.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the key must stand outside {folder}, got {key}")
    app = create_app(
        served,
        Database(state, served),
        consent=consent_text(served, consent),
        secure=public or tls is not None,
        key=None if key is None else read_key(key, served),
        leaderboard=leaderboard,
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if host not in LOOPBACK and tls is None:
        logging.warning("without a certificate, codes and answers cross the network for all in it to read")
    config = configured(app, host, port, tls, public=public)
    listening = bound(config)  # before a tunnel leads there: another program's port must not become public
    address = f"http{'s' * bool(tls)}://{f'[{host}]' if ':' in host else host}:{port}"
    if public:
        for kind in (signal.SIGTERM, signal.SIGHUP):  # else the tunnel would outlive the server
            signal.signal(kind, lambda *_: sys.exit(0))
        address = open_tunnel(port)
    logging.info("the study is at %s", address)
    uvicorn.Server(config).run(sockets=[listening])


def configured(app: Guard, host: str, port: int, tls: tuple[Path, Path] | None, *, public: bool) -> uvicorn.Config:
    """How uvicorn serves the app."""
    options: dict[str, Any] = {} if tls is None else {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]}
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PatientProtocol,
        proxy_headers=public,  # the tunnel says where a request comes from; nobody else is believed
        forwarded_allow_ips="127.0.0.1",
        server_header=False,
        access_log=False,
        log_level="warning",
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=16384,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        **options,
    )


def bound(config: uvicorn.Config) -> socket.socket:
    """The socket to listen at, whose connections send at once.

    asyncio sees to that only for sockets that it makes itself. Without it a page waits for up to 40 ms until the other
    side has acknowledged its head.
    """
    listening = config.bind_socket()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def create_app(
    served: Served,
    database: Database,
    *,
    consent: str,
    secure: bool = False,
    key: dict[str, str] | None = None,
    leaderboard: bool = False,
) -> Guard:
    """The pages behind their guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.study = study = Study(
        served=served,
        database=database,
        consent=consent,
        secure=secure,
        key=key,
        leaderboard=leaderboard,
        wrong_codes=Faults(each=20, window_s=600),
        pages=_templates(),
    )

    def known(headers: Headers) -> str | None:
        session = database.session(cookie_parser(headers.get("cookie", "")).get(study.cookie, ""))
        return f"reader {session['id']}" if session else None

    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_exception_handler(ElsewhereError, lambda _, elsewhere: RedirectResponse(str(elsewhere), 303))
    for kind in (RefusedError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _refuse)
    return Guard(app, secure, known, Faults(each=100, window_s=60))


def _refuse(request: Request, error: Exception) -> Response:
    """A page that says why, and nothing that the request held."""
    if isinstance(error, RefusedError):
        status, reason = error.status, error.reason
    elif isinstance(error, RequestValidationError):
        status, reason = 400, "The form was not filled in as it must be. Go back and look it over."
    elif isinstance(error, HTTPException):
        status, reason = error.status_code, "There is no such page."
    else:
        status, reason = 500, "Something went wrong here. What you answered is kept. Try again."
    return page(request, "refused", status, reason=reason)


def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def consent_text(served: Served, path: Path | None) -> str:
    """The text that readers agree to: of the file, or a general one that says what is shown and kept."""
    if path is not None:
        return path.read_text(encoding="utf-8")
    return _templates().get_template("consent.txt.j2").render(served=served)


def open_tunnel(port: int) -> str:
    """The public address of `port` on this machine; the tunnel closes with the process.

    The token stays in the environment, where ngrok looks for it by itself: it comes into no file and no command line.
    ngrok's own page about the requests, which would show codes, is off.

    Raises:
        ValueError: There is no token, or no ngrok.
    """
    from pyngrok import conf, exception, ngrok  # noqa: PLC0415 - of no use to anybody else

    if not os.environ.get(TOKEN_VARIABLE):
        raise ValueError(f"a tunnel needs a token of ngrok.com in the environment: set {TOKEN_VARIABLE}")
    # Beside Python stands pyngrok's own script of that name, which would fetch some version of the program.
    beside = Path(sys.executable).parent
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    binary = shutil.which("ngrok", path=os.pathsep.join(each for each in folders if Path(each) != beside))
    if binary is None:
        raise ValueError("a tunnel needs the program ngrok: install it from ngrok.com, so that it is found on the PATH")
    config = conf.PyngrokConfig(ngrok_path=binary, monitor_thread=False, config_version="2")
    config.auth_token = None
    try:
        tunnel = ngrok.connect(str(port), "http", pyngrok_config=config, schemes=["https"], inspect=False)
    except exception.PyngrokError as error:
        raise ValueError(f"ngrok opened no tunnel: {error}") from error
    return str(tunnel.public_url)
