"""Defines what a write does: each operation reads and checks first, then changes, inside the writer's transaction.

Promises: an operation that raises has changed nothing, so the others of its commit go on. All of one operation is in
one transaction: all of it or none is ever seen.
Invariants: slots are given out in commit order and never reused; a record's old slot is marked dead in the same
transaction that gives it a new one; the tail table holds no row of a dead slot that was in the tail when it died.
Concurrency: run by one thread at a time, the one that holds the write lock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.checks.metadata import Packed, encode_metadata
from vecdb.config import SLOTS_MAX
from vecdb.engine.commit import Commit
from vecdb.engine.conditions import IDS_IN_MESSAGE, check_versions
from vecdb.engine.expiry import has_expired, read_ttl
from vecdb.engine.records import present
from vecdb.engine.schema import CollectionSchema
from vecdb.engine.state import CollectionState
from vecdb.engine.tail_rows import TailRows, encode_rows
from vecdb.engine.validate import VectorArray
from vecdb.errors import (
    LimitExceededError,
    RecordExistsError,
    RecordNotFoundError,
)
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import Metadata

if TYPE_CHECKING:
    from vecdb.engine.tail import Slots
    from vecdb.storage.transactions import WriteTransaction


@dataclass(frozen=True, slots=True)
class FieldVectors:
    """Vectors for one field: row i belongs to the record at `positions[i]` of the batch (None: row i to record i)."""

    positions: npt.NDArray[np.int64] | None
    vectors: VectorArray


@dataclass(frozen=True, slots=True)
class PutRecords:
    """Upsert or insert of a batch: `keys[i]` with `metadata[i]` (packed), vectors by field number.

    `expires[i]` is its expiry (None: none expires), `if_version[i]` the version it must have (None: any).
    """

    schema: CollectionSchema
    keys: Sequence[bytes]
    metadata: Sequence[Packed]
    vectors: Mapping[int, FieldVectors]
    mode: Literal["upsert", "insert"]
    expires: Sequence[int] | None = None
    if_version: Sequence[int | None] | None = None

    @property
    def records(self) -> int:
        """Number of ids named."""
        return len(self.keys)

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors given."""
        return sum(rows.vectors.nbytes for rows in self.vectors.values())

    def detached(self) -> PutRecords:
        """Return the operation with copies of all that the caller may still change."""
        copies = {number: replace(rows, vectors=rows.vectors.copy()) for number, rows in self.vectors.items()}
        return replace(self, vectors=copies)

    def apply(self, commit: Commit) -> int:
        """Give every record a new slot; kill the slots of those that were there."""
        schema = commit.current(self.schema, self.vectors)
        state = commit.state(self.schema.number, self.schema.name)
        found = look_up(commit, self.schema.number, self.keys)
        old = known_slots(found)
        if self.if_version is not None or (self.mode == "insert" and len(old)):
            self._check(found_versions(commit, self.schema.number, found))
        slots = new_slots(self.schema, state, len(self.keys))
        kill_slots(commit, schema, old)
        self._put(commit, slots)
        commit.states[self.schema.number] = msgspec.structs.replace(
            commit.states[self.schema.number],
            next_slot=state.next_slot + len(slots),
            live=state.live + len(slots) - len(old),
        )
        return len(slots)

    def _check(self, versions: Sequence[int]) -> None:
        if self.if_version is not None:
            check_versions(self.schema, self.keys, self.if_version, versions)
        there = [repr(keys.id_from_key(key)) for key, version in zip(self.keys, versions, strict=True) if version]
        if self.mode == "upsert" or not there:
            return
        raise RecordExistsError(
            f"insert into {self.schema.name!r}: {len(there)} of {len(self.keys)} ids exist already "
            f"({', '.join(there[:IDS_IN_MESSAGE])}{', …' if len(there) > IDS_IN_MESSAGE else ''}); "
            "nothing was inserted, use upsert to replace them",
            collection=self.schema.name,
            count=len(there),
        )

    def _put(self, commit: Commit, slots: Slots) -> None:
        number = self.schema.number
        put_records(commit.txn, number, slots, self.keys, self.metadata, commit.version, self.expires)
        commit.change(number).records.append((slots, self.metadata))
        if self.expires is not None:
            expires = np.array(self.expires, dtype=np.int64)
            note_expiring(commit, number, slots[expires != codec.NEVER], expires[expires != codec.NEVER])
        for number, rows in self.vectors.items():
            mine = slots if rows.positions is None else slots[rows.positions]
            put_tail(commit, self.schema.number, number, mine, rows.vectors)


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """Update of one record: metadata keys given replace those stored; vectors given replace those of their field.

    Vectors of a field that follows what changes in the metadata go, where none are given.
    `expires` is its new expiry; None: what its metadata says where that is written and decides, else the one it has.
    """

    schema: CollectionSchema
    key: bytes
    metadata: Mapping[str, Any] | None
    vectors: Mapping[int, VectorArray]
    expires: int | None = None
    if_version: int | None = None

    @property
    def records(self) -> int:
        """Number of ids named."""
        return 1

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors given."""
        return sum(vector.nbytes for vector in self.vectors.values())

    def detached(self) -> UpdateRecord:
        """Return the operation with copies of all that the caller may still change."""
        return replace(self, vectors={number: vector.copy() for number, vector in self.vectors.items()})

    def apply(self, commit: Commit) -> int:
        """Rewrite the record in place, or move it to a new slot when a vector changes or goes."""
        number = self.schema.number
        schema = commit.current(self.schema, self.vectors)
        state = commit.state(number, self.schema.name)
        old, stored, before = self._find(commit)
        merged = {**stored, **(self.metadata or {})}
        packed = encode_metadata(merged, 0)
        expires = self._expires(stored, before)
        outdated = schema.outdated(stored, merged)
        kept = kept_vectors(commit, schema, old, self.vectors) if self.vectors or outdated else {}
        if not self.vectors and outdated.isdisjoint(kept):
            put_records(commit.txn, number, old, [self.key], [packed], commit.version, [expires])
            commit.change(number).records.append((old, [packed]))
            commit.change(number).rewritten.append(old)
            if expires != before:
                note_expiring(commit, number, old, np.array([expires], dtype=np.int64))
            return 1
        vectors = {field: rows for field, (_, rows) in kept.items() if field not in outdated} | dict(self.vectors)
        slots = new_slots(self.schema, state, 1)
        kill_slots(commit, schema, old)
        put_records(commit.txn, number, slots, [self.key], [packed], commit.version, [expires])
        commit.change(number).records.append((slots, [packed]))
        if expires != codec.NEVER:
            note_expiring(commit, number, slots, np.array([expires], dtype=np.int64))
        for field_number, vector in vectors.items():
            put_tail(commit, number, field_number, slots, vector)
        commit.states[number] = msgspec.structs.replace(commit.states[number], next_slot=state.next_slot + 1)
        return 1

    def _find(self, commit: Commit) -> tuple[Slots, Metadata, int]:
        """Slot (as an array), metadata and expiry of the record; its errors when it is not there or not as expected."""
        old = known_slots(look_up(commit, self.schema.number, [self.key]))
        metadata, version, expires = Metadata(), 0, codec.NEVER
        if len(old):
            [key], [value] = stored_records(commit, self.schema.number, old)
            _, metadata, version, expires = codec.decode_whole_record(key, value)
            version = 0 if has_expired(expires, commit.now) else version
        check_versions(self.schema, [self.key], [self.if_version], [version])
        if version:
            return old, metadata, expires
        raise RecordNotFoundError(
            f"collection {self.schema.name!r} has no record {keys.id_from_key(self.key)!r:.80}; upsert creates it",
            collection=self.schema.name,
        )

    def _expires(self, stored: Metadata, before: int) -> int:
        if self.expires is not None:
            return self.expires
        if self.metadata is None or self.schema.ttl_field is None:
            return before
        return read_ttl(self.schema.ttl_field, {**stored, **self.metadata}, 0)


@dataclass(frozen=True, slots=True)
class DeleteRecords:
    """Deletion by id; ids that do not exist are passed over. `if_version` as in PutRecords."""

    FREES_ROOM: ClassVar[bool] = True

    schema: CollectionSchema
    keys: Sequence[bytes]
    if_version: Sequence[int | None] | None = None

    @property
    def records(self) -> int:
        """Number of ids named."""
        return len(self.keys)

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors given: none."""
        return 0

    def detached(self) -> DeleteRecords:
        """Return the operation itself: the caller holds nothing of it."""
        return self

    def apply(self, commit: Commit) -> int:
        """Remove ids and records, kill their slots; returns how many existed, those that had expired left out."""
        number = self.schema.number
        schema = commit.current(self.schema)
        state = commit.state(number, self.schema.name)
        found = look_up(commit, number, self.keys)
        versions = found_versions(commit, number, found)
        if self.if_version is not None:
            check_versions(self.schema, self.keys, self.if_version, versions)
        old = known_slots(found)
        for key in self.keys:
            commit.txn.delete(Table.IDS, keys.id_table_key(number, key))
        kill_slots(commit, schema, old)
        commit.states[number] = msgspec.structs.replace(state, live=state.live - len(old))
        return sum(version > 0 for version in versions)


