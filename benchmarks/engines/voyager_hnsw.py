"""voyager: Spotify's HNSW, a descendant of hnswlib."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting


class Voyager:
    """A voyager index of float32."""

    def __init__(self, setting: Setting) -> None:
        self._library: Any = import_module("voyager")
        self._setting, self._ef = setting, 10
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        space = self._library.Space
        kind = {"cosine": space.Cosine, "dot": space.InnerProduct, "l2": space.Euclidean}[metric]
        self._index = self._library.Index(kind, base.shape[1], max_elements=len(base), random_seed=1, **self._setting)
        writeable = np.require(base, requirements=["C", "W"])  # it refuses memory maps opened for reading
        self._index.add_items(writeable, ids=np.arange(len(base)), num_threads=threads)

    def set_effort(self, effort: int) -> None:
        self._ef = effort

    def search(self, queries: Matrix, k: int) -> Labels:
        found: Labels = self._index.query(queries, k, num_threads=1, query_ef=self._ef)[0].astype(np.int64)
        return found

    def search_one(self, query: Matrix, k: int) -> Labels:
        found: Labels = self._index.query(query, k, num_threads=1, query_ef=self._ef)[0].astype(np.int64)
        return found


SPEC = EngineSpec(
    name="voyager",
    make=Voyager,
    distributions=("voyager",),
    settings={"m16-ef200": {"M": 16, "ef_construction": 200}, "m32-ef200": {"M": 32, "ef_construction": 200}},
    efforts=(10, 16, 24, 32, 40, 56, 72, 96, 128, 160, 200, 256, 384, 512),
    tuning="ef_construction 200 and M 12 are its defaults; M 16 and 32 as for the other HNSW libraries.",
)
