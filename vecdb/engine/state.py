"""Declares what the engine stores about itself: counters, the segments of a field, and the log of commits.

Promises: these structs are the on-disk format (msgpack, see ARCHITECTURE.md); a change here is a new format version.
Invariants: `next_slot`, `next_segment` and `next_row` only grow; `segments` is in slot order; every tail row of a field
with a number below its `indexed_upto` is garbage (its record is in a segment or dead).
"""

from __future__ import annotations

from typing import Any

import msgspec

from vecdb.types import IndexKind


class FieldState(msgspec.Struct, frozen=True):
    """Which segments answer for a field, and from which row on the tail does.

    `next_row` is the number of its next row where they are numbered by arrival, None where by slot (see `tail_rows`).
    `calibrations` counts how often the curves of its segments were measured anew: readers then read their entries anew.
    """

    segments: tuple[int, ...] = ()
    indexed_upto: int = 0
    next_segment: int = 0
    next_row: int | None = None
    calibrations: int = 0


class IndexState(msgspec.Struct, frozen=True):
    """One metadata index: its blocks below `built` hold the records; it answers once it is `ready`, when all do.

    `next_code` is the code that its next new term gets.
    """

    number: int
    path: str
    kind: IndexKind
    ready: bool = False
    built: int = 0
    next_code: int = 0


class CollectionState(msgspec.Struct, frozen=True):
    """Counters of a collection, the state of each field, by field number, and its metadata indexes.

    `expiring` says that some record has had an expiry, so that there are blocks of them.
    """

    next_slot: int
    live: int
    fields: tuple[FieldState, ...]
    indexes: tuple[IndexState, ...] = ()
    next_index: int = 0
    expiring: bool = False

    def with_field(self, number: int, field: FieldState) -> CollectionState:
        """Return the state with one field replaced."""
        fields = (*self.fields[:number], field, *self.fields[number + 1 :])
        return msgspec.structs.replace(self, fields=fields)

    def next_row(self, field: int) -> int:
        """The number above those of all rows of a field."""
        number = self.fields[field].next_row
        return self.next_slot if number is None else number

    def with_index(self, index: IndexState) -> CollectionState:
        """Return the state with one metadata index replaced."""
        indexes = tuple(index if known.number == index.number else known for known in self.indexes)
        return msgspec.structs.replace(self, indexes=indexes)


class SegmentEntry(msgspec.Struct, frozen=True):
    """The manifest of one segment: enough to open its columns and search them.

    `first_slot`..`last_slot` is the range of its slots; `upper` counts nodes above level 0; `curve` is the measured
    recall over effort, empty until measured; `id_stride` is 0 when the segment has no column of ids. A `packed` one has
    packed rows in place of codes and links, and, if `sketched`, sketches too; `by_codes` says that it is searched by
    its codes all the same.
    """

    number: int
    rows: int
    first_slot: int
    last_slot: int
    m: int
    entry: int
    upper: int
    level_starts: tuple[int, ...]
    quantizer: dict[str, Any]
    curve: dict[str, Any]
    bytes: int
    id_stride: int = 0
    packed: bool = False
    by_codes: bool = False
    sketched: bool = False


class LogEntry(msgspec.Struct, frozen=True):
    """What one commit changed: collections by number, each with the slots it killed (u32 little-endian).

    `rewritten` has, of the same form, slots whose metadata changed in place; `catalog` says that collections were
    created or dropped.
    """

    catalog: bool
    collections: dict[int, bytes]
    rewritten: dict[int, bytes] = {}


class Counters(msgspec.Struct, frozen=True):
    """Database-wide counters: numbers of dropped collections are never given out again."""

    next_collection: int = 1
    dropped: tuple[int, ...] = ()


COUNTERS_KEY = b"counters"


def collection_key(number: int) -> bytes:
    """Key of a collection's state in the state table."""
    return b"collection" + number.to_bytes(4, "big")


def queries_key(number: int, field: int) -> bytes:
    """Key of a field's sample of queries in the state table."""
    return b"queries" + number.to_bytes(4, "big") + field.to_bytes(2, "big")
