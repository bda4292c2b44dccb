"""Checks walks among kept rows by signs against their twin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle, oracle_walks
from tests.unit.kernels.test_graph_kernels import as_lists, query_codes
from tests.unit.kernels.test_packed_kernels import ROWS, estimates_of, estimator, packed_segment
from vecdb.index.scratch import Scratch
from vecdb.kernels import kept as kept_rows
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


@device
def look(plan: int, entry: int, share: int, kept: int, slots: int) -> int:
    looked, found = kept_rows.look_around(plan, entry, share, kept, slots, 0)
    return looked << 32 | found


@device
def pool(plan: int, far: int, share: int, kept: int, slots: int) -> int:
    return kept_signs.pool_among(plan, far, share, kept, slots, 0)


def bits_of(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """A bitmap with room for all rows."""
    padded = np.append(mask, np.zeros(64, dtype=np.bool_))[: -(-ROWS // 64) * 64]
    return np.packbits(padded, bitorder="little").view(np.uint64)


@pytest.mark.parametrize("share", [0.05, 0.2, 1.0])
def test_links_around_an_entry_are_counted_until_enough_of_them_should_lead_to_kept_rows(
    share: float, rng: np.random.Generator
) -> None:
    segment, graph, _ = packed_segment(rng, "l2", 40)
    mask, links = rng.random(ROWS) < share, as_lists(graph.links)
    bits, unit = bits_of(mask), layout.SHARE_UNIT
    for entry in rng.integers(0, ROWS, 20).tolist():
        looked = list[int]()
        for row in (entry, *links[entry]):
            if len(looked) * int(share * unit) < kept_rows.LINKS_EXPECTED * unit:
                looked += links[row]
        both = look(segment.plan.address, entry, int(share * unit), bits.ctypes.data, 64 * len(bits))
        assert divmod(both, 1 << 32) == (len(looked), int(mask[looked].sum()))


def test_a_pool_among_kept_rows_is_larger_where_they_link_to_others(rng: np.random.Generator) -> None:
    segment, _, _ = packed_segment(rng, "l2", 40)

    def of(mask: npt.NDArray[np.bool_], share: float) -> int:
        bits = bits_of(mask)
        unit = layout.SHARE_UNIT
        return pool(segment.plan.address, 100, int(share * unit), bits.ctypes.data, 64 * len(bits))

    assert of(np.ones(ROWS, dtype=np.bool_), 1.0) == 100
    assert 140 <= of(rng.random(ROWS) < 0.5, 0.5) <= 300
    assert of(rng.random(ROWS) < 0.1, 0.1) == 0, "too few to walk by"
    assert of(np.zeros(ROWS, dtype=np.bool_), 0.1) == 0


@pytest.mark.parametrize(("ef", "keep"), [(1, 8), (13, 32), (24, 16), (60, 24)])
@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("metric", METRICS)
def test_a_walk_among_kept_rows_equals_its_twin_row_for_row(
    metric: Metric, share: float, ef: int, keep: int, rng: np.random.Generator
) -> None:
    segment, graph, codes = packed_segment(rng, metric, 40)
    mask = rng.random(ROWS) < share
    bits, kept, links = bits_of(mask), set(np.flatnonzero(mask).tolist()), as_lists(graph.links)
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
