"""What the organizer does: invite readers, see who is where, export, delete, show results once they may be known."""

import csv
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from panodiff.files import write_csv
from panodiff.study.app.database import Database, hashed
from panodiff.study.app.served import Served
from panodiff.study.app.showings import Showing, draw_order, progress_of, showings_of
from panodiff.study.levels import LABELS, LEVELS, READING_COLUMNS

PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")  # no name needs more; nothing for a page or a table to run
GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,31}")
CODE_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ0123456789"  # no I, L, O, U: 32 letters that are told apart on paper
CODE_LENGTH = 28  # 5 bits each: 140 bits
READER_COLUMNS = (
    "reader",
    "group",
    "role",
    "years",
    "invited",
    "consented",
    "consent_sha256",
    "answered",
    "unreported_starts",
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a reader who has read all cases did; repeats do not count."""

    pseudonym: str
    num_right: int  # real called real and synthetic called fake, definitely or probably
    num_unsure: int
    num_cases: int


def new_code() -> str:
    """A reader's code in groups of four letters."""
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    return "-".join(letters[at : at + 4] for at in range(0, CODE_LENGTH, 4))


def code_as_kept(typed: str) -> str:
    """The SHA-256 of a code, however it was typed: spaces, hyphens and small letters do not matter."""
    letters = re.sub(r"[\s-]", "", typed).upper()
    return hashed(letters.translate(str.maketrans("ILOU", "110V")))


def invite(served: Served, database: Database, pseudonyms: Sequence[str], group: str) -> dict[str, str]:
    """The code of each new reader, which is kept nowhere; each gets an order of cases of its own.

    Raises:
        ValueError: A pseudonym or the group is not as it must be, or the pseudonym is taken.
    """
    for pseudonym in pseudonyms:
        if not PSEUDONYM.fullmatch(pseudonym):
            raise ValueError(f"a pseudonym must be 1 to 32 letters, digits, - or _, and no name; got {pseudonym!r}")
    if not GROUP.fullmatch(group):
        raise ValueError(f"a group must be 1 to 32 letters, digits, spaces, - or _, got {group!r}")
    if len(set(pseudonyms)) < len(pseudonyms):
        raise ValueError(f"each pseudonym must be given once, got {', '.join(pseudonyms)}")
    codes = {pseudonym: new_code() for pseudonym in pseudonyms}
    with database.writing() as connection:
        for pseudonym, code in codes.items():
            if connection.execute("SELECT 1 FROM readers WHERE pseudonym = ?", (pseudonym,)).fetchone():
                raise ValueError(f"the pseudonym {pseudonym} is taken, nobody was invited: choose another")
            (reader,) = connection.execute(
                "INSERT INTO readers (pseudonym, experience, code_sha256, invited) VALUES (?, ?, ?, ?) RETURNING id",
                (pseudonym, group, code_as_kept(code), time.time()),
            ).fetchone()
            connection.executemany(
                "INSERT INTO showings (reader, position, name, warm_up, repeat) VALUES (?, ?, ?, ?, ?)",
                [(reader, at, *case) for at, case in enumerate(draw_order(served), start=1)],
            )
    return codes


def status_lines(database: Database) -> list[str]:
    """Who is where, for the terminal."""
    lines = [f"{'reader':<18}{'group':<18}{'where':<26}last answer (UTC)"]
    for row in database.rows("SELECT * FROM readers ORDER BY pseudonym"):
        progress = progress_of(database, row["id"])
        ((last,),) = database.rows("SELECT MAX(answered) FROM showings WHERE reader = ?", row["id"])
        if progress.finished:
            where = "finished"
        elif progress.num_counted_answered:
            where = f"{progress.num_counted_answered} of {progress.num_counted} answered"
        elif row["instructed"]:
            where = (
                f"warm-up, {progress.num_answered} of {progress.num_warm_up}" if progress.num_warm_up else "instructed"
            )
        else:
            where = "consented" if row["consented"] else "invited"
        lines.append(f"{row['pseudonym']:<18}{row['experience']:<18}{where:<26}{_utc(last)}".rstrip())
    return lines if len(lines) > 1 else ["nobody has been invited yet"]


def export(database: Database, folder: Path) -> list[str]:
    """Write readings.csv and readers.csv, without warm-up cases; lines for the terminal."""
    readings, readers = [], []
    for row in database.rows("SELECT * FROM readers ORDER BY pseudonym"):
        showings = showings_of(database, row["id"])
        first = sum(showing.warm_up for showing in showings)
        given = [showing for showing in showings if showing.answer is not None and not showing.warm_up]
        readings += [_reading(row["pseudonym"], row["experience"], showing, first) for showing in given]
        readers.append(
            {
                "reader": row["pseudonym"],
                "group": row["experience"],
                "role": row["role"],
                "years": row["years"],
                "invited": _utc(row["invited"]),
                "consented": _utc(row["consented"]),
                "consent_sha256": row["consent_sha256"],
                "answered": len(given),
                "unreported_starts": sum(showing.response_s is None for showing in given),
            }
        )
    write_csv(folder / "readings.csv", READING_COLUMNS, readings)
    write_csv(folder / "readers.csv", READER_COLUMNS, readers)
    return [f"{len(readings)} answers of {len(readers)} readers: {folder / 'readings.csv'}, {folder / 'readers.csv'}"]


def _reading(pseudonym: str, group: str, showing: Showing, num_warm_up: int) -> dict[str, object]:
    """A row of READING_COLUMNS; times are empty where the browser did not say when it painted the picture."""
    assert showing.answer is not None
    response_s = showing.response_s
    times = ("", "") if response_s is None else (f"{min(response_s, showing.time_limit_s):.3f}", f"{response_s:.3f}")
    return {
        "reader": pseudonym,
        "group": group,
        "case": showing.name,
        "answer": LEVELS[showing.answer - 1],
        "position": showing.position - num_warm_up,
        "repeat": int(showing.repeat),
        "viewing_s": times[0],
        "response_s": times[1],
        "answered": _utc(showing.answered),
    }


def _utc(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def delete_reader(database: Database, pseudonym: str) -> str:
    """Delete a reader with all answers and sessions, out of the files too; a line for the terminal.

    Raises:
        ValueError: There is no such reader.
    """
    with database.writing() as connection:
        row = connection.execute("DELETE FROM readers WHERE pseudonym = ? RETURNING id", (pseudonym,)).fetchone()
    database.forget_deleted()  # also what an earlier deletion had to leave
    if row is None:
        raise ValueError(f"there is no reader {pseudonym!r}; `panodiff study status` names them")
    return f"{pseudonym} is deleted with all answers; what was exported before must be exported again"


def read_key(path: Path, served: Served) -> dict[str, str]:
    """The label of each case that counts; only read to show results.

    Raises:
        ValueError: A case has no label, or an unknown one.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        labels = {row.get("case", ""): row.get("label", "") for row in csv.DictReader(file)}
    for case in served.counted:
        if labels.get(case) not in LABELS:
            raise ValueError(f"{path} must say of each case if it is {' or '.join(LABELS)}; it does not of {case}")
    return {case: labels[case] for case in served.counted}


def results(database: Database, key: dict[str, str]) -> list[Result]:
    """All readers who have finished, those who were right most often first."""
    found = []
    for row in database.rows("SELECT id, pseudonym FROM readers"):
        if progress_of(database, row["id"]).finished:
            showings = [each for each in showings_of(database, row["id"]) if not each.warm_up and not each.repeat]
            right = sum(each.answer in ((1, 2) if key[each.name] == "real" else (4, 5)) for each in showings)
            unsure = sum(each.answer == 3 for each in showings)
            found.append(
                Result(pseudonym=row["pseudonym"], num_right=right, num_unsure=unsure, num_cases=len(showings))
            )
    return sorted(found, key=lambda result: (-result.num_right, result.pseudonym))
