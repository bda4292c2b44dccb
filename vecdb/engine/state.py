"""Declares what the engine stores about itself: counters, the segments of a field, and the log of commits.

Promises: these structs are the on-disk format (msgpack, see ARCHITECTURE.md); a change here is a new format version.
Invariants: `next_slot` and `next_segment` only grow; `segments` is in slot order; every tail row of a field with a slot
below its `indexed_upto` is garbage (its record is in a segment or dead).
"""

from __future__ import annotations

from typing import Any

import msgspec


class FieldState(msgspec.Struct, frozen=True):
    """Which segments answer for a field, and from which slot on the tail does."""

    segments: tuple[int, ...] = ()
    indexed_upto: int = 0
    next_segment: int = 0


class CollectionState(msgspec.Struct, frozen=True):
    """Counters of a collection and the state of each field, by field number."""

    next_slot: int
    live: int
    fields: tuple[FieldState, ...]

    def with_field(self, number: int, field: FieldState) -> CollectionState:
        """Return the state with one field replaced."""
        fields = (*self.fields[:number], field, *self.fields[number + 1 :])
        return msgspec.structs.replace(self, fields=fields)


class SegmentEntry(msgspec.Struct, frozen=True):
    """The manifest of one segment: enough to open its columns and search them.

    `first_slot`..`last_slot` is the range of its slots; `upper` counts nodes above level 0; `curve` is the measured
    recall over effort, empty until measured; `id_stride` is 0 when the segment has no column of ids.
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


class LogEntry(msgspec.Struct, frozen=True):
    """What one commit changed: collections by number, each with the slots it killed (u32 little-endian).

    `catalog` says that collections were created or dropped.
    """

    catalog: bool
    collections: dict[int, bytes]


class Counters(msgspec.Struct, frozen=True):
    """Database-wide counters: numbers of dropped collections are never given out again."""

    next_collection: int = 1
    dropped: tuple[int, ...] = ()


COUNTERS_KEY = b"counters"


def collection_key(number: int) -> bytes:
    """Key of a collection's state in the state table."""
    return b"collection" + number.to_bytes(4, "big")
