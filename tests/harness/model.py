"""A database as a dict: the obviously correct twin that black-box tests compare the engine with.

Promises: distances are computed in float64 from the vectors as stored; nothing here imports the engine.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vecdb.types import DEFAULT_FIELD, Field, FloatArray, Metadata, RecordId, SearchResult

DISTANCE_TOLERANCE = 1e-5
"""Largest error of a returned distance, relative to the size of the terms it is summed from."""


def id_order(record_id: RecordId) -> tuple[int, bytes]:
    """The order of ids in a scroll: ints by value, then strings by UTF-8, then UUIDs by bytes."""
    if isinstance(record_id, int):
        return 1, record_id.to_bytes(8, "big")
    if isinstance(record_id, uuid.UUID):
        return 3, record_id.bytes
    return 2, record_id.encode()


def stored(vector: npt.ArrayLike, dtype: str) -> FloatArray:
    """`vector` after storage in `dtype`, as float32."""
    return np.asarray(vector, dtype=np.float32).astype(dtype).astype(np.float32)


def true_distances(metric: str, query: npt.ArrayLike, rows: FloatArray) -> tuple[npt.NDArray[np.float64], float]:
    """Distances in float64 from one query to rows (n, dim), and the absolute error float32 arithmetic may have."""
    q = np.asarray(query, dtype=np.float32).astype(np.float64)
    x = rows.astype(np.float64)
    if metric == "l2":
        distances = np.sqrt(((x - q) ** 2).sum(axis=1))
        return distances, DISTANCE_TOLERANCE * max(1.0, float(distances.max(initial=0.0)))
    norms = np.linalg.norm(x, axis=1)
    if metric == "dot":
        return -(x @ q), DISTANCE_TOLERANCE * max(1.0, float(np.linalg.norm(q) * norms.max(initial=0.0)))
    return 1.0 - (x @ q) / (norms * np.linalg.norm(q)), DISTANCE_TOLERANCE


def score_of(metric: str, distance: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What `score` must be for a distance: higher is better."""
    return (np.float32(1.0) - distance) if metric == "cosine" else -distance


@dataclass
class Entry:
    """One stored record of the model; vectors are as stored. `expires` is in microseconds since 1970, None: never."""

    metadata: Metadata
    vectors: dict[str, FloatArray]
    version: int = 0
    expires: int | None = None


@dataclass
class Model:
    """The records of one collection as a dict, with brute-force search. `now` decides what has expired."""

    fields: Mapping[str, Field]
    entries: dict[RecordId, Entry] = field(default_factory=dict)
    now: int = 0

    @classmethod
    def single(cls, dim: int, metric: Any = "cosine", dtype: Any = "float32") -> Model:
        """A model of a collection with one unnamed field."""
        return cls({DEFAULT_FIELD: Field(dim=dim, metric=metric, dtype=dtype)})

    def put(
        self,
        record_id: RecordId,
        metadata: Metadata | None,
        *,
        version: int = 0,
        expires: int | None = None,
        **vectors: npt.ArrayLike,
    ) -> None:
        """Store or replace a whole record; vectors are given by field name."""
        kept = {name: stored(vector, self.fields[name].dtype) for name, vector in vectors.items()}
        self.entries[record_id] = Entry(metadata or {}, kept, version, expires)

    def alive(self, record_id: RecordId) -> Entry | None:
        """The record, None where there is none or it has expired."""
        entry = self.entries.get(record_id)
        return None if entry is None or (entry.expires is not None and entry.expires <= self.now) else entry

    def version(self, record_id: RecordId) -> int:
        """Version of the record, 0 where there is none or it has expired."""
        entry = self.alive(record_id)
        return 0 if entry is None else entry.version

    def put_columns(
        self, ids: Sequence[RecordId], rows: npt.ArrayLike, metadata: Sequence[Metadata] | None = None
    ) -> None:
        """Store rows (n, dim) of the unnamed field."""
        matrix = np.asarray(rows, dtype=np.float32)
        for position, record_id in enumerate(ids):
            self.put(record_id, metadata[position] if metadata else None, **{DEFAULT_FIELD: matrix[position]})

    def delete(self, ids: Iterable[RecordId]) -> int:
        """Remove what is stored of `ids`; returns how many had not expired."""
        count = 0
        for record_id in ids:
            count += self.alive(record_id) is not None
            self.entries.pop(record_id, None)
        return count

    def living(self) -> dict[RecordId, Entry]:
        """The records that have not expired."""
        return {record_id: entry for record_id, entry in self.entries.items() if self.alive(record_id) is not None}

    def ids_of(self, name: str = DEFAULT_FIELD) -> list[RecordId]:
        """Ids of the records that have a vector in the field and have not expired."""
        return [record_id for record_id, entry in self.living().items() if name in entry.vectors]

    def rows_of(self, ids: Sequence[RecordId], name: str = DEFAULT_FIELD) -> FloatArray:
        """The stored vectors of `ids` as (n, dim)."""
        dim = self.fields[name].dim
        return np.array([self.entries[i].vectors[name] for i in ids], dtype=np.float32).reshape(len(ids), dim)


