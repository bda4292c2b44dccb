"""Reads the state of a database out of a read transaction: catalog, counters, tombstones, segments and tails.

Promises: nothing is written; damaged values raise CorruptionError that names them. Opening a segment reads its manifest
entry and one header per chunk, not its rows; a tail is read whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vecdb.config import DEAD_BLOCK_SLOTS
from vecdb.engine import bitmap
from vecdb.engine.index_view import load_expiry, load_indexes
from vecdb.engine.schema import CollectionSchema, FieldSchema
from vecdb.engine.segments import open_ids, open_segment
from vecdb.engine.state import COUNTERS_KEY, CollectionState, Counters, FieldState, SegmentEntry, collection_key
from vecdb.engine.tail import Tail
from vecdb.engine.tail_rows import TailRows, decode_rows
from vecdb.engine.view import CollectionView, FieldView, SegmentView, SlotMap, View
from vecdb.errors import CorruptionError
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.storage.environment import Environment
    from vecdb.storage.transactions import ReadTransaction, WriteTransaction


def load_view(environment: Environment) -> View:
    """Read the whole state at the newest commit."""
    txn = environment.begin_read()
    collections = {number: load_collection(txn, schema) for number, schema in load_schemas(txn).items()}
    names = {view.schema.name: number for number, view in collections.items()}
    return View(seq=newest_seq(txn), txn=txn, collections=collections, names=names)


def newest_seq(txn: ReadTransaction) -> int:
    """Return the seq of the newest commit, 0 for an empty database."""
    key = txn.last_key(Table.LOG, b"")
    return 0 if key is None else keys.seq_from_log_key(key)


def require(txn: ReadTransaction, table: Table, key: bytes) -> memoryview:
    """Return a value that must be there; CorruptionError when it is not."""
    value = txn.get(table, key)
    if value is None:
        raise codec.corrupt_value(table, key, "is missing")
    return value


def items_under(txn: ReadTransaction, table: Table, prefix: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Iterate over the keys that start with `prefix`, with their values."""
    return txn.items(table, prefix, keys.prefix_stop(prefix))


def load_counters(txn: ReadTransaction | WriteTransaction) -> Counters:
    """Read the database-wide counters."""
    value = txn.get(Table.STATE, COUNTERS_KEY)
    return Counters() if value is None else codec.decode_struct(Table.STATE, COUNTERS_KEY, value, Counters)


def load_schemas(txn: ReadTransaction) -> dict[int, CollectionSchema]:
    """Read the catalog, by collection number."""
    schemas = [
        codec.decode_struct(Table.CATALOG, key, value, CollectionSchema)
        for key, value in items_under(txn, Table.CATALOG, b"")
    ]
    return {schema.number: schema for schema in schemas}


def load_collection_state(txn: ReadTransaction, number: int) -> CollectionState:
    """Read the counters of a collection."""
    key = collection_key(number)
    return codec.decode_struct(Table.STATE, key, require(txn, Table.STATE, key), CollectionState)


def load_collection(txn: ReadTransaction, schema: CollectionSchema) -> CollectionView:
    """Read one collection whole."""
    state = load_collection_state(txn, schema.number)
    numbers = {field.number for field in schema.fields}
    if len(numbers) != len(schema.fields) or not numbers <= set(range(len(state.fields))):
        raise CorruptionError(
            f"collection {schema.name!r} declares {len(schema.fields)} fields but stores the state of "
            f"{len(state.fields)}; restore a backup",
            collection=schema.name,
        )
    dead = load_dead(txn, schema.number, state.next_slot)
    fields = []
    for field in schema.fields:
        stored = state.fields[field.number]
        segments = tuple(load_segment(txn, schema.number, field, number, dead) for number in stored.segments)
        rows = load_tail_rows(txn, schema.number, field, stored, stored.indexed_upto)
        tail = empty_tail(field, stored).appended(*rows)
        if tail.by_arrival:  # rows of slots that died are left in the table until they are swept
            tail = tail.killed(rows.slots[bitmap.test_bits(dead, rows.slots)])
        fields.append(FieldView(field, segments, tail))
    return CollectionView(
        schema=schema,
        state=state,
        dead=dead,
        fields=tuple(fields),
        indexes=load_indexes(txn, schema.number, state),
        expiry=load_expiry(txn, schema.number, state),
    )


def load_dead(txn: ReadTransaction, number: int, next_slot: int) -> bitmap.Words:
    """Read the tombstones of a collection, by slot."""
    words_per_block = DEAD_BLOCK_SLOTS // 64
    words = np.zeros(-(-next_slot // DEAD_BLOCK_SLOTS) * words_per_block, dtype=np.uint64)
    for key, value in items_under(txn, Table.DEAD, keys.collection_prefix(number)):
        block = keys.slot_from_key(key)
        if (block + 1) * words_per_block > len(words):
            raise codec.corrupt_value(Table.DEAD, key, "lies beyond the newest slot")
        words[block * words_per_block : (block + 1) * words_per_block] = codec.decode_bitmap(key, value)
    return words


def empty_tail(field: FieldSchema, state: FieldState) -> Tail:
    """A tail for the rows from `indexed_upto` on."""
    return Tail(field, from_row=state.indexed_upto, by_arrival=state.next_row is not None)


def load_tail_rows(
    txn: ReadTransaction, number: int, field: FieldSchema, state: FieldState, first_row: int
) -> TailRows:
    """Read the tail rows of a field from `first_row` on."""
    start = keys.tail_key(number, field.number, first_row)
    stop = keys.prefix_stop(keys.field_prefix(number, field.number))
    items = list(txn.items(Table.TAIL, start, stop))
    tail_keys = [key for key, _ in items]
    numbers = np.array([keys.slot_from_key(key) for key in tail_keys], dtype=np.uint32)
    values = [value for _, value in items]
    return decode_rows(tail_keys, values, numbers, field, by_arrival=state.next_row is not None)


def load_segment(
    txn: ReadTransaction, number: int, field: FieldSchema, segment_number: int, dead: bitmap.Words
) -> SegmentView:
    """Open one segment and mark its dead rows."""
    key = keys.segment_key(number, field.number, segment_number)
    entry = codec.decode_struct(Table.SEGMENTS, key, require(txn, Table.SEGMENTS, key), SegmentEntry)
    segment = open_segment(txn, number, field, entry)
    ids = open_ids(txn, number, field, entry)
    view = SegmentView(entry=entry, segment=segment, slot_map=SlotMap(segment.slots, entry), ids=ids)
    return with_tombstones(view, dead)


def with_tombstones(view: SegmentView, dead: bitmap.Words) -> SegmentView:
    """Mark the rows of a segment whose slots are dead; cheap when none in its range is."""
    first, last = view.entry.first_slot >> 6, (view.entry.last_slot >> 6) + 1
    if not dead[first:last].any():
        return view
    mask = bitmap.test_bits(dead, view.slot_map.slots)
    if not mask.any():
        return view
    return replace(view, dead=bitmap.from_mask(mask), dead_count=int(mask.sum()))
