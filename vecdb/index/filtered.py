"""Searches a segment among the rows that a filter keeps: the Python side of `kernels.filtered`.

Promises: hits are kept rows only, sorted by (distance, slot), with the user's distances. A graph search may come out
short or say that its pool was full: then its caller scans. A scan of rows misses none of them.
Concurrency: thread safe; batches run on `threads` threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb.config import EF_MAX
from vecdb.index.prepared import HitRoom, PreparedSearch
from vecdb.index.scratch import ranked_matches, thread_scratch
from vecdb.index.search import BATCH_QUERIES, BatchHits, empty_hits
from vecdb.index.segment import Plan, Segment
from vecdb.index.workers import run_ranges
from vecdb.kernels.column import aligned_empty
from vecdb.kernels.layout import AT_A_TIME, SHARE_UNIT, SPARE_ESTIMATES, SPARSEST_KEPT, STATS
from vecdb.kernels.native import bound, kernels
from vecdb.types import FloatArray

SketchBlocks: TypeAlias = npt.NDArray[np.uint8]
"""See `kernels.copied`."""

POOL_MAX: Final = 4 * EF_MAX
"""Most candidates of a filtered search: a pool of 640 kB still fits the L2 cache."""


SHARE_MOST: Final = 4
"""A share beyond 1 makes a walk end sooner: see `kernels.packed`."""


class Kept(NamedTuple):
    """What a filter keeps: bits over slots, dead ones clear. `first_slot`: of a segment without gaps, else -1.

    `address` is that of the words, if it is known: asking an array for it costs a microsecond.
    """

    words: npt.NDArray[np.uint64]
    first_slot: int = -1
    address: int = 0


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a filtered graph search goes: see `kernels.filtered.search_kept`. `widen` and `growth` are in 1/64.

    `share` of the rows is kept; queries that have far fewer around them, less than a quarter of it, get a pool of `far`
    kept rows (0: no answer). Others with less than a quarter of `tried` around them get no answer.
    """

    ef: int
    widen: int
    widest: int
    growth: int
    share: float = 0.0
    far: int = 0
    tried: float = 0.0

    def bounded(self, limit: int) -> tuple[int, int, int, int, int]:
        """Pool, widest pool, `share` and `tried` in SHARE_UNIT-ths and pool of kept rows, as the kernel takes them."""
        effort = min(max(self.ef, limit), EF_MAX)
        share, tried = (min(max(int(of * SHARE_UNIT), 0), SHARE_MOST * SHARE_UNIT) for of in (self.share, self.tried))
        return effort, min(max(self.widest, effort), POOL_MAX), share, tried, min(self.far, POOL_MAX)

    def room_among_kept(self, segment: Segment) -> int:
        """Room that a walk among kept rows needs: by signs its pool grows where these link to others."""
        return min(self.far, POOL_MAX) * (SPARSEST_KEPT if segment.is_checked else 1)


class KeptHits(NamedTuple):
    """Hits of many queries, and int32 figures (q, STATS): see `kernels.layout`."""

    hits: BatchHits
    stats: npt.NDArray[np.int32]


