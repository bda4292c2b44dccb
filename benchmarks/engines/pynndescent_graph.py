"""pynndescent: nearest-neighbour descent in numba, the other fast library written in Python."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

METRICS = {"cosine": "cosine", "dot": "inner_product", "l2": "euclidean"}


class Pynndescent:
    """A prepared NNDescent index."""

    def __init__(self, setting: Setting) -> None:
        self._library: Any = import_module("pynndescent")
        self._setting, self._epsilon = setting, 0.1
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        self._index = self._library.NNDescent(
            base, metric=METRICS[metric], n_jobs=threads, random_state=1, **self._setting
        )
        self._index.prepare()
        self._index.n_jobs = 1

    def set_effort(self, effort: int) -> None:
        self._epsilon = effort / 1_000

    def search(self, queries: Matrix, k: int) -> Labels:
        found: Labels = self._index.query(queries, k=k, epsilon=self._epsilon)[0].astype(np.int64)
        return found

    def search_one(self, query: Matrix, k: int) -> Labels:
        found: Labels = self._index.query(query.reshape(1, -1), k=k, epsilon=self._epsilon)[0][0].astype(np.int64)
        return found


SPEC = EngineSpec(
    name="pynndescent",
    make=Pynndescent,
    distributions=("pynndescent", "numba"),
    settings={
        "n30": {"n_neighbors": 30, "diversify_prob": 1.0, "pruning_degree_multiplier": 1.5},
        "n60": {"n_neighbors": 60, "diversify_prob": 0.5, "pruning_degree_multiplier": 2.0},
    },
    efforts=(0, 10, 20, 40, 60, 80, 100, 130, 160, 200, 240, 300, 360, 440, 540, 680),
    tuning="n_neighbors 30 (its default) and 60 with the pruning of its performance page, without its int8 codes, "
    "which were no faster at equal recall; effort is epsilon in thousandths.",
)