def assert_hits(
    model: Model, result: SearchResult, query: npt.ArrayLike, limit: int, name: str = DEFAULT_FIELD
) -> list[RecordId]:
    """Check what each search promises: full, live and unique ids, true distances, best first. Returns the live ids."""
    live = model.ids_of(name)
    metric = model.fields[name].metric
    assert len(result) == min(limit, len(live)), f"{len(result)} hits of {min(limit, len(live))} possible"
    assert len(set(result.ids)) == len(result), "an id occurs twice"
    dead = sorted(set(map(str, result.ids)) - set(map(str, live)))
    assert not dead, f"hits that are not live: {dead[:5]}"
    distances, tolerance = true_distances(metric, query, model.rows_of(result.ids, name))
    np.testing.assert_allclose(result.distances, distances, rtol=0, atol=tolerance, err_msg="wrong distances")
    assert (np.diff(result.distances) >= 0).all(), "hits are not sorted by distance"
    np.testing.assert_allclose(result.scores, score_of(metric, result.distances), rtol=1e-6, atol=1e-6)
    return live


def assert_exact_hits(
    model: Model, result: SearchResult, query: npt.ArrayLike, limit: int, name: str = DEFAULT_FIELD
) -> None:
    """Check that a result is brute force's, in order; ids may swap only where their distances differ by rounding."""
    live = assert_hits(model, result, query, limit, name)
    distances, tolerance = true_distances(model.fields[name].metric, query, model.rows_of(live, name))
    best = np.sort(distances)[: len(result)]
    by_id = dict(zip(live, distances, strict=True))
    found = np.array([by_id[i] for i in result.ids])
    np.testing.assert_allclose(found, best, rtol=0, atol=tolerance, err_msg="not the nearest rows, or not in order")


def recall(model: Model, result: SearchResult, query: npt.ArrayLike, limit: int, name: str = DEFAULT_FIELD) -> float:
    """Share of the hits that are as near as brute force's farthest hit."""
    live = model.ids_of(name)
    if not live:
        return 1.0
    distances, tolerance = true_distances(model.fields[name].metric, query, model.rows_of(live, name))
    count = min(limit, len(live))
    worst = np.partition(distances, count - 1)[count - 1]
    return float((np.asarray(result.distances, dtype=np.float64) <= worst + tolerance).sum()) / count


def low_rank(rng: np.random.Generator, rows: int, dim: int, rank: int = 6) -> FloatArray:
    """Random rows (n, dim) near a subspace of `rank` dimensions, as embeddings are."""
    rank = min(rank, dim)
    signal = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, dim))
    return np.ascontiguousarray(signal + 0.1 * rng.standard_normal((rows, dim)), dtype=np.float32)
