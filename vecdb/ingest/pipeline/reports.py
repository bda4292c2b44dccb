"""Defines what a run and a plan give back.

Concurrency: values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vecdb.errors import VecDBError
from vecdb.ingest.pipeline.events import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did. `failures` is how many things are in quarantine now, those of earlier runs included.

    `error` is what ended the run before its end (the provider or the destination stayed away); what was done until
    then is stored and journalled, and the next run goes on from there. `stopped` says that it was asked to stop.
    """

    counts: Counts
    failures: int
    seconds: float
    stopped: bool = False
    complete: bool = True
    error: VecDBError | None = None

    @property
    def succeeded(self) -> bool:
        """True when everything in the sources is in the collection."""
        return self.error is None and not self.stopped and self.complete and not self.failures

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        error = None if self.error is None else {"reason": self.error.reason, "message": self.error.message}
        return {
            "counts": self.counts.to_dict(),
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
            "complete": self.complete,
            "error": error,
            "succeeded": self.succeeded,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """What a run would do, and about what it would cost. Nothing was written, and no service was asked.

    `items` in parts that were read are `new`, `changed` or `unchanged`; `skipped` are those of unchanged parts.
    `vanished` would be deleted. `to_embed` chunks with about `tokens` tokens are neither in the cache (`cached`) nor
    given as vectors. `seconds` is None where nothing is known of the model's speed.
    """

    items: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    vanished: int = 0
    failed: int = 0
    chunks: int = 0
    to_embed: int = 0
    cached: int = 0
    tokens: int = 0
    seconds: float | None = None
    rate: float | None = None
    rate_from: str = ""
    model: str = ""
    creates_collection: bool = False
    complete: bool = True
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        names = self.__slots__
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in names}
