"""The graph search kernel: descent, a walk by codes or over packed rows, exact ranking of the best candidates.

Promises: writes at most `limit` hits a query, sorted by (distance, slot), never a tombstone and never the skipped row.
Concurrency: any number of calls, one scratch each.
"""

from __future__ import annotations

import math

from vecdb.kernels.intrinsics import load_i32, load_i64, prefetch_l2, store_i32, store_i64
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.layout import (
    BEST,
    BEST_ROWS,
    DIM,
    ENTRY,
    HALF,
    METRIC,
    METRIC_DOT,
    NORMS,
    PACKED,
    POOL,
    POOL_MAX,
    QUERY,
    QUERY_CODES,
    ROW_BITS,
    SEEN,
    SEEN_COUNT,
    SLOTS,
    VECTORS,
)
from vecdb.kernels.packed import find_packed
from vecdb.kernels.rank import encode_query, offer_row, prepare_query, write_hits
from vecdb.kernels.traverse import beam_search, clear_visited, column_row, descend, fetch_row, is_excluded

AHEAD_RANKED = 8
"""Rows asked for ahead of the one being ranked."""

CODE_NOISE = 4.0
"""A candidate whose code distance exceeds that of the limit-th by this many roots of it is not worth ranking: rounding
to codes moves the difference of two squared distances D by about 1.2 * sqrt(D) (each component by up to half a unit,
evenly), so one that far behind is among the best once in 2,000 cases, and few are. With 8, recall was the same to
.0001 in three kinds of data, and ranking took a fifth to a quarter longer. Components beyond the codes' range can move
it further, which is why some candidates are ranked in any case."""

ROUNDED_AWAY = 1.0 / 16.0
"""What rounding alone adds to D for this purpose, for each component: squares of what is rounded away differ by .2 *
sqrt(dim) from row to row. It counts where codes are nearly equal: in tight clusters, of which the best D is often 0."""

DOT_NOISE = 8.0
"""The same for dot, whose augmentation is one value in many components, rounded alike in all of them."""


@device
def worth_ranking(limit: int, is_dot: int) -> int:
    """Candidates that are ranked whatever their code distance."""
    return limit + (limit >> 2) + 4 if is_dot else limit + (limit >> 3) + 1


@device
def choose_candidates(plan: int, scratch: int, size: int, limit: int, rerank: int, dead: int, skip_row: int) -> int:
    """Write the candidates worth ranking, at most `rerank`, to SEEN and ask for the first ones; returns how many."""
    pool, rows = load_i64(scratch + POOL), load_i64(scratch + SEEN)
    width = load_i64(plan + DIM) * (2 if load_i64(plan + HALF) else 4)
    norms, is_dot = load_i64(plan + NORMS), load_i64(plan + METRIC) == METRIC_DOT
    least, noise = worth_ranking(limit, is_dot), DOT_NOISE if is_dot else CODE_NOISE
    count, cutoff, rounded = 0, 0.0, ROUNDED_AWAY * float(load_i64(plan + DIM))
    for position in range(size):
        key = load_i64(pool + 8 * position)
        if count == rerank or (count >= least and float(key >> 32) > cutoff):
            break
        row = (key & ROW_BITS) >> 1
        if not is_excluded(row, dead, skip_row):
            store_i32(rows + 4 * count, row)
            count += 1
            prefetch_l2(column_row(plan + SLOTS, row))
            if norms:
                prefetch_l2(column_row(plan + NORMS, row))
            if count <= AHEAD_RANKED:
                fetch_row(column_row(plan + VECTORS, row), width)
            if count == limit:
                cutoff = float(key >> 32) + noise * math.sqrt(float(key >> 32) + rounded)
    return count


@device
def rank_pool(plan: int, scratch: int, size: int, limit: int, rerank: int, dead: int, skip_row: int) -> int:
    """Rank the best candidates of the pool exactly; returns the number of hits in BEST."""
    rows = load_i64(scratch + SEEN)
    width = load_i64(plan + DIM) * (2 if load_i64(plan + HALF) else 4)
    count = choose_candidates(plan, scratch, size, limit, rerank, dead, skip_row)
    best, best_rows, query = load_i64(scratch + BEST), load_i64(scratch + BEST_ROWS), load_i64(scratch + QUERY)
    kept = 0
    for position in range(count):
        if position + AHEAD_RANKED < count:
            fetch_row(column_row(plan + VECTORS, load_i32(rows + 4 * (position + AHEAD_RANKED))), width)
        kept = offer_row(plan, load_i32(rows + 4 * position), query, best, best_rows, kept, limit)
    return kept


@device
def room_for_dead(ef: int, limit: int, dead: int) -> int:
    """Effort of a packed search where there are tombstones.

    Only expanded ones widen its pool, so with `ef` near `limit` a search would often come out short by the few in the
    rest of the pool, and be repeated. With 10 % dead and ef = limit = 100, 17 of 200 were.
    """
    return max(ef, limit + (limit >> 2)) if dead else ef


@kernel
def search_graph(
    plan: int,
    scratch: int,
    queries: int,
    first: int,
    last: int,
    limit: int,
    ef: int,
    rerank: int,
    dead: int,
    skip_rows: int,
    slots: int,
    distances: int,
    rows: int,
    counts: int,
) -> int:
    """Answer queries [first, last) of the float32 matrix at `queries`.

    `skip_rows` is the address of an int64 row per query to leave out (-1: none), or 0. Hits go to row i of `slots`
    (uint32), `distances` (float32) and `rows` (int32), all (q, limit), their number to counts[i] (int32). Returns rows
    scored.
    """
    dim = load_i64(plan + DIM)
    query, codes = load_i64(scratch + QUERY), load_i64(scratch + QUERY_CODES)
    scored = 0
    for index in range(first, last):
        kept = 0
        if load_i64(plan + ENTRY) >= 0:
            skip_row = load_i64(skip_rows + 8 * index) if skip_rows else -1
            norm = prepare_query(plan, queries + 4 * dim * index, query)
            encode_query(plan, query, norm, codes)
            entry = descend(plan, codes)
            if load_i64(plan + PACKED):
                size, seen = find_packed(plan, scratch, entry, room_for_dead(ef, limit, dead), rerank, dead, skip_row)
            else:
                size, seen = beam_search(plan, scratch, entry, ef, load_i64(scratch + POOL_MAX), dead, skip_row)
                clear_visited(scratch, seen)
            kept = rank_pool(plan, scratch, size, limit, rerank, dead, skip_row)
            place = 4 * limit * index
            best, best_rows = load_i64(scratch + BEST), load_i64(scratch + BEST_ROWS)
            write_hits(best, best_rows, kept, slots + place, distances + place, rows + place)
            scored += seen
        store_i32(counts + 4 * index, kept)
    store_i64(scratch + SEEN_COUNT, scored)
    return scored
