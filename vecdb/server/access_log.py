"""Writes one line of JSON for every call: who, what, from where, how it ended and how long it took; never its contents.

Promises: lines of refused calls are limited to a few a second, with a count of those left out, so that a flood of them
neither fills a disk nor costs more than the refusals. A log that is not read, or cannot be written, holds up or fails
no call (see `log_lines`).
Concurrency: any thread; a line is put together by the thread that writes it.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import msgspec

from vecdb.server.config import DENIED_LINES_PER_S
from vecdb.server.exchange import Outcome
from vecdb.server.log_lines import LogLines

MILLISECONDS = 1_000

_encode = msgspec.json.Encoder().encode


class AccessLog:
    """Lines of calls, in a log."""

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines
        self._lock = threading.Lock()
        self._second = 0
        self._refused = 0
        self._left_out = 0
        self._instant = (0, "")

    def __call__(self, outcome: Outcome) -> None:
        """Say how one call ended."""
        left_out = 0
        if outcome.is_refused or self._left_out:
            with self._lock:
                if outcome.is_refused and not self._is_wanted():
                    return
                left_out, self._left_out = self._left_out, 0
        self._lines.write(partial(self._line, outcome, time.time_ns(), left_out))

    def _line(self, outcome: Outcome, ended_ns: int, left_out: int) -> str:
        return line_of(outcome, self._spelled(ended_ns), left_out)

    def _spelled(self, instant_ns: int) -> str:
        """A time, whose seconds are spelled once each."""
        second, milliseconds = divmod(instant_ns // 10**6, MILLISECONDS)
        if second != self._instant[0]:
            self._instant = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._instant[1]}.{milliseconds:03d}Z"

    def _is_wanted(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refused = second, 0
        self._refused += 1
        if self._refused > DENIED_LINES_PER_S:
            self._left_out += 1
            return False
        return True


def line_of(outcome: Outcome, now: str, left_out: int = 0) -> str:
    """The line of one call; `left_out` counts the refused calls since the last line that have none."""
    entry = {
        "time": now,
        "event": "rpc",
        "method": outcome.method,
        "principal": outcome.principal,
        "peer": outcome.peer,
        "code": outcome.code,
        "ms": round(outcome.seconds * MILLISECONDS, 3),
        "received_bytes": outcome.received_bytes,
        "sent_bytes": outcome.sent_bytes,
        "request_id": outcome.request_id,
    }
    if left_out:
        entry["left_out"] = left_out
    return _encode(entry).decode() + "\n"
