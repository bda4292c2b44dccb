"""hnswlib: the reference HNSW in C++, and the baseline of every ratio."""

from __future__ import annotations

from typing import Any

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

SPACES = {"cosine": "cosine", "dot": "ip", "l2": "l2"}


class Hnswlib:
    """An hnswlib index."""

    def __init__(self, setting: Setting) -> None:
        import hnswlib

        self._library, self._setting = hnswlib, setting
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        self._index = self._library.Index(SPACES[metric], base.shape[1])
        self._index.init_index(len(base), random_seed=1, **self._setting)
        self._index.add_items(base, num_threads=threads)
        self._index.set_num_threads(1)

    def set_effort(self, effort: int) -> None:
        self._index.set_ef(effort)

    def search(self, queries: Matrix, k: int) -> Labels:
        found: Labels = self._index.knn_query(queries, k=k, num_threads=1)[0].astype("int64")
        return found

    def search_one(self, query: Matrix, k: int) -> Labels:
        found: Labels = self._index.knn_query(query, k=k, num_threads=1)[0][0].astype("int64")
        return found


SPEC = EngineSpec(
    name="hnswlib",
    make=Hnswlib,
    distributions=("hnswlib",),
    settings={"m16-ef200": {"M": 16, "ef_construction": 200}, "m32-ef200": {"M": 32, "ef_construction": 200}},
    efforts=(10, 16, 24, 32, 40, 56, 72, 96, 128, 160, 200, 256, 320, 384, 512),
    tuning="M 16 and 32 are its README's range for high recall; ef_construction 200 is its example's.",
)
