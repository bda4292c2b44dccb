"""vsag: Ant Group's HGraph over 8-bit codes, reordered by float32."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

KINDS = {"cosine": "cosine", "dot": "ip", "l2": "l2"}


class Vsag:
    """An HGraph index."""

    def __init__(self, setting: Setting) -> None:
        self._library: Any = import_module("pyvsag")
        self._setting, self._parameters = setting, ""
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        values = {
            "base_quantization_type": "sq8",
            "use_reorder": True,
            "precise_quantization_type": "fp32",
            "build_thread_count": threads,
            **self._setting,
        }
        head = {"dtype": "float32", "metric_type": KINDS[metric], "dim": base.shape[1]}
        self._index = self._library.Index("hgraph", json.dumps({**head, "index_param": values}))
        ids = np.arange(len(base), dtype=np.int64)
        rows = np.require(base, requirements=["C", "W"]).reshape(-1)  # read-only ones would end the process
        self._index.build(vectors=rows, ids=ids, num_elements=len(base), dim=base.shape[1])

    def set_effort(self, effort: int) -> None:
        self._parameters = json.dumps({"hgraph": {"ef_search": effort}})

    def search(self, queries: Matrix, k: int) -> Labels:
        return np.stack([self.search_one(query, k) for query in queries])

    def search_one(self, query: Matrix, k: int) -> Labels:
        labels = np.asarray(self._index.knn_search(vector=query, k=k, parameters=self._parameters)[0], dtype=np.int64)
        return np.pad(labels, (0, k - len(labels)), constant_values=-1)


SPEC = EngineSpec(
    name="vsag-sq8",
    make=Vsag,
    distributions=("pyvsag",),
    settings={
        "d32-ef200": {"max_degree": 32, "ef_construction": 200},
        "d64-ef400": {"max_degree": 64, "ef_construction": 400},
    },
    efforts=(10, 16, 24, 32, 40, 56, 72, 96, 128, 160, 200, 256, 320, 384, 512),
    tuning="sq8 codes with float32 reordering; degree 64 with ef_construction 400 are its defaults, 32 with 200 are "
    "lighter; it has no batch call, so batches are loops.",
)
