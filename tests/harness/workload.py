"""A write load that can be checked without history: vectors and metadata are pure functions of (key, version).

Keys are small ints; a key's record id is an int, a str or a UUID by turns. Each writing thread owns the keys of its
partition, so the state of a partition is that after its last acknowledged operation, or after the one in flight.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb.types import FloatArray, Metadata, RecordId

DIM = 32
PARTITION_KEYS = 400
"""Keys of one writing thread: small, so that keys are replaced and deleted again and again."""

BATCH_KEYS_MAX = 48

Kind: TypeAlias = Literal["upsert", "insert", "delete", "metadata", "vector"]
State: TypeAlias = dict[int, tuple[int, int]]
"""key -> (version of its vector, version of its metadata)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One write: all its keys change or none does."""

    kind: Kind
    keys: tuple[int, ...]
    version: int

    def applied(self, state: State) -> State:
        """The state after this operation."""
        after = dict(state)
        for key in self.keys:
            if self.kind == "delete":
                after.pop(key, None)
            elif self.kind == "metadata":
                after[key] = (after[key][0], self.version)
            elif self.kind == "vector":
                after[key] = (self.version, after[key][1])
            else:
                after[key] = (self.version, self.version)
        return after

    def perform(self, collection: Any) -> int:
        """Do it on a collection; returns the seq of the acknowledgement."""
        ids = [record_id(key) for key in self.keys]
        rows = vectors_of(self.keys, [self.version] * len(self.keys))
        metadata = [metadata_of(key, self.version) for key in self.keys]
        if self.kind == "delete":
            result = collection.delete(ids=ids)
        elif self.kind == "metadata":
            result = collection.update(ids[0], metadata=metadata[0])
        elif self.kind == "vector":
            result = collection.update(ids[0], vector=rows[0])
        elif self.kind == "insert":
            result = collection.insert(ids, rows, metadata)
        else:
            result = collection.upsert(ids, rows, metadata)
        return int(result.seq)


def record_id(key: int) -> RecordId:
    """The record id of a key: int, str and UUID by turns."""
    if key % 3 == 0:
        return key
    return f"record-{key}" if key % 3 == 1 else uuid.UUID(int=key)


def key_of(identity: RecordId) -> int:
    """The key of a record id; raises ValueError for an id this workload never wrote."""
    if isinstance(identity, uuid.UUID):
        return identity.int
    return identity if isinstance(identity, int) else int(identity.removeprefix("record-"))


def metadata_of(key: int, version: int) -> Metadata:
    """The metadata of a key at a version, between 40 bytes and 1.5 KiB."""
    return {"key": key, "version": version, "tags": [key % 7, f"v{version}"], "text": f"{key}:{version} " * (key % 90)}


def vectors_of(keys: Sequence[int] | Iterable[int], versions: Sequence[int] | Iterable[int]) -> FloatArray:
    """The vectors (n, DIM) of keys at versions: hashes (splitmix64) spread over [-1, 1)."""
    key = np.fromiter(keys, dtype=np.uint64).reshape(-1, 1)
    version = np.fromiter(versions, dtype=np.uint64).reshape(-1, 1)
    column = np.arange(DIM, dtype=np.uint64).reshape(1, -1)
    seeds = (key << np.uint64(40)) ^ (version << np.uint64(8)) ^ column
    return np.asarray(_splitmix64(seeds) / 2.0**63 - 1.0, dtype=np.float32)


def _splitmix64(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def partition_keys(partition: int) -> range:
    """The keys a writing thread owns."""
    return range(partition * PARTITION_KEYS, (partition + 1) * PARTITION_KEYS)


def next_operation(rng: np.random.Generator, partition: int, state: State, version: int) -> Operation:
    """A random operation that is valid in `state`; deletes balance inserts around half of the partition."""
    keys = rng.permutation(np.asarray(partition_keys(partition)))[: int(rng.integers(1, BATCH_KEYS_MAX + 1))].tolist()
    live = tuple(key for key in keys if key in state)
    absent = tuple(key for key in keys if key not in state)
    choice = rng.random()
    if choice < 0.2 and absent:
        return Operation("insert", absent, version)
    if choice < 0.45 and live:
        return Operation("delete", live, version)
    if choice < 0.6 and live:
        return Operation("metadata", live[:1], version)
    if choice < 0.7 and live:
        return Operation("vector", live[:1], version)
    return Operation("upsert", tuple(keys), version)
