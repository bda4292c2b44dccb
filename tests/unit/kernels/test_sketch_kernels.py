"""Checks sketches and the scans by them against their twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from tests.unit.kernels.test_graph_kernels import query_codes
from tests.unit.kernels.test_packed_kernels import ROWS, packed_segment
from vecdb.index.filtered import scan_rows
from vecdb.index.hashing import rotation_masks
from vecdb.index.scratch import Scratch
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
def scan(plan: int, scratch: int, depth: int, given: int, count: int) -> None:
    sketches.scan_sketches(plan, scratch, depth, given, count)


def best_by_sketches(segment: Segment, codes: npt.NDArray[np.int16], rows: npt.NDArray[np.int32], depth: int) -> Any:
    """(estimate, row) of the pool after a scan, best first."""
    scratch, padded = Scratch(), segment.quantizer.padded
    scratch.reserve(64, depth, padded, 10)
    held = scratch._buffers[layout.QUERY_CODES]
    held[:padded] = codes
    scan(segment.plan.address, scratch.address, depth, rows.ctypes.data, len(rows))
    keys = scratch._buffers[layout.POOL][layout.GUARD // 8 :][:depth]
    return [(int(key) >> 32, (int(key) & layout.ROW_BITS) >> 1) for key in keys[: min(depth, len(rows))]]


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_scan_by_sketches_keeps_the_rows_of_the_least_estimates(
    metric: Metric, dim: int, rng: np.random.Generator
) -> None:
    segment, _, codes = packed_segment(rng, metric, dim)
    masks = rotation_masks(codes.shape[1])
    query = query_codes(segment, rng.standard_normal(dim).astype(np.float32))
    for count, depth in ((1, 8), (2, 8), (7, 16), (90, 16), (91, 96)):
        rows = np.sort(rng.permutation(ROWS)[:count]).astype(np.int32)
        want = oracle.estimate_rows(codes, rows.tolist(), query, masks)
        found = best_by_sketches(segment, query, rows, depth)
        by_row = dict(zip(rows.tolist(), want, strict=True))
        assert [estimate for estimate, _ in found] == pytest.approx(sorted(want)[:depth], rel=1e-5, abs=2)
        assert all(estimate == pytest.approx(by_row[row], rel=1e-5, abs=2) for estimate, row in found)
        assert len({row for _, row in found}) == min(count, depth)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_scan_as_deep_as_there_are_rows_finds_what_a_scan_by_codes_does(
    metric: Metric, rng: np.random.Generator
) -> None:
    segment, _, _ = packed_segment(rng, metric, 100)
    queries = rng.standard_normal((8, 100)).astype(np.float32)
    rows = np.sort(rng.permutation(ROWS)[:237]).astype(np.int32)
    by_codes = scan_rows(segment.plan, segment.quantizer.padded, queries, 10, rows, exact=False)
    deep = scan_rows(segment.plan, segment.quantizer.padded, queries, 10, rows, exact=False, depth=240, threads=2)
    assert (deep.slots == by_codes.slots).all()
    assert (deep.distances == by_codes.distances).all()


@pytest.mark.parametrize(("limit", "depth"), [(1, 8), (10, 16), (100, 104)])
def test_a_shallow_scan_still_fills_the_limit(limit: int, depth: int, rng: np.random.Generator) -> None:
    segment, _, _ = packed_segment(rng, "l2", 64)
    rows = np.arange(ROWS, dtype=np.int32)
    queries = rng.standard_normal((5, 64)).astype(np.float32)
    hits = scan_rows(segment.plan, segment.quantizer.padded, queries, limit, rows, exact=False, depth=depth)
    assert (hits.counts == limit).all()


def test_a_damaged_sketch_harms_nothing_but_its_estimate(rng: np.random.Generator) -> None:
    segment, _, _ = packed_segment(rng, "l2", 64)
    assert segment.sketches is not None
    held = segment.sketches.owner
    assert isinstance(held, np.ndarray)
    held[:, 8:16] = np.array([np.nan, np.inf], dtype=np.float32).view(np.uint8)
    rows = np.arange(ROWS, dtype=np.int32)
    query = rng.standard_normal((1, 64)).astype(np.float32)
    hits = scan_rows(segment.plan, segment.quantizer.padded, query, 10, rows, exact=False, depth=16)
    assert hits.counts[0] == 10


def test_room_for_planes_is_where_tables_are() -> None:
    """The planes of a query share a buffer of 4 bytes for each component."""
    for padded in range(64, 8_192 + 64, 64):
        size = layout.NARROW if layout.sketch_stride(padded) == layout.NARROW else layout.WIDE
        assert -(-padded // (8 * size)) * sketches.PLANES * size <= 4 * padded
        assert aligned_empty((padded,), np.int32).nbytes == 4 * padded
