"""Fetches records of a View: by id and by page.

Promises: what has expired is absent, whether it was removed yet or not. Ids, metadata and vectors returned are those of
the View's seq. Damaged values raise CorruptionError.
Concurrency: LMDB allows a read transaction to one thread at a time, so each fetch holds the View's lock to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from vecdb.config import SCAN_RECORDS
from vecdb.engine import clock
from vecdb.engine.expiry import has_expired, instant
from vecdb.engine.interruption import check_bytes, check_interruption
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import Record, RecordId

if TYPE_CHECKING:
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView, View
    from vecdb.types import FloatArray

Found = TypeVar("Found")

Decoded: TypeAlias = tuple[RecordId, Any, int, int]
"""Id, metadata, version and expiry of a record."""

Decode: TypeAlias = Callable[[Sequence[bytes], Sequence[memoryview]], Iterable[Decoded]]
"""What makes them of the keys and values that are stored."""


def exists(view: View, collection: CollectionView, key: bytes) -> bool:
    """Return whether a record with this id key exists."""
    id_key = keys.id_table_key(collection.schema.number, key)
    with view.lock:
        value = view.txn.get(Table.IDS, id_key)
        if value is None:
            return False
        record_keys = [keys.record_key(collection.schema.number, codec.decode_slot(id_key, value))]
        values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
        [(_, expires)] = codec.decode_record_heads(record_keys, values)
    return not has_expired(expires, clock.now_micros())


def get_records(
    view: View, collection: CollectionView, wanted: Sequence[bytes], decode: Decode, *, with_vectors: bool
) -> list[Record | None]:
    """Return the records of id keys, None where there is none."""
    id_keys = [keys.id_table_key(collection.schema.number, key) for key in wanted]
    with view.lock:
        values = view.txn.get_many(Table.IDS, id_keys)
        slots = [
            None if value is None else codec.decode_slot(key, value) for key, value in zip(id_keys, values, strict=True)
        ]
        known = np.array([slot for slot in slots if slot is not None], dtype=np.uint32)
        stored = fetch_records(view, collection.schema.number, known, decode)
    found = iter(with_vectors_of(collection, known, stored) if with_vectors else stored)
    records = [None if slot is None else next(found) for slot in slots]
    now = clock.now_micros()
    return [None if record is None or _is_expired(record, now) else record for record in records]


def page(
    view: View, collection: CollectionView, after: bytes | None, limit: int, decode: Decode, *, with_vectors: bool
) -> tuple[list[Record], bytes | None]:
    """Return up to `limit` records after an id key, in id order, and the key to continue from (None at the end)."""
    now, found = clock.now_micros(), list[Record]()
    while True:
        part, after = _stored_page(view, collection, after, limit - len(found), decode, with_vectors=with_vectors)
        found += [record for record in part if not _is_expired(record, now)]
        if after is None or len(found) == limit:
            return found, after


def _stored_page(
    view: View, collection: CollectionView, after: bytes | None, limit: int, decode: Decode, *, with_vectors: bool
) -> tuple[list[Record], bytes | None]:
    """As `page`, with those that have expired."""
    with view.lock:
        taken = list(islice(ids_after(view, collection, after), limit + 1))
        slots = np.array([slot for _, slot in taken[:limit]], dtype=np.uint32)
        found = fetch_records(view, collection.schema.number, slots, decode)
    last = taken[limit - 1][0] if len(taken) > limit else None
    return with_vectors_of(collection, slots, found) if with_vectors else found, last


def ids_after(view: View, collection: CollectionView, after: bytes | None) -> Iterator[tuple[bytes, int]]:
    """Yield id keys beyond `after` in order, with their slots.

    The caller holds the View's lock until it has let go of the iterator, which has a cursor open.
    """
    prefix = keys.collection_prefix(collection.schema.number)
    # The smallest key after `after` is `after` with a zero byte appended.
    start = prefix if after is None else prefix + after + b"\x00"
    for key, value in view.txn.items(Table.IDS, start, keys.prefix_stop(prefix)):
        yield key[len(prefix) :], codec.decode_slot(key, value)


def read_stored(
    view: View,
    collection: CollectionView,
    slots: Slots,
    read: Callable[[Sequence[bytes], Sequence[memoryview]], Iterable[Found]],
) -> Iterator[Found]:
    """Yield what `read` makes of the record keys and stored values of live slots, in the order given.

    Holds the View's lock for SCAN_RECORDS at a time, never while the caller works; values are void after `read`.
    """
    for start in range(0, len(slots), SCAN_RECORDS):
        check_interruption()
        record_keys = keys.record_keys(collection.schema.number, slots[start : start + SCAN_RECORDS].tolist())
        with view.lock:
            values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
            found = list(read(record_keys, values))
        yield from found


def fetch_records(view: View, number: int, slots: Slots, decode: Decode = codec.decode_whole_records) -> list[Record]:
    """Return the records of live slots, those that have expired too; the caller holds the View's lock."""
    record_keys = keys.record_keys(number, slots.tolist())
    values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
    check_bytes(values)
    return [
        Record(record_id, metadata, version, instant(expires))
        for record_id, metadata, version, expires in decode(record_keys, values)
    ]


def _is_expired(record: Record, now: int) -> bool:
    return record.expires_at is not None and has_expired(clock.micros(record.expires_at), now)


def present(record_keys: Sequence[bytes], values: Sequence[memoryview | None]) -> list[memoryview]:
    """Return the values; CorruptionError when one is missing, for a live slot has a record."""
    found = [value for value in values if value is not None]
    if len(found) != len(values):
        missing = next(key for key, value in zip(record_keys, values, strict=True) if value is None)
        raise codec.corrupt_value(Table.RECORDS, missing, "is missing")
    return found


def with_vectors_of(collection: CollectionView, slots: Slots, found: list[Record]) -> list[Record]:
    """Return the records, found at `slots`, with their vectors."""
    vectors: list[dict[str, FloatArray]] = [{} for _ in found]
    for field in collection.fields:
        has, rows = field.vectors_of(slots)
        for position in np.flatnonzero(has):
            vectors[position][field.schema.name] = rows[position].astype(np.float32)
    return [replace(record, vectors=named) for record, named in zip(found, vectors, strict=True)]