def look_up(commit: Commit, collection: int, id_keys: Sequence[bytes]) -> list[int | None]:
    """Return the slot of each id, None where there is none. Records that have expired still have one."""
    wanted = [keys.id_table_key(collection, key) for key in id_keys]
    values = commit.txn.get_many(Table.IDS, wanted)
    return [None if value is None else codec.decode_slot(key, value) for key, value in zip(wanted, values, strict=True)]


def known_slots(found: Sequence[int | None]) -> Slots:
    """Return the slots of `look_up` without the gaps."""
    return np.array([slot for slot in found if slot is not None], dtype=np.uint32)


def stored_records(commit: Commit, collection: int, slots: Slots) -> tuple[list[bytes], list[memoryview]]:
    """Return the keys and values of the records of live slots."""
    record_keys = keys.record_keys(collection, slots.tolist())
    return record_keys, present(record_keys, commit.txn.get_many(Table.RECORDS, record_keys))


def found_versions(commit: Commit, collection: int, found: Sequence[int | None]) -> list[int]:
    """Return the version of the record at each slot of `look_up`; 0 where there is none or it has expired."""
    heads = iter(codec.decode_record_heads(*stored_records(commit, collection, known_slots(found))))
    versions = []
    for slot in found:
        version, expires = (0, codec.NEVER) if slot is None else next(heads)
        versions.append(0 if has_expired(expires, commit.now) else version)
    return versions


