"""vecdb's index without its database: what the engine searches segments with."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting


class VecdbIndex:
    """One segment on the heap, laid out as the database lays it out for the dimension."""

    def __init__(self, setting: Setting) -> None:
        from vecdb.kernels.native import load_kernels

        load_kernels()
        self._setting, self._effort = setting, 10
        self._segment: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        from vecdb.checks.declarations import can_pack
        from vecdb.config import PACKED_DIM_AUTO
        from vecdb.index.build import build_graph, row_levels
        from vecdb.index.packing import with_packed_rows
        from vecdb.index.quantize import encode_rows, fit_quantizer
        from vecdb.index.segment import segment_from_arrays

        quantizer = fit_quantizer(base, metric)  # type: ignore[arg-type]  # one of the three metrics
        codes = encode_rows(quantizer, base)
        levels = row_levels(np.arange(len(base), dtype=np.uint32), self._setting["m"])
        graph = build_graph(codes, levels, threads=threads, augmented=quantizer.augmented, **self._setting)
        segment = segment_from_arrays(base, graph, quantizer.metric, quantizer=quantizer, codes=codes)
        if base.shape[1] >= PACKED_DIM_AUTO and can_pack(base.shape[1], graph.m):
            segment = with_packed_rows(segment, codes, graph.links, threads)
        self._segment = segment

    def set_effort(self, effort: int) -> None:
        self._effort = effort

    def search(self, queries: Matrix, k: int) -> Labels:
        from vecdb.index.search import search_segment_batch

        return search_segment_batch(self._segment, queries, k, self._effort).slots.astype(np.int64)

    def search_one(self, query: Matrix, k: int) -> Labels:
        from vecdb.index.search import search_segment

        return search_segment(self._segment, query, k, self._effort).slots.astype(np.int64)


SPEC = EngineSpec(
    name="vecdb",
    make=VecdbIndex,
    distributions=("vecdb", "numba"),
    settings={"m16-ef200": {"m": 16, "ef_construction": 200}, "m32-ef200": {"m": 32, "ef_construction": 200}},
    efforts=(6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 384, 512),
    tuning="m 16 and ef_construction 200 are its defaults.",
)
