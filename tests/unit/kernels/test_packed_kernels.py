"""Checks packed rows and the search over them against their twins, and that every processor's path finds the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle, oracle_walks
from tests.unit.kernels.test_graph_kernels import METRICS, as_lists, query_codes, upper_of
from vecdb.index import packing
from vecdb.index.build import build_graph, row_levels
from vecdb.index.graph import Graph
from vecdb.index.hashing import rotation_masks
from vecdb.index.packing import pack_rows, packed_blocks, with_packed_rows
from vecdb.index.quantize import encode_rows, fit_quantizer
from vecdb.index.scratch import ranked_rows, thread_scratch
from vecdb.index.search import WIDEST_FACTOR, scan_segment_batch, search_segment, search_segment_batch
from vecdb.index.segment import Segment, segment_from_arrays
from vecdb.kernels import layout, signs
from vecdb.kernels.column import Column, aligned_zeros
from vecdb.kernels.jit import device
from vecdb.kernels.layout import CHECKED_PADDED
from vecdb.kernels.native import SHUFFLE_VARIABLE
from vecdb.types import Metric

M = 16
ROWS = 400
WIDTHS = ["0", "16", "32", "64"]
HALF_ROUNDING = 2**-11 + 1e-6


def packed_segment(
    rng: np.random.Generator, metric: Metric, dim: int, m: int = M
) -> tuple[Segment, Graph, npt.NDArray[np.int8]]:
    """A segment of random rows, some of them twins, over packed rows."""
    vectors = rng.standard_normal((ROWS, dim)).astype(np.float32)
    vectors[ROWS - 5 :] = vectors[0]
    slots = rng.permutation(10_000)[:ROWS].astype(np.uint32)
    quantizer = fit_quantizer(vectors, metric)
    codes = encode_rows(quantizer, vectors)
    graph = build_graph(codes, row_levels(slots, m), m=m, ef_construction=40, augmented=quantizer.augmented)
    segment = segment_from_arrays(vectors, graph, metric, slots=slots, quantizer=quantizer, codes=codes)
    return with_packed_rows(segment, codes, graph.links), graph, codes


def parts(packed: npt.NDArray[np.uint8], padded: int, degree: int) -> tuple[npt.NDArray[Any], ...]:
    """Codes, links, A, W and the signs (degree, padded), -1 or 1, of a packed row."""
    ends = [padded, padded + 4 * degree, padded + 6 * degree, padded + 8 * degree]
    codes, links, added, weights, coded = np.split(packed, ends)
    blocks = coded.reshape(degree // 32, padded // 4, 16)
    halves = np.concatenate([blocks & 15, blocks >> 4], axis=2)  # (blocks, groups, 32)
    bits = halves[..., None] >> np.arange(4, dtype=np.uint8) & 1
    ordered = bits.transpose(0, 2, 1, 3).reshape(degree, padded)
    return (
        codes.view(np.int8),
        links.view(np.int32),
        added.view(np.float16).astype(np.float64) * layout.A_UNIT,
        weights.view(np.float16).astype(np.float64),
        ordered.astype(np.int64) * 2 - 1,
    )


@pytest.mark.parametrize(("dim", "m"), [(33, 16), (64, 16), (100, 32), (384, 16)])
def test_packed_rows_equal_their_twin(dim: int, m: int, rng: np.random.Generator) -> None:
    _, graph, codes = packed_segment(rng, "cosine", dim, m)
    masks = rotation_masks(codes.shape[1])
    packed = pack_rows(codes, graph.links, 0, ROWS, threads=2)
    for row in (0, 1, 17, ROWS - 1):
        own, links, added, weights, bits = parts(packed[row], codes.shape[1], 2 * m)
        used = [int(link) for link in links if link >= 0]
        want = oracle.pack_rows(codes, used, row, masks)
        assert (own == codes[row]).all()
        assert (links == graph.links[row]).all()
        assert np.allclose(added[: len(used)], want.added, rtol=HALF_ROUNDING, atol=1)
        assert np.allclose(weights[: len(used)], want.weights, rtol=HALF_ROUNDING)
        assert (bits[: len(used)] == want.signs).all()
        assert np.isinf(added[len(used) :]).all()


def wide_codes() -> npt.NDArray[np.int8]:
    """Rows of 64 codes that grow beyond 16 bits when rotated, and a row that does not."""
    masks = rotation_masks(64)
    rotation = np.array([oracle.rotate(row, masks) for row in np.eye(64, dtype=np.int8)])
    rows = np.vstack([127 * np.sign(rotation.T[:40] + 0.5), np.zeros((1, 64))])
    return np.ascontiguousarray(rows, dtype=np.int8)


def test_rotated_rows_equal_their_twins_and_those_too_wide_are_marked() -> None:
    codes = wide_codes()
    packer = packing.Packer(codes, np.full((len(codes), 32), -1, dtype=np.int32))
    want = oracle.rotate_rows(codes, rotation_masks(64))
    assert want[0] is None
    assert want[-1] is not None
    for got, row in zip(packer.rotated, want, strict=True):
        assert (got == row).all() if row is not None else got[0] == -32_768


def test_rows_too_wide_for_16_bits_are_packed_as_their_twins() -> None:
    codes = wide_codes()
    links = (np.arange(len(codes))[:, None] + np.arange(1, 33)) % len(codes)
    packed = pack_rows(codes, links.astype(np.int32), 0, len(codes))
    for row in (0, 5, len(codes) - 1):
        _, _, added, weights, bits = parts(packed[row], 64, 32)
        want = oracle.pack_rows(codes, links[row].tolist(), row, rotation_masks(64))
        assert np.allclose(added, want.added, rtol=HALF_ROUNDING, atol=1)
        assert np.allclose(weights, want.weights, rtol=HALF_ROUNDING)
        assert (bits == want.signs).all()


def test_packed_rows_do_not_depend_on_how_many_rotated_rows_memory_has_room_for(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, graph, codes = packed_segment(rng, "l2", 40)
    whole = pack_rows(codes, graph.links, 0, ROWS)
    monkeypatch.setattr(packing, "ROTATED_BYTES", 2 * 64 * ROWS // 3)
    assert (pack_rows(codes, graph.links, 0, ROWS) == whole).all()


def test_blocks_of_packed_rows_are_the_rows_whatever_the_pieces(rng: np.random.Generator) -> None:
    _, graph, codes = packed_segment(rng, "l2", 40)
    whole = pack_rows(codes, graph.links, 0, ROWS)
    read = packed_blocks(codes, graph.links)
    pieces = [read(start, min(start + 37, ROWS)) for start in range(0, ROWS, 37)]
    assert (np.concatenate(pieces) == whole).all()


def estimator() -> Callable[..., int]:
    """The estimates of a packed row, compiled anew for the processor that is asked for."""

    @device
    def estimate(
        packed: int, tables: int, padded: int, degree: int, base: float, step: float, offset: float, out: int
    ) -> int:
        links = packed + padded
        near = 0
        for block in range(degree // 32):
            near |= signs.estimate_neighbours(
                links + 8 * degree + 4 * padded * block, tables, 4 * padded, links + 4 * degree + 64 * block,
                links + 6 * degree + 64 * block, (1 << 31) - 1, out + 128 * block,
                np.float32(base), np.float32(step), np.float32(offset),
            )  # fmt: skip
        return near

    return estimate


@device
def tables_of(plan: int, scratch: int) -> tuple[float, float]:
    return signs.make_tables(plan, scratch)


def estimates_of(estimate: Callable[..., int], segment: Segment, row: int, base: float) -> npt.NDArray[np.int32]:
    """Estimates for the query whose codes the scratch holds."""
    assert segment.packed is not None
    scratch, padded = thread_scratch(), segment.quantizer.padded
    step, offset = tables_of(segment.plan.address, scratch.address)
    address = int(segment.packed.table[0]) + row * segment.packed.stride
    degree = segment.upper_links.stride // 2
    out = aligned_zeros((degree,), np.int32)
    tables = int(scratch.words[layout.TABLES // 8])
    estimate(address, tables, padded, degree, base, step, offset, out.ctypes.data)
    return out


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., int]]:
    """Estimators as processors with shuffles of each width have them, as far as this one can run them."""
    found = []
    room = aligned_zeros((4_096,), np.uint8)
    address = room.ctypes.data
    for width in WIDTHS:
        monkeypatch.setenv(SHUFFLE_VARIABLE, width)
        estimate = estimator()
        estimate(address, address, 64, 32, 0.0, 1.0, 0.0, address + 3_000)  # the first call compiles
        found.append(estimate)
    return found


@pytest.mark.parametrize("dim", [33, 128, 384, 1536])
def test_estimates_are_the_twins_but_for_rounding_and_the_same_on_every_processor(
    dim: int, rng: np.random.Generator, widths: list[Callable[..., int]]
) -> None:
    segment, graph, codes = packed_segment(rng, "cosine", dim)
    padded = codes.shape[1]
    query = query_codes(segment, rng.standard_normal(dim).astype(np.float32))
    for row in (0, 3, 250):
        base = oracle.code_distance(codes[row], query)
        used = [int(link) for link in graph.links[row] if link >= 0]
        packed = oracle.pack_rows(codes, used, row, rotation_masks(padded))
        want = oracle.estimate_neighbours(packed, base, query, rotation_masks(padded))
        got = [estimates_of(estimate, segment, row, float(base)) for estimate in widths]
        assert all((other == got[0]).all() for other in got)
        spans = np.abs(oracle.rotate(query, rotation_masks(padded))).reshape(-1, 4).sum(axis=1)
        steps = min(255, 65_535 // (padded // 4))
        rounding = packed.weights * (padded // 4) * spans.max() / steps + 3 + 1e-6 * np.abs(want)
        rounding += HALF_ROUNDING * (np.abs(packed.added) + np.abs(base + packed.added - want))
        assert (np.abs(got[0][: len(used)] - np.maximum(want, 0)) <= rounding).all()


def test_estimates_tell_near_neighbours_from_far_ones(rng: np.random.Generator) -> None:
    segment, graph, codes = packed_segment(rng, "l2", 128)
    query = query_codes(segment, rng.standard_normal(128).astype(np.float32))
    estimate, found, true = estimator(), [], []
    for row in range(0, ROWS - 5, 7):
        links = graph.links[row][graph.links[row] >= 0]
        found += estimates_of(estimate, segment, row, float(oracle.code_distance(codes[row], query))).tolist()[
            : len(links)
        ]
        true += [oracle.code_distance(codes[link], query) for link in links]
    assert np.corrcoef(found, true)[0, 1] > 0.5


@pytest.mark.parametrize(("dim", "m"), [(40, 16), (40, 32), (40, 64), (150, 16), (150, 32), (150, 64)])
@pytest.mark.parametrize("metric", METRICS)
def test_a_packed_search_equals_its_twin_hit_for_hit(
    metric: Metric, dim: int, m: int, rng: np.random.Generator
) -> None:
    segment, graph, codes = packed_segment(rng, metric, dim, m)
    twin = oracle_walks.search_checked if codes.shape[1] <= CHECKED_PADDED else oracle_walks.search_packed
    vectors = np.array([segment.vectors.read_row(row, np.float32) for row in range(ROWS)])
    slots = np.array([segment.slots.read_row(row, np.uint32)[0] for row in range(ROWS)])
    estimate = estimator()
    excluded = rng.random(ROWS) < 0.3
    dead = np.packbits(np.append(excluded, np.zeros(48, dtype=np.bool_)), bitorder="little").view(np.uint64)
    links = as_lists(graph.links)
    for query in rng.standard_normal((10, dim)).astype(np.float32):
        wanted = query_codes(segment, query)
        to_codes = oracle.code_distances(codes, wanted)
        to_rows = oracle.true_distances(metric, vectors, query)
        upper = upper_of(graph)
        start = graph.entry if upper is None else oracle.descend(upper, to_codes)

        def guess(row: int, base: list[int] = to_codes) -> list[int]:
            return [int(value) for value in estimates_of(estimate, segment, row, float(base[row]))[: len(links[row])]]

        for gone, bits in (([], None), (np.flatnonzero(excluded).tolist(), dead)):
            want = twin(
                links, guess, start, to_codes, to_rows, slots, 5, 12, ranked_rows(5, 12), gone, WIDEST_FACTOR * 12
            )
            got_slots, got, _ = search_segment(segment, query, 5, 12, bits)
            assert got_slots.tolist() == [slot for _, slot in want]
            assert np.allclose(got, [distance for distance, _ in want], rtol=1e-5, atol=1e-5)


def test_a_checked_search_may_expand_half_as_many_rows_as_it_returns(rng: np.random.Generator) -> None:
    segment, _, _ = packed_segment(rng, "l2", 40)
    queries = rng.standard_normal((50, 40)).astype(np.float32)
    exact = scan_segment_batch(segment, queries, 20)

    def recall(ef: int) -> float:
        found = search_segment_batch(segment, queries, 20, ef)
        assert (found.counts == 20).all()
        return float(np.mean([len({*a} & {*b}) for a, b in zip(found.rows, exact.rows, strict=True)])) / 20

    assert recall(1) == recall(10) < recall(20)


@pytest.mark.parametrize("metric", METRICS)
def test_packed_and_compact_searches_agree_when_they_see_everything(metric: Metric, rng: np.random.Generator) -> None:
    segment, _, _ = packed_segment(rng, metric, 64)
    compact = replace(segment, packed=None)
    for query in rng.standard_normal((5, 64)).astype(np.float32):
        mine, theirs = search_segment(segment, query, 20, ROWS), search_segment(compact, query, 20, ROWS)
        assert mine.slots.tolist() == theirs.slots.tolist()
        assert (mine.distances == theirs.distances).all()


@pytest.mark.parametrize("dim", [64, 150])
def test_a_row_that_is_left_out_is_missing_alone_even_where_the_walk_begins(dim: int, rng: np.random.Generator) -> None:
    segment, graph, _ = packed_segment(rng, "l2", dim)
    for row in {int(row) for row in graph.upper_rows}:
        query = segment.vectors.read_row(row, np.float32)
        every, others = search_segment(segment, query, 20, ROWS), search_segment(segment, query, 19, ROWS, None, row)
        assert others.rows.tolist() == [other for other in every.rows.tolist() if other != row][:19]


def test_a_damaged_packed_row_leads_nowhere_outside(rng: np.random.Generator) -> None:
    segment, graph, codes = packed_segment(rng, "l2", 40)
    packed = pack_rows(codes, graph.links, 0, ROWS)
    packed[:, 64:] = rng.integers(0, 256, packed[:, 64:].shape)
    column = Column.from_array(packed)
    damaged = replace(segment, packed=column, codes=column, links=column.shifted(64))
    for query in rng.standard_normal((20, 40)).astype(np.float32):
        found = search_segment(damaged, query, 10, 50)
        assert len(found.slots) == 10
        assert ((found.rows >= 0) & (found.rows < ROWS)).all()
