"""Counts what a run does, and tells its observer.

Promises: the observer is called by one thread at a time; Progressed comes at most every PROGRESS_S, and once at the
end. An observer that raises ends the run.
Concurrency: any thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from vecdb.ingest.pipeline.config import PROGRESS_S
from vecdb.ingest.pipeline.events import Counts, Observer, Progressed, RunEvent, Silent


class Tally:
    """The counts of a run by the names of Counts; `queued` tells the bytes that are under way."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer or Silent()
        self._lock = threading.Lock()
        self._telling = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._told = 0.0
        self.queued: Callable[[], int] = int

    def add(self, **counts: int) -> None:
        """Count; tell of the progress when it is time."""
        with self._lock:
            self._counts.update(counts)
        if time.monotonic() - self._told > PROGRESS_S:
            self.progress()

    def progress(self) -> None:
        """Tell of the progress now."""
        self._told = time.monotonic()
        self.tell(Progressed(self.counts()))

    def tell(self, event: RunEvent) -> None:
        """Tell the observer of an event."""
        with self._telling:
            self._observer.observe(event)

    def counts(self) -> Counts:
        """What was counted until now."""
        with self._lock:
            return Counts(**self._counts, bytes_queued=self.queued())
