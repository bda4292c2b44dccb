"""Defines the writes of many records that are more than one of `operations`: vectors alone, and swaps.

Promises: as `operations`: what raises has changed nothing.
Concurrency: run by one thread at a time, the one that holds the write lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.engine.conditions import check_versions
from vecdb.engine.operations import (
    DeleteRecords,
    FieldVectors,
    PutRecords,
    UpdateRecord,
    found_versions,
    kept_vectors,
    kill_slots,
    look_up,
    new_slots,
    note_expiring,
    put_records,
    put_tail,
    stored_records,
    stored_vectors,
)
from vecdb.errors import RecordNotFoundError
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.commit import Commit, Operation
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.tail import Slots
    from vecdb.engine.validate import VectorArray


@dataclass(frozen=True, slots=True)
class SetVectors:
    """Vectors, by field number, of the records of `keys`, which exist; all else that they hold stays.

    With `skip_changed`, records that do not exist or have another version than `if_version` says are passed over.
    """

    schema: CollectionSchema
    keys: Sequence[bytes]
    vectors: Mapping[int, FieldVectors]
    if_version: Sequence[int | None] | None = None
    skip_changed: bool = False

    @property
    def records(self) -> int:
        """Number of ids named."""
        return len(self.keys)

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors given."""
        return sum(rows.vectors.nbytes for rows in self.vectors.values())

    def detached(self) -> SetVectors:
        """Return the operation with copies of all that the caller may still change."""
        copies = {number: replace(rows, vectors=rows.vectors.copy()) for number, rows in self.vectors.items()}
        return replace(self, vectors=copies)

    def apply(self, commit: Commit) -> int:
        """Fill the records that have no such vector yet, move the others to new slots; returns how many."""
        number = self.schema.number
        schema = commit.current(self.schema, self.vectors)
        found = look_up(commit, number, self.keys)
        chosen = self._chosen(found_versions(commit, number, found))
        if not len(chosen):
            return 0
        old = np.array([found[position] for position in chosen.tolist()], dtype=np.uint32)
        stays = self._staying(commit, schema, chosen, old)
        slots = new_slots(schema, commit.states[number], int((~stays).sum()))
        self._fill(commit, chosen[stays], old[stays])
        self._move(commit, schema, chosen[~stays], old[~stays], slots)
        return len(chosen)

    def _staying(
        self, commit: Commit, schema: CollectionSchema, chosen: npt.NDArray[np.int64], old: Slots
    ) -> npt.NDArray[np.bool_]:
        """Which of the chosen records stay where they are: those that get nothing but vectors they did not have."""
        stays = np.ones(len(chosen), dtype=np.bool_)
        for field, given in self.vectors.items():
            positions, _ = _part(given, chosen)
            if commit.states[schema.number].fields[field].next_row is None:
                stays[positions] = False
            else:
                stays[np.intersect1d(positions, stored_vectors(commit, schema, field, old)[0])] = False
        return stays

    def _fill(self, commit: Commit, chosen: npt.NDArray[np.int64], slots: Slots) -> None:
        """Store vectors of records that had none in these fields, and write the records anew for their version."""
        if not len(slots):
            return
        number = self.schema.number
        record_keys, metadata, expires = _content(commit, number, slots)
        id_keys = [self.keys[position] for position in chosen.tolist()]
        records = codec.encode_records(record_keys, id_keys, metadata, commit.version, expires)
        commit.txn.put_many(Table.RECORDS, sorted(records))
        commit.change(number).filled.append(slots)
        for field, given in self.vectors.items():
            positions, rows = _part(given, chosen)
            put_tail(commit, number, field, slots[positions], rows)

    def _move(
        self, commit: Commit, schema: CollectionSchema, chosen: npt.NDArray[np.int64], old: Slots, slots: Slots
    ) -> None:
        """Store records in new slots, with the vectors given and those kept."""
        if not len(slots):
            return
        number = self.schema.number
        vectors = self._vectors(kept_vectors(commit, schema, old), chosen)
        _, metadata, expires = _content(commit, number, old)
        kill_slots(commit, schema, old)
        id_keys = [self.keys[position] for position in chosen.tolist()]
        put_records(commit.txn, number, slots, id_keys, metadata, commit.version, expires)
        commit.change(number).records.append((slots, metadata))
        ends = np.array(expires, dtype=np.int64)
        note_expiring(commit, number, slots[ends != codec.NEVER], ends[ends != codec.NEVER])
        for field, (positions, rows) in vectors.items():
            put_tail(commit, number, field, slots[positions], rows)
        state = commit.states[number]
        commit.states[number] = msgspec.structs.replace(state, next_slot=state.next_slot + len(slots))

    def _chosen(self, versions: Sequence[int]) -> npt.NDArray[np.int64]:
        """Positions of the records to change; the errors of those that must not be passed over."""
        expected = self.if_version or [None] * len(versions)
        if not self.skip_changed:
            check_versions(self.schema, self.keys, expected, versions)
            missing = [keys.id_from_key(key) for key, version in zip(self.keys, versions, strict=True) if not version]
            if missing:
                raise RecordNotFoundError(
                    f"collection {self.schema.name!r} has no record {missing[0]!r:.80} ({len(missing)} of "
                    f"{len(versions)} are missing); nothing was stored, use skip_changed=True to pass over them",
                    collection=self.schema.name,
                    count=len(missing),
                )
        fits = [bool(have) and wanted in {None, have} for have, wanted in zip(versions, expected, strict=True)]
        return np.flatnonzero(np.array(fits, dtype=np.bool_))

    def _vectors(
        self, kept: Mapping[int, tuple[npt.NDArray[np.int64], VectorArray]], chosen: npt.NDArray[np.int64]
    ) -> dict[int, tuple[npt.NDArray[np.int64], VectorArray]]:
        """The vectors of the chosen records by field: those given, and of those stored what is not given."""
        vectors = dict(kept)
        for field, given in self.vectors.items():
            positions, rows = _part(given, chosen)
            if field in kept:
                others = ~np.isin(kept[field][0], positions)
                positions = np.concatenate([positions, kept[field][0][others]])
                rows = np.concatenate([rows, kept[field][1][others]])
                order = np.argsort(positions)
                positions, rows = positions[order], rows[order]
            vectors[field] = positions, rows
        return vectors


