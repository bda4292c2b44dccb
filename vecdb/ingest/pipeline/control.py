"""Lets the threads of a run end together: asked to stop, or because one of them failed.

Promises: after `fail`, whatever waits here ends within STOP_POLL_S; the first failure is the one that is told.
Concurrency: any thread.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from vecdb.errors import CancelledError
from vecdb.ingest.pipeline.config import STOP_POLL_S

Halted = CancelledError
"""The run ends: what a thread does is of no use any more. It never leaves the pipeline."""

HALTED: Final = "the run ends"


class Control:
    """Whether a run is to go on. `stop` is the caller's; nothing here sets it."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()
        self._aborted = threading.Event()
        self._lock = threading.Lock()
        self.failure: BaseException | None = None

    @property
    def is_stopping(self) -> bool:
        """True when the caller asked for an end: nothing new is begun, what is under way is finished."""
        return self._stop.is_set()

    @property
    def is_aborted(self) -> bool:
        """True when the run has failed, or is over."""
        return self._aborted.is_set()

    def fail(self, error: BaseException) -> None:
        """End the run because of an error."""
        with self._lock:
            if self.failure is None:
                self.failure = error
        self._aborted.set()

    def abort(self) -> None:
        """End all threads; the run is over."""
        self._aborted.set()

    def check(self) -> None:
        """Raise Halted when the run is over."""
        if self._aborted.is_set():
            raise Halted(HALTED)

    def check_stopping(self) -> None:
        """Raise Halted when the run is over or to stop."""
        if self._aborted.is_set() or self._stop.is_set():
            raise Halted(HALTED)

    def pause(self, seconds: float) -> None:
        """Sleep; Halted as soon as the run is over or to stop."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._aborted.wait(min(STOP_POLL_S, left)) or self._stop.is_set():
                raise Halted(HALTED)


class Budget:
    """A number of bytes that may be under way at once. One thing that is larger than all of it passes alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = threading.Condition()
        self.used = 0

    def try_take(self, size: int) -> bool:
        """Take so many bytes if they are there now."""
        with self._room:
            if self.used and self.used + size > self._most:
                return False
            self.used += size
            return True

    def take(self, size: int, control: Control) -> None:
        """Take so many bytes, waiting for them; Halted when the run is over."""
        with self._room:
            while self.used and self.used + size > self._most:
                control.check()
                self._room.wait(STOP_POLL_S)
            self.used += size

    def give_back(self, size: int) -> None:
        """Give bytes back."""
        with self._room:
            self.used -= size
            self._room.notify_all()
