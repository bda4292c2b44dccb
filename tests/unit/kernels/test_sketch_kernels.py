"""Checks sketches and the scans by them against their twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from tests.unit.kernels.test_graph_kernels import query_codes
from tests.unit.kernels.test_packed_kernels import ROWS, packed_segment
from vecdb.index.filtered import gather_sketches, scan_rows
from vecdb.index.hashing import rotation_masks
from vecdb.index.scratch import Scratch
from vecdb.index.search import BatchHits
from vecdb.index.segment import Segment
from vecdb.index.sketching import sketch_rows
from vecdb.kernels import layout, sketches
from vecdb.kernels.column import aligned_empty
from vecdb.kernels.jit import device
from vecdb.types import Metric

DIMS = [33, 128, 200, 384, 600, 1_100]
"""One of each shape: 1, 2 and 3 blocks in half a line, one line, 2 and 3 lines."""


def parts(sketch: npt.NDArray[np.uint8], padded: int) -> tuple[npt.NDArray[Any], float, float]:
    """Signs (padded,), -1 or 1, n2 and W of a sketch."""
    bits = np.unpackbits(sketch[: padded // 8], bitorder="little").astype(np.int64)
    square, weight = sketch[padded // 8 : padded // 8 + 8].view(np.float32)
    return bits * 2 - 1, float(square), float(weight)


@pytest.mark.parametrize("dim", DIMS)
def test_sketches_equal_their_twin(dim: int, rng: np.random.Generator) -> None:
    _, _, codes = packed_segment(rng, "cosine", dim)
    padded = codes.shape[1]
    made = sketch_rows(codes, 0, ROWS)
    for row in (0, 17, ROWS - 1):
        signs, square, weight = oracle.sketch_rows(codes, row, rotation_masks(padded))
        found_signs, found_square, found_weight = parts(made[row], padded)
        assert (found_signs == signs).all()
        assert (found_square, found_weight) == pytest.approx((square, weight), rel=1e-6)
        assert not made[row, padded // 8 + 8 :].any()


def test_sketches_do_not_depend_on_the_pieces_they_are_made_in(rng: np.random.Generator) -> None:
    _, _, codes = packed_segment(rng, "l2", 40)
    pieces = [sketch_rows(codes, start, min(start + 37, ROWS)) for start in range(0, ROWS, 37)]
    assert (np.concatenate(pieces) == sketch_rows(codes, 0, ROWS)).all()


def test_a_row_of_zeros_has_a_sketch_of_zeros() -> None:
    assert not sketch_rows(np.zeros((3, 64), dtype=np.int8), 0, 3).any()


@device
def estimate(plan: int, scratch: int, margin: int, given: int, count: int, out: int, depth: int) -> None:
    sketches.estimate_all(plan, scratch, margin, given, count, out, depth)


def estimates_of(segment: Segment, codes: npt.NDArray[np.int16], rows: npt.NDArray[np.int32], margin: int) -> Any:
    """Estimates of rows, and (estimate, row) of the best 16 in the pool."""
    scratch, padded = Scratch(), segment.quantizer.padded
    scratch.reserve(64, 64, padded, 10)
    scratch._buffers[layout.QUERY_CODES][:padded] = codes
    out = np.zeros(len(rows) + 4, dtype=np.int32)
    address, count = segment.plan.address, len(rows)
    estimate(address, scratch.address, margin, rows.ctypes.data, count, out.ctypes.data, 16)
    keys = scratch._buffers[layout.POOL][layout.GUARD // 8 :][: min(16, count)]
    pool = [(int(key) >> 32, (int(key) & layout.ROW_BITS) >> 1) for key in keys]
    return out[:count].tolist(), pool


@pytest.mark.parametrize("margin", [0, 64, 96])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_estimates_are_the_twins_and_the_pool_has_the_least(
    metric: Metric, dim: int, margin: int, rng: np.random.Generator
) -> None:
    segment, _, codes = packed_segment(rng, metric, dim)
    masks = rotation_masks(codes.shape[1])
    query = query_codes(segment, rng.standard_normal(dim).astype(np.float32))
    for count in (1, 2, 7, 90, 91):
        rows = np.sort(rng.permutation(ROWS)[:count]).astype(np.int32)
        want = oracle.estimate_rows(codes, rows.tolist(), query, masks, margin / 64)
        found, pool = estimates_of(segment, query, rows, margin)
        # a component of the query half-way between two levels may be rounded either way
        level = float(np.abs(oracle.rotate(query, masks)).max()) / 7
        weight = max(oracle.sketch_rows(codes, row, masks)[2] for row in rows.tolist())
        assert found == pytest.approx(want, rel=1e-5, abs=2 + 2 * level * weight)
        assert pool == sorted(zip(found, rows.tolist(), strict=True))[:16]


def test_few_rows_are_nearer_than_estimates_with_a_margin_of_two_deviations_say(rng: np.random.Generator) -> None:
    segment, _, codes = packed_segment(rng, "l2", 384)
    rows, nearer, wide = np.arange(ROWS - 5, dtype=np.int32), 0.0, 0.0
    for query in rng.standard_normal((10, 384)).astype(np.float32):
        wanted = query_codes(segment, query)
        true = np.array(oracle.code_distances(codes[: ROWS - 5], wanted))
        nearer += (true < estimates_of(segment, wanted, rows, 128)[0]).mean() / 10
        wide += (true < estimates_of(segment, wanted, rows, 0)[0]).mean() / 10
    assert nearer < 0.05
    assert 0.4 < wide < 0.6, "without a margin half of them are"


@pytest.fixture(params=[False, True], ids=["apart", "copied"])
def scan(request: pytest.FixtureRequest) -> Callable[..., BatchHits]:
    """Scans by sketches where they lie, and by copies of them."""

    def scanned(segment: Segment, queries: Any, limit: int, rows: npt.NDArray[np.int32], margin: int) -> BatchHits:
        plan, padded = segment.plan, segment.quantizer.padded
        blocks = gather_sketches(plan, rows) if request.param else None
        return scan_rows(plan, padded, queries, limit, rows, exact=False, margin=margin, blocks=blocks, threads=2)

    return scanned


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_scan_with_a_large_margin_finds_what_a_scan_by_codes_does(
    metric: Metric, rng: np.random.Generator, scan: Callable[..., BatchHits]
) -> None:
    segment, _, _ = packed_segment(rng, metric, 100)
    queries = rng.standard_normal((8, 100)).astype(np.float32)
    rows = np.sort(rng.permutation(ROWS)[:237]).astype(np.int32)
    by_codes = scan_rows(segment.plan, segment.quantizer.padded, queries, 10, rows, exact=False)
    wide = scan(segment, queries, 10, rows, 640)
    assert (wide.slots == by_codes.slots).all()
    assert (wide.distances == by_codes.distances).all()


@pytest.mark.parametrize("limit", [1, 10, 100, ROWS])
@pytest.mark.parametrize("count", [1, 3, 24, 60, ROWS])
def test_a_scan_with_a_small_margin_still_fills_the_limit(
    limit: int, count: int, rng: np.random.Generator, scan: Callable[..., BatchHits]
) -> None:
    segment, _, _ = packed_segment(rng, "l2", 64)
    rows = np.sort(rng.permutation(ROWS)[:count]).astype(np.int32)
    hits = scan(segment, rng.standard_normal((5, 64)).astype(np.float32), limit, rows, 1)
    assert (hits.counts == min(limit, count)).all()


def test_a_damaged_sketch_harms_nothing_but_its_estimate(
    rng: np.random.Generator, scan: Callable[..., BatchHits]
) -> None:
    segment, _, _ = packed_segment(rng, "l2", 64)
    assert segment.sketches is not None
    held = segment.sketches.owner
    assert isinstance(held, np.ndarray)
    held[:, 8:16] = np.array([np.nan, np.inf], dtype=np.float32).view(np.uint8)
    hits = scan(segment, rng.standard_normal((1, 64)).astype(np.float32), 10, np.arange(ROWS, dtype=np.int32), 96)
    assert hits.counts[0] == 10


def test_room_for_planes_is_where_tables_are() -> None:
    """The planes of a query share a buffer of 4 bytes for each component."""
    for padded in range(64, 8_192 + 64, 64):
        size = layout.NARROW if layout.sketch_stride(padded) == layout.NARROW else layout.WIDE
        assert -(-padded // (8 * size)) * sketches.PLANES * size <= 4 * padded
        assert aligned_empty((padded,), np.int32).nbytes == 4 * padded
