"""usearch: HNSW in C++ with its own SIMD distances, over float32 and over int8."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

KINDS = {"cosine": "ip", "dot": "ip", "l2": "l2sq"}
"""Its README says that ip equals cos for unit vectors; ip need not compute lengths."""
SETTINGS = {
    "m16-ef200": {"connectivity": 16, "expansion_add": 200},
    "m32-ef200": {"connectivity": 32, "expansion_add": 200},
}
EFFORTS = (10, 16, 24, 32, 40, 56, 72, 96, 128, 160, 200, 256, 320, 384, 512)


class Usearch:
    """A usearch index of one scalar type."""

    def __init__(self, setting: Setting, dtype: str) -> None:
        self._library: Any = import_module("usearch.index")
        self._setting, self._dtype = setting, dtype
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        values = {"metric": KINDS[metric], **self._setting}
        self._index = self._library.Index(ndim=base.shape[1], dtype=self._dtype, **values)
        self._index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)

    def set_effort(self, effort: int) -> None:
        self._index.expansion_search = effort

    def search(self, queries: Matrix, k: int) -> Labels:
        found: Labels = self._index.search(queries, k, threads=1).keys.astype(np.int64)
        return found

    def search_one(self, query: Matrix, k: int) -> Labels:
        found: Labels = self._index.search(query, k, threads=1).keys.astype(np.int64)
        return found


def make_f32(setting: Setting) -> Usearch:
    """An index over float32."""
    return Usearch(setting, "f32")


def make_i8(setting: Setting) -> Usearch:
    """An index over int8: components in -1 ... 1 only, so of unit vectors."""
    return Usearch(setting, "i8")


F32 = EngineSpec(
    name="usearch-f32",
    make=make_f32,
    distributions=("usearch",),
    settings=SETTINGS,
    efforts=EFFORTS,
    tuning="connectivity 16 is its default and 32 the next step; expansion_add raised from 128 to 200; cosine as "
    "ip of unit vectors, which is the faster of the two.",
)
I8 = EngineSpec(
    name="usearch-i8",
    make=make_i8,
    distributions=("usearch",),
    settings={
        "m16-ef200-ip": {**SETTINGS["m16-ef200"], "metric": "ip"},
        "m32-ef200-cos": {**SETTINGS["m32-ef200"], "metric": "cos"},
    },
    efforts=EFFORTS,
    metrics=("cosine",),
    tuning="As usearch-f32, with the int8 scalars that its README advises for memory and speed; ip is faster, cos "
    "comes closer, since rounding changes lengths.",
)
