"""Checks walks among kept rows by signs against their twin."""

from __future__ import annotations

import numpy as np
import pytest

from tests import oracle, oracle_walks
from tests.unit.kernels.test_graph_kernels import as_lists, query_codes
from tests.unit.kernels.test_packed_kernels import ROWS, estimates_of, estimator, packed_segment
from vecdb.index.scratch import Scratch
from vecdb.kernels import kept_signs, layout
from vecdb.kernels.jit import device
from vecdb.kernels.signs import make_tables
from vecdb.types import Metric

METRICS: list[Metric] = ["cosine", "dot", "l2"]


@device
def walk(plan: int, scratch: int, ef: int, keep: int, share: int, kept: int, slots: int) -> int:
    step, offset = make_tables(plan, scratch)
    hops, _ = kept_signs.walk_among_packed(plan, scratch, ef, keep, share, kept, slots, 0, step, offset)
    return hops


@pytest.mark.parametrize(("ef", "keep"), [(1, 8), (13, 32), (24, 16), (60, 24)])
@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("metric", METRICS)
def test_a_walk_among_kept_rows_equals_its_twin_row_for_row(
    metric: Metric, share: float, ef: int, keep: int, rng: np.random.Generator
) -> None:
    segment, graph, codes = packed_segment(rng, metric, 40)
    mask = rng.random(ROWS) < share
    words = np.packbits(np.append(mask, np.zeros(64, dtype=np.bool_))[: -(-ROWS // 64) * 64], bitorder="little")
    bits, kept, links = words.view(np.uint64), set(np.flatnonzero(mask).tolist()), as_lists(graph.links)
    scratch, estimate = Scratch(), estimator()
    scratch.reserve(ROWS, 64, segment.quantizer.padded, keep)
    for query in rng.standard_normal((5, 40)).astype(np.float32):
        wanted = query_codes(segment, query)
        to_codes = oracle.code_distances(codes, wanted)

        def guess(row: int, base: list[int] = to_codes) -> list[int]:
            return [int(value) for value in estimates_of(estimate, segment, row, float(base[row]))[: len(links[row])]]

        scratch._buffers[layout.QUERY_CODES][: len(wanted)] = wanted
        unit = layout.SHARE_UNIT
        walk(segment.plan.address, scratch.address, ef, keep, int(share * unit), bits.ctypes.data, 64 * len(bits))
        keys = scratch._buffers[layout.RESULTS][layout.GUARD // 8 :][:keep].tolist()
        found = [(key >> 32, (key & layout.ROW_BITS) >> 1) for key in keys if key < 1 << 62]
        seeds = oracle_walks.draw_seeds(ROWS, kept, int(share * unit) / unit)
        assert found == oracle_walks.walk_among_packed(links, guess, kept, seeds, to_codes, ef, keep)
        assert not scratch._buffers[layout.VISITED].any()
