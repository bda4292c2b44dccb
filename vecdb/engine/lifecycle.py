"""Watches over open databases: the gate that reads pass, readers that follow, forks, and the end of the interpreter.

Promises: what is open when the interpreter ends is closed first; in a forked child every call raises ClosedError.
Concurrency: the set of open databases is changed under the interpreter's lock.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING

from vecdb.config import FOLLOW_INTERVAL_S

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.engine.view import View

GATE = frozenset(
    {
        "check_writable",
        "config",
        "create_index",
        "drop_index",
        "enter",
        "indexing",
        "leave",
        "reading",
        "schema_of",
        "submit",
        "submit_all",
        "threads",
    }
)
"""What a database is to its collections and to the server: no part of its API, so that completion does not offer it."""


class Reading:
    """The gate as a context manager; a class because a generator would cost more than the gate itself."""

    __slots__ = ("_database", "_min_seq")

    def __init__(self, database: Database, min_seq: int | None) -> None:
        self._database = database
        self._min_seq = min_seq

    def __enter__(self) -> View:
        return self._database.enter(self._min_seq)

    def __exit__(self, *exc: object) -> None:
        self._database.leave()


def follow(reference: weakref.ref[Database], stop: threading.Event) -> None:
    """Keep an idle reader from pinning old pages of the writer's file, and from being kept alive by this thread."""
    while not stop.wait(FOLLOW_INTERVAL_S) and (database := reference()) is not None:
        with contextlib.suppress(Exception):
            database.refresh()
        del database


def outdated_pin(database: Database) -> int | None:
    """Id of the oldest state this process keeps open though a newer one was committed; None when there is none.

    As long as it is kept, no page that was freed since can be used again.
    """
    environment = database._environment  # noqa: SLF001 - see Reading
    oldest = environment.oldest_own_txn()
    return oldest if oldest < environment.committed_txn() else None


open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
"""Every database of this process that is not closed, or closed and still held."""


def _close_in_child() -> None:
    """After a fork, the child's copies of all databases are unusable: LMDB forbids it, and the parent owns the lock."""
    for database in list(open_databases):
        database._closed = (  # noqa: SLF001
            "this process was forked from the one that opened the database; open it again here with vecdb.open"
        )


def _close_at_exit() -> None:
    """Databases left open are closed before the interpreter takes their threads and maps apart under them."""
    for database in list(open_databases):
        with contextlib.suppress(Exception):
            database.close()


os.register_at_fork(after_in_child=_close_in_child)
atexit.register(_close_at_exit)
