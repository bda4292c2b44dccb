"""Runs a long operation of the engine beside the stream that tells how far it is.

Promises: progress is told at most every PROGRESS_INTERVAL_S, the newest only. When the caller is gone or the server
drains, the operation ends at its next report of progress; what it has done by then stays.
Concurrency: the operation has a thread of its own, of which there are LONG_OPERATIONS_MAX in a server, and
LONG_OPERATIONS_PRINCIPAL_MAX for one principal, so that none of them shuts out all others.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from vecdb.config import RETRY_AFTER_S
from vecdb.errors import CancelledError, OverloadedError
from vecdb.server.config import LONG_OPERATIONS_MAX, LONG_OPERATIONS_PRINCIPAL_MAX, PROGRESS_INTERVAL_S
from vecdb.server.refusals import stopping

if TYPE_CHECKING:
    from vecdb.server.call import Call

Progress: TypeAlias = tuple[int, int]
"""Units done, and units in all."""

Work: TypeAlias = Callable[[Callable[[int, int], None]], None]
"""What takes long: it calls its argument with (done, total)."""


class Places:
    """The places of long operations that are under way."""

    def __init__(self, most: int = LONG_OPERATIONS_MAX, principal_most: int = LONG_OPERATIONS_PRINCIPAL_MAX) -> None:
        self._most, self._principal_most = most, principal_most
        self._guard = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, principal: str) -> None:
        """Take one for a principal. OverloadedError when all are taken, or as many as one may have."""
        with self._guard:
            if self._taken.total() >= self._most:
                _refuse(f"{self._most} long operations are under way, as many as the server takes")
            if self._taken[principal] >= self._principal_most:
                _refuse(f"this key has {self._principal_most} long operations under way, as many as one may have")
            self._taken[principal] += 1

    def give_back(self, principal: str) -> None:
        """Let another have it."""
        with self._guard:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]


def _refuse(message: str) -> NoReturn:
    raise OverloadedError(f"{message}; try again later", retry_after_s=RETRY_AFTER_S)


class LongOperation:
    """One operation under way."""

    def __init__(self, work: Work, places: Places, principal: str) -> None:
        """Begin. OverloadedError when there is no place."""
        places.take(principal)
        self._newest: Progress | None = None
        self._error: BaseException | None = None
        self._has_ended = threading.Event()
        self._is_unwanted = threading.Event()
        threading.Thread(target=self._run, args=(work, places, principal), name="vecdb-operation", daemon=True).start()

    def follow(self, call: Call) -> Iterator[Progress]:
        """How far it is, until it has ended; raises its error."""
        told: Progress | None = None
        try:
            while not self._has_ended.wait(PROGRESS_INTERVAL_S):
                call.check()
                if call.is_draining:
                    raise stopping()
                if self._newest is not None and self._newest != told:
                    yield (told := self._newest)
            if self._error is not None:
                raise self._error
            if self._newest is not None and self._newest != told:
                yield self._newest
        finally:
            self._is_unwanted.set()

    def _run(self, work: Work, places: Places, principal: str) -> None:
        try:
            work(self._progress)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever follows
            self._error = error
        finally:
            places.give_back(principal)
            self._has_ended.set()

    def _progress(self, done: int, total: int) -> None:
        if self._is_unwanted.is_set():
            raise CancelledError("the caller is gone")
        self._newest = (done, total)
