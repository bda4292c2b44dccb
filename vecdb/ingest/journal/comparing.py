"""Compares what sources give with the journal (signatures; the bodies are being written).

run = Comparison(journal)
for event in read_sources(sources, journal.part_fingerprint):   # or batches of items
    Item    -> run.items([item, …])  -> a Verdict each
    Problem -> run.problem(problem)      what was bad has not vanished
    PartEnd -> run.part_end(end)     -> True: nothing vanished, write PartWrite(end.part, end.fingerprint) when the
                                        part's items are stored; False: `finish` will give it
    SourceEnd -> run.source_end(end)
for step in run.finish(): …              when all sources were read (not after a stop): what vanished
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure, ItemState, PartWrite
from vecdb.ingest.sources.item import Item, PartEnd, Problem, SourceEnd

Kind: TypeAlias = Literal["new", "changed", "moved", "unchanged", "quarantined"]
"""`moved`: the same content in another part: nothing to embed, but to be written as stored there (its metadata may name
the part). `quarantined`: the content that failed before, `Verdict.failure`; it is left alone unless asked for."""


class Verdict(NamedTuple):
    """What an item is to the journal. `known` is None for new and unchanged ones."""

    kind: Kind
    item: Item
    known: ItemState | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Vanished:
    """What is to be deleted, up to a few hundred items; then, when all of that is done, `parts` and `removed_parts`
    are to be written (JournalChanges has the same fields)."""

    items: tuple[ItemState, ...]
    parts: tuple[PartWrite, ...] = ()
    removed_parts: tuple[str, ...] = ()


class Comparison:
    """One run's comparison. Any thread may call; `finish` comes last."""

    def __init__(self, journal: Journal) -> None:
        raise NotImplementedError

    def items(self, items: Sequence[Item]) -> list[Verdict]:
        raise NotImplementedError

    def problem(self, problem: Problem) -> None:
        raise NotImplementedError

    def part_end(self, end: PartEnd) -> bool:
        raise NotImplementedError

    def source_end(self, end: SourceEnd) -> None:
        raise NotImplementedError

    def finish(self) -> Iterator[Vanished]:
        raise NotImplementedError
