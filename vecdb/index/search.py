"""Searches segments and scans columns: the Python side of the search kernels.

Promises: hits are sorted by (distance, slot), never dead, never short of min(limit, live rows): a graph search that
comes out short is repeated with more effort and then by an exact scan.
Invariants: distances are the user's (cosine 1 - cos, dot -<q, x>, l2 rooted), float32, from the stored vectors.
Concurrency: thread safe. Each thread has its own Scratch; batches run on `threads` threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vecdb.config import EF_MAX
from vecdb.index.config import BATCH_QUERIES_MAX
from vecdb.index.prepared import HitRoom, PreparedSearch
from vecdb.index.scratch import Needs, Scratch, ranked_rows, thread_scratch
from vecdb.index.segment import Plan, Segment
from vecdb.index.workers import run_ranges
from vecdb.kernels.native import bound, kernels
from vecdb.types import FloatArray

if TYPE_CHECKING:
    from collections.abc import Callable

SlotArray = npt.NDArray[np.uint32]
RowArray = npt.NDArray[np.int32]
CountArray = npt.NDArray[np.int32]
DeadBits = npt.NDArray[np.uint64]
SkipRows = npt.NDArray[np.int64]


class Hits(NamedTuple):
    """Hits of one query, best first: slots (n,), distances (n,) and rows of the segment (n,)."""

    slots: SlotArray
    distances: FloatArray
    rows: RowArray


class BatchHits(NamedTuple):
    """Hits of many queries, (q, limit) each; row i holds counts[i] of them, then slot 2^32 - 1 at infinity, row -1."""

    slots: SlotArray
    distances: FloatArray
    rows: RowArray
    counts: CountArray

    def of(self, index: int) -> Hits:
        """The hits of one query."""
        count = self.counts[index]
        return Hits(self.slots[index, :count], self.distances[index, :count], self.rows[index, :count])


NO_SLOT: Final = 0xFFFFFFFF

WIDEST_FACTOR: Final = 4
"""The pool may widen to this many times ef to make room for tombstones before the search falls back."""

RETRY_FACTOR: Final = 8
"""A search that came out short is first repeated with this many times the effort."""

SCAN_QUERIES: Final = 32
"""Queries scanned together: each block of rows is read once for all of them."""

BATCH_QUERIES: Final = 16
"""Fewest queries a worker takes at a time."""

BATCH_PIECES: Final = 16
"""Pieces of a batch for each worker: few, for a call of a kernel costs as much as half a search, but enough that none
is left with much when the others are done."""


def search_segment(
    segment: Segment, query: FloatArray, limit: int, ef: int, dead: DeadBits | None = None, skip_row: int = -1
) -> Hits:
    """Nearest live rows of `query` (dim,), at most `limit`, best first.

    `dead`: bit r of the words set means row r is a tombstone. `ef` is raised to `limit` or half of it. `skip_row` is
    left out and not walked through, as if it were not in the graph: what calibration needs.
    """
    if segment.rows == 0 or limit < 1:
        return empty_hits(1, 0).of(0)
    scratch = thread_scratch()
    ef = _reserve(scratch, segment, limit, ef)
    scratch.query[: segment.dim] = query
    scratch.skip[0] = skip_row
    kernels.search_graph(
        segment.plan.address,
        scratch.address,
        scratch.query_address,
        0,
        1,
        limit,
        ef,
        ranked_rows(limit, ef),
        0 if dead is None else dead.ctypes.data,
        0 if skip_row < 0 else scratch.skip_address,
        scratch.slots_address,
        scratch.distances_address,
        scratch.rows_address,
        scratch.count_address,
    )
    count = scratch.count.item(0)
    if count < limit and count < live_rows(segment.rows, dead, skip_row):
        queries = scratch.query[: segment.dim].reshape(1, -1).copy()
        skips = None if skip_row < 0 else np.array([skip_row], dtype=np.int64)
        return _search_harder(segment, queries, limit, ef, dead, skips).of(0)
    return Hits(*scratch.found())


def search_segment_batch(
    segment: Segment,
    queries: FloatArray,
    limit: int,
    ef: int,
    dead: DeadBits | None = None,
    threads: int = 1,
    skip_rows: SkipRows | None = None,
) -> BatchHits:
    """`search_segment` for queries (q, dim). `skip_rows` (q,), -1 for none."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    hits = _search_pass(segment, queries, limit, ef, dead, threads, skip_rows)
    if segment.rows and limit > 0:
        live = live_rows(segment.rows, dead, -1)
        short = np.flatnonzero(hits.counts < min(limit, live - (skip_rows is not None)))
        if short.size:
            skips = None if skip_rows is None else skip_rows[short]
            for column, better in zip(
                hits, _search_harder(segment, queries[short], limit, ef, dead, skips), strict=True
            ):
                column[short] = better
    return hits


