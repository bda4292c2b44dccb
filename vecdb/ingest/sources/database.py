"""Reads the rows of a query: of an SQLite file, or through any DB-API connection. Both are only read.

Promises: SQLite refuses every write by itself (it is opened read-only, and may not attach files). Of other databases
the query must be one that reads, and the connection is rolled back; a user without the right to write is the proof.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from vecdb.errors import InvalidDocumentError, InvalidSourceError, VecDBError
from vecdb.ingest.sources.config import BATCH_ROWS, SHOWN_CHARS_MAX
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.item import Item, Position, Problem
from vecdb.ingest.sources.options import ReadOptions
from vecdb.ingest.sources.rows import Placed, missing_columns, read_rows
from vecdb.ingest.sources.source import Part

READING: Final = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:select|with|values|table)\b", re.IGNORECASE | re.DOTALL
)
SHORT_CHARS: Final = 60
ALLOWED: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
WRITE_AHEAD: Final = "-wal"


@dataclass(frozen=True, slots=True)
class SqliteSource:
    """The rows that a query finds in an SQLite file."""

    name: str
    path: Path
    options: ReadOptions

    def parts(self) -> Iterator[Part | Problem]:
        file = SourceFile(self.path, self.options.prefix + self.path.name, self.name, self.options)
        yield Part(self.name, Position(str(self.path)), lambda: _fingerprint(file), lambda: self._read(file))

    def _read(self, file: SourceFile) -> Iterator[Item | Problem]:
        return read_rows(_rows(lambda: _open_sqlite(self.path), file, sqlite3.Error), file)


@dataclass(frozen=True, slots=True)
class QuerySource:
    """The rows that a query finds through a DB-API connection, which `connect` makes for each run."""

    name: str
    connect: Callable[[], Any]
    options: ReadOptions

    def __post_init__(self) -> None:
        checked_query(self.options, self.name)

    def parts(self) -> Iterator[Part | Problem]:
        file = SourceFile(None, self.options.prefix + "query", self.name, self.options)
        # DB-API says of errors only that they are exceptions of the driver's own
        yield Part(
            self.name,
            Position(self.name),
            lambda: None,
            lambda: read_rows(_rows(self.connect, file, Exception, self.name), file),
        )


def checked_query(options: ReadOptions, name: str) -> str:
    """The query of a source; one that writes is refused."""
    example = "query=SELECT id, text FROM docs ORDER BY id"
    if not options.query:
        raise InvalidSourceError(f"{name} needs a query: put '?{example}' behind it")
    if READING.match(options.query) is None:
        raise InvalidSourceError(
            f"the query of {name} begins with {options.query[:20]!r}; it must read, as in {example}"
        )
    return options.query


def _rows(
    connect: Callable[[], Any], file: SourceFile, failure: type[Exception], place: str | None = None
) -> Iterator[Placed]:
    number = 0
    name = place or str(file.path)
    try:
        with closing(connect()) as connection:
            cursor = connection.cursor()
            cursor.arraysize = BATCH_ROWS
            cursor.execute(file.options.query)
            columns = [column[0] for column in cursor.description or ()]
            _check_columns(columns, file)
            while rows := cursor.fetchmany(BATCH_ROWS):
                for row in rows:
                    number += 1
                    yield Position(name, row=number), dict(zip(columns, row, strict=True))
            with suppress(failure):
                connection.rollback()
    except VecDBError:
        raise
    except failure as error:
        raise InvalidDocumentError(
            f"the query failed after {number:,} rows: {str(error) or type(error).__name__:.200}"
        ) from None


def _check_columns(columns: list[str], file: SourceFile) -> None:
    if not columns:
        raise InvalidDocumentError("the query gives no rows; it must be a SELECT")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InvalidDocumentError(f"the query gives {twice!r:.{SHOWN_CHARS_MAX}} twice; rename one with AS")
    missing = missing_columns(columns, file.options)
    if missing is not None:
        raise InvalidDocumentError(f"the query {missing}")


def _open_sqlite(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False)
    # text that is no UTF-8 is then a problem of its row, not of the query
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY)
    return connection


def _fingerprint(file: SourceFile) -> str | None:
    """That of the file and of its write-ahead log, where new rows are first."""
    assert file.path is not None
    log = SourceFile(file.path.with_name(file.path.name + WRITE_AHEAD), "", "", file.options)
    main = file.fingerprint()
    try:
        ahead = log.fingerprint() if log.path is not None and log.path.stat().st_size else "none"
    except FileNotFoundError:
        ahead = "none"
    return None if main is None or ahead is None else f"{main}+{ahead}"
