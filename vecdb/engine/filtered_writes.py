"""Deletes and updates the records that a filter matches.

Promises: the records are those that match when the write is committed, found in the transaction that changes them.
Concurrency: run by the thread that commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from vecdb.engine.expiry import has_expired
from vecdb.engine.filtering import matching
from vecdb.engine.operations import DeleteRecords, UpdateRecord, stored_records, stored_vectors
from vecdb.filters.nodes import And, Filter, HasId, HasVector, Not, Or, Slice
from vecdb.filters.predicate import in_slice, is_metadata_only, metadata_predicate
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.commit import Commit
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.tail import Slots
    from vecdb.types import Metadata, RecordId


@dataclass(frozen=True, slots=True)
class _WriteMatching:
    """A write to all records that a filter matches: it names none, and holds nothing that the caller may change."""

    schema: CollectionSchema
    wanted: Filter

    @property
    def records(self) -> int:
        """Number of ids named: none."""
        return 0

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors given: none."""
        return 0

    def detached(self) -> Self:
        """Return the operation itself."""
        return self


@dataclass(frozen=True, slots=True)
class DeleteMatching(_WriteMatching):
    """Deletes all records that a filter matches."""

    FREES_ROOM: ClassVar[bool] = True

    def apply(self, commit: Commit) -> int:
        """Find and delete them; returns how many."""
        id_keys = matching_keys(commit, self.schema, self.wanted)
        return DeleteRecords(self.schema, id_keys).apply(commit) if id_keys else 0


@dataclass(frozen=True, slots=True)
class UpdateMatching(_WriteMatching):
    """Merges metadata, a copy, into that of all records that a filter matches."""

    metadata: Mapping[str, Any]

    def apply(self, commit: Commit) -> int:
        """Find and update them; returns how many."""
        id_keys = matching_keys(commit, self.schema, self.wanted)
        return sum(UpdateRecord(self.schema, key, self.metadata, {}).apply(commit) for key in id_keys)


def matching_keys(commit: Commit, schema: CollectionSchema, wanted: Filter) -> list[bytes]:
    """Id keys of the records that match, as the operations before this one in the commit have left them."""
    schema = commit.current(schema)
    view, state = commit.view.collections.get(schema.number), commit.state(schema.number, schema.name)
    slots = np.zeros(0, dtype=np.uint32) if view is None else matching(commit.view, view, wanted).slots()
    change = commit.changes.get(schema.number)
    if change is not None:
        known = 0 if view is None else view.state.next_slot
        changed = np.concatenate([change.rewritten_slots(), *change.filled])
        touched = np.union1d(changed, np.arange(known, state.next_slot, dtype=np.uint32))
        untouched = slots[~np.isin(slots, np.concatenate([touched, change.killed_slots()]))]
        slots = np.concatenate([untouched, _holding(commit, schema, wanted, touched)])
    found = []
    for key, value in zip(*stored_records(commit, schema.number, slots), strict=True):
        record_id, _, _, expires = codec.decode_whole_record(key, value)
        if not has_expired(expires, commit.now):
            found.append(keys.id_key(record_id))
    return found


def _holding(commit: Commit, schema: CollectionSchema, wanted: Filter, slots: Slots) -> Slots:
    """Those of the slots that have a record, and one that matches."""
    kept = []
    record_keys = keys.record_keys(schema.number, slots.tolist())
    values = commit.txn.get_many(Table.RECORDS, record_keys)
    for slot, key, value in zip(slots.tolist(), record_keys, values, strict=True):
        if value is not None:
            record_id, metadata = codec.decode_record(key, value)
            if _holds(commit, schema, wanted, slot, record_id, metadata):
                kept.append(slot)
    return np.array(kept, dtype=np.uint32)


def _holds(
    commit: Commit, schema: CollectionSchema, wanted: Filter, slot: int, record_id: RecordId, metadata: Metadata
) -> bool:
    """Whether one record, written in this commit, matches."""
    if is_metadata_only(wanted):
        return metadata_predicate(wanted)(metadata)
    if isinstance(wanted, (And, Or)):
        parts = (_holds(commit, schema, part, slot, record_id, metadata) for part in wanted.parts)
        return all(parts) if isinstance(wanted, And) else any(parts)
    if isinstance(wanted, Not):
        return not _holds(commit, schema, wanted.part, slot, record_id, metadata)
    if isinstance(wanted, HasId):
        return keys.id_key(record_id) in set(map(keys.id_key, wanted.ids))
    if isinstance(wanted, Slice):
        return in_slice(wanted, keys.id_key(record_id))
    assert isinstance(wanted, HasVector)
    return _has_vector(commit, schema, wanted.field, slot)


def _has_vector(commit: Commit, schema: CollectionSchema, name: str, slot: int) -> bool:
    number = schema.field(name).number
    positions, _ = stored_vectors(commit, schema, number, np.array([slot], dtype=np.uint32))
    return bool(len(positions))
