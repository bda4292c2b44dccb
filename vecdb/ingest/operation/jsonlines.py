"""Writes what happens as JSON lines, for logs: one object a line, with `time` (UTC) and `event`.

Events: `started`, `progress` (every few seconds), `failed`, `retrying`, `breaker_opened`, `breaker_closed`, `part`,
`source`, `reconciling`, `stopping`, `ended`.
Promises: the run never waits for whoever reads the lines: they are written by a thread of their own, and when it is
far behind, the oldest lines are left out and `lost` counts them.
Concurrency: any thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final, Self, TextIO

import msgspec

from vecdb.ingest.operation.config import (
    FAILURES_SHOWN,
    LINES_WAIT_S,
    LINES_WAITING,
    PARTS_LISTED,
    REPORT_INTERVAL_S,
)
from vecdb.ingest.operation.progress import Progress
from vecdb.ingest.pipeline.events import (
    BreakerClosed,
    BreakerOpened,
    ItemFailed,
    PartEnded,
    Progressed,
    Reconciling,
    Retrying,
    RunEvent,
    SourceEnded,
    Stopping,
)

NAMES: Final[dict[type, str]] = {
    PartEnded: "part",
    SourceEnded: "source",
    ItemFailed: "failed",
    Retrying: "retrying",
    BreakerOpened: "breaker_opened",
    BreakerClosed: "breaker_closed",
    Stopping: "stopping",
    Reconciling: "reconciling",
}

MOST: Final = {"failed": FAILURES_SHOWN, "part": PARTS_LISTED, "stopping": 1}
"""Lines that there may be of a kind."""


class JsonLines:
    """An Observer that writes to a stream. A context manager: the end waits a while for the last lines."""

    def __init__(self, stream: TextIO, progress: Progress, interval_s: float = REPORT_INTERVAL_S) -> None:
        self._stream = stream
        self._progress = progress
        self._interval_s = interval_s
        self._lines: deque[str] = deque(maxlen=LINES_WAITING)
        self._lost = 0
        self._seen = dict.fromkeys(MOST, 0)
        self._change = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._write_all, name="vecdb-lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._ended = True
            self._change.notify()
        self._thread.join(LINES_WAIT_S)

    def observe(self, event: RunEvent) -> None:
        if isinstance(event, Progressed):
            return  # told of at its own pace
        name = NAMES[type(event)]
        if name in self._seen:
            self._seen[name] += 1
            if self._seen[name] > MOST[name]:
                return
        facts = msgspec.to_builtins(event, enc_hook=str)
        self.write(name, **{key: round(fact, 3) if isinstance(fact, float) else fact for key, fact in facts.items()})

    def write(self, event: str, **facts: Any) -> None:
        """Write one line, as soon as its reader lets it be written."""
        line = _line(event, facts)
        with self._change:
            if event == "ended":
                self._seen = dict.fromkeys(MOST, 0)  # of the next round of a watch
            self._lost += len(self._lines) == self._lines.maxlen
            self._lines.append(line)
            self._change.notify()

    def _write_all(self) -> None:
        due = time.monotonic() + self._interval_s
        ended = False
        while not ended:
            with self._change:
                self._change.wait_for(lambda: bool(self._lines) or self._ended, max(0.0, due - time.monotonic()))
                lines, ended = list(self._lines), self._ended
                self._lines.clear()
            if not ended and time.monotonic() >= due:
                lines += self._told()
                due = time.monotonic() + self._interval_s
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except (OSError, ValueError):
                return  # nobody reads them any more; the run goes on

    def _told(self) -> list[str]:
        """How far the run is; nothing where none is under way."""
        snapshot = self._progress.snapshot()
        if snapshot.is_resting:
            return []
        return [_line("progress", {**snapshot.to_dict(), **({"lost": self._lost} if self._lost else {})})]


def _line(event: str, facts: dict[str, Any]) -> str:
    time_of_day = datetime.now(UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode({"time": time_of_day, "event": event, **facts}, enc_hook=str).decode() + "\n"
