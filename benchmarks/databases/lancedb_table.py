"""lancedb: a table of Lance files with an HNSW index over scalar-quantized vectors, refined with the originals."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

from benchmarks.databases.protocol import COLUMNS, INDEXED, DatabaseSpec, Hits, Matrix, Metadata, Place

NAME = "docs"
REFINE = 3
"""Candidates per hit that are compared again with their original vectors."""

RECORD = ["id", *COLUMNS, "_distance"]


class Lance:
    """A table with a vector index and B-trees of the ids, the bucket and the region."""

    def __init__(self, place: Place) -> None:
        os.environ["LANCE_CPU_THREADS"] = str(place.threads)  # read when the library starts its threads
        self._library: Any = import_module("lancedb")
        self._arrow: Any = import_module("pyarrow")
        self._place, self._effort = place, 10
        self._table: Any = None

    def create(self) -> None:
        pa = self._arrow
        types = {"string": pa.string(), "integer": pa.int64(), "strings": pa.list_(pa.string())}
        columns = [pa.field(name, types[kind]) for name, kind in COLUMNS.items()]
        vector = pa.field("vector", pa.list_(pa.float32(), self._place.dim))
        schema = pa.schema([pa.field("id", pa.string()), *columns, vector])
        self._table = self._library.connect(self._place.path).create_table(NAME, schema=schema)

    def open(self) -> None:
        self._table = self._library.connect(self._place.path).open_table(NAME)

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._table.add(self._rows(ids, vectors, metadata))

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._table.merge_insert("id").when_matched_update_all().execute(self._rows(ids, vectors, metadata))

    def _rows(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> Any:
        pa, schema = self._arrow, self._table.schema
        columns = [pa.array([fields[name] for fields in metadata], schema.field(name).type) for name in COLUMNS]
        vector = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return pa.table([pa.array(ids), *columns, vector], schema=schema)

    def delete(self, ids: Sequence[str]) -> None:
        self._table.delete("id IN ({})".format(", ".join(f"'{key}'" for key in ids)))

    def make_ready(self) -> None:
        if not self._table.list_indices():
            self._table.create_index(
                self._place.metric, 1, vector_column_name="vector", index_type="IVF_HNSW_SQ", m=16, ef_construction=200
            )
            for name in ("id", *INDEXED):
                self._table.create_scalar_index(name)
        self._table.optimize(cleanup_older_than=timedelta(0))

    def set_effort(self, effort: int) -> None:
        self._effort = effort

    def _search(self, query: Any, k: int) -> Any:
        search = self._table.search(query, vector_column_name="vector").distance_type(self._place.metric)
        return search.ef(max(self._effort, k * REFINE)).refine_factor(REFINE).select(RECORD).limit(k)

    def search(self, query: Matrix, k: int) -> Hits:
        return [_hit(row) for row in self._search(query, k).to_list()]

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        return [_hit(row) for row in self._search(query, k).where(f"{column} < {below}", prefilter=True).to_list()]

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        found: list[Hits] = [[] for _ in queries]
        for row in self._search(list(queries), k).to_list():
            found[row["query_index"]].append(_hit(row))
        return found

    def close(self) -> None:
        self._table = None


def _hit(row: Mapping[str, Any]) -> tuple[str, Metadata]:
    return row["id"], {name: row[name] for name in COLUMNS}


SPEC = DatabaseSpec(
    name="lancedb",
    make=Lance,
    distributions=("lancedb", "pyarrow"),
    efforts=(32, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512),
    tuning=(
        "IVF_HNSW_SQ with one partition as its advice is for small tables, m 16, ef_construction 200, refine_factor 3,"
        " B-trees of id, bucket and region; optimize() at the end and after changes, dropping older versions."
    ),
)
