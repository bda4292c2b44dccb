"""Defines what a write does: each operation reads and checks first, then changes, inside the writer's transaction.

Promises: an operation that raises has changed nothing, so the others of its commit go on. All of one operation is in
one transaction: all of it or none is ever seen.
Invariants: slots are given out in commit order and never reused; a record's old slot is marked dead in the same
transaction that gives it a new one; the tail table holds no row of a dead slot that was in the tail when it died.
Concurrency: run by one thread at a time, the one that holds the write lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.config import COLLECTIONS_MAX, SLOTS_MAX
from vecdb.engine.metadata import Packed, encode_metadata
from vecdb.engine.schema import CollectionSchema
from vecdb.engine.state import COUNTERS_KEY, CollectionState, Counters, FieldState, collection_key
from vecdb.engine.validate import VectorArray
from vecdb.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    LimitExceededError,
    RecordExistsError,
    RecordNotFoundError,
)
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import View
    from vecdb.storage.transactions import WriteTransaction

IDS_IN_MESSAGE = 5


@dataclass(slots=True)
class Change:
    """What one commit did to one collection, gathered for the log and for the next View."""

    killed: list[Slots] = field(default_factory=list)
    appended: dict[int, list[tuple[Slots, VectorArray]]] = field(default_factory=dict)

    def killed_slots(self) -> Slots:
        """All slots killed, ascending."""
        return np.sort(np.concatenate(self.killed)) if self.killed else np.zeros(0, dtype=np.uint32)


@dataclass(slots=True)
class Commit:
    """The transaction being filled: what operations read from and write to."""

    txn: WriteTransaction
    view: View
    states: dict[int, CollectionState]
    schemas: dict[int, CollectionSchema]
    changes: dict[int, Change] = field(default_factory=dict)
    catalog_changed: bool = False

    @property
    def changed(self) -> bool:
        """Whether an operation changed what a View shows; without, the commit takes no seq."""
        return bool(self.changes) or self.catalog_changed

    @property
    def seq(self) -> int:
        """Seq of the commit."""
        return self.view.seq + self.changed

    def state(self, collection: int, name: str) -> CollectionState:
        """State of a collection as of the operations before this one."""
        found = self.states.get(collection)
        if found is None:
            raise CollectionNotFoundError(f"collection {name!r} does not exist (any more)", collection=name)
        return found

    def change(self, collection: int) -> Change:
        """Change record of a collection, made on first use."""
        return self.changes.setdefault(collection, Change())

    def counters(self) -> Counters:
        """Database-wide counters."""
        value = self.txn.get(Table.STATE, COUNTERS_KEY)
        return Counters() if value is None else codec.decode_struct(Table.STATE, COUNTERS_KEY, value, Counters)

    def put_counters(self, counters: Counters) -> None:
        """Store the database-wide counters."""
        self.txn.put(Table.STATE, COUNTERS_KEY, codec.encode_struct(Table.STATE, COUNTERS_KEY, counters))


class Operation(Protocol):
    """One caller's write."""

    def apply(self, commit: Commit) -> int:
        """Do it inside `commit`; returns the number of records concerned."""
        ...


@dataclass(frozen=True, slots=True)
class FieldVectors:
    """Vectors for one field: row i belongs to the record at `positions[i]` of the batch (None: row i to record i)."""

    positions: npt.NDArray[np.int64] | None
    vectors: VectorArray