def _part(given: FieldVectors, chosen: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], VectorArray]:
    """Of the vectors given, those of chosen records (positions in the batch, ascending), by position among these."""
    at = np.arange(len(given.vectors)) if given.positions is None else given.positions
    wanted = np.isin(at, chosen)
    return np.searchsorted(chosen, at[wanted]), given.vectors[wanted]


def _content(commit: Commit, collection: int, slots: Slots) -> tuple[list[bytes], list[msgspec.Raw], list[int]]:
    """Record keys, metadata as it is packed, and expiries of live slots."""
    record_keys, values = stored_records(commit, collection, slots)
    _, packed = codec.decode_packed_records(record_keys, values)
    expires = [expiry for _, expiry in codec.decode_record_heads(record_keys, values)]
    return record_keys, list(map(msgspec.Raw, packed)), expires


@dataclass(frozen=True, slots=True)
class SwapRecords:
    """A batch that is stored and, in the same commit, other records that are deleted. No id is in both."""

    put: PutRecords
    delete: DeleteRecords

    @property
    def records(self) -> int:
        """Number of ids named."""
        return self.put.records + self.delete.records

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors given."""
        return self.put.vector_bytes

    def detached(self) -> SwapRecords:
        """Return the operation with copies of all that the caller may still change."""
        return replace(self, put=self.put.detached())

    def apply(self, commit: Commit) -> int:
        """Store, then delete, which nothing can refuse; returns the records stored."""
        stored = self.put.apply(commit)
        self.delete.apply(commit)
        return stored


def put_ids(operation: Operation) -> set[tuple[int, bytes]]:
    """Records that an operation stores, by collection number and id key; deleted ones have no version to mistake."""
    if isinstance(operation, SwapRecords):
        return put_ids(operation.put)
    if isinstance(operation, (PutRecords, SetVectors)):
        return {(operation.schema.number, key) for key in operation.keys}
    return {(operation.schema.number, operation.key)} if isinstance(operation, UpdateRecord) else set()
