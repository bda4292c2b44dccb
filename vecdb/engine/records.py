"""Fetches records of a View: by id, by page, and for the slots a search found.

Promises: ids, metadata and vectors returned are those of the View's seq. Damaged values raise CorruptionError.
Concurrency: LMDB allows a read transaction to one thread at a time, so each fetch holds the View's lock to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vecdb.engine.ids import read_ids
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import Explain, Metadata, Record, RecordId, SearchResult

if TYPE_CHECKING:
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView, FieldView, View
    from vecdb.types import FloatArray, Metric


def exists(view: View, collection: CollectionView, key: bytes) -> bool:
    """Return whether a record with this id key exists."""
    with view.lock:
        return view.txn.get(Table.IDS, keys.id_table_key(collection.schema.number, key)) is not None


def get_records(
    view: View, collection: CollectionView, wanted: Sequence[bytes], *, with_vectors: bool
) -> list[Record | None]:
    """Return the records of id keys, None where there is none."""
    id_keys = [keys.id_table_key(collection.schema.number, key) for key in wanted]
    with view.lock:
        values = view.txn.get_many(Table.IDS, id_keys)
        slots = [
            None if value is None else codec.decode_slot(key, value) for key, value in zip(id_keys, values, strict=True)
        ]
        present = np.array([slot for slot in slots if slot is not None], dtype=np.uint32)
        stored = fetch_records(view, collection.schema.number, present)
    found = iter(_with_vectors(collection, present, stored) if with_vectors else stored)
    return [None if slot is None else next(found) for slot in slots]


def page(
    view: View, collection: CollectionView, after: bytes | None, limit: int, *, with_vectors: bool
) -> tuple[list[Record], bytes | None]:
    """Return up to `limit` records after an id key, in id order, and the key to continue from (None at the end)."""
    prefix = keys.collection_prefix(collection.schema.number)
    # The smallest key after `after` is `after` with a zero byte appended.
    start = prefix if after is None else keys.id_table_key(collection.schema.number, after) + b"\x00"
    with view.lock:
        taken: list[tuple[bytes, int]] = []
        for key, value in view.txn.items(Table.IDS, start, keys.prefix_stop(prefix)):
            taken.append((key, codec.decode_slot(key, value)))
            if len(taken) > limit:
                break
        slots = np.array([slot for _, slot in taken[:limit]], dtype=np.uint32)
        found = fetch_records(view, collection.schema.number, slots)
    last = taken[limit - 1][0][len(prefix) :] if len(taken) > limit else None
    return _with_vectors(collection, slots, found) if with_vectors else found, last


def fetch_records(view: View, number: int, slots: Slots) -> list[Record]:
    """Return the records of live slots; the caller holds the View's lock."""
    record_keys = keys.record_keys(number, slots.tolist())
    values = _present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
    return [Record(*codec.decode_record(key, value)) for key, value in zip(record_keys, values, strict=True)]


def search_result(
    view: View,
    field: FieldView,
    number: int,
    slots: Slots,
    distances: FloatArray,
    *,
    with_metadata: bool,
    with_vectors: bool,
) -> SearchResult:
    """Return the hits of one query with their ids and what else was asked for."""
    ids = None if with_metadata else _column_ids(field, slots)
    metadata = None
    if ids is None:
        ids, metadata = _ids_and_metadata(view, number, slots.tolist(), with_metadata=with_metadata)
    return SearchResult(
        ids=ids,
        scores=scores_of(distances, field.schema.metric),
        distances=distances,
        metadata=metadata,
        vectors=field.vectors_of(slots)[1].astype(np.float32, copy=False) if with_vectors else None,
    )


def batch_results(
    view: View,
    field: FieldView,
    number: int,
    hits: Sequence[tuple[Slots, FloatArray]],
    *,
    with_metadata: bool,
    with_vectors: bool,
) -> tuple[SearchResult, ...]:
    """Return the hits of many queries; a record found by several is read once (its metadata is one shared dict)."""
    if not hits:
        return ()
    unique, positions = np.unique(np.concatenate([slots for slots, _ in hits]), return_inverse=True)
    known = None if with_metadata else _column_ids(field, unique)
    if known is None:
        ids, metadata = _ids_and_metadata(view, number, unique.tolist(), with_metadata=with_metadata)
    else:
        ids, metadata = known, None
    vectors = field.vectors_of(unique)[1].astype(np.float32, copy=False) if with_vectors else None
    results, start = [], 0
    for slots, distances in hits:
        mine = positions[start : start + len(slots)]
        listed = mine.tolist()
        results.append(
            SearchResult(
                ids=[ids[position] for position in listed],
                scores=scores_of(distances, field.schema.metric),
                distances=distances,
                metadata=None if metadata is None else [metadata[position] for position in listed],
                vectors=None if vectors is None else vectors[mine],
            )
        )
        start += len(slots)
    return tuple(results)


def _column_ids(field: FieldView, slots: Slots) -> list[RecordId] | None:
    """Name live slots from the id column of the only segment; None when they are spread, or it has no such column."""
    if len(field.segments) != 1 or field.tail.live:
        return None
    segment = field.segments[0]
    if segment.ids is None:
        return None
    return read_ids(segment.ids, segment.slot_map.rows_of(slots).tolist(), slots.tolist())


def _ids_and_metadata(
    view: View, number: int, slots: list[int], *, with_metadata: bool
) -> tuple[list[RecordId], list[Metadata] | None]:
    """Read the records at live slots: their ids, and their metadata when wanted."""
    record_keys = keys.record_keys(number, slots)
    with view.lock:
        values = _present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
    if not with_metadata:
        return codec.decode_record_ids(record_keys, values), None
    decoded = [codec.decode_record(key, value) for key, value in zip(record_keys, values, strict=True)]
    return [record_id for record_id, _ in decoded], [metadata for _, metadata in decoded]


def explained(result: SearchResult, explain: Explain) -> SearchResult:
    """Return the result with its explanation."""
    return replace(result, explain=explain)


def scores_of(distances: FloatArray, metric: Metric) -> FloatArray:
    """Turn distances (lower is better) into scores (higher is better)."""
    return np.float32(1.0) - distances if metric == "cosine" else -distances


def _present(record_keys: Sequence[bytes], values: Sequence[memoryview | None]) -> list[memoryview]:
    present = [value for value in values if value is not None]
    if len(present) != len(values):
        missing = next(key for key, value in zip(record_keys, values, strict=True) if value is None)
        raise codec.corrupt_value(Table.RECORDS, missing, "is missing")
    return present


def _with_vectors(collection: CollectionView, slots: Slots, found: list[Record]) -> list[Record]:
    vectors: list[dict[str, FloatArray]] = [{} for _ in found]
    for field in collection.fields:
        has, rows = field.vectors_of(slots)
        for position in np.flatnonzero(has):
            vectors[position][field.schema.name] = rows[position].astype(np.float32)
    return [replace(record, vectors=named) for record, named in zip(found, vectors, strict=True)]
