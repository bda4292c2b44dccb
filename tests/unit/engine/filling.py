"""Small inputs for the engine tests, and what a database stores, as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

import vecdb
from vecdb.config import BLOCK_SLOTS, EngineConfig
from vecdb.engine.loading import load_counters
from vecdb.engine.schema import CollectionSchema, FieldSchema, build_schema
from vecdb.engine.view import CollectionView, FieldView, SegmentView, View
from vecdb.index.columns import ColumnTable
from vecdb.storage.keys import Table
from vecdb.types import Field, FloatArray, Metric, VectorDtype

CONFIG = EngineConfig(background=False, threads=1, progress=False, tail_rows_index=32, map_bytes=1 << 32)
DIM = 4


def field_schema(dim: int = DIM, metric: Metric = "l2", dtype: VectorDtype = "float32") -> FieldSchema:
    """The schema of one unnamed field."""
    return collection_schema(default=Field(dim=dim, metric=metric, dtype=dtype)).fields[0]


def collection_schema(**fields: Field) -> CollectionSchema:
    """A schema with the given fields, or one unnamed l2 field."""
    return build_schema(1, "docs", fields or {"default": Field(dim=DIM, metric="l2")})


def rows(count: int, seed: int = 0, dim: int = DIM) -> FloatArray:
    """Random vectors (count, dim)."""
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def fill(docs: vecdb.Collection, count: int, first: int = 0) -> None:
    """Upsert records first..first+count-1 with vectors that depend on nothing but the id."""
    docs.upsert(list(range(first, first + count)), rows(first + count)[first:])


def field_of(db: vecdb.Database, collection: str = "docs") -> FieldView:
    """The first field of a collection in the newest View."""
    view = db._publisher.view
    return view.collections[view.names[collection]].fields[0]


def stored_keys(db: vecdb.Database, *tables: Table) -> dict[Table, list[bytes]]:
    """All keys of some tables."""
    with db._environment.begin_read() as txn:
        return {table: [key for key, _ in txn.items(table)] for table in tables}


def dropped_numbers(db: vecdb.Database) -> tuple[int, ...]:
    """Collection numbers that wait for the sweep."""
    with db._environment.begin_read() as txn:
        return load_counters(txn).dropped


def damage_chunk(db: vecdb.Database, position: int = 0) -> bytes:
    """Flip a byte in the rows of a stored chunk; returns its key."""
    key = stored_keys(db, Table.CHUNKS)[Table.CHUNKS][position]
    with db._environment.write() as txn:
        stored = txn.get(Table.CHUNKS, key)
        assert stored is not None
        value = bytearray(stored)
        value[60] ^= 1
        txn.put(Table.CHUNKS, key, value)
    return key


def damage_record(db: vecdb.Database) -> None:
    """Flip a bit in the first stored record."""
    with db._environment.write() as txn:
        key, value = next((bytes(key), bytearray(value)) for key, value in txn.items(Table.RECORDS))
        value[-1] ^= 1
        txn.put(Table.RECORDS, key, value)


def picture(view: View) -> dict[str, Any]:
    """Everything a reader can see of a View, as plain values that compare."""
    return {
        "seq": view.seq,
        "names": dict(view.names),
        "collections": {number: _collection_picture(found) for number, found in view.collections.items()},
    }


def _collection_picture(view: CollectionView) -> dict[str, Any]:
    return {
        "schema": view.schema,
        "state": view.state,
        "dead": set_bits(view.dead),
        "fields": [_field_picture(field) for field in view.fields],
        "indexes": [(index.state, *map(_column_picture, index.tables)) for index in view.indexes],
        "expiry": None if view.expiry is None else _column_picture(view.expiry),
    }


def _column_picture(table: ColumnTable) -> list[Any]:
    slots = np.arange(len(table.addresses) * BLOCK_SLOTS, dtype=np.uint32)
    keys, states = table.gather(slots)
    return [keys.tolist(), states.tolist()]


def _field_picture(field: FieldView) -> dict[str, Any]:
    tail, live = field.tail, field.tail.live_rows()
    return {
        "segments": [_segment_picture(segment) for segment in field.segments],
        "tail_slots": tail.all_slots()[live].tolist(),
        "tail_vectors": tail.gather(live).tolist(),
        "tail_live": tail.live,
        "from_row": tail.from_row,
    }


def _segment_picture(segment: SegmentView) -> dict[str, Any]:
    dead = [] if segment.dead is None else set_bits(segment.dead)
    return {"entry": segment.entry, "slots": segment.slot_map.slots.tolist(), "dead": dead, "live": segment.live}


def set_bits(words: np.ndarray[Any, np.dtype[np.uint64]]) -> list[int]:
    """Positions of the set bits of a bitmap."""
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist()
