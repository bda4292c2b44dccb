"""Pipelines, items and journals for the tests of the journal."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.journal.cache import text_key
from vecdb.ingest.journal.comparing import Comparison, Verdict
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure, ItemWrite, JournalChanges, PartWrite, PipelineIdentity
from vecdb.ingest.sources.item import Item, PartEnd, Position, SourceEnd
from vecdb.types import RecordId

DIM = 8
MODEL = ModelFingerprint(provider="test", name="model", dim=DIM)
IDENTITY = PipelineIdentity(
    destination="there",
    database=uuid.UUID(int=7),
    collection="texts",
    field="default",
    model=MODEL,
    chunker="none",
    sources=("a.jsonl", "b.jsonl"),
)


def identity(**changes: Any) -> PipelineIdentity:
    """The identity of the tests, with some of it changed."""
    return replace(IDENTITY, **changes)


def item(item_id: RecordId, text: str = "text", part: str = "a") -> Item:
    """An item of a part."""
    return Item(item_id, part, 0, "row", Position(part), text=text)


def written(given: Item, chunks: Iterable[RecordId] | None = None, version: int = 0) -> ItemWrite:
    """An item as it is stored: as one record with its own id, or as these chunks."""
    ids = (given.id,) if chunks is None else tuple(chunks)
    return ItemWrite(given.id, given.part, given.content_hash, ids, version)


def opened(directory: Path) -> Journal:
    """The journal of the tests, open for writing."""
    return Journal.open(directory, IDENTITY)


def store(journal: Journal, *items: Item) -> None:
    """Write these items down as stored, each as one record."""
    journal.write(JournalChanges(stored=[written(one) for one in items]))


def kinds(verdicts: Iterable[Verdict]) -> list[str]:
    """What each verdict says."""
    return [verdict.kind for verdict in verdicts]


def end(part: str, state: Any = "read", fingerprint: str | None = "f") -> PartEnd:
    """The end of a part."""
    return PartEnd(part, state, fingerprint)


def vanished(run: Comparison, *, complete: bool = True) -> set[RecordId]:
    """The ids that a run misses at its end."""
    run.source_end(SourceEnd("source", complete))
    return {state.id for step in run.finish() for state in step.items}


def run_over(journal: Journal, parts: dict[str, Sequence[Item]]) -> list[Verdict]:
    """A whole run: compare everything, write what is new, delete what vanished. Returns the verdicts."""
    run, verdicts, settled = Comparison(journal), [], []
    for part, items in parts.items():
        found = run.items(items)
        verdicts += found
        wanted = [verdict.item for verdict in found if verdict.kind in {"new", "changed", "moved"}]
        store(journal, *wanted)
        journal.write(JournalChanges(failed=[moved(one) for one in found if one.kind == "quarantined"]))
        if run.part_end(end(part)):
            settled.append(PartWrite(part, "f"))
    journal.write(JournalChanges(parts=settled))
    run.source_end(SourceEnd("source", complete=True))
    for step in run.finish():
        changes = JournalChanges(parts=list(step.parts), removed_parts=list(step.removed_parts))
        changes.removed = [state.id for state in step.items]
        journal.write(changes)
    return verdicts


def moved(verdict: Verdict) -> Failure:
    """The failure of an item in quarantine, where it is now."""
    assert verdict.failure is not None
    return replace(verdict.failure, part=verdict.item.part)


def vectors(texts: Sequence[str], dim: int = DIM) -> tuple[list[bytes], NDArray[np.float32]]:
    """Keys of texts, and for each a vector that no other text has."""
    rows = [np.random.default_rng(list(text.encode())).standard_normal(dim) for text in texts]
    return [text_key(text) for text in texts], np.array(rows, dtype=np.float32).reshape(len(texts), dim)
