"""Writes the lines of a log in a thread of its own, so that a stream that nobody reads holds no call up.

Lines that come close together are written together: the thread that writes looks LOG_WRITES_PER_S times a second.
Promises: saying something never waits and never fails. Lines are written in the order in which they were said; beyond
LOG_LINES_MAX that wait, further ones are left out, counted, and the count is written once there is room. What was said
before `close` is written, unless that takes longer than LOG_CLOSE_S.
Concurrency: any thread may say something; one thread writes.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from vecdb.server.config import LOG_CLOSE_S, LOG_LINES_MAX, LOG_WRITES_PER_S

if TYPE_CHECKING:
    from typing import TextIO

Line: TypeAlias = str | Callable[[], str]
"""A line, or what makes it when it is written."""

LOST: Final = '{{"event":"log","level":"warning","message":"{} lines of this log are missing"}}\n'


class LogLines:
    """A queue in front of a text stream, which logging takes for the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[Line] = deque()
        self._lost = 0
        self._guard = threading.Lock()
        self._said, self._written, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="vecdb-log", daemon=True)
        self._thread.start()

    def write(self, line: Line) -> None:
        """Say something."""
        if len(self._waiting) >= LOG_LINES_MAX:
            with self._guard:
                self._lost += 1
            return
        self._waiting.append(line)
        if not self._said.is_set():
            self._said.set()

    def flush(self) -> None:
        """Nothing: lines are on their way."""

    def settle(self, within_s: float = LOG_CLOSE_S) -> bool:
        """Wait until what was said is written; False when it takes longer."""
        self._written.clear()
        self._said.set()
        return self._written.wait(within_s) if self._thread.is_alive() else not self._waiting

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._said.set()
        self._thread.join(LOG_CLOSE_S)

    def _write_on(self) -> None:
        while not self._closing.is_set():
            self._said.wait()
            self._said.clear()  # before looking, so that nothing that is said meanwhile is overlooked
            self._write_all()
            self._closing.wait(1 / LOG_WRITES_PER_S)
        self._write_all()

    def _write_all(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        with self._guard:
            lost, self._lost = self._lost, 0
        text = "".join(map(_text_of, lines))
        if lost:
            text += LOST.format(lost)
        with contextlib.suppress(OSError, ValueError):  # nobody reads the log any more; calls go on
            if text:
                self._stream.write(text)
            self._stream.flush()
        if not self._waiting:
            self._written.set()


def _text_of(line: Line) -> str:
    try:
        return line if isinstance(line, str) else line()
    except Exception:  # noqa: BLE001 - one line must not end the log
        return LOST.format(1)
