"""Defines what a run tells whoever watches it: counts as it goes on, and single events worth a line.

Promises: events are immutable and hold no text, vector or secret. `Progressed` comes at most a few times a second.
Concurrency: `observe` is called by several threads, one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, Protocol, TypeAlias

from vecdb.types import RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a run has done so far. Items are documents or rows of sources, chunks are what is embedded and stored.

    `items` were read; each is one of `new`, `changed` or `unchanged`. `skipped` are those of parts that were not read,
    for nothing changed. `stored` and `deleted` are items whose change is acknowledged and journalled, `failed` those in
    quarantine (with what no item could be made of), `left_out` images where the model embeds texts only. `tokens` were
    embedded, about; `cached` chunks cost nothing.
    """

    items: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    stored: int = 0
    deleted: int = 0
    failed: int = 0
    left_out: int = 0
    chunks_stored: int = 0
    chunks_deleted: int = 0
    embedded: int = 0
    cached: int = 0
    tokens: int = 0
    calls: int = 0
    retries: int = 0
    parts: int = 0
    parts_unchanged: int = 0
    bytes_queued: int = 0

    def to_dict(self) -> dict[str, int]:
        """By name, for JSON and for metrics."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far the run has come."""

    counts: Counts


@dataclass(frozen=True, slots=True)
class PartEnded:
    """A part (mostly a file) was read, found unchanged, or failed."""

    part: str
    state: Literal["read", "unchanged", "failed"]
    items: int
    problems: int


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """A source was listed to its end, if `complete`."""

    source: str
    complete: bool


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """Something went into quarantine. `position` is for people: file, line, row, page."""

    id: RecordId | None
    part: str
    position: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.position}: {self.message}"


@dataclass(frozen=True, slots=True)
class Retrying:
    """A provider, the destination or (to a watch) a source failed for now, and is asked again after `wait_s`."""

    what: Literal["provider", "destination", "source"]
    attempt: int
    wait_s: float
    message: str


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """The provider failed too often in a row: nothing is asked of it but one probe after each pause."""

    failures: int
    message: str


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """The provider answers again; `after_s` since the breaker opened."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Stopping:
    """The run was asked to stop: it finishes what is under way."""


@dataclass(frozen=True, slots=True)
class Reconciling:
    """The destination is not as the journal remembers it; what is missing there is delivered again, from the cache."""

    message: str


RunEvent: TypeAlias = (
    Progressed
    | PartEnded
    | SourceEnded
    | ItemFailed
    | Retrying
    | BreakerOpened
    | BreakerClosed
    | Stopping
    | Reconciling
)


class Observer(Protocol):
    """Whoever watches a run. It must be quick: the run waits for it."""

    def observe(self, event: RunEvent) -> None:
        """Take notice of an event."""


@dataclass(slots=True)
class Silent:
    """Watches nothing."""

    seen: int = field(default=0)

    def observe(self, event: RunEvent) -> None:
        del event
        self.seen += 1