@dataclass(frozen=True, slots=True)
class PutRecords:
    """Upsert or insert of a batch: `keys[i]` with `metadata[i]` (packed), vectors by field number."""

    schema: CollectionSchema
    keys: Sequence[bytes]
    metadata: Sequence[Packed]
    vectors: Mapping[int, FieldVectors]
    mode: Literal["upsert", "insert"]

    def apply(self, commit: Commit) -> int:
        """Give every record a new slot; kill the slots of those that were there."""
        state = commit.state(self.schema.number, self.schema.name)
        old = find_slots(commit, self.schema.number, self.keys)
        if self.mode == "insert" and len(old):
            self._refuse(commit)
        slots = new_slots(self.schema, state, len(self.keys))
        kill_slots(commit, self.schema, old)
        self._put(commit, slots)
        commit.states[self.schema.number] = msgspec.structs.replace(
            state, next_slot=state.next_slot + len(slots), live=state.live + len(slots) - len(old)
        )
        return len(slots)

    def _refuse(self, commit: Commit) -> None:
        there = [
            repr(keys.id_from_key(key))
            for key in self.keys
            if commit.txn.get(Table.IDS, keys.id_table_key(self.schema.number, key))
        ]
        raise RecordExistsError(
            f"insert into {self.schema.name!r}: {len(there)} of {len(self.keys)} ids exist already "
            f"({', '.join(there[:IDS_IN_MESSAGE])}{', …' if len(there) > IDS_IN_MESSAGE else ''}); "
            "nothing was inserted, use upsert to replace them",
            collection=self.schema.name,
            count=len(there),
        )

    def _put(self, commit: Commit, slots: Slots) -> None:
        put_records(commit.txn, self.schema.number, slots, self.keys, self.metadata)
        for number, rows in self.vectors.items():
            mine = slots if rows.positions is None else slots[rows.positions]
            put_tail(commit, self.schema.number, number, mine, rows.vectors)


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """Update of one record: metadata keys given replace those stored; vectors given replace those of their field."""

    schema: CollectionSchema
    key: bytes
    metadata: Mapping[str, Any] | None
    vectors: Mapping[int, VectorArray]

    def apply(self, commit: Commit) -> int:
        """Rewrite the record in place, or move it to a new slot when a vector changes."""
        number = self.schema.number
        state = commit.state(number, self.schema.name)
        old = find_slots(commit, number, [self.key])
        if not len(old):
            raise RecordNotFoundError(
                f"collection {self.schema.name!r} has no record {keys.id_from_key(self.key)!r:.80}; upsert creates it",
                collection=self.schema.name,
            )
        packed = self._merged(commit, int(old[0]))
        if not self.vectors:
            put_records(commit.txn, number, old, [self.key], [packed])
            commit.change(number)
            return 1
        vectors = self._kept_vectors(commit, old) | dict(self.vectors)
        slots = new_slots(self.schema, state, 1)
        kill_slots(commit, self.schema, old)
        put_records(commit.txn, number, slots, [self.key], [packed])
        for field_number, vector in vectors.items():
            put_tail(commit, number, field_number, slots, vector)
        commit.states[number] = msgspec.structs.replace(state, next_slot=state.next_slot + 1)
        return 1

    def _merged(self, commit: Commit, slot: int) -> Packed:
        key = keys.record_key(self.schema.number, slot)
        value = commit.txn.get(Table.RECORDS, key)
        if value is None:
            raise codec.corrupt_value(Table.RECORDS, key, "is missing")
        _, stored = codec.decode_record(key, value)
        return encode_metadata({**stored, **(self.metadata or {})}, 0)

    def _kept_vectors(self, commit: Commit, old: Slots) -> dict[int, VectorArray]:
        kept = {}
        for declared in self.schema.fields:
            if declared.number in self.vectors:
                continue
            key = keys.tail_key(self.schema.number, declared.number, int(old[0]))
            value = commit.txn.get(Table.TAIL, key)
            if value is not None:
                kept[declared.number] = codec.decode_vectors([key], [value], declared.dim, declared.dtype)
                continue
            view = commit.view.collections.get(self.schema.number)
            if view is None:
                continue
            found, vectors = view.fields[declared.number].vectors_of(old)
            if found[0]:
                kept[declared.number] = vectors
        return kept


@dataclass(frozen=True, slots=True)
class DeleteRecords:
    """Deletion by id; ids that do not exist are passed over."""

    schema: CollectionSchema
    keys: Sequence[bytes]

    def apply(self, commit: Commit) -> int:
        """Remove ids and records, kill their slots; returns how many existed."""
        number = self.schema.number
        state = commit.state(number, self.schema.name)
        old = find_slots(commit, number, self.keys)
        for key in self.keys:
            commit.txn.delete(Table.IDS, keys.id_table_key(number, key))
        kill_slots(commit, self.schema, old)
        commit.states[number] = msgspec.structs.replace(state, live=state.live - len(old))
        return len(old)


@dataclass(frozen=True, slots=True)
class CreateCollection:
    """Creation of a collection; its number was not known before the commit."""

    build: Any
    name: str

    def apply(self, commit: Commit) -> int:
        """Number the collection and enter it into the catalog; returns its number."""
        if any(schema.name == self.name for schema in commit.schemas.values()):
            raise CollectionExistsError(
                f"collection {self.name!r} exists already; use db.collection({self.name!r}) or pass exist_ok=True",
                collection=self.name,
            )
        check_room(commit)
        counters = commit.counters()
        schema: CollectionSchema = self.build(counters.next_collection)
        state = CollectionState(next_slot=0, live=0, fields=tuple(FieldState() for _ in schema.fields))
        key = keys.catalog_key(self.name)
        commit.txn.put(Table.CATALOG, key, codec.encode_struct(Table.CATALOG, key, schema))
        commit.put_counters(msgspec.structs.replace(counters, next_collection=schema.number + 1))
        commit.schemas[schema.number] = schema
        commit.states[schema.number] = state
        commit.change(schema.number)
        commit.catalog_changed = True
        return schema.number


