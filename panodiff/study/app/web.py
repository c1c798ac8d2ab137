"""What pages are made of and from: the study, the reader who asks, refusals."""

import secrets
import sqlite3
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Form, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from panodiff.study.app.database import Database
from panodiff.study.app.guard import Faults
from panodiff.study.app.served import Served

Text = Annotated[str, Form(max_length=200)]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What the pages are made of."""

    served: Served
    database: Database
    consent: str  # text that readers agree to
    secure: bool  # cookies by HTTPS only
    key: dict[str, str] | None  # label of each case, when readers may see their results in the end
    leaderboard: bool
    wrong_codes: Faults
    pages: Environment

    @property
    def cookie(self) -> str:
        """Name of the session cookie; browsers take one with the prefix only from the host itself by HTTPS."""
        return "__Host-session" if self.secure else "session"


class RefusedError(Exception):
    """Answered by a page that says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class ElsewhereError(Exception):
    """The reader has another page to see."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def study_of(request: Request) -> Study:
    """What the app that serves `request` was made with."""
    study: Study = request.app.state.study
    return study


def page(request: Request, name: str, status: int = 200, **content: Any) -> HTMLResponse:
    """A page of the templates."""
    template = study_of(request).pages.get_template(f"{name}.html.j2")
    return HTMLResponse(template.render({"reader": None} | content), status)


async def signed_in(request: Request) -> sqlite3.Row:
    """The reader whose session this is; who has none must give the code first."""
    study = study_of(request)
    reader = study.database.session(request.cookies.get(study.cookie, ""))
    if reader is None:
        if request.method == "GET":
            raise ElsewhereError("/")
        raise RefusedError(401, "Your session is over. Enter your code again.")
    return reader


async def taking_part(reader: Annotated[sqlite3.Row, Depends(signed_in)]) -> sqlite3.Row:
    """The same, past consent and instructions."""
    if not reader["consented"]:
        raise ElsewhereError("/consent")
    if not reader["instructed"]:
        raise ElsewhereError("/instructions")
    return reader


async def posting(reader: Annotated[sqlite3.Row, Depends(signed_in)], form_token: Text) -> sqlite3.Row:
    """The reader who sent a form of this very session."""
    if not secrets.compare_digest(form_token.encode(), reader["form_token"].encode()):
        raise RefusedError(403, "This form belongs to another session. Load the page again.")
    return reader


Reader = Annotated[sqlite3.Row, Depends(signed_in)]
PartReader = Annotated[sqlite3.Row, Depends(taking_part)]
PostingReader = Annotated[sqlite3.Row, Depends(posting)]
