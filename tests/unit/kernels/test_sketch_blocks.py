"""Checks copies of sketches, in both forms, and the scans by them against their twins; processors find the same."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from tests.unit.kernels.test_graph_kernels import query_codes
from tests.unit.kernels.test_packed_kernels import ROWS, WIDTHS, packed_segment
from vecdb.index.hashing import rotation_masks
from vecdb.index.scratch import Scratch
from vecdb.index.segment import Segment
from vecdb.kernels import copied, layout, sextets, signs, sketch_blocks
from vecdb.kernels.column import aligned_empty, aligned_zeros
from vecdb.kernels.jit import device
from vecdb.kernels.native import SHUFFLE_VARIABLE
from vecdb.types import Metric

DIMS = [33, 128, 200, 384, 600]


def some_rows(rng: np.random.Generator, count: int) -> npt.NDArray[np.int32]:
    return np.sort(rng.permutation(ROWS)[:count]).astype(np.int32)


@pytest.fixture(params=[sketch_blocks, sextets], ids=["blocks of 32", "sextets"])
def form(request: pytest.FixtureRequest) -> ModuleType:
    """The forms of copies; the second only where the processor has its look-up."""
    made: ModuleType = request.param
    if made is sextets and not sextets.has_look_up():
        pytest.skip("needs a processor with AVX-512 VBMI")
    return made


def copies_of(form: ModuleType, segment: Segment, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    copies = aligned_empty((form.copies_bytes(segment.quantizer.padded, len(rows)),), np.uint8)
    form.gather(segment.plan.address, rows.ctypes.data, len(rows), copies.ctypes.data)
    return copies


def signs_in_blocks(blocks: npt.NDArray[np.uint8], padded: int) -> npt.NDArray[np.int64]:
    nibbles = blocks.reshape(len(blocks), padded // 4, 16)
    halves = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).transpose(0, 2, 1).reshape(-1, padded // 4, 1)
    return (halves >> np.arange(4, dtype=np.uint8) & 1).reshape(-1, padded).astype(np.int64) * 2 - 1


def signs_in_sextets(blocks: npt.NDArray[np.uint8], padded: int) -> npt.NDArray[np.int64]:
    codes = blocks.reshape(len(blocks), -1, 64).transpose(0, 2, 1)
    rows = np.concatenate([codes[:, 0::2], codes[:, 1::2]], axis=1).reshape(64 * len(blocks), -1, 1)
    bits = (rows >> np.arange(6, dtype=np.uint8) & 1).reshape(len(rows), -1)
    return bits[:, :padded].astype(np.int64) * 2 - 1


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 65, 90])
@pytest.mark.parametrize("dim", DIMS)
def test_copies_hold_the_sketches_of_their_rows(
    dim: int, count: int, form: ModuleType, rng: np.random.Generator
) -> None:
    segment, _, codes = packed_segment(rng, "cosine", dim)
    padded, rows = codes.shape[1], some_rows(rng, count)
    block, size, read = (
        (64, layout.sextet_block_bytes(padded), signs_in_sextets)
        if form is sextets
        else (32, layout.sketch_block_bytes(padded), signs_in_blocks)
    )
    copies = copies_of(form, segment, rows)
    assert copies.nbytes == -(-count // block) * size
    squares, weights, coded = np.split(copies.reshape(-1, size), [4 * block, 8 * block], axis=1)
    want = oracle.gather_sketches(codes, rows.tolist(), rotation_masks(padded))
    assert (read(coded, padded)[:count] == want.signs).all()
    assert squares.copy().view(np.float32).ravel()[:count] == pytest.approx(want.added, rel=1e-6)
    assert weights.copy().view(np.float32).ravel()[:count] == pytest.approx(want.weights, rel=1e-6)


def test_copies_are_made_in_the_form_that_suits_the_processor(rng: np.random.Generator) -> None:
    segment, _, _ = packed_segment(rng, "l2", 200)
    rows = some_rows(rng, 90)
    want = copies_of(sextets if sextets.has_look_up() else sketch_blocks, segment, rows)
    found = np.zeros_like(want)
    size = copied.gather_sketches(segment.plan.address, rows.ctypes.data, 90, found.ctypes.data)
    assert size == len(want) == copied.gather_sketches(segment.plan.address, 0, 90, 0)
    assert (found == want).all()


@pytest.mark.parametrize("width", ["0", "16", "32"])
def test_sextets_are_not_used_where_narrow_look_ups_are_asked_for(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHUFFLE_VARIABLE, width)
    assert not sextets.has_look_up()


@pytest.mark.parametrize("margin", [0, 96])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_estimates_are_the_twins_but_for_rounding_and_the_pool_has_the_least(
    metric: Metric, dim: int, margin: int, form: ModuleType, rng: np.random.Generator
) -> None:
    segment, _, codes = packed_segment(rng, metric, dim)
    padded, masks = codes.shape[1], rotation_masks(codes.shape[1])
    query = query_codes(segment, rng.standard_normal(dim).astype(np.float32))
    rotated, squared = oracle.rotate(query, masks), float(query.astype(np.int64) @ query.astype(np.int64))
    together = 6 if form is sextets else 4
    spans = np.abs(np.append(rotated, np.zeros(-len(rotated) % together))).reshape(-1, together).sum(axis=1)
    scratch = Scratch()
    scratch.reserve(64, 64, padded, 10)
    scratch._buffers[layout.QUERY_CODES][:padded] = query
    for count in (1, 33, 64, 90):
        rows, out = some_rows(rng, count), np.zeros(count + layout.SPARE_ESTIMATES, dtype=np.int32)
        copies = copies_of(form, segment, rows)
        addresses = rows.ctypes.data, count, copies.ctypes.data, out.ctypes.data
        form.estimate_copies(segment.plan.address, scratch.address, margin, *addresses, 16)
        sketched = oracle.gather_sketches(codes, rows.tolist(), masks)
        want = oracle.estimate_neighbours(sketched, 0, query, masks) + squared
        want = np.maximum(want - sketched.weights * margin / 64 * 0.6 * 64 * squared**0.5, 0)
        rounding = sketched.weights * len(spans) * spans.max() / 31 + 2 + 1e-5 * np.abs(want)
        assert (np.abs(out[:count] - want) <= rounding).all()
        keys = scratch._buffers[layout.POOL][layout.GUARD // 8 :][: min(16, count)]
        pool = [(int(key) >> 32, (int(key) & layout.ROW_BITS) >> 1) for key in keys]
        assert pool == sorted(zip(out[:count].tolist(), rows.tolist(), strict=True))[:16]


@device
def estimate_sextets(block: int, tables: int, groups: int, out: int) -> int:
    one, zero = np.float32(1.0), np.float32(0.0)
    return sextets.estimate_sextets(block + 512, tables, groups, block, block + 256, 1_000, out, zero, one, zero)


@pytest.mark.parametrize("groups", [1, 7, 8, 22, 64, 683])
def test_estimates_of_sextets_are_sums_of_what_the_tables_hold(groups: int, rng: np.random.Generator) -> None:
    if not sextets.has_look_up():
        pytest.skip("needs a processor with AVX-512 VBMI")
    block, tables = aligned_empty((64 * (8 + groups),), np.uint8), aligned_empty((64 * groups,), np.uint8)
    block[:512] = np.repeat(np.array([0.0, -1.0], dtype=np.float32), 64).view(np.uint8)
    block[512:] = rng.integers(0, 256, 64 * groups)
    tables[:] = rng.integers(0, signs.FEW_STEPS + 1, 64 * groups)
    entries = np.take_along_axis(tables.reshape(-1, 64).astype(np.int64), block[512:].reshape(-1, 64) & 63, axis=1)
    sums = entries.sum(axis=0)
    want = np.concatenate([sums[0::2], sums[1::2]])
    out = aligned_zeros((64,), np.int32)
    near = estimate_sextets(block.ctypes.data, tables.ctypes.data, groups, out.ctypes.data)
    assert (out == want).all()
    assert [near >> place & 1 for place in range(64)] == (want <= 1_000).tolist()


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