def prepare_search(segment: Segment, limit: int, ef: int, dead: DeadBits | None, room: HitRoom) -> PreparedSearch:
    """The first pass of `search_segment` for the query in a room: hits may be fewer than there are."""
    effort, needs = _needs(segment, limit, ef)
    scratch = thread_scratch()
    call = bound(
        "search_graph",
        segment.plan.address,
        scratch.address,
        room.query_address,
        0,
        1,
        limit,
        effort,
        ranked_rows(limit, effort),
        0 if dead is None else dead.ctypes.data,
        0,
        room.slots_address,
        room.distances_address,
        room.rows_address,
        room.count_address,
    )
    return PreparedSearch(room, scratch, needs, call)


def prepare_batch(
    segment: Segment, limit: int, ef: int, dead: DeadBits | None, threads: int, skip_address: int = 0
) -> Callable[[int, int, int, int, int, int], None]:
    """The first pass of `search_segment_batch`, for any thread: to be called with the address and the number of queries
    (float32), and the addresses of slots, distances and rows (q, limit), and counts (q,). Whoever keeps it keeps the
    segment and the tombstones.
    """
    effort, needs = _needs(segment, limit, ef)
    plan, dead_address = segment.plan.address, 0 if dead is None else dead.ctypes.data
    settled = limit, effort, ranked_rows(limit, effort), dead_address, skip_address

    def search(source: int, queries: int, slots: int, distances: int, rows: int, counts: int) -> None:
        def answer(first: int, last: int) -> None:
            scratch = thread_scratch()
            scratch.reserve_for(needs)
            places = slots, distances, rows, counts
            kernels.search_graph(plan, scratch.address, source, first, last, *settled, *places)

        size = _piece(queries, threads)
        if queries <= size:
            answer(0, queries)
        else:
            run_ranges(queries, size, threads, answer)

    return search


def _least_effort(segment: Segment, limit: int) -> int:
    """What `ef` is raised to: `limit`, but half of it where rows are compared by their codes before they are expanded.

    There what is ranked is not only what was expanded: of 200,000 rows in hard clusters 10 hits have a recall of .85
    with 7 expanded.
    """
    return (limit + 1) // 2 if segment.is_checked else limit


def _needs(segment: Segment, limit: int, ef: int) -> tuple[int, Needs]:
    """The effective ef, and what a search needs of the scratch."""
    effort = min(max(ef, _least_effort(segment, limit), 1), EF_MAX)
    pool = (WIDEST_FACTOR * effort + 7) // 8 * 8
    return effort, (segment.rows, pool, segment.quantizer.padded, limit)


def _reserve(scratch: Scratch, segment: Segment, limit: int, ef: int) -> int:
    """Prepare the scratch for a search; returns the effective ef."""
    effort, needs = _needs(segment, limit, ef)
    scratch.reserve_for(needs)
    return effort


def _search_pass(
    segment: Segment,
    queries: FloatArray,
    limit: int,
    ef: int,
    dead: DeadBits | None,
    threads: int,
    skip_rows: SkipRows | None,
) -> BatchHits:
    """One graph search per query, short or not."""
    hits = empty_hits(len(queries), limit)
    if segment.rows == 0 or len(queries) == 0 or limit < 1:
        return hits
    skip_address = 0 if skip_rows is None else skip_rows.ctypes.data
    search = prepare_batch(segment, limit, ef, dead, threads, skip_address)
    search(queries.ctypes.data, len(queries), *[column.ctypes.data for column in hits])
    return hits


