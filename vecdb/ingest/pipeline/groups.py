"""Gathers the changes of some items into groups, each of which is delivered in one transaction and journalled at once.

Promises: a group's journal changes are right whatever becomes of its texts: an item of which a chunk could not be
embedded changes nothing that is stored, and is a failure.
Concurrency: a group belongs to the thread that fills it, then to the one that delivers it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from vecdb.errors import VecDBError
from vecdb.ingest.journal.states import Failure, ItemState, ItemWrite, JournalChanges
from vecdb.ingest.pipeline.calls import Call, Place
from vecdb.ingest.pipeline.config import GROUP_BYTES, GROUP_CHUNKS
from vecdb.ingest.pipeline.cutting import Shorts
from vecdb.ingest.pipeline.destination import Swap
from vecdb.ingest.pipeline.events import ItemFailed
from vecdb.ingest.sources.item import Item
from vecdb.types import Metadata, RecordId

Row: TypeAlias = NDArray[np.float32] | Place
"""A vector, or the call that it comes from."""


class Entry(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An item of a group: its records are those from `start` to before `stop`, `old` the ids that it had before."""

    item: Item
    start: int
    stop: int
    old: tuple[RecordId, ...] = ()
    attempts: int = 0


@dataclass(slots=True, eq=False)
class Group:
    """Items whose changes are delivered together, and what else the journal is to be told with them.

    `most` is the number of chunks that it is full with.
    """

    most: int = GROUP_CHUNKS
    ids: list[RecordId] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    vanished: list[ItemState] = field(default_factory=list)
    changes: JournalChanges = field(default_factory=JournalChanges)
    size: int = 0
    begun: float = field(default_factory=time.monotonic)

    def add(
        self,
        item: Item,
        ids: Sequence[RecordId],
        rows: Sequence[Row],
        metadata: Sequence[Metadata],
        size: int = 0,
        old: tuple[RecordId, ...] = (),
        attempts: int = 0,
    ) -> None:
        """Add the records that an item becomes; `size` is what they take in memory."""
        start = len(self.ids)
        self.ids += ids
        self.rows += rows
        self.metadata += metadata
        self.entries.append(Entry(item, start, len(self.ids), old, attempts))
        self.size += size

    def add_shorts(
        self,
        shorts: Shorts,
        start: int,
        stop: int,
        rows: Sequence[Row],
        known: Sequence[tuple[tuple[RecordId, ...], int]],
    ) -> int:
        """Add items that are one record each, from `start` on and as far as they fit; returns how many, at least one.

        `rows` are those of `start` and on, `known` has of all what they had and how often they failed before.
        """
        count = len(self.ids) + len(self.entries) + len(self.vanished)
        stop = min(stop, start + max(1, (self.most - count + 1) // 2))
        while (size := sum(shorts.sizes[start:stop])) + self.size > GROUP_BYTES and stop > start + 1:
            stop = (start + stop) // 2
        items = shorts.items[start:stop]
        entries = zip(range(len(self.ids), len(self.ids) + len(items)), items, known[start:stop], strict=True)
        self.entries += [Entry(item, place, place + 1, old, attempts) for place, item, (old, attempts) in entries]
        self.ids += [item.id for item in items]
        self.rows += rows[: len(items)]
        self.metadata += shorts.metadata[start:stop]
        self.size += size
        return len(items)

    @property
    def is_full(self) -> bool:
        """True when it should be delivered before more is added."""
        count = len(self.ids) + len(self.entries) + len(self.vanished)
        return count >= self.most or self.size >= GROUP_BYTES

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to deliver nor to journal."""
        return not (self.entries or self.vanished or self.changes)

    def calls(self) -> Iterator[Call]:
        """The calls that its rows come from, each once."""
        last = None
        seen = set()
        for row in self.rows:
            if type(row) is tuple and row[0] is not last:
                last = row[0]
                if id(last) not in seen:
                    seen.add(id(last))
                    yield last

    def settle(self, dim: int) -> Settled:
        """What is to be delivered, when all its calls are done."""
        whole = self._one_call()
        matrix = np.empty((len(self.rows), dim), dtype=np.float32) if whole is None else whole
        wrong = {} if whole is not None else self._fill(matrix)
        if not wrong:
            return Settled(self.entries, self.ids, matrix, self.metadata, self.vanished)
        kept = [entry for entry in self.entries if not any(place in wrong for place in range(entry.start, entry.stop))]
        for entry in self.entries:
            error = next((wrong[place] for place in range(entry.start, entry.stop) if place in wrong), None)
            if error is not None:
                self.changes.failed.append(failure_of(entry, error))
        return Settled(self.entries, self.ids, matrix, self.metadata, self.vanished).only(kept, self.vanished)

    def _one_call(self) -> NDArray[np.float32] | None:
        """Its rows without a copy, where they follow one another in one call of which none failed, as most do."""
        if not self.rows or not isinstance(self.rows[0], tuple) or _end_of_run(self.rows, 0) < len(self.rows):
            return None
        call, first = self.rows[0]
        return None if call.failures or call.rows is None else call.rows[first : first + len(self.rows)]

    def _fill(self, matrix: NDArray[np.float32]) -> dict[int, VecDBError]:
        """Put all rows in place; returns the places of those that there are none of, and why."""
        wrong: dict[int, VecDBError] = {}
        start = 0
        while start < len(self.rows):
            row = self.rows[start]
            if not isinstance(row, tuple):
                matrix[start] = row
                start += 1
                continue
            call, first = row
            stop = _end_of_run(self.rows, start)
            number = first + stop - start
            assert call.rows is not None
            matrix[start:stop] = call.rows[first:number]
            wrong |= {start + at - first: error for at, error in call.failures.items() if first <= at < number}
            start = stop
        return wrong


@dataclass(frozen=True, slots=True)
class Settled:
    """Records to be put and deleted, and the items that they are of."""

    entries: Sequence[Entry]
    ids: Sequence[RecordId]
    matrix: NDArray[np.float32]
    metadata: Sequence[Metadata]
    vanished: Sequence[ItemState] = ()

    def only(self, entries: Sequence[Entry], vanished: Sequence[ItemState] = ()) -> Settled:
        """The same for some of the items."""
        places = [place for entry in entries for place in range(entry.start, entry.stop)]
        moved, start = [], 0
        for entry in entries:
            stop = start + entry.stop - entry.start
            moved.append(Entry(entry.item, start, stop, entry.old, entry.attempts))
            start = stop
        return Settled(
            moved,
            [self.ids[place] for place in places],
            self.matrix[places],
            [self.metadata[place] for place in places],
            vanished,
        )

    def swap(self, completes: object) -> Swap | None:
        """What is to be delivered; None when that is nothing."""
        deletes: dict[RecordId, None] = {}
        for entry in self.entries:
            deletes |= dict.fromkeys(entry.old)
        for state in self.vanished:
            deletes |= dict.fromkeys(state.chunks)
        if deletes:
            for record_id in self.ids:
                deletes.pop(record_id, None)
        if not self.ids and not deletes:
            return None
        return Swap(
            ids=self.ids, vectors=self.matrix, metadata=self.metadata, deletes=list(deletes), completes=completes
        )

    def writes(self, version: int) -> list[ItemWrite]:
        """The items as the journal knows them, stored with this version (0: about to be stored)."""
        ids = self.ids
        return [
            ItemWrite(
                entry.item.id,
                entry.item.part,
                entry.item.content_hash,
                (ids[entry.start],) if entry.stop - entry.start == 1 else tuple(ids[entry.start : entry.stop]),
                version,
            )
            for entry in self.entries
        ]

    def singles(self) -> Iterator[tuple[Entry | None, Settled]]:
        """Each item by itself, with its entry here; None for one that vanished."""
        for entry in self.entries:
            yield entry, self.only([entry])
        for state in self.vanished:
            yield None, self.only([], [state])


def _end_of_run(rows: Sequence[Row], start: int) -> int:
    """How far the rows from `start` on follow one another in their call, as most do."""
    last, place = rows[start], start + 1
    while place < len(rows):
        row = rows[place]
        if type(row) is not tuple or row[0] is not last[0] or row[1] != last[1] + 1:
            break
        last, place = row, place + 1
    return place


def failure_of(entry: Entry, error: VecDBError) -> Failure:
    """What the journal keeps of an item that could not be embedded or stored."""
    return failure_of_item(entry.item, error, entry.attempts)


def failure_of_item(item: Item, error: VecDBError, attempts: int = 0) -> Failure:
    """What the journal keeps of an item that failed, after so many earlier attempts."""
    return Failure(
        id=item.id,
        part=item.part,
        position=str(item.position),
        reason=error.reason,
        message=error.message,
        attempts=attempts + 1,
        content_hash=item.content_hash,
        time=time.time(),
    )


def told(failure: Failure) -> ItemFailed:
    """What an observer is told of a failure."""
    return ItemFailed(failure.id, failure.part, failure.position, failure.reason, failure.message)
