"""zvec: Alibaba's in-process database in C++, without and with quantized vectors in its graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks.databases.protocol import COLUMNS, INDEXED, DatabaseSpec, Hits, Matrix, Metadata, NoBatch, Place

METRICS = {"cosine": "COSINE", "dot": "IP", "l2": "L2"}
TYPES = {"string": "STRING", "integer": "INT64", "strings": "ARRAY_STRING"}


class Zvec(NoBatch):
    """A zvec collection with an HNSW index and inverted indexes of the bucket and the region."""

    def __init__(self, place: Place, *, quantize: str = "UNDEFINED") -> None:
        self._library: Any = import_module("zvec")
        self._place, self._quantize, self._path = place, quantize, str(place.path / "zvec")
        self._library.init(query_threads=1, optimize_threads=place.threads, log_level=self._library.LogLevel.ERROR)
        self._collection: Any = None
        self._param: Any = None

    def create(self) -> None:
        z = self._library
        fields = [
            z.FieldSchema(
                name,
                getattr(z.DataType, TYPES[kind]),
                index_param=z.InvertIndexParam(enable_range_optimization=True) if name in INDEXED else None,
            )
            for name, kind in COLUMNS.items()
        ]
        index = z.HnswIndexParam(
            metric_type=getattr(z.MetricType, METRICS[self._place.metric]),
            m=16,
            ef_construction=200,
            quantize_type=getattr(z.QuantizeType, self._quantize),
            use_contiguous_memory=True,
        )
        vector = z.VectorSchema("vector", z.DataType.VECTOR_FP32, dimension=self._place.dim, index_param=index)
        self._collection = z.create_and_open(self._path, z.CollectionSchema("docs", fields, vector))

    def open(self) -> None:
        self._collection = self._library.open(self._path)

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        make = self._library.Doc
        rows = zip(ids, vectors, metadata, strict=True)
        docs = [make(id=key, vectors={"vector": vector}, fields=dict(fields)) for key, vector, fields in rows]
        self._collection.upsert(docs)
        self._collection.flush()

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self.insert(ids, vectors, metadata)

    def delete(self, ids: Sequence[str]) -> None:
        self._collection.delete(list(ids))
        self._collection.flush()

    def make_ready(self) -> None:
        self._collection.optimize(self._library.OptimizeOption(concurrency=self._place.threads))

    def set_effort(self, effort: int) -> None:
        self._param = self._library.HnswQueryParam(ef=effort, is_using_refiner=self._quantize != "UNDEFINED")

    def search(self, query: Matrix, k: int) -> Hits:
        return self._search(query, k, None)

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        return self._search(query, k, f"{column} < {below}")

    def _search(self, query: Matrix, k: int, where: str | None) -> Hits:
        nearest = self._library.Query("vector", vector=query, param=self._param)
        return [(doc.id, doc.fields) for doc in self._collection.query(nearest, topk=k, filter=where)]

    def close(self) -> None:
        self._collection.close()


ADVICE = (
    "m 16, ef_construction 200, contiguous memory (its advice for throughput), flush() a batch, optimize() at the end"
)
SPEC = DatabaseSpec(
    name="zvec",
    make=Zvec,
    distributions=("zvec",),
    efforts=(10, 16, 24, 32, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512),
    tuning=f"HNSW, {ADVICE}.",
    batch_reason="its query call answers one query",
)
SPEC_INT8 = replace(
    SPEC, name="zvec-int8", make=partial(Zvec, quantize="INT8"), tuning=f"HNSW over int8 with its refiner, {ADVICE}."
)