def search_kept(
    segment: Segment, queries: FloatArray, limit: int, reach: Reach, kept: Kept, threads: int = 1
) -> KeptHits:
    """Nearest kept rows of queries (q, dim), as the graph finds them."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if segment.rows == 0 or len(queries) == 0 or limit < 1:
        return KeptHits(empty_hits(len(queries), limit), np.zeros((len(queries), STATS), dtype=np.int32))
    answers = _Answers(len(queries), limit)
    effort, widest, share, tried, far = reach.bounded(limit)
    rerank = ranked_matches(limit, effort)
    room = max(widest, reach.room_among_kept(segment), rerank)
    source, plan = queries.ctypes.data, segment.plan.address
    words, bits = kept.address or kept.words.ctypes.data, 64 * len(kept.words)

    def answer(first: int, last: int) -> None:
        scratch = thread_scratch()
        scratch.reserve(segment.rows, room, segment.quantizer.padded, limit)
        kernels.search_kept(
            plan,
            scratch.address,
            source,
            first,
            last,
            limit,
            effort,
            reach.widen,
            widest,
            reach.growth,
            share,
            tried,
            far,
            rerank,
            words,
            bits,
            kept.first_slot,
            *answers.addresses,
            answers.stats_address,
        )

    _run(len(queries), BATCH_QUERIES, threads, answer)
    return answers.taken()


def scan_room(count: int, rerank: int, margin: int) -> int:
    """Room for numbers of rows that a scan of `count` rows needs: candidates, and estimates where it has a margin."""
    return max(AT_A_TIME, rerank) + (count + SPARE_ESTIMATES if margin else 0)


def scan_rows(
    plan: Plan,
    padded: int,
    queries: FloatArray,
    limit: int,
    rows: npt.NDArray[np.int32],
    *,
    exact: bool,
    margin: int = 0,
    effort: int = 0,
    blocks: SketchBlocks | None = None,
    threads: int = 1,
) -> BatchHits:
    """Nearest of the given rows for queries (q, dim).

    By their codes of `padded` components and then, the best ranked_matches(limit, effort), exactly; or (`exact`) all
    of them exactly, the only way for rows without codes. With `margin`, where there are sketches, only those are
    compared by their codes that may be among the best by these (see `kernels.sketches`); `blocks` are copies of the
    rows' sketches.
    Cost: one code row, sketch, or vector from memory for each row and query.
    """
    queries, rows = np.ascontiguousarray(queries, dtype=np.float32), np.ascontiguousarray(rows, dtype=np.int32)
    if len(rows) == 0 or len(queries) == 0 or limit < 1:
        return empty_hits(len(queries), limit)
    answers = _Answers(len(queries), limit)
    rerank = 0 if exact else ranked_matches(limit, effort)
    source, dim, given = queries.ctypes.data, queries.shape[1], rows.ctypes.data
    copies = 0 if blocks is None else blocks.ctypes.data

    def answer(first: int, last: int) -> None:
        scratch = thread_scratch()
        # The candidates that are worth an exact comparison are listed where a walk lists the rows it has seen.
        scratch.reserve(scan_room(len(rows), rerank, margin), rerank + 1, max(padded, dim), limit)
        kernels.scan_rows(
            plan.address,
            scratch.address,
            source,
            first,
            last,
            limit,
            rerank,
            margin,
            given,
            len(rows),
            copies,
            *answers.addresses,
        )

    _run(len(queries), 1, threads, answer)
    return answers.taken().hits


def copies_bytes(plan: Plan, rows: int) -> int:
    """Bytes of `gather_sketches`."""
    return kernels.gather_sketches(plan.address, 0, rows, 0)


def gather_sketches(plan: Plan, rows: npt.NDArray[np.int32]) -> SketchBlocks:
    """Copies of the sketches of rows of a segment that has them, for scans of these; about 50 ns a row."""
    blocks: SketchBlocks = aligned_empty((copies_bytes(plan, len(rows)),), np.uint8)
    kernels.gather_sketches(plan.address, rows.ctypes.data, len(rows), blocks.ctypes.data)
    return blocks


def _run(queries: int, size: int, threads: int, answer: Callable[[int, int], None]) -> None:
    """Answer all queries; one alone needs no pool, which would take longer than many a search."""
    if queries == 1:
        answer(0, 1)
    else:
        run_ranges(queries, size, threads, answer)


class _Answers:
    """New arrays for the hits and figures of many queries."""

    def __init__(self, queries: int, limit: int) -> None:
        self._hits, self._stats = empty_hits(queries, limit), np.zeros((queries, STATS), dtype=np.int32)
        self.addresses = tuple(column.ctypes.data for column in self._hits)
        self.stats_address = self._stats.ctypes.data

    def taken(self) -> KeptHits:
        """What the kernel has left."""
        return KeptHits(self._hits, self._stats)


# --- one query ------------------------------------------------------------------------------------------------------
# As above, prepared: new arrays and their addresses take longer than a small search.


def prepare_kept(segment: Segment, limit: int, reach: Reach, kept: Kept, room: HitRoom) -> PreparedSearch:
    """`search_kept` for the query in a room."""
    scratch = thread_scratch()
    effort, widest, share, tried, far = reach.bounded(limit)
    rerank = ranked_matches(limit, effort)
    call = bound(
        "search_kept",
        segment.plan.address,
        scratch.address,
        room.query_address,
        0,
        1,
        limit,
        effort,
        reach.widen,
        widest,
        reach.growth,
        share,
        tried,
        far,
        rerank,
        kept.address or kept.words.ctypes.data,
        64 * len(kept.words),
        kept.first_slot,
        room.slots_address,
        room.distances_address,
        room.rows_address,
        room.count_address,
        room.figures_address,
    )
    # What a walk over packed rows finds, up to `rerank` rows, is put into the pool to be ranked.
    needs = (segment.rows, max(widest, reach.room_among_kept(segment), rerank), segment.quantizer.padded, limit)
    return PreparedSearch(room, scratch, needs, call)


class GivenRows(NamedTuple):
    """Rows of a segment, int32, and their address."""

    rows: npt.NDArray[np.int32]
    address: int

    @classmethod
    def of(cls, rows: npt.NDArray[np.int32]) -> Self:
        """The rows, C-contiguous."""
        rows = np.ascontiguousarray(rows, dtype=np.int32)
        return cls(rows, rows.ctypes.data)


def prepare_scan(
    plan: Plan,
    padded: int,
    dim: int,
    limit: int,
    given: GivenRows,
    room: HitRoom,
    *,
    exact: bool,
    margin: int = 0,
    effort: int = 0,
    blocks: SketchBlocks | None = None,
) -> PreparedSearch:
    """`scan_rows` for the query (dim,) in a room and at least one row."""
    scratch = thread_scratch()
    rerank = 0 if exact else ranked_matches(limit, effort)
    call = bound(
        "scan_rows",
        plan.address,
        scratch.address,
        room.query_address,
        0,
        1,
        limit,
        rerank,
        margin,
        given.address,
        len(given.rows),
        0 if blocks is None else blocks.ctypes.data,
        room.slots_address,
        room.distances_address,
        room.rows_address,
        room.count_address,
    )
    needs = (scan_room(len(given.rows), rerank, margin), rerank + 1, max(padded, dim), limit)
    return PreparedSearch(room, scratch, needs, call, given.rows, blocks)
