"""Makes figures for people of a run's events: rates, how long it will take, what went wrong lately.

Promises: `snapshot` is cheap and may be asked for at any time, before the first event too.
Concurrency: events come from the run's threads, snapshots are asked for by others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vecdb.ingest.operation.config import RATE_SAMPLES, RATE_WINDOW_S
from vecdb.ingest.pipeline.events import (
    BreakerClosed,
    BreakerOpened,
    Counts,
    ItemFailed,
    Observer,
    Progressed,
    Reconciling,
    Retrying,
    RunEvent,
    Stopping,
)

STOPPING: Final = "stopping: what is under way is finished first; once more stops at once"
RESTING: Final = "waiting for the sources to change; Ctrl-C ends the watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run is. `done` are items read or known to be unchanged; `total` is an estimate, None where unknown.

    Rates are of the last seconds: `items_per_s` of items that are done, `tokens_per_s` of what was embedded.
    """

    counts: Counts
    done: int
    seconds: float
    items_per_s: float
    tokens_per_s: float
    total: int | None
    trouble: str
    last_failure: ItemFailed | None

    @property
    def is_resting(self) -> bool:
        """True between the rounds of a watch."""
        return self.trouble == RESTING

    @property
    def eta_s(self) -> float | None:
        """Seconds until the end at the rate of now; None where that cannot be said."""
        if self.total is None or self.items_per_s <= 0:
            return None
        return max(0, self.total - self.done) / self.items_per_s

    def to_dict(self) -> dict[str, Any]:
        """JSON-like: the counts, and what was made of them."""
        eta = self.eta_s
        return {
            "seconds": round(self.seconds, 3),
            "items_per_s": round(self.items_per_s, 1),
            "tokens_per_s": round(self.tokens_per_s, 1),
            "eta_s": None if eta is None else round(eta, 1),
            "total": self.total,
            **self.counts.to_dict(),
            **({"trouble": self.trouble} if self.trouble else {}),
        }


def finished(counts: Counts) -> int:
    """Items of which nothing is left to do for a run: stored, found unchanged, or given up."""
    return counts.skipped + counts.unchanged + counts.left_out + counts.stored + counts.failed


def looked_at(counts: Counts) -> int:
    """Items of which nothing is left to do for a plan: read, or in a part that is unchanged."""
    return counts.skipped + counts.items


class Progress:
    """Watches one run, or one after the other; an Observer."""

    def __init__(
        self,
        total: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        done: Callable[[Counts], int] = finished,
    ) -> None:
        self._total = total
        self._done = done
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._counts = Counts()
        self._samples: deque[tuple[float, int, int]] = deque([(self._started, 0, 0)], maxlen=RATE_SAMPLES)
        self._trouble = ""
        self._last_failure: ItemFailed | None = None

    def observe(self, event: RunEvent) -> None:
        with self._lock:
            match event:
                case Progressed(counts):
                    self._count(counts)
                case ItemFailed():
                    self._last_failure = event
                case Retrying(what, _, wait_s, message):
                    self._trouble = f"{what} failed ({message}); it is tried again in {wait_s:.0f} s"
                case BreakerOpened(failures, message):
                    self._trouble = f"the provider failed {failures} times in a row ({message}); it is given time"
                case Reconciling(message):
                    self._trouble = message
                case Stopping():
                    self._trouble = STOPPING
                case BreakerClosed():
                    self._trouble = ""
                case _:
                    pass

    def rest(self) -> None:
        """A run has ended, and another one may come: say so until it does."""
        with self._lock:
            self._trouble = RESTING

    def snapshot(self) -> Snapshot:
        """How far it is now."""
        now = self._clock()
        with self._lock:
            items, tokens = self._rates(now)
            return Snapshot(
                counts=self._counts,
                done=self._done(self._counts),
                seconds=now - self._started,
                items_per_s=items,
                tokens_per_s=tokens,
                total=self._total(),
                trouble=self._trouble,
                last_failure=self._last_failure,
            )

    def _count(self, counts: Counts) -> None:
        if counts.items < self._counts.items:  # the next round of a watch
            self._started = self._clock()
            self._samples.clear()
            self._samples.append((self._started, 0, 0))
            self._counts = Counts()
        goes_on = counts.stored > self._counts.stored and self._trouble != STOPPING
        if goes_on or self._trouble == RESTING:
            self._trouble = ""
        self._counts = counts
        self._samples.append((self._clock(), self._done(counts), counts.tokens))

    def _rates(self, now: float) -> tuple[float, float]:
        """Items and tokens a second, since the oldest sample within the window."""
        then, items, tokens = self._samples[-1]
        for sample in reversed(self._samples):
            then, items, tokens = sample
            if now - then >= RATE_WINDOW_S:
                break
        passed = now - then
        if passed <= 0:
            return 0.0, 0.0
        return (self._done(self._counts) - items) / passed, (self._counts.tokens - tokens) / passed


class Several:
    """Passes events on to several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def observe(self, event: RunEvent) -> None:
        for observer in self._observers:
            observer.observe(event)
