"""The pages. Every one is made for the reader whose session asks, and none says more of a case than its place."""

import json
import secrets
import time
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from panodiff.study.app.database import SESSION_S, hashed, new_token
from panodiff.study.app.guard import log, origin_of
from panodiff.study.app.organizer import code_as_kept, results
from panodiff.study.app.showings import (
    Outcome,
    current_showing,
    grant_look,
    keep_answer,
    progress_of,
    report_painted,
    take_look,
)
from panodiff.study.app.web import ElsewhereError, PartReader, PostingReader, Reader, RefusedError, Text, page, study_of
from panodiff.study.levels import LEVELS

ROLES = (
    *("general dentist", "oral radiologist", "oral surgeon", "orthodontist", "other dental specialist"),
    *("dentist in training", "student", "other"),
)
MAX_YEARS = 70

Position = Annotated[int, Form(ge=1, le=100_000)]
router = APIRouter()


@router.get("/")
def first_page(request: Request) -> Response:
    """The form for the code; for a reader who is signed in, the page where the study goes on."""
    study = study_of(request)
    if study.database.session(request.cookies.get(study.cookie, "")):
        return RedirectResponse("/pause", 303)
    return _entry(request)


def _entry(request: Request, status: int = 200, reason: str = "") -> Response:
    """The form for the code. Its token stands in a cookie too: no other site can fill in both."""
    study, token = study_of(request), new_token()
    response = page(request, "enter", status, form_token=token, reason=reason)
    response.set_cookie(study.cookie + "-entry", token, httponly=True, samesite="strict", secure=study.secure)
    return response


@router.post("/enter")
def enter(request: Request, code: Text, form_token: Text) -> Response:
    """Sign in, if the code is one."""
    study, origin = study_of(request), origin_of(request.scope)
    expected = request.cookies.get(study.cookie + "-entry", "")
    if not expected or not secrets.compare_digest(form_token.encode(), expected.encode()):
        return _entry(request, 403, "The form was too old. Enter your code once more; cookies must be allowed.")
    found = study.database.rows("SELECT id FROM readers WHERE code_sha256 = ?", code_as_kept(code))
    if not found and study.wrong_codes.too_many(origin):  # a right code opens always: nobody can lock others out
        return _entry(request, 429, "Too many wrong codes. Wait ten minutes.")
    if not found:
        study.wrong_codes.count(origin)
        log.warning("%s wrong code", origin)
        return _entry(request, 403, "There is no such code. Look at every letter, or ask who invited you.")
    response = RedirectResponse("/pause", 303)
    response.set_cookie(
        study.cookie,
        study.database.open_session(found[0]["id"]),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=study.secure,
    )
    return response


@router.post("/leave")
def leave(request: Request, reader: PostingReader) -> Response:
    """End the session; the code opens the study again."""
    study = study_of(request)
    with study.database.writing() as connection:
        connection.execute("DELETE FROM sessions WHERE token_sha256 = ?", (reader["token_sha256"],))
    response = RedirectResponse("/", 303)
    response.delete_cookie(study.cookie, secure=study.secure, httponly=True, samesite="strict")
    return response


@router.get("/consent")
def consent(request: Request, reader: Reader) -> Response:
    """The study's text, and what is asked of a reader."""
    if reader["consented"]:
        raise ElsewhereError("/instructions")
    paragraphs = [part.strip() for part in study_of(request).consent.split("\n\n") if part.strip()]
    return page(
        request, "consent", reader=reader, paragraphs=paragraphs, roles=ROLES, max_years=MAX_YEARS,
        text_sha256=hashed(study_of(request).consent),
    )  # fmt: skip


@router.post("/consent")
def agree(
    *,
    request: Request,
    reader: PostingReader,
    role: Text,
    years: Annotated[int, Form(ge=0, le=MAX_YEARS)],
    agreed: Text,
    text_sha256: Text,
) -> Response:
    """Note the consent, to which text, and who agrees."""
    if role not in ROLES or agreed != "yes":
        raise RefusedError(400, "The form was not filled in as it must be. Go back and look it over.")
    study = study_of(request)
    if text_sha256 != hashed(study.consent):
        raise RefusedError(409, "The text has changed since you read it. Go back and read it once more.")
    with study.database.writing() as connection:
        connection.execute(
            "UPDATE readers SET role = ?, years = ?, consented = ?, consent_sha256 = ? "
            "WHERE id = ? AND consented IS NULL",
            (role, years, time.time(), hashed(study.consent), reader["id"]),
        )
    return RedirectResponse("/instructions", 303)


