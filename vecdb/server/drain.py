"""Ends a server: new calls are refused, calls under way get their time, and what is left is cut off with UNAVAILABLE.

Promises: a server that has nothing to do stops at once; streams that only wait for their clients hold nothing up. After
the first SIGTERM or SIGINT a server drains; a second one ends the process at once.
Concurrency: `drain` is called by one thread; signals arrive in the main thread.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Self

from vecdb.config import DRAIN_S, STOP_POLL_S
from vecdb.server.config import LAST_ANSWERS_S, SIGNAL_WAIT_S

if TYPE_CHECKING:
    import grpc

    from vecdb.server.dispatch import Dispatch

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_SIGNAL = 128


def drain(server: grpc.Server, dispatch: Dispatch, drain_s: float) -> bool:
    """Stop `server`, giving calls under way up to `drain_s`; True when all of them finished."""
    dispatch.draining.set()
    deadline = time.monotonic() + drain_s
    # stop() refuses new calls from here on; its own limit is a backstop to ours, which knows what a call is doing
    stopped = server.stop(drain_s + DRAIN_S)
    while not stopped.is_set() and not dispatch.is_idle and time.monotonic() < deadline:
        stopped.wait(STOP_POLL_S)
    finished = stopped.is_set() or dispatch.is_idle
    # A call counts as ended just before its answer is sent: cutting now would take answers of done writes away.
    stopped.wait(LAST_ANSWERS_S)
    server.stop(None).wait()
    return finished


class StopSignals:
    """Waits for SIGTERM or SIGINT. A context manager: outside it, signals do what they did before."""

    def __init__(self, wake: Callable[[], object] = lambda: None) -> None:
        """`wake` is called by the first signal, in the main thread, for whoever does not wait here."""
        self._wake = wake
        self._asked = threading.Event()
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def wait(self) -> None:
        """Return when the process is asked to stop.

        In steps: a signal may be taken by another thread, as after a SIGSTOP, and Python then acts on it only when the
        main thread next runs.
        """
        while not self._asked.wait(SIGNAL_WAIT_S):
            pass

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._asked.is_set():
            os._exit(EXIT_SIGNAL + number)
        self._asked.set()
        self._wake()