def _piece(queries: int, threads: int) -> int:
    """How many of these queries a worker takes at a time."""
    if threads <= 1:
        return BATCH_QUERIES_MAX
    return min(max(queries // (BATCH_PIECES * threads), BATCH_QUERIES), BATCH_QUERIES_MAX)


def _search_harder(
    segment: Segment, queries: FloatArray, limit: int, ef: int, dead: DeadBits | None, skip_rows: SkipRows | None
) -> BatchHits:
    """The way out for searches that came out short: more effort, then every row."""
    queries = np.ascontiguousarray(queries)
    effort = min(RETRY_FACTOR * max(ef, limit), EF_MAX)
    if effort < segment.rows:
        hits = _search_pass(segment, queries, limit, effort, dead, 1, skip_rows)
        if hits.counts.min() >= min(limit, live_rows(segment.rows, dead, -1) - (skip_rows is not None)):
            return hits
    return _scan(segment.plan, queries, limit, dead, 1, skip_rows)


def live_rows(rows: int, dead: DeadBits | None, skip_row: int) -> int:
    """Rows a search may return: those without a tombstone, less the skipped one."""
    if dead is None:
        return rows - (skip_row >= 0)
    words = dead[: (rows + 63) // 64].copy()
    if rows % 64 and len(words) == (rows + 63) // 64:
        words[-1] &= np.uint64((1 << (rows % 64)) - 1)
    skipped = skip_row >= 0 and not int(words[skip_row // 64]) >> (skip_row % 64) & 1
    return rows - int(np.bitwise_count(words).sum()) - skipped


def scan_segment_batch(
    segment: Segment,
    queries: FloatArray,
    limit: int,
    dead: DeadBits | None = None,
    threads: int = 1,
    skip_rows: SkipRows | None = None,
) -> BatchHits:
    """Exact hits of a segment: what `search_segment_batch` approximates."""
    return scan_planned(segment.plan, queries, limit, dead, threads, skip_rows)


def scan_planned(
    plan: Plan,
    queries: FloatArray,
    limit: int,
    dead: DeadBits | None = None,
    threads: int = 1,
    skip_rows: SkipRows | None = None,
) -> BatchHits:
    """Exact nearest live rows of queries (q, dim) over a plan made by `segment.scan_plan`, as `search_segment_batch`.

    Cost: one pass over the vectors for every SCAN_QUERIES queries.
    """
    return _scan(plan, np.ascontiguousarray(queries, dtype=np.float32), limit, dead, threads, skip_rows)


def _scan(
    plan: Plan, queries: FloatArray, limit: int, dead: DeadBits | None, threads: int, skip_rows: SkipRows | None
) -> BatchHits:
    hits = empty_hits(len(queries), limit)
    if len(queries) == 0 or limit < 1:
        return hits
    outputs = [column.ctypes.data for column in hits]
    dead_address = 0 if dead is None else dead.ctypes.data
    skip_address = 0 if skip_rows is None else skip_rows.ctypes.data
    source, dim = queries.ctypes.data, queries.shape[1]

    def answer(first: int, last: int) -> None:
        work = np.empty((last - first) * (2 * limit + dim) + 1, dtype=np.int64)
        at = work.ctypes.data
        kernels.scan_block(plan.address, source, first, last, limit, dead_address, skip_address, at, *outputs)

    run_ranges(len(queries), SCAN_QUERIES, threads, answer)
    return hits


def empty_hits(count: int, limit: int) -> BatchHits:
    """Room for the hits of `count` queries, with none in it."""
    shape = (count, max(limit, 0))
    return BatchHits(
        slots=np.full(shape, NO_SLOT, dtype=np.uint32),
        distances=np.full(shape, np.inf, dtype=np.float32),
        rows=np.full(shape, -1, dtype=np.int32),
        counts=np.zeros(count, dtype=np.int32),
    )
