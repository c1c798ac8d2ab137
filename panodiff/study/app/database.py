"""The state of a study: one SQLite file, in which whatever was acknowledged stays.

Times are seconds since 1970 in UTC. Codes, session and picture tokens are kept as SHA-256 only: who reads the file
cannot pass for a reader.
"""

import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from panodiff.study.app.served import Served

SCHEMA = """
CREATE TABLE study (digest TEXT NOT NULL, time_limit_s REAL NOT NULL) STRICT;
CREATE TABLE readers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,    -- never that of a deleted reader again
    pseudonym TEXT NOT NULL UNIQUE COLLATE NOCASE,
    experience TEXT NOT NULL,                -- group, as invited
    code_sha256 TEXT NOT NULL UNIQUE,
    invited REAL NOT NULL,
    role TEXT, years INTEGER,                -- as the reader says
    consented REAL, consent_sha256 TEXT,     -- of the text agreed to
    instructed REAL
) STRICT;
CREATE TABLE showings (                      -- a reader's order, drawn when invited, and what came of it
    reader INTEGER NOT NULL REFERENCES readers (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,               -- 1, 2, … with warm-up cases and repeats
    name TEXT NOT NULL,                      -- of the case
    warm_up INTEGER NOT NULL, repeat INTEGER NOT NULL,
    token_sha256 TEXT,                       -- good for fetching the picture once
    fetched REAL,                            -- picture first handed out
    painted REAL,                            -- first painted frame, as the browser reported it
    answer INTEGER CHECK (answer BETWEEN 1 AND 5),
    answered REAL CHECK ((answer IS NULL) = (answered IS NULL)),
    PRIMARY KEY (reader, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    token_sha256 TEXT PRIMARY KEY,
    reader INTEGER NOT NULL REFERENCES readers (id) ON DELETE CASCADE,
    form_token TEXT NOT NULL,                -- stands in every form of the session
    created REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
PATIENCE_S = 10  # for another process, such as an export or a deletion
TOKEN_BYTES = 32
SESSION_S = 12 * 3600  # a working day; then the code is asked for again


def new_token() -> str:
    """256 random bits, fit for an address or a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hashed(secret: str) -> str:
    """The SHA-256 of a code or token. Those are random, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Database:
    """A study's file, open for any number of threads: readers beside each other, one writer at a time."""

    def __init__(self, path: Path, served: Served | None = None) -> None:
        """Open `path`; with `served`, make it if it is missing, and see that it belongs to that study.

        Raises:
            ValueError: There is no such file, or its answers are to another draw of cases.
        """
        self._path, self._local, self._writer = path, threading.local(), threading.Lock()
        if served is None and not path.is_file():
            raise ValueError(f"{path} is missing: nobody has been invited yet; `panodiff study invite` makes it")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)  # SQLite gives the files beside it the same rights
        if served is not None:
            self._belong_to(served)

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self._connection().execute(query, values).fetchall()

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are all kept on leaving, or none is.

        Not durable, they outlive the process, and are on disk with the next durable ones: a power failure in between
        may take them. Waiting for the disk costs milliseconds, in which nobody else writes.
        """
        connection = self._connection()
        with self._writer:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def open_session(self, reader: int) -> str:
        """The token of a new session of `reader`; those whose time is over are deleted."""
        token, now = new_token(), time.time()
        with self.writing(durable=False) as connection:
            connection.execute("DELETE FROM sessions WHERE created <= ?", (now - SESSION_S,))
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (hashed(token), reader, new_token(), now))
        return token

    def session(self, token: str) -> sqlite3.Row | None:
        """The reader of a live session, with its form_token and token_sha256."""
        rows = self.rows(
            "SELECT readers.*, form_token, token_sha256 FROM sessions JOIN readers ON readers.id = reader "
            "WHERE token_sha256 = ? AND created > ?",
            hashed(token),
            time.time() - SESSION_S,
        )
        return rows[0] if rows else None

    def forget_deleted(self) -> None:
        """Leave nothing of deleted rows in the files.

        Raises:
            ValueError: Another program reads the file, and keeps what it read from going.
        """
        connection = self._connection()
        connection.execute("VACUUM")
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise ValueError(
                f"what was deleted still stands in {self._path}-wal, since another program reads the file, such as a "
                "backup: do the same again when that is over"
            )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=PATIENCE_S, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
        return connection

    def _belong_to(self, served: Served) -> None:
        with self.writing() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'study'").fetchone():
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute("INSERT INTO study VALUES (?, ?)", (served.digest, served.time_limit_s))
            (digest,) = connection.execute("SELECT digest FROM study").fetchone()
        if digest != served.digest:
            raise ValueError(
                f"{self._path} holds answers to another draw of cases, or under other rules: export them, then begin a "
                "new file for this study"
            )