@router.get("/instructions")
def instructions(request: Request, reader: Reader) -> Response:
    """What to do; may be read again at any time between two cases."""
    if not reader["consented"]:
        raise ElsewhereError("/consent")
    progress = progress_of(study_of(request).database, reader["id"])
    return page(
        request, "instructions", reader=reader, served=study_of(request).served, progress=progress, levels=LEVELS
    )


@router.post("/start")
def start(request: Request, reader: PostingReader) -> Response:
    """Note that the instructions were shown, and show the first case."""
    with study_of(request).database.writing(durable=False) as connection:
        connection.execute(
            "UPDATE readers SET instructed = ? WHERE id = ? AND consented IS NOT NULL AND instructed IS NULL",
            (time.time(), reader["id"]),
        )
    return RedirectResponse("/case?go=1", 303)


@router.get("/pause")
def pause(request: Request, reader: PartReader) -> Response:
    """Between two cases: a break, the end of the warm-up, or the return after an absence."""
    study = study_of(request)
    showing = current_showing(study.database, reader["id"])
    if showing is None:
        raise ElsewhereError("/thanks")
    progress = progress_of(study.database, reader["id"])
    return page(
        request, "pause", reader=reader, showing=showing, progress=progress, served=study.served,
        left_s=showing.left_s(time.time()),
    )  # fmt: skip


@router.get("/case")
def case(request: Request, reader: PartReader, go: int = 0) -> Response:
    """The reader's current case, without its picture; a page that pauses first where one is due."""
    study = study_of(request)
    showing = current_showing(study.database, reader["id"])
    if showing is None:
        raise ElsewhereError("/thanks")
    progress = progress_of(study.database, reader["id"])
    if go != showing.position and showing.fetched is None and progress.pause_due(study.served.break_every):
        raise ElsewhereError("/pause")
    left_s = showing.left_s(time.time())
    token = grant_look(study.database, reader["id"], showing.position) if left_s > 0 else ""
    return page(
        request, "case", reader=reader, showing=showing, progress=progress, served=study.served, levels=LEVELS,
        token=token, left_s=left_s,
    )  # fmt: skip


@router.get("/pixels/{token}")
def pixels(request: Request, reader: PartReader, token: str) -> Response:
    """The picture, once: bare bytes, of every case as many."""
    study = study_of(request)
    name = take_look(study.database, reader["id"], token, time.time())
    if name is None:
        raise RefusedError(410, "This picture was shown, and is not to be had again.")
    return Response(study.served.pixels[name], media_type="application/octet-stream")


@router.post("/painted")
def painted(request: Request, reader: PostingReader, position: Position) -> Response:
    """Start the clock of the picture that the browser has just painted; the seconds that are left."""
    left_s = report_painted(study_of(request).database, reader["id"], position, time.time())
    if left_s is None:
        raise RefusedError(409, "No picture was shown for this case.")
    return Response(json.dumps({"left_s": round(left_s, 3)}), media_type="application/json")


@router.post("/answer")
def answer(
    request: Request, reader: PostingReader, position: Position, level: Annotated[int, Form(ge=1, le=5)]
) -> Response:
    """Keep an answer; only then is it acknowledged."""
    outcome = keep_answer(study_of(request).database, reader["id"], position, level, time.time())
    if outcome is Outcome.NOT_SHOWN:
        raise RefusedError(409, "This is not the case that is shown to you now.")
    if outcome is Outcome.OTHER_BEFORE:
        raise RefusedError(409, "This case was answered before. The first answer stays.")
    return RedirectResponse("/case", 303)


@router.get("/thanks")
def thanks(request: Request, reader: PartReader) -> Response:
    """The end, with the reader's own results if the study shows them."""
    study = study_of(request)
    if not progress_of(study.database, reader["id"]).finished:
        raise ElsewhereError("/pause")
    mine = None
    if study.key is not None:
        (mine,) = (each for each in results(study.database, study.key) if each.pseudonym == reader["pseudonym"])
    return page(request, "thanks", reader=reader, result=mine, leaderboard=study.leaderboard)


@router.get("/leaderboard")
def leaderboard(request: Request, reader: PartReader) -> Response:
    """Who was right how often, of those who have finished, for those who have finished."""
    study = study_of(request)
    if not study.leaderboard or study.key is None or not progress_of(study.database, reader["id"]).finished:
        raise RefusedError(404, "There is no such page.")
    return page(request, "leaderboard", reader=reader, results=results(study.database, study.key))
