"""Runs a long operation of the engine beside the stream that tells how far it is.

Promises: progress is told at most every PROGRESS_INTERVAL_S, the newest only. When the caller is gone or the server
drains, the operation ends at its next report of progress; what it has done by then stays.
Concurrency: the operation has a thread of its own, of which there are LONG_OPERATIONS_MAX in a server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from vecdb.config import RETRY_AFTER_S
from vecdb.errors import CancelledError, OverloadedError
from vecdb.server.config import LONG_OPERATIONS_MAX, PROGRESS_INTERVAL_S
from vecdb.server.refusals import stopping

if TYPE_CHECKING:
    from vecdb.server.call import Call

Progress: TypeAlias = tuple[int, int]
"""Units done, and units in all."""

Work: TypeAlias = Callable[[Callable[[int, int], None]], None]
"""What takes long: it calls its argument with (done, total)."""


class LongOperation:
    """One operation under way."""

    def __init__(self, work: Work, places: threading.Semaphore) -> None:
        """Begin. OverloadedError when as many are under way as there are `places`."""
        if not places.acquire(blocking=False):
            raise OverloadedError(
                f"{LONG_OPERATIONS_MAX} long operations are under way, as many as the server takes; try again later",
                retry_after_s=RETRY_AFTER_S,
            )
        self._newest: Progress | None = None
        self._error: BaseException | None = None
        self._has_ended = threading.Event()
        self._is_unwanted = threading.Event()
        threading.Thread(target=self._run, args=(work, places), name="vecdb-operation", daemon=True).start()

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

    def _run(self, work: Work, places: threading.Semaphore) -> None:
        try:
            work(self._progress)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever follows
            self._error = error
        finally:
            places.release()
            self._has_ended.set()

    def _progress(self, done: int, total: int) -> None:
        if self._is_unwanted.is_set():
            raise CancelledError("the caller is gone")
        self._newest = (done, total)
