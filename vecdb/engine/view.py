"""Holds what a reader sees: an immutable picture of the whole database at one seq.

A View is made after each commit and swapped in by one assignment; a search keeps the one it began with to its end.
Promises: nothing reachable from a View changes. Each View pins its own read transaction, begun at its seq, so metadata,
tail, tombstones and segments of one search agree; the pin ends with the last reference to the View.
Invariants: the addresses in a segment's columns stay valid as long as the segment is listed in the newest state or a
View that lists it is alive: values are never rewritten in place, and LMDB reuses no page that a pin can see.
Concurrency: read freely; `View.lock` guards the read transaction, which LMDB allows to one thread at a time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecdb.config import TAIL_CHUNK_ROWS
from vecdb.engine import bitmap
from vecdb.engine.columns import gather_rows, read_column
from vecdb.engine.gathering import CopyRoom
from vecdb.engine.schema import CollectionSchema, FieldSchema
from vecdb.engine.state import CollectionState, SegmentEntry
from vecdb.engine.tail import Slots, Tail
from vecdb.errors import CollectionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vecdb.engine.filtering import FilterKey, Matches
    from vecdb.engine.index_view import IndexView
    from vecdb.engine.quick_batch import QuickBatch
    from vecdb.engine.quick_search import Asked, QuickSearch
    from vecdb.engine.validate import VectorArray
    from vecdb.index.columns import ColumnTable
    from vecdb.index.segment import Segment
    from vecdb.kernels.column import Column
    from vecdb.storage.transactions import ReadTransaction


class SlotMap:
    """Finds the row of a slot in a segment. Built on first use: 4 bytes a row, 8 more when slots do not ascend."""

    def __init__(self, column: Column, entry: SegmentEntry) -> None:
        self._column = column
        # Rows bulk-loaded and never replaced are numbered without gaps: then no search is needed.
        self._first = entry.first_slot if entry.last_slot - entry.first_slot + 1 == entry.rows else None

    @cached_property
    def is_contiguous(self) -> bool:
        """Whether row r is slot first + r."""
        return self._first is not None and self._order is None

    @cached_property
    def slots(self) -> Slots:
        """The slot of each row, copied out of the map."""
        return read_column(self._column, np.dtype(np.uint32), 1)[:, 0]

    @cached_property
    def _order(self) -> npt.NDArray[np.int64] | None:
        return None if np.all(self.slots[1:] > self.slots[:-1]) else np.argsort(self.slots)

    @cached_property
    def _sorted(self) -> Slots:
        return self.slots if self._order is None else self.slots[self._order]

    def rows_of(self, slots: Slots) -> npt.NDArray[np.int64]:
        """Return the row of each slot; all of them must be in the segment."""
        if self._first is not None and self.is_contiguous:
            return slots.astype(np.int64) - self._first
        return self.find(slots)

    def find(self, slots: Slots) -> npt.NDArray[np.int64]:
        """Return the row of each slot, -1 where the segment does not hold it."""
        if not len(self._sorted):
            return np.full(len(slots), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, slots), len(self._sorted) - 1)
        rows = at if self._order is None else self._order[at]
        return np.where(self._sorted[at] == slots, rows, -1)


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment with the tombstones of this view; `dead` is None while it has none, `ids` when it has no id column."""

    entry: SegmentEntry
    segment: Segment
    slot_map: SlotMap
    ids: Column | None = None
    dead: bitmap.Words | None = None
    dead_count: int = 0

    @property
    def live(self) -> int:
        """Rows that are not dead."""
        return self.entry.rows - self.dead_count

    def killed(self, slots: Slots) -> SegmentView:
        """Return the view with the given slots marked dead; slots it does not hold are ignored."""
        mine = slots[(slots >= self.entry.first_slot) & (slots <= self.entry.last_slot)]
        rows = self.slot_map.find(mine)
        rows = rows[rows >= 0]
        dead = self.dead if self.dead is not None else np.zeros(bitmap.words_for(self.entry.rows), dtype=np.uint64)
        fresh = rows[~bitmap.test_bits(dead, rows)]
        if not len(fresh):
            return self
        return replace(self, dead=bitmap.with_bits(dead, fresh), dead_count=self.dead_count + len(fresh))

    def live_rows(self) -> npt.NDArray[np.int64]:
        """Return the rows that are not dead, ascending."""
        rows = np.arange(self.entry.rows)
        return rows if self.dead is None else rows[~bitmap.test_bits(self.dead, rows)]


