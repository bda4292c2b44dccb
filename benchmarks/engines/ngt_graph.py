"""NGT: Yahoo Japan's neighbourhood graph with a tree for entry points."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

KINDS = {"cosine": "Normalized Cosine", "dot": "Inner Product", "l2": "L2"}


class Ngt:
    """An ANNG index."""

    def __init__(self, setting: Setting) -> None:
        self._library: Any = import_module("ngtpy")
        self._setting, self._epsilon = setting, 0.1
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        # The index lives in memory and its files are not needed; a worker that is killed would leave them behind.
        with tempfile.TemporaryDirectory(prefix="ngt-") as directory:
            path = str(Path(directory) / "index").encode()
            self._library.create(path, base.shape[1], distance_type=KINDS[metric], object_type="Float", **self._setting)
            self._index = self._library.Index(path, log_disabled=True)
            self._index.batch_insert(base, num_threads=threads)

    def set_effort(self, effort: int) -> None:
        self._epsilon = effort / 1_000 - 1.0
        self._index.set(epsilon=self._epsilon)

    def search(self, queries: Matrix, k: int) -> Labels:
        return np.stack([self.search_one(query, k) for query in queries])

    def search_one(self, query: Matrix, k: int) -> Labels:
        labels = np.array(self._index.search(query, k, self._epsilon, with_distance=False), dtype=np.int64)
        return np.pad(labels, (0, k - len(labels)), constant_values=-1)


SPEC = EngineSpec(
    name="ngt",
    make=Ngt,
    distributions=("ngt",),
    settings={
        "anng-e20": {"edge_size_for_creation": 20, "edge_size_for_search": 40},
        "anng-e40": {"edge_size_for_creation": 40, "edge_size_for_search": 60},
    },
    efforts=(900, 940, 970, 1_000, 1_020, 1_040, 1_060, 1_080, 1_100, 1_130, 1_160, 1_200, 1_260),
    tuning="ANNG, the graph it recommends by default, with more edges than the default 10, for high dimensions (its "
    "ONNG took ten times as long to build and was no faster on text embeddings); effort is 1 + epsilon in thousandths; "
    "it has no batch call that stays on one thread, so batches are loops.",
)