@dataclass(frozen=True, slots=True)
class DropCollection:
    """Removal of a collection from the catalog; its bytes are swept afterwards in small transactions."""

    schema: CollectionSchema

    def apply(self, commit: Commit) -> int:
        """Remove it and remember its number for the sweep; returns the records dropped."""
        number = self.schema.number
        state = commit.state(number, self.schema.name)
        commit.txn.delete(Table.CATALOG, keys.catalog_key(self.schema.name))
        commit.txn.delete(Table.STATE, collection_key(number))
        counters = commit.counters()
        commit.put_counters(msgspec.structs.replace(counters, dropped=(*counters.dropped, number)))
        del commit.schemas[number], commit.states[number]
        commit.changes.pop(number, None)
        commit.catalog_changed = True
        return state.live


def check_room(commit: Commit) -> None:
    """LimitExceededError when the database holds as many collections as are possible."""
    if len(commit.schemas) >= COLLECTIONS_MAX:
        raise LimitExceededError(f"the database holds {COLLECTIONS_MAX} collections, the most possible")


def find_slots(commit: Commit, collection: int, id_keys: Sequence[bytes]) -> Slots:
    """Return the slots of those ids that exist, in the order given."""
    wanted = [keys.id_table_key(collection, key) for key in id_keys]
    values = commit.txn.get_many(Table.IDS, wanted)
    found = [codec.decode_slot(key, value) for key, value in zip(wanted, values, strict=True) if value is not None]
    return np.array(found, dtype=np.uint32)


def new_slots(schema: CollectionSchema, state: CollectionState, count: int) -> Slots:
    """Return the next `count` slots of the collection."""
    if state.next_slot + count > SLOTS_MAX:
        raise LimitExceededError(
            f"collection {schema.name!r} has used {state.next_slot} of {SLOTS_MAX} record versions; "
            "copy it into a new collection to go on",
            collection=schema.name,
        )
    return np.arange(state.next_slot, state.next_slot + count, dtype=np.uint32)


def kill_slots(commit: Commit, schema: CollectionSchema, slots: Slots) -> None:
    """Remove the records and tail rows of slots and note them for the tombstones."""
    if not len(slots):
        return
    state = commit.states[schema.number]
    for slot in slots.tolist():
        commit.txn.delete(Table.RECORDS, keys.record_key(schema.number, slot))
        for declared in schema.fields:
            if slot >= state.fields[declared.number].indexed_upto:
                commit.txn.delete(Table.TAIL, keys.tail_key(schema.number, declared.number, slot))
    commit.change(schema.number).killed.append(slots)


def put_records(
    txn: WriteTransaction, collection: int, slots: Slots, id_keys: Sequence[bytes], metadata: Sequence[Packed]
) -> None:
    """Store the id and record rows of a batch."""
    listed = slots.tolist()
    ids = [keys.id_table_key(collection, key) for key in id_keys]
    txn.put_many(Table.IDS, sorted(codec.encode_slots(ids, listed)))
    _put_newest(txn, Table.RECORDS, codec.encode_records(keys.record_keys(collection, listed), id_keys, metadata))


def put_tail(commit: Commit, collection: int, field_number: int, slots: Slots, vectors: VectorArray) -> None:
    """Store tail rows and note them for the next View."""
    tail_keys = keys.tail_keys(collection, field_number, slots.tolist())
    _put_newest(commit.txn, Table.TAIL, codec.encode_vectors(tail_keys, vectors))
    commit.change(collection).appended.setdefault(field_number, []).append((slots, vectors))


def _put_newest(txn: WriteTransaction, table: Table, items: Sequence[tuple[bytes, bytes]]) -> None:
    """Store items that mostly lie beyond the table's last key: appending fills pages that a split leaves half empty."""
    ascending = sorted(items)
    last = txn.last_key(table)
    txn.put_many(table, ascending, append=bool(items) and (last is None or last < ascending[0][0]))
