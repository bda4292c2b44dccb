"""Keeps the journal of a pipeline (signatures; the bodies are being written)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from vecdb.ingest.journal.states import (
    Failure,
    ItemState,
    JournalChanges,
    JournalSummary,
    PartState,
    PipelineIdentity,
    RunRecord,
    RunState,
)
from vecdb.types import RecordId


class Journal:
    """The journal in a directory: one writer process (DatabaseLockedError names it), any number of readers meanwhile."""

    @classmethod
    def open(
        cls, directory: Path, identity: PipelineIdentity | None = None, *, mode: Literal["r", "w"] = "w"
    ) -> Journal:
        """Open a journal; "w" creates it, with `identity`, where there is none.

        With an identity that differs from the stored one: ConflictError whose message says in what and what to do, and
        whose `details["differences"]` is `PipelineIdentity.differences`. "r" without a journal: DatabaseNotFoundError.
        CorruptionError for a damaged one: what it says is to remove it and run again.
        """
        raise NotImplementedError

    @classmethod
    def adopt(cls, directory: Path, identity: PipelineIdentity) -> Journal:
        """Open for writing whatever the stored identity is, and take over the one given: see `forget_contents`."""
        raise NotImplementedError

    def close(self) -> None: ...
    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, *exc_info: object) -> None: ...

    # --- what is known ---
    @property
    def identity(self) -> PipelineIdentity:
        raise NotImplementedError

    def item(self, item_id: RecordId) -> ItemState | None:
        raise NotImplementedError

    def items(self) -> Iterator[ItemState]:
        raise NotImplementedError

    def items_of_part(self, key: str) -> Iterator[ItemState]:
        raise NotImplementedError

    def part(self, key: str) -> PartState | None:
        raise NotImplementedError

    def parts(self, prefix: str = "") -> Iterator[PartState]:
        raise NotImplementedError

    def part_fingerprint(self, key: str) -> str | None:
        """A `Known` for sources.read_sources."""
        raise NotImplementedError

    def failures(self) -> Iterator[Failure]:
        raise NotImplementedError

    def failure(self, item_id: RecordId) -> Failure | None:
        raise NotImplementedError

    def position(self) -> int:
        """Newest seq of the destination that was written down; 0 at first."""
        raise NotImplementedError

    def runs(self) -> list[RunRecord]:
        """Newest first."""
        raise NotImplementedError

    def summary(self) -> JournalSummary:
        raise NotImplementedError

    # --- changes ---
    def begin_run(self) -> int:
        raise NotImplementedError

    def end_run(self, state: RunState, note: str = "") -> None:
        raise NotImplementedError

    def write(self, changes: JournalChanges) -> None:
        """Store changes in one synced transaction."""
        raise NotImplementedError

    def forget_contents(self, items: Sequence[RecordId] | None = None) -> None:
        """Let every item (or those named) count as changed and every part be read; ids of stored chunks stay known.

        For a destination that went back in time, another chunker, and the like.
        """
        raise NotImplementedError