@dataclass(frozen=True, slots=True)
class FieldView:
    """The segments and the tail of one field."""

    schema: FieldSchema
    segments: tuple[SegmentView, ...]
    tail: Tail

    @property
    def live(self) -> int:
        """Live rows of the field."""
        return self.tail.live + sum(segment.live for segment in self.segments)

    def killed(self, slots: Slots) -> FieldView:
        """Return the field with the given slots marked dead wherever they are."""
        tail = self.tail.killed(slots)
        # Memory of replaced rows is given back once it outweighs the live ones, whatever the indexer does.
        if tail.rows > 2 * tail.live + TAIL_CHUNK_ROWS:
            tail = tail.compacted()
        return replace(self, segments=tuple(segment.killed(slots) for segment in self.segments), tail=tail)

    def vectors_of(self, slots: Slots) -> tuple[npt.NDArray[np.bool_], VectorArray]:
        """Return which slots have a vector in this field and the vectors, (n, dim) with zeros where there is none."""
        out = np.zeros((len(slots), self.schema.dim), dtype=self.schema.dtype)
        found = np.zeros(len(slots), dtype=np.bool_)
        rows = self.tail.find(slots)
        hit = rows >= 0
        out[hit], found = self.tail.gather(rows[hit]), found | hit
        for segment in self.segments:
            rows = segment.slot_map.find(slots)
            hit = (rows >= 0) & ~found
            if hit.any():
                out[hit] = gather_rows(segment.segment.vectors, rows[hit], out.dtype, self.schema.dim)
                found |= hit
        return found, out


@dataclass(frozen=True, slots=True)
class CollectionView:
    """One collection: schema, counters, tombstones by slot, its fields in the order of the schema, its ready indexes.

    `expiry` tells when records expire, None when none ever has had an expiry. What grows: `remembered`, what filters
    matched, by `filter_key`, and `prepared` and `prepared_batches`, what was searched for before (see `quick_search`
    and `quick_batch`). `room` is what copies for remembered filters may take.
    """

    schema: CollectionSchema
    state: CollectionState
    dead: bitmap.Words
    fields: tuple[FieldView, ...]
    indexes: tuple[IndexView, ...] = ()
    expiry: ColumnTable | None = None
    remembered: dict[FilterKey, Matches] = field(default_factory=dict, compare=False, repr=False)
    prepared: dict[Asked, QuickSearch] = field(default_factory=dict, compare=False, repr=False)
    prepared_batches: dict[Asked, QuickBatch] = field(default_factory=dict, compare=False, repr=False)
    room: CopyRoom = field(default_factory=CopyRoom, compare=False, repr=False)

    def field(self, name: str | None) -> FieldView:
        """Look up a field view; None as in `CollectionSchema.field`."""
        if name is None and len(self.fields) == 1:  # on the way of nearly every search
            return self.fields[0]
        found = self.numbered(self.schema.field(name).number)
        assert found is not None  # every field of the schema has a view
        return found

    def numbered(self, number: int) -> FieldView | None:
        """The view of the field of a number, None when it was dropped."""
        return next((field for field in self.fields if field.schema.number == number), None)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class View:
    """The database at one seq. `collections` is keyed by collection number, `names` by name."""

    seq: int
    txn: ReadTransaction
    collections: Mapping[int, CollectionView]
    names: Mapping[str, int]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def collection(self, number: int, name: str) -> CollectionView:
        """Look up a collection by number; the name is for the error, when it was dropped."""
        found = self.collections.get(number)
        if found is None:
            raise CollectionNotFoundError(f"collection {name!r} was dropped", collection=name)
        return found