def note_expiring(commit: Commit, collection: int, slots: Slots, expires: npt.NDArray[np.int64]) -> None:
    """Tell the next View when slots expire."""
    if len(slots):
        commit.change(collection).expiring.append((slots, expires))


def new_slots(schema: CollectionSchema, state: CollectionState, count: int) -> Slots:
    """Return the next `count` slots of the collection."""
    if state.next_slot + count > SLOTS_MAX:
        raise LimitExceededError(
            f"collection {schema.name!r} has used {state.next_slot} of {SLOTS_MAX} record versions; "
            "copy it into a new collection to go on",
            collection=schema.name,
        )
    return np.arange(state.next_slot, state.next_slot + count, dtype=np.uint32)


def kept_vectors(
    commit: Commit, schema: CollectionSchema, slots: Slots, besides: Collection[int] = ()
) -> dict[int, tuple[npt.NDArray[np.int64], VectorArray]]:
    """Vectors that records at live slots have, by field number: positions in `slots`, ascending, and a row for each.

    Fields `besides` and fields of which none of them has a vector are left out.
    """
    kept = {}
    for field in schema.fields:
        if field.number not in besides:
            positions, rows = stored_vectors(commit, schema, field.number, slots)
            if len(positions):
                kept[field.number] = positions, rows
    return kept


