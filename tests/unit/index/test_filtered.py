"""Checks searches among the rows that a filter keeps: only kept rows, the nearest of them, whatever their share."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from tests.unit.index.test_search import ROWS, as_bits, layout, make_segment, random_rows
from vecdb.index import scratch
from vecdb.index.filtered import Kept, Reach, scan_rows, search_kept
from vecdb.index.search import BatchHits
from vecdb.index.segment import Segment
from vecdb.kernels.column import aligned_zeros
from vecdb.kernels.layout import AMONG_KEPT
from vecdb.types import Metric

__all__ = ["layout"]  # the fixture by which every test runs on both layouts
METRICS: list[Metric] = ["cosine", "dot", "l2"]
SHARES = [1.0, 0.5, 0.1, 0.02]
FENCE = 4096
FAR = Reach(ef=120, widen=64, widest=20_000, growth=64)


def truth(
    segment: Segment,
    vectors: npt.NDArray[np.float32],
    slots: npt.NDArray[np.uint32],
    query: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    limit: int,
) -> list[int]:
    """Slots of the nearest kept rows."""
    kept = set(slots[mask].tolist())
    return [slot for _, slot in oracle.search_kept(segment.metric, vectors, slots, query, limit, kept)]


def found_slots(hits: BatchHits, index: int) -> list[int]:
    """Slots of the hits of one query."""
    slots: list[int] = hits.of(index).slots.tolist()
    return slots


def bits_of(slots: npt.NDArray[np.uint32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """A bitmap over slots of the rows that the mask keeps."""
    kept = np.zeros(int(slots.max()) + 1, dtype=np.bool_)
    kept[slots[mask]] = True
    return as_bits(kept)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("contiguous", [True, False])
def test_a_walk_finds_the_nearest_kept_rows_and_no_others(
    metric: Metric, share: float, contiguous: bool, rng: np.random.Generator
) -> None:
    vectors, queries = random_rows(rng), random_rows(rng, 12)
    first = 64_000 if contiguous else -1
    slots = (np.arange(ROWS) + first if contiguous else rng.permutation(5_000)[:ROWS]).astype(np.uint32)
    segment, mask = make_segment(vectors, metric, slots), rng.random(ROWS) < share
    hits, stats = search_kept(segment, queries, 10, FAR, Kept(bits_of(slots, mask), first))
    recalled = 0
    for index, query in enumerate(queries):
        found = found_slots(hits, index)
        assert set(found) <= set(slots[mask].tolist())
        recalled += len(set(found) & set(truth(segment, vectors, slots, query, mask, 10)))
    # the signs of 40 components tell less than their codes
    assert recalled > (0.85 if segment.packed is None else 0.7) * 10 * len(queries)
    assert (stats[:, 2] >= hits.counts).all()


def test_a_walk_that_may_not_widen_enough_says_so(rng: np.random.Generator) -> None:
    segment = make_segment(random_rows(rng), "l2")
    mask = rng.random(ROWS) < 0.02
    narrow = Reach(ef=30, widen=64, widest=60, growth=64)
    hits, stats = search_kept(segment, random_rows(rng, 8), 10, narrow, Kept(as_bits(mask)))
    assert (stats[hits.counts < 10, 3] == 1).all()


def test_too_little_widening_is_made_up_for_where_few_rows_are_kept(rng: np.random.Generator) -> None:
    """The half far from the query is kept: around the query nothing is."""
    vectors = random_rows(rng)
    segment = make_segment(vectors, "l2")
    query = vectors[:1] + 0.01
    mask = np.linalg.norm(vectors - query, axis=1) > np.median(np.linalg.norm(vectors - query, axis=1))
    hits, stats = search_kept(segment, query, 10, Reach(40, 20, 20_000, 32), Kept(as_bits(mask)))
    want = truth(segment, vectors, np.arange(ROWS, dtype=np.uint32), query[0], mask, 10)
    assert len(set(found_slots(hits, 0)) & set(want)) >= 7
    assert stats[0, 1] > 40


def by_codes(segment: Segment) -> Segment:
    """The segment searched by codes, whatever its layout: how soon signs tell a query is far differs by the data."""
    return replace(segment, packed=None)


def far_half(vectors: npt.NDArray[np.float32], query: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """The half of the rows that lies farther along the direction of the query."""
    places = vectors @ query
    mask: npt.NDArray[np.bool_] = places < np.median(places)
    return mask


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("metric", METRICS)
def test_a_query_far_from_all_kept_rows_is_answered_by_a_walk_among_them(
    metric: Metric, contiguous: bool, rng: np.random.Generator
) -> None:
    """The nearest of them are all about as far, so it must find what a scan by the same codes does (dot: most)."""
    vectors = random_rows(rng)
    first = 640 if contiguous else -1
    slots = (np.arange(ROWS) + first if contiguous else rng.permutation(5_000)[:ROWS]).astype(np.uint32)
    segment, alike = by_codes(make_segment(vectors, metric, slots)), 0
    for query in 3 * random_rows(rng, 6):
        mask = far_half(vectors, query)
        reach, kept = Reach(20, 20, 20_000, 32, share=0.5, far=200), Kept(bits_of(slots, mask), first)
        hits, stats = search_kept(segment, query.reshape(1, -1), 10, reach, kept)
        rows = np.flatnonzero(mask).astype(np.int32)
        scanned = scan_rows(segment.plan, segment.quantizer.padded, query.reshape(1, -1), 10, rows, exact=False)
        assert set(found_slots(hits, 0)) <= set(slots[mask].tolist())
        assert stats[0, 2] == 200, "the pool holds as many kept rows as `far` says"
        alike += len(set(found_slots(hits, 0)) & set(found_slots(scanned, 0)))
    assert alike >= (0.5 if metric == "dot" else 0.9) * 60


def test_a_query_far_from_all_kept_rows_gets_no_answer_where_a_walk_among_them_is_not_wanted(
    rng: np.random.Generator,
) -> None:
    vectors = random_rows(rng)
    segment, query = by_codes(make_segment(vectors, "l2")), 3 * random_rows(rng, 1)
    kept = Kept(as_bits(far_half(vectors, query[0])))
    hits, stats = search_kept(segment, query, 10, Reach(20, 20, 20_000, 32, share=0.5, far=0), kept)
    assert hits.counts[0] == 0
    assert stats[0, 3] == 1


@pytest.fixture
def fences(monkeypatch: pytest.MonkeyPatch) -> list[npt.NDArray[np.uint8]]:
    """The buffers of a new scratch, between bytes that must stay as they are."""
    blocks: list[npt.NDArray[np.uint8]] = []

    def fenced(shape: tuple[int, ...], dtype: type[np.generic]) -> npt.NDArray[np.generic]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        blocks.append(aligned_zeros((size + 2 * FENCE,), np.uint8))
        blocks[-1][:FENCE] = blocks[-1][FENCE + size :] = 0xAB
        return blocks[-1][FENCE : FENCE + size].view(dtype).reshape(shape)

    monkeypatch.setattr(scratch, "aligned_empty", fenced)
    monkeypatch.setattr(scratch, "aligned_zeros", fenced)
    monkeypatch.setattr(scratch._thread, "scratch", scratch.Scratch())
    return blocks


def are_whole(fences: list[npt.NDArray[np.uint8]]) -> bool:
    """Whether nothing was written beyond any buffer."""
    return all((block[:FENCE] == 0xAB).all() and (block[-FENCE:] == 0xAB).all() for block in fences)


@pytest.mark.parametrize("rows", [300, 511, 512, 513, 1_025])
def test_a_walk_among_kept_rows_writes_nowhere_but_into_its_buffers(
    rows: int, rng: np.random.Generator, fences: list[npt.NDArray[np.uint8]]
) -> None:
    vectors, query = random_rows(rng, rows), 6 * random_rows(rng, 1)
    segment, kept = make_segment(vectors, "l2"), Kept(as_bits(far_half(vectors, query[0])))
    _, stats = search_kept(segment, query, 10, Reach(20, 20, 20_000, 32, share=0.5, far=111), kept)
    assert stats[0, 3] == AMONG_KEPT, "it walked among kept rows"
    assert are_whole(fences)


@pytest.mark.parametrize("limit", [1, 60, 80, 250])
def test_a_walk_with_no_room_to_widen_writes_nowhere_but_into_its_buffers(
    limit: int, rng: np.random.Generator, fences: list[npt.NDArray[np.uint8]]
) -> None:
    """A walk over packed rows may find more rows to rank than its pool may hold."""
    segment = make_segment(random_rows(rng), "l2")
    kept = Kept(np.full(ROWS // 64 + 1, 2**64 - 1, dtype=np.uint64))
    hits, _ = search_kept(segment, random_rows(rng, 3), limit, Reach(limit, 64, limit, 64), kept)
    assert hits.counts.any()
    assert are_whole(fences)


def test_a_walk_among_kept_rows_leaves_nothing_behind_for_the_next_search(rng: np.random.Generator) -> None:
    vectors = random_rows(rng)
    segment, far = make_segment(vectors, "l2"), 3 * random_rows(rng, 1)
    near, everything = random_rows(rng, 1), Kept(np.full(ROWS // 64 + 1, 2**64 - 1, dtype=np.uint64))
    before, _ = search_kept(segment, near, 10, FAR, everything)
    search_kept(
        segment, far, 10, Reach(20, 20, 20_000, 32, share=0.5, far=200), Kept(as_bits(far_half(vectors, far[0])))
    )
    after, _ = search_kept(segment, near, 10, FAR, everything)
    assert found_slots(after, 0) == found_slots(before, 0)


def test_a_filter_that_keeps_nothing_gives_no_hits(rng: np.random.Generator) -> None:
    segment = make_segment(random_rows(rng, 300), "l2")
    hits, _ = search_kept(segment, random_rows(rng, 3), 5, FAR, Kept(np.zeros(5, dtype=np.uint64)))
    assert not hits.counts.any()


def test_slots_beyond_the_bitmap_are_not_kept(rng: np.random.Generator) -> None:
    slots = np.arange(300, dtype=np.uint32) * 10_000_019
    segment = make_segment(random_rows(rng, 300), "l2", slots)
    words = np.full(1, 2**64 - 1, dtype=np.uint64)
    hits, _ = search_kept(segment, random_rows(rng, 3), 5, FAR, Kept(words))
    assert set(hits.slots[hits.slots != 2**32 - 1].tolist()) <= {0}


def test_a_batch_gives_what_its_queries_give_alone_on_any_number_of_threads(rng: np.random.Generator) -> None:
    segment, queries = make_segment(random_rows(rng), "cosine"), random_rows(rng, 40)
    kept = Kept(as_bits(rng.random(ROWS) < 0.3))
    together, _ = search_kept(segment, queries, 7, FAR, kept, threads=3)
    for index in range(len(queries)):
        alone, _ = search_kept(segment, queries[index : index + 1], 7, FAR, kept)
        assert found_slots(alone, 0) == found_slots(together, index)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("metric", METRICS)
def test_a_scan_of_rows_finds_the_nearest_of_them(
    metric: Metric, dtype: str, exact: bool, rng: np.random.Generator
) -> None:
    vectors = random_rows(rng).astype(dtype)
    slots = rng.permutation(5_000)[:ROWS].astype(np.uint32)
    segment, queries = make_segment(vectors, metric, slots), random_rows(rng, 9)
    for count in (0, 1, 9, 700):
        mask = np.zeros(ROWS, dtype=np.bool_)
        mask[rng.permutation(ROWS)[:count]] = True
        rows = np.flatnonzero(mask).astype(np.int32)
        hits = scan_rows(segment.plan, segment.quantizer.padded, queries, 10, rows, exact=exact)
        assert (hits.counts == min(count, 10)).all()
        for index, query in enumerate(queries):
            found, want = found_slots(hits, index), truth(segment, vectors, slots, query, mask, 10)
            assert found == want if exact else len(set(found) & set(want)) >= len(want) - 1


def test_equal_distances_are_in_the_order_of_slots(rng: np.random.Generator) -> None:
    vectors = np.repeat(random_rows(rng, 3), 100, axis=0)
    slots = rng.permutation(300).astype(np.uint32)
    segment = make_segment(vectors, "l2", slots)
    rows = np.arange(300, dtype=np.int32)
    hits = scan_rows(segment.plan, segment.quantizer.padded, vectors[:1], 20, rows, exact=True)
    assert found_slots(hits, 0) == sorted(slots[:100].tolist())[:20]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("limit", [10, 500])
def test_a_scan_in_a_fresh_thread_writes_only_where_there_is_room(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, limit: int, *, exact: bool
) -> None:
    """Each buffer of the thread's scratch is followed by bytes that must stay as they are."""
    guards: list[Any] = []

    def guarded(shape: tuple[int, ...], dtype: Any) -> Any:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = np.full(size + 8_192, 0xAB, dtype=np.uint8)
        start = -raw.ctypes.data % 64
        guards.append(raw[start + size :])
        return raw[start : start + size].view(dtype).reshape(shape)

    monkeypatch.setattr("vecdb.index.scratch.aligned_empty", guarded)
    segment, queries = make_segment(random_rows(rng), "l2"), random_rows(rng, 1)
    rows = np.arange(ROWS, dtype=np.int32)
    padded = segment.quantizer.padded
    scan = threading.Thread(
        target=scan_rows, args=(segment.plan, padded, queries, limit, rows), kwargs={"exact": exact}
    )
    scan.start()
    scan.join()
    assert guards
    assert all((guard == 0xAB).all() for guard in guards)
