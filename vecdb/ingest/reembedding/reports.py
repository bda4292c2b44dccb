"""Defines what the commands of re-embedding give back.

Concurrency: values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vecdb.ingest.pipeline.events import Counts
from vecdb.ingest.reembedding.config import LEVEL_ROUNDS_MAX
from vecdb.ingest.reembedding.roles import Roles, Stage
from vecdb.types import RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """How far a re-embedding is. `due` records have no true vector in the field beside, for whatever reason."""

    collection: str
    field: str
    stage: Stage
    model: str | None
    beside: str | None
    beside_model: str | None
    records: int
    due: int
    failures: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReport:
    """What filling the field beside did, and what is left.

    `failed` could not be embedded and `textless` have no text: these, `given_up`, stay without a vector until that
    changes; `examples` are some of them. `cut` texts are stored in part, so their vectors are of that part. `left`
    were due when it ended, these among them.
    """

    roles: Roles
    counts: Counts
    rounds: int
    seconds: float
    left: int
    failed: int = 0
    textless: int = 0
    cut: int = 0
    given_up: frozenset[RecordId] = frozenset()
    examples: tuple[tuple[RecordId, str], ...] = ()
    stopped: bool = False

    @property
    def level(self) -> bool:
        """True when nothing is due but what cannot be embedded."""
        return not self.stopped and self.left <= self.failed + self.textless

    @property
    def overtaken(self) -> bool:
        """True when writers were faster in all rounds, not just in the moment after the last one."""
        return not self.stopped and not self.level and self.rounds >= LEVEL_ROUNDS_MAX

    @property
    def complete(self) -> bool:
        """True when no record is without a vector."""
        return self.level and not self.failed and not self.textless

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return {
            "collection": self.roles.collection,
            "field": self.roles.name,
            "beside": self.roles.shadow_name,
            "counts": self.counts.to_dict(),
            "rounds": self.rounds,
            "seconds": round(self.seconds, 3),
            "left": self.left,
            "failed": self.failed,
            "textless": self.textless,
            "cut": self.cut,
            "examples": [{"id": record_id, "problem": problem} for record_id, problem in self.examples],
            "stopped": self.stopped,
            "level": self.level,
            "overtaken": self.overtaken,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchReport:
    """A switch that happened. `missing` records are without a vector now: it was allowed."""

    collection: str
    field: str
    model: str | None
    kept_as: str
    kept_model: str | None
    attempts: int
    missing: int
    filled: FillReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"filled": None if self.filled is None else self.filled.to_dict()}
