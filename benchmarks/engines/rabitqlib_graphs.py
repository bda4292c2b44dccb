"""rabitqlib: SymphonyQG (packed rows of 1-bit neighbour codes) and HNSW over RaBitQ codes, by the papers' authors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

KINDS = {"cosine": "l2", "dot": "ip", "l2": "l2"}
EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 160, 200, 256, 320, 384, 512, 768)
CLUSTERS = 16


class Symphony:
    """A SymphonyQG index."""

    def __init__(self, setting: Setting) -> None:
        self._library: Any = import_module("rabitqlib")
        self._setting, self._ef = setting, 10
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        self._index = self._library.SymqgIndex(base.shape[1], self._setting["max_degree"], metric=KINDS[metric])
        self._index.build(base, self._setting["ef_construction"], num_threads=threads)

    def set_effort(self, effort: int) -> None:
        self._ef = effort

    def search(self, queries: Matrix, k: int) -> Labels:
        return as_labels(self._index.search_batch(queries, k, max(self._ef, k), num_threads=1)[0])

    def search_one(self, query: Matrix, k: int) -> Labels:
        found: Labels = self.search(query.reshape(1, -1), k)[0]
        return found


class RabitqHnsw(Symphony):
    """HNSW whose distances come from RaBitQ codes."""

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        exact = self._library.FinalAssignmentMode.Exact
        means = self._library.RaBitQKMeans(base.shape[1], CLUSTERS, num_threads=threads, final_assignment=exact)
        means.train(base)
        values = {name: self._setting[name] for name in ("M", "ef_construction", "nbits")}
        self._index = self._library.HnswIndex(base.shape[1], len(base), metric=KINDS[metric], **values)
        self._index.build(base, means.centroids, means.assignments, num_threads=threads)

    def search(self, queries: Matrix, k: int) -> Labels:
        return as_labels(self._index.search(queries, k, max(self._ef, k), num_threads=1)[0])


def as_labels(found: Any) -> Labels:
    """Row numbers as int64; their largest unsigned number marks a missing one."""
    labels = np.asarray(found)
    return np.where(labels == np.iinfo(np.uint32).max, -1, labels).astype(np.int64)


SYMPHONY = EngineSpec(
    name="symphonyqg",
    make=Symphony,
    distributions=("rabitqlib",),
    settings={
        "d32-ef200": {"max_degree": 32, "ef_construction": 200},
        "d64-ef400": {"max_degree": 64, "ef_construction": 400},
    },
    efforts=EFFORTS,
    tuning="Degree 32, ef_construction 200, its default initialisation and raw vectors, as its authors' own benchmark "
    "has; degree 64 (the next multiple of 32) with 400 beside it.",
)
HNSW = EngineSpec(
    name="rabitq-hnsw",
    make=RabitqHnsw,
    distributions=("rabitqlib",),
    settings={
        "m16-ef200-b9": {"M": 16, "ef_construction": 200, "nbits": 9},
        "m32-ef200-b9": {"M": 32, "ef_construction": 200, "nbits": 9},
    },
    efforts=EFFORTS,
    tuning="M 16, ef_construction 200, 16 clusters with exact assignment and 9 bits, as its authors' own benchmark has "
    "for high recall; M 32 beside it.",
)
