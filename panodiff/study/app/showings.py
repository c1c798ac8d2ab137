"""A reader's way through the cases: one look at each, for as long as the study allows, and one answer.

The clock of a case starts when the browser reports its first painted frame, and at the latest GRACE_S after the picture
went out: a browser that reports nothing gains no more than that. It runs on the server, also while the browser is
closed, and no time that a browser tells is used. Where the machine's clock is set back, the look that was begun ends.
"""

import random
import sqlite3
from dataclasses import dataclass
from enum import Enum, auto

from panodiff.study.app.database import Database, hashed, new_token
from panodiff.study.app.served import Served

GRACE_S = 5.0  # for the picture's way to the reader: half a megabyte through a poor network
SHOWINGS = "SELECT showings.*, time_limit_s FROM showings, study"


@dataclass(frozen=True, kw_only=True)
class Showing:
    """A case in a reader's order."""

    position: int
    name: str
    warm_up: bool
    repeat: bool
    fetched: float | None
    painted: float | None
    answer: int | None
    answered: float | None
    time_limit_s: float

    @property
    def reported(self) -> bool:
        """Whether the browser said in time when it painted the picture."""
        if self.fetched is None or self.painted is None:
            return False
        return self.fetched <= self.painted <= self.fetched + GRACE_S

    @property
    def started(self) -> float | None:
        """When the clock started or, unless a report comes before, will start; None as long as no picture went out."""
        if self.fetched is None:
            return None
        return self.painted if self.reported else self.fetched + GRACE_S

    @property
    def response_s(self) -> float | None:
        """From the first painted frame until the answer; None where that is not known."""
        if not self.reported or self.painted is None or self.answered is None or self.answered < self.painted:
            return None
        return self.answered - self.painted

    def left_s(self, now: float) -> float:
        """Seconds of viewing that are left, none once the case is answered."""
        if self.fetched is None or self.started is None:
            return self.time_limit_s
        if self.answer is not None or now < self.fetched:
            return 0.0
        return min(self.time_limit_s, max(0.0, self.started + self.time_limit_s - now))


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a reader is."""

    num_warm_up: int
    num_counted: int  # with repeats
    num_answered: int  # with warm-up

    @property
    def num_counted_answered(self) -> int:
        """Answers that count."""
        return max(0, self.num_answered - self.num_warm_up)

    @property
    def finished(self) -> bool:
        """Whether every case is answered."""
        return self.num_answered == self.num_warm_up + self.num_counted

    def pause_due(self, break_every: int) -> bool:
        """Whether the cases before were the warm-up, or as many as lie between two breaks."""
        if self.num_answered < self.num_warm_up or self.num_answered == 0:
            return False
        done = self.num_counted_answered
        return done == 0 or (break_every > 0 and done % break_every == 0)


class Outcome(Enum):
    """What became of an answer that was sent."""

    KEPT = auto()
    KEPT_BEFORE = auto()  # the same answer to the same case came once more
    OTHER_BEFORE = auto()  # the case has another answer, which stays
    NOT_SHOWN = auto()  # not the reader's current case, or its picture never went out


def draw_order(served: Served) -> list[tuple[str, bool, bool]]:
    """(case, warm-up, repeat) in a new random order: warm-up first, repeats last, half a study from the first look.

    The order comes from the machine's own source of randomness; nothing that tells labels goes into it.
    """
    draw = random.SystemRandom()
    warm_up, counted = list(served.warm_up), list(served.counted)
    draw.shuffle(warm_up)
    draw.shuffle(counted)
    again = draw.sample(counted[: len(counted) // 2], served.num_repeats)
    return [
        *((case, True, False) for case in warm_up),
        *((case, False, False) for case in counted),
        *((case, False, True) for case in again),
    ]


def progress_of(database: Database, reader: int) -> Progress:
    """Where the reader is."""
    (row,) = database.rows(
        "SELECT SUM(warm_up) AS warm_up, COUNT(*) AS cases, COUNT(answer) AS answered FROM showings WHERE reader = ?",
        reader,
    )
    return Progress(num_warm_up=row["warm_up"], num_counted=row["cases"] - row["warm_up"], num_answered=row["answered"])


def current_showing(database: Database, reader: int) -> Showing | None:
    """The reader's first case without an answer; None when there is none left."""
    rows = database.rows(f"{SHOWINGS} WHERE reader = ? AND answer IS NULL ORDER BY position LIMIT 1", reader)
    return _showing(rows[0]) if rows else None


def grant_look(database: Database, reader: int, position: int) -> str:
    """A token with which the reader's picture at `position` can be fetched once; earlier ones are good no more."""
    token = new_token()
    with database.writing(durable=False) as connection:
        connection.execute(
            "UPDATE showings SET token_sha256 = ? WHERE reader = ? AND position = ? AND answer IS NULL",
            (hashed(token), reader, position),
        )
    return token


def take_look(database: Database, reader: int, token: str, now: float) -> str | None:
    """The case that `token` is good for, noted as handed out; None if it is used, not the reader's, or too late."""
    with database.writing(durable=False) as connection:
        where = "WHERE reader = ? AND token_sha256 = ?"
        row = connection.execute(f"{SHOWINGS} {where}", (reader, hashed(token))).fetchone()
        if row is None or _showing(row).left_s(now) <= 0:
            return None
        connection.execute(
            "UPDATE showings SET token_sha256 = NULL, fetched = COALESCE(fetched, ?) WHERE reader = ? AND position = ?",
            (now, reader, row["position"]),
        )
        name: str = row["name"]
        return name


def report_painted(database: Database, reader: int, position: int, now: float) -> float | None:
    """Note the first painted frame; the seconds of viewing that are left, None if no picture went out."""
    with database.writing(durable=False) as connection:
        connection.execute(
            "UPDATE showings SET painted = ? WHERE reader = ? AND position = ? AND fetched IS NOT NULL "
            "AND painted IS NULL AND answer IS NULL",
            (now, reader, position),
        )
        showing = _showing_at(connection, reader, position)
    return None if showing is None or showing.fetched is None else showing.left_s(now)


def keep_answer(database: Database, reader: int, position: int, answer: int, now: float) -> Outcome:
    """Keep the answer to the reader's current case; one that is KEPT is on disk."""
    with database.writing() as connection:
        showing = _showing_at(connection, reader, position)
        if showing is None or showing.fetched is None:
            return Outcome.NOT_SHOWN
        if showing.answer is not None:
            return Outcome.KEPT_BEFORE if showing.answer == answer else Outcome.OTHER_BEFORE
        connection.execute(
            "UPDATE showings SET answer = ?, answered = ?, token_sha256 = NULL WHERE reader = ? AND position = ?",
            (answer, now, reader, position),
        )
    return Outcome.KEPT


def showings_of(database: Database, reader: int) -> list[Showing]:
    """All of a reader's cases in order."""
    return [_showing(row) for row in database.rows(f"{SHOWINGS} WHERE reader = ? ORDER BY position", reader)]


def _showing_at(connection: sqlite3.Connection, reader: int, position: int) -> Showing | None:
    row = connection.execute(f"{SHOWINGS} WHERE reader = ? AND position = ?", (reader, position)).fetchone()
    return None if row is None else _showing(row)


def _showing(row: sqlite3.Row) -> Showing:
    return Showing(
        position=row["position"],
        name=row["name"],
        warm_up=bool(row["warm_up"]),
        repeat=bool(row["repeat"]),
        fetched=row["fetched"],
        painted=row["painted"],
        answer=row["answer"],
        answered=row["answered"],
        time_limit_s=row["time_limit_s"],
    )
