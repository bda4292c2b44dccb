"""Writes one line of JSON for every call: who, what, from where, how it ended and how long it took; never its contents.

Promises: lines of refused calls are limited to a few a second, with a count of those left out, so that a flood of them
neither fills a disk nor costs more than the refusals. A log that cannot be written never fails a call.
Concurrency: any thread; a line is written at once.
"""

from __future__ import annotations

import threading
import time
from typing import TextIO

import msgspec

from vecdb.config import DENIED_LINES_PER_S
from vecdb.server.exchange import Outcome

MILLISECONDS = 1_000

_encode = msgspec.json.Encoder().encode


class AccessLog:
    """Lines of calls, on a text stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._second = 0
        self._refused = 0
        self._left_out = 0
        self._instant = (0, "")

    def __call__(self, outcome: Outcome) -> None:
        """Write the line of one call."""
        with self._lock:
            if outcome.is_refused and not self._is_wanted():
                return
            left_out, self._left_out = self._left_out, 0
            try:
                self._stream.write(line_of(outcome, self._now(), left_out))
                self._stream.flush()
            except (OSError, ValueError):
                # nobody reads the log any more; calls go on
                pass

    def _now(self) -> str:
        """The time, whose seconds are spelled once each."""
        second, milliseconds = divmod(time.time_ns() // 10**6, MILLISECONDS)
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
