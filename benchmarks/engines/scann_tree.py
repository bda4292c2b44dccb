"""ScaNN: a partition tree with anisotropic 4-bit codes and exact reordering."""

from __future__ import annotations

from importlib import import_module
from math import sqrt
from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

KINDS = {"cosine": "dot_product", "dot": "dot_product", "l2": "squared_l2"}


class Scann:
    """A ScaNN searcher."""

    def __init__(self, setting: Setting) -> None:
        self._library: Any = import_module("scann.scann_ops.py.scann_ops_pybind")
        self._setting, self._leaves = setting, 1
        self._searcher: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        leaves = max(1, round(self._setting["leaves_per_root"] * sqrt(len(base))))
        builder = self._library.builder(base, 10, KINDS[metric]).set_n_training_threads(threads)
        builder = builder.tree(num_leaves=leaves, num_leaves_to_search=1, training_sample_size=min(len(base), 250_000))
        threshold = 0.2 if metric != "l2" else float("nan")
        builder = builder.score_ah(2, anisotropic_quantization_threshold=threshold)
        self._searcher = builder.reorder(self._setting["reorder"]).build()
        self._searcher.set_num_threads(1)

    def set_effort(self, effort: int) -> None:
        self._leaves = effort

    def search(self, queries: Matrix, k: int) -> Labels:
        found: Labels = self._searcher.search_batched(queries, k, leaves_to_search=self._leaves)[0].astype(np.int64)
        return found

    def search_one(self, query: Matrix, k: int) -> Labels:
        labels = self._searcher.search(query, k, leaves_to_search=self._leaves)[0]
        found: Labels = np.pad(labels.astype(np.int64), (0, k - len(labels)), constant_values=-1)
        return found


SPEC = EngineSpec(
    name="scann",
    make=Scann,
    distributions=("scann",),
    settings={
        "root-100": {"leaves_per_root": 1.0, "reorder": 100},
        "root3-250": {"leaves_per_root": 3.0, "reorder": 250},
    },
    efforts=(1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192),
    tuning="Leaves about the root of the rows, codes of two dimensions and threshold 0.2, as its guide says; effort is "
    "the number of leaves searched.",
)
