"""Defines what a journal holds: whose it is, the state of items and parts, failures, runs, and the changes to these.

Promises: everything but `JournalChanges` is immutable. An id's text is its identity: 5 and "5" are one item, since the
chunks of both would have the same ids; an item whose id changes its type counts as changed.
Concurrency: values; a `JournalChanges` belongs to whoever fills it.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.fingerprint import differences as model_differences
from vecdb.types import RecordId

RunState: TypeAlias = Literal["running", "done", "stopped", "failed", "interrupted"]
"""A run that never ended is "running" while some process has the journal open for writing, else "interrupted"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineIdentity:
    """What a journal is about. `destination` is how the user wrote it, for messages; the database is known by its uuid.

    `options` is any other text on which the stored records depend; give "" where there is nothing.
    """

    destination: str
    database: uuid.UUID
    collection: str
    field: str
    model: ModelFingerprint
    chunker: str
    sources: tuple[str, ...]
    options: str = ""

    def differences(self, given: PipelineIdentity) -> dict[str, str]:
        """What tells `given` from this (stored) identity: the name of each, and both values in words."""
        found = {
            word: f"{getattr(self, word)} before, {getattr(given, word)} now"
            for word in ("database", "collection", "field", "chunker", "sources", "options")
            if getattr(self, word) != getattr(given, word)
        }
        model = model_differences(self.model, given.model)
        if model:
            found["model"] = f"{self.model} before, {given.model} now"
        return found


@dataclass(frozen=True, slots=True)
class ItemState:
    """What is known of an item. `chunks` are all its records that are stored, or may be after a crash.

    `content_hash` is empty when that content is not stored in whole: the item then counts as changed. `version` is what
    `ItemWrite.version` said: the seq of the destination's commit, for whoever has to find out what a backup lost.
    """

    id: RecordId
    part: str
    content_hash: bytes
    chunks: tuple[RecordId, ...]
    version: int = 0


class ItemWrite(msgspec.Struct, frozen=True, gc=False):
    """An item as it is now stored, or (in `JournalChanges.intended`) as it is about to be."""

    id: RecordId
    part: str
    content_hash: bytes
    chunks: tuple[RecordId, ...]
    version: int = 0


def leaving(item: ItemState) -> ItemWrite:
    """An item whose records are about to be deleted, for `JournalChanges.intended`: it is stored again if it
    comes back after a crash.
    """
    return ItemWrite(item.id, item.part, b"", item.chunks)


@dataclass(frozen=True, slots=True)
class PartWrite:
    """A part that is done with: everything in it was delivered, and what vanished from it was deleted.

    `fingerprint` is that of its PartEnd; None: it is read again next time.
    """

    key: str
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class PartState:
    """What is known of a part; `fingerprint` None: it will be read."""

    key: str
    fingerprint: str | None
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item in quarantine, or (without id) something that could not be read: where, why, since when.

    `content_hash` is that of the content that failed: as long as the item still has it, the item is not tried again
    unless somebody asks. `time` is in seconds since 1970.
    """

    id: RecordId | None
    part: str
    position: str
    reason: str
    message: str
    attempts: int = 1
    content_hash: bytes = b""
    time: float = 0.0


@dataclass(slots=True)
class JournalChanges:
    """What one `Journal.write` stores, in one transaction. Doing it twice has the effect of doing it once.

    Before records go to the destination, or are deleted there, their items are `intended`; when it has acknowledged
    that, `stored` or `removed`. Between
    the two a crash leaves both the old and the new ids in `ItemState.chunks`, so that no record is forgotten.
    They are carried out in the order of the fields; `stored` and `removed` also end the failure of their item. An item
    that `failed` keeps what was stored of it. `counters` are added to those of the run: the one thing
    here that counts twice when it is done twice. `position` is the newest seq acknowledged by the destination.
    """

    intended: list[ItemWrite] = field(default_factory=list)
    stored: list[ItemWrite] = field(default_factory=list)
    removed: list[RecordId] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    cleared: list[RecordId] = field(default_factory=list)
    parts: list[PartWrite] = field(default_factory=list)
    removed_parts: list[str] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    position: int | None = None

    def __bool__(self) -> bool:
        return bool(
            self.intended
            or self.stored
            or self.removed
            or self.failed
            or self.cleared
            or self.parts
            or self.removed_parts
            or self.counters
            or self.position is not None
        )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. Times are seconds since 1970; `ended` is None for one that was not ended, see RunState."""

    number: int
    started: float
    ended: float | None
    state: RunState
    counters: dict[str, int]
    note: str = ""


@dataclass(frozen=True, slots=True)
class JournalSummary:
    """What `status` tells. `items` are all that are known, `stored` those of them that have records.

    `writer` has the pid, host and start of the process that is writing now, if one is.
    """

    identity: PipelineIdentity
    items: int
    stored: int
    parts: int
    failures: int
    position: int
    last_run: RunRecord | None
    writer: dict[str, object] | None
