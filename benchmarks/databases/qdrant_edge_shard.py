"""qdrant-edge-py: Qdrant's segments in the caller's process, without and with int8 quantization.

Its ids are integers or UUIDs: an id is hashed into a UUID and kept in the payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from benchmarks.databases.protocol import INDEXED, DatabaseSpec, Hits, Matrix, Metadata, Place

METRICS = {"cosine": "Cosine", "dot": "Dot", "l2": "Euclid"}
FULL_SCAN_KB = 10_000
OVERSAMPLING = 2.0
"""Candidates per hit that are compared again with their original vectors."""

ID = "_id"


class QdrantEdge:
    """An edge shard with one HNSW graph and integer indexes of the bucket and the region."""

    def __init__(self, place: Place, *, int8: bool = False) -> None:
        self._library: Any = import_module("qdrant_edge")
        self._place, self._int8, self._path = place, int8, str(place.path / "shard")
        self._shard: Any = None
        self._params: Any = None

    def _config(self) -> Any:
        q, place = self._library, self._place
        int8 = q.ScalarQuantizationConfig(q.ScalarType.Int8, quantile=0.99, memory=q.Memory.Pinned)
        return q.EdgeConfig(
            vectors=q.EdgeVectorParams(place.dim, getattr(q.Distance, METRICS[place.metric])),
            hnsw_config=q.HnswIndexConfig(16, 200, FULL_SCAN_KB, max_indexing_threads=place.threads),
            quantization_config=int8 if self._int8 else None,
            optimizers=q.EdgeOptimizersConfig(default_segment_number=1),
            max_search_threads=1,
        )

    def create(self) -> None:
        q = self._library
        self._shard = q.EdgeShard.create(self._path, self._config())
        for name in INDEXED:
            self._shard.update(q.UpdateOperation.create_field_index(name, q.PayloadSchemaType.Integer))

    def open(self) -> None:
        self._shard = self._library.EdgeShard.load(self._path, self._config())

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        q = self._library
        rows = zip(ids, vectors.tolist(), metadata, strict=True)
        points = [q.Point(_uuid(key), vector, {ID: key, **fields}) for key, vector, fields in rows]
        self._shard.update(q.UpdateOperation.upsert_points(points))
        self._shard.flush()

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self.insert(ids, vectors, metadata)

    def delete(self, ids: Sequence[str]) -> None:
        self._shard.update(self._library.UpdateOperation.delete_points([_uuid(key) for key in ids]))
        self._shard.flush()

    def make_ready(self) -> None:
        self._shard.optimize()
        self._shard.flush()

    def set_effort(self, effort: int) -> None:
        q = self._library
        again = q.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING) if self._int8 else None
        self._params = q.SearchParams(hnsw_ef=effort, quantization=again)

    def _request(self, query: Matrix, k: int, where: Any = None) -> Any:
        nearest = self._library.Query.Nearest(query.tolist())
        return self._library.QueryRequest(k, query=nearest, filter=where, params=self._params, with_payload=True)

    def search(self, query: Matrix, k: int) -> Hits:
        return _hits(self._shard.query(self._request(query, k)))

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        q = self._library
        where = q.Filter(must=[q.FieldCondition(column, range=q.RangeFloat(lt=below))])
        return _hits(self._shard.query(self._request(query, k, where)))

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        requests = [self._request(query, k) for query in queries]
        return [_hits(found) for found in self._shard.query_batch(self._library.QueryBatchRequest(requests))]

    def close(self) -> None:
        self._shard.close()


def _uuid(key: str) -> Any:
    return uuid5(NAMESPACE_OID, key)


def _hits(points: Any) -> Hits:
    payloads = [point.payload for point in points]
    return [(payload.pop(ID), payload) for payload in payloads]


ADVICE = "m 16, ef_construct 200, one segment, payload indexes before the graph, flush() a batch, optimize() at the end"
SPEC = DatabaseSpec(
    name="qdrant-edge",
    make=QdrantEdge,
    distributions=("qdrant-edge-py",),
    efforts=(10, 16, 24, 32, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512),
    tuning=f"HNSW, {ADVICE}.",
)
SPEC_INT8 = replace(
    SPEC,
    name="qdrant-edge-int8",
    make=partial(QdrantEdge, int8=True),
    tuning=f"Scalar quantization to int8 (quantile 0.99, pinned, oversampling 2, rescored); {ADVICE}.",
)
