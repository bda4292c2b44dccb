"""Checks copies of sketches and the scans by them against their twins, and that every processor finds the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from tests.unit.kernels.test_graph_kernels import query_codes
from tests.unit.kernels.test_packed_kernels import ROWS, WIDTHS, packed_segment
from vecdb.index.filtered import copies_bytes, gather_sketches
from vecdb.index.hashing import rotation_masks
from vecdb.index.scratch import Scratch
from vecdb.kernels import layout, signs, sketch_blocks
from vecdb.kernels.column import aligned_empty, aligned_zeros
from vecdb.kernels.jit import device
from vecdb.kernels.native import SHUFFLE_VARIABLE
from vecdb.types import Metric

DIMS = [33, 128, 200, 384, 600]


def some_rows(rng: np.random.Generator, count: int) -> npt.NDArray[np.int32]:
    return np.sort(rng.permutation(ROWS)[:count]).astype(np.int32)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 90])
@pytest.mark.parametrize("dim", DIMS)
def test_copies_hold_the_sketches_of_their_rows(dim: int, count: int, rng: np.random.Generator) -> None:
    segment, _, codes = packed_segment(rng, "cosine", dim)
    padded, rows = codes.shape[1], some_rows(rng, count)
    copies = gather_sketches(segment.plan, padded, rows)
    assert copies.nbytes == copies_bytes(count, padded)
    blocks = copies.reshape(-1, layout.sketch_block_bytes(padded))
    squares, weights, coded = np.split(blocks, [128, 256], axis=1)
    nibbles = coded.reshape(len(blocks), padded // 4, 16)
    halves = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).transpose(0, 2, 1).reshape(-1, padded // 4, 1)
    found = (halves >> np.arange(4, dtype=np.uint8) & 1).reshape(-1, padded).astype(np.int64) * 2 - 1
    want = oracle.gather_sketches(codes, rows.tolist(), rotation_masks(padded))
    assert (found[:count] == want.signs).all()
    assert squares.copy().view(np.float32).ravel()[:count] == pytest.approx(want.added, rel=1e-6)
    assert weights.copy().view(np.float32).ravel()[:count] == pytest.approx(want.weights, rel=1e-6)


@device
def estimate(plan: int, scratch: int, margin: int, given: int, count: int, blocks: int, out: int, depth: int) -> None:
    sketch_blocks.estimate_blocks(plan, scratch, margin, given, count, blocks, out, depth)


@pytest.mark.parametrize("margin", [0, 96])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_estimates_are_the_twins_but_for_rounding_and_the_pool_has_the_least(
    metric: Metric, dim: int, margin: int, rng: np.random.Generator
) -> None:
    segment, _, codes = packed_segment(rng, metric, dim)
    padded, masks = codes.shape[1], rotation_masks(codes.shape[1])
    query = query_codes(segment, rng.standard_normal(dim).astype(np.float32))
    rotated, squared = oracle.rotate(query, masks), float(query.astype(np.int64) @ query.astype(np.int64))
    spans = np.abs(rotated).reshape(-1, 4).sum(axis=1)
    scratch = Scratch()
    scratch.reserve(64, 64, padded, 10)
    scratch._buffers[layout.QUERY_CODES][:padded] = query
    for count in (1, 33, 90):
        rows, out = some_rows(rng, count), np.zeros(count + 32, dtype=np.int32)
        copies = gather_sketches(segment.plan, padded, rows)
        addresses = rows.ctypes.data, count, copies.ctypes.data, out.ctypes.data
        estimate(segment.plan.address, scratch.address, margin, *addresses, 16)
        sketched = oracle.gather_sketches(codes, rows.tolist(), masks)
        want = oracle.estimate_neighbours(sketched, 0, query, masks) + squared
        want = np.maximum(want - sketched.weights * margin / 64 * 0.6 * 64 * squared**0.5, 0)
        rounding = sketched.weights * len(spans) * spans.max() / 31 + 2 + 1e-5 * np.abs(want)
        assert (np.abs(out[:count] - want) <= rounding).all()
        keys = scratch._buffers[layout.POOL][layout.GUARD // 8 :][: min(16, count)]
        pool = [(int(key) >> 32, (int(key) & layout.ROW_BITS) >> 1) for key in keys]
        assert pool == sorted(zip(out[:count].tolist(), rows.tolist(), strict=True))[:16]


def coarse_estimator() -> Callable[..., int]:
    """Coarse estimates of a block, compiled anew for the processor that is asked for."""

    @device
    def estimate_block(block: int, tables: int, size: int, out: int) -> int:
        one, zero = np.float32(1.0), np.float32(0.0)
        return signs.estimate_coarsely(
            block + 256, tables, size, block, block + 128, (1 << 31) - 1, out, zero, one, zero
        )

    return estimate_block


@pytest.mark.parametrize("padded", [64, 128, 384, 448, 1_536])
def test_coarse_estimates_are_the_same_on_every_processor(
    padded: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = aligned_empty((layout.sketch_block_bytes(padded),), np.uint8)
    tables = aligned_empty((4 * padded,), np.uint8)
    block[:256] = np.repeat(np.array([0.0, -2.0], dtype=np.float32), 32).view(np.uint8)
    block[256:] = rng.integers(0, 256, 4 * padded)
    tables[:] = rng.integers(0, signs.FEW_STEPS + 1, 4 * padded)
    nibbles, entries = block[256:].reshape(-1, 16), tables.reshape(-1, 16).astype(np.int64)
    halves = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.int64)
    want = 2 * np.take_along_axis(entries, halves, axis=1).sum(axis=0)
    for width in WIDTHS:
        monkeypatch.setenv(SHUFFLE_VARIABLE, width)
        out = aligned_zeros((32,), np.int32)
        coarse_estimator()(block.ctypes.data, tables.ctypes.data, 4 * padded, out.ctypes.data)
        assert (out == want).all()
