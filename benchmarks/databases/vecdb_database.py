"""vecdb: the database of this project, as its README shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.databases.protocol import DatabaseSpec, Hits, Matrix, Metadata, NoFilter, Place

NAME = "docs"


class Vecdb(NoFilter):
    """A vecdb database with one collection."""

    def __init__(self, place: Place) -> None:
        import vecdb

        self._library, self._place, self._effort = vecdb, place, 10
        self._database: Any = None
        self._collection: Any = None

    def create(self) -> None:
        self._database = self._library.open(self._place.path)
        self._collection = self._database.create_collection(NAME, dim=self._place.dim, metric=self._place.metric)

    def open(self) -> None:
        self._database = self._library.open(self._place.path)
        self._collection = self._database.collection(NAME)

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._collection.upsert(ids, vectors, metadata)

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self.insert(ids, vectors, metadata)

    def delete(self, ids: Sequence[str]) -> None:
        self._collection.delete(ids)

    def make_ready(self) -> None:
        self._collection.optimize()

    def set_effort(self, effort: int) -> None:
        self._effort = effort

    def search(self, query: Matrix, k: int) -> Hits:
        found = self._collection.search(query, k, ef=self._effort)
        return list(zip(found.ids, found.metadata, strict=True))

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        found = self._collection.search_batch(queries, k, ef=self._effort, with_metadata=True)
        return [list(zip(one.ids, one.metadata, strict=True)) for one in found]

    def close(self) -> None:
        self._database.close()


SPEC = DatabaseSpec(
    name="vecdb",
    make=Vecdb,
    distributions=("vecdb", "numba", "lmdb"),
    efforts=(10, 14, 20, 28, 36, 48, 64, 80, 100, 128, 160, 200, 256, 384, 512),
    tuning="Its defaults (m 16, ef_construction 200, every batch synced to the disk); optimize() after the last write.",
    filter_reason="vecdb has no filters yet",
)
