"""chromadb: Chroma's single-node database in the caller's process, an HNSW graph beside SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.databases.protocol import DatabaseSpec, Hits, Matrix, Metadata, Place

SPACES = {"cosine": "cosine", "dot": "ip", "l2": "l2"}
NAME = "docs"
INCLUDE = ["metadatas"]
BUFFERS = {"batch_size": 1_000, "sync_threshold": 10_000}


class Chroma:
    """A persistent client with one collection."""

    def __init__(self, place: Place) -> None:
        self._library: Any = import_module("chromadb")
        self._place = place
        self._client: Any = None
        self._collection: Any = None

    def _connect(self) -> None:
        settings = self._library.Settings(anonymized_telemetry=False)
        self._client = self._library.PersistentClient(str(self._place.path), settings=settings)

    def create(self) -> None:
        self._connect()
        graph = {"space": SPACES[self._place.metric], "max_neighbors": 16, "ef_construction": 200}
        hnsw = {**graph, "num_threads": self._place.threads, **BUFFERS}
        self._collection = self._client.create_collection(NAME, configuration={"hnsw": hnsw}, embedding_function=None)

    def open(self) -> None:
        self._connect()
        self._collection = self._client.get_collection(NAME, embedding_function=None)

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._collection.add(list(ids), vectors, list(metadata))

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._collection.update(list(ids), vectors, list(metadata))

    def delete(self, ids: Sequence[str]) -> None:
        self._collection.delete(list(ids))

    def make_ready(self) -> None:
        """Nothing to wait for: a write returns when the graph has it."""

    def set_effort(self, effort: int) -> None:
        """Store ef in the collection and open it again: a loaded graph keeps the one it was loaded with."""
        self._collection.modify(configuration={"hnsw": {"ef_search": effort, "num_threads": self._place.threads}})
        self.close()
        self.open()

    def search(self, query: Matrix, k: int) -> Hits:
        return self._search(query, k, None)

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        return self._search(query, k, {column: {"$lt": below}})

    def _search(self, query: Matrix, k: int, where: dict[str, Any] | None) -> Hits:
        found = self._collection.query([query], n_results=k, where=where, include=INCLUDE)
        return list(zip(found["ids"][0], found["metadatas"][0], strict=True))

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        found = self._collection.query(queries, n_results=k, include=INCLUDE)
        return [list(zip(*pair, strict=True)) for pair in zip(found["ids"], found["metadatas"], strict=True)]

    def close(self) -> None:
        self._client.close()


SPEC = DatabaseSpec(
    name="chromadb",
    make=Chroma,
    distributions=("chromadb",),
    efforts=(10, 16, 24, 32, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512),
    tuning="max_neighbors 16, ef_construction 200; batch_size 1,000 and sync_threshold 10,000, raised for loading.",
)