def stored_vectors(
    commit: Commit, schema: CollectionSchema, number: int, slots: Slots
) -> tuple[npt.NDArray[np.int64], VectorArray]:
    """See `kept_vectors`: of one field, as stored before this commit or by the operations before this one."""
    field = schema.numbered(number)
    assert field is not None  # one of the schema
    rows = np.zeros((len(slots), field.dim), dtype=field.dtype)
    has = np.zeros(len(slots), dtype=np.bool_)
    view = commit.view.collections.get(schema.number)
    known = None if view is None else view.numbered(number)
    if known is not None:
        has, rows = known.vectors_of(slots)
    change = commit.changes.get(schema.number)
    for part in () if change is None else change.appended.get(number, ()):
        at = np.argsort(part.slots)
        places = at[np.minimum(np.searchsorted(part.slots, slots, sorter=at), len(at) - 1)]
        hit = part.slots[places] == slots
        rows[hit], has[hit] = part.vectors[places[hit]], True
    positions = np.flatnonzero(has)
    return positions, rows[positions]


def kill_slots(commit: Commit, schema: CollectionSchema, slots: Slots) -> None:
    """Remove the records and tail rows of slots and note them for the tombstones."""
    if not len(slots):
        return
    # of the commit: a field may have been added since the operation was prepared
    state, fields = commit.states[schema.number], commit.schemas[schema.number].fields
    for slot in slots.tolist():
        commit.txn.delete(Table.RECORDS, keys.record_key(schema.number, slot))
        for declared in fields:
            # where rows are numbered by arrival, whoever loads the tail looks at the tombstones
            if state.fields[declared.number].next_row is None and slot >= state.fields[declared.number].indexed_upto:
                commit.txn.delete(Table.TAIL, keys.tail_key(schema.number, declared.number, slot))
    commit.change(schema.number).killed.append(slots)


def put_records(
    txn: WriteTransaction,
    collection: int,
    slots: Slots,
    id_keys: Sequence[bytes],
    metadata: Sequence[Packed],
    version: int,
    expires: Sequence[int] | None,
) -> None:
    """Store the id and record rows of a batch. `expires` None: none of them does."""
    listed = slots.tolist()
    ids = [keys.id_table_key(collection, key) for key in id_keys]
    txn.put_many(Table.IDS, sorted(codec.encode_slots(ids, listed)))
    record_keys = keys.record_keys(collection, listed)
    _put_newest(txn, Table.RECORDS, codec.encode_records(record_keys, id_keys, metadata, version, expires))


def put_tail(commit: Commit, collection: int, field_number: int, slots: Slots, vectors: VectorArray) -> None:
    """Store tail rows, numbered where they are numbered by arrival, and note them for the next View."""
    if not len(slots):
        return
    state = commit.states[collection]
    stored, numbers = state.fields[field_number], slots
    if stored.next_row is not None:
        numbers = np.arange(stored.next_row, stored.next_row + len(slots), dtype=np.uint32)
        after = msgspec.structs.replace(stored, next_row=stored.next_row + len(slots))
        commit.states[collection] = state.with_field(field_number, after)
    rows = TailRows(slots, vectors, numbers)
    tail_keys = keys.tail_keys(collection, field_number, numbers.tolist())
    _put_newest(commit.txn, Table.TAIL, encode_rows(tail_keys, rows, by_arrival=stored.next_row is not None))
    commit.change(collection).appended.setdefault(field_number, []).append(rows)


def _put_newest(txn: WriteTransaction, table: Table, items: Sequence[tuple[bytes, bytes]]) -> None:
    """Store items that mostly lie beyond the table's last key: appending fills pages that a split leaves half empty."""
    ascending = sorted(items)
    last = txn.last_key(table)
    txn.put_many(table, ascending, append=bool(items) and (last is None or last < ascending[0][0]))
