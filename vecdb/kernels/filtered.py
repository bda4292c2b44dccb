"""Searches among the rows that a filter keeps: a graph search that walks through the others, and a scan of given rows.

The pool of a graph search holds kept and other rows alike. It begins with room for `ef` rows and widens with the other
rows in it, so that the share of kept rows around the query, not in the whole segment, decides how far the search goes
(adaptive L, DiskANN RFC 1128). Where there are hardly any around it, the search begins anew among kept rows alone (see
`kept`), or ends and says so.
Promises: hits are kept rows only, at most `limit`, sorted by (distance, slot).
Invariants: slots and rows read from a damaged file lead nowhere outside the bitmap and the columns.
Concurrency: any number of calls, one scratch each.
"""

from __future__ import annotations

import math

from vecdb.kernels.distance import code_distance
from vecdb.kernels.intrinsics import load_i32, load_i64, prefetch, store_i32, store_i64
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.kept import LINKS_EXPECTED, is_kept, look_around, walk_among_kept
from vecdb.kernels.kept_signs import pool_among, walk_among_packed
from vecdb.kernels.layout import (
    AHEAD_ROWS,
    AMONG_KEPT,
    BEST,
    BEST_ROWS,
    CHECKED_PADDED,
    CODES,
    DIM,
    ENOUGH,
    ENTRY,
    HALF,
    LINKS,
    PACKED,
    PADDED,
    POOL,
    QUERY,
    QUERY_CODES,
    ROW_BITS,
    SEEN,
    SHARE_UNIT,
    STATS,
    TOO_LITTLE,
    VECTORS,
    VISITED,
)
from vecdb.kernels.packed import FAR_EXPECTED, FAR_RATIO, WIDEN_UNIT, results_to_pool, walk_packed
from vecdb.kernels.rank import encode_query, offer_row, prepare_query, write_hits
from vecdb.kernels.search import rank_pool
from vecdb.kernels.signs import make_tables
from vecdb.kernels.sketches import scan_sketches
from vecdb.kernels.traverse import (
    AHEAD,
    clear_visited,
    column_row,
    descend,
    expand_next,
    fetch_listed,
    fetch_row,
    insert_key,
    row_address,
    set_bit,
)

NEAR, SPARSE, FAR = 0, 1, 2

CHANCE = 2.0
"""Standard deviations by which the count of kept rows in a pool may fall short by chance."""


@device
def score_filtered(
    plan: int,
    scratch: int,
    first: int,
    count: int,
    size: int,
    capacity: int,
    others: int,
    ef: int,
    widen: int,
    widest: int,
    kept: int,
    slots: int,
    first_slot: int,
) -> tuple[int, int, int, int]:
    """Score seen[first:count] into the pool; returns (lowest position inserted, pool size, capacity, others in it)."""
    table, shift, stride = load_i64(plan + CODES), load_i64(plan + CODES + 8), load_i64(plan + CODES + 16)
    padded, query = load_i64(plan + PADDED), load_i64(scratch + QUERY_CODES)
    seen, pool = load_i64(scratch + SEEN), load_i64(scratch + POOL)
    worst = load_i64(pool + 8 * (size - 1))
    lowest = size
    fetch_listed(table, shift, stride, seen, first, min(first + AHEAD, count), padded)
    for position in range(first, count):
        fetch_listed(table, shift, stride, seen, position + AHEAD, min(position + AHEAD + 1, count), padded)
        row = load_i32(seen + 4 * position)
        key = code_distance(row_address(table, shift, stride, row), query, padded) << 32 | row << 1
        if size < capacity or key < worst:
            if is_kept(plan, row, kept, slots, first_slot) == 0:
                others += 1
                capacity = min(max(capacity, ef + (others * widen) // WIDEN_UNIT), widest)
            if size == capacity and is_kept(plan, (worst & ROW_BITS) >> 1, kept, slots, first_slot) == 0:
                others -= 1
            place = insert_key(pool, size, capacity, key)
            size += 1 if size < capacity else 0
            worst = load_i64(pool + 8 * (size - 1))
            if place < lowest:
                lowest = place
                links = column_row(plan + LINKS, row)
                prefetch(links)
                prefetch(links + 64)
    return lowest, size, capacity, others


@device
def walk(
    plan: int,
    scratch: int,
    entry: int,
    ef: int,
    widen: int,
    widest: int,
    share: int,
    kept: int,
    slots: int,
    first_slot: int,
) -> tuple[int, int, int, int]:
    """Best-first search of level 0, as `traverse.beam_search`; returns (pool size, rows seen, capacity, 0).

    Ends early, with 1 in the last place, where the pool holds less than a FAR_RATIO-th of the kept rows that `share`
    promises.
    """
    query, pool = load_i64(scratch + QUERY_CODES), load_i64(scratch + POOL)
    distance = code_distance(column_row(plan + CODES, entry), query, load_i64(plan + PADDED))
    store_i64(pool, distance << 32 | entry << 1)
    store_i32(load_i64(scratch + SEEN), entry)
    set_bit(load_i64(scratch + VISITED), entry)
    size, count, cursor, others = 1, 1, 0, 0
    capacity = ef
    if is_kept(plan, entry, kept, slots, first_slot) == 0:
        others = 1
        capacity = min(ef + widen // WIDEN_UNIT, widest)
    while cursor < size:
        first = count
        cursor, count = expand_next(plan, scratch, cursor, size, count)
        lowest, size, capacity, others = score_filtered(
            plan, scratch, first, count, size, capacity, others, ef, widen, widest, kept, slots, first_slot
        )
        believable = others * share >= FAR_EXPECTED * SHARE_UNIT
        if believable and (size - others) * SHARE_UNIT * FAR_RATIO < share * size:
            return size, count, capacity, 1
        cursor = min(cursor, lowest)
    return size, count, capacity, 0


@device
def keep_kept(plan: int, scratch: int, size: int, kept: int, slots: int, first_slot: int) -> int:
    """Move the kept rows of the pool to its front, in order; returns how many there are."""
    pool = load_i64(scratch + POOL)
    found = 0
    for position in range(size):
        key = load_i64(pool + 8 * position)
        if is_kept(plan, (key & ROW_BITS) >> 1, kept, slots, first_slot):
            store_i64(pool + 8 * found, key)
            found += 1
    return found


@device
def pool_wanted(ef: int, size: int, found: int, growth: int) -> float:
    """Pool in which the share of kept rows that was met holds as many near ones as `ef` does without a filter.

    To find the best k of kept rows among a share s is to find the best k / s of all; measured on segments, the pool for
    that grows as the `growth`/64-th power of 1 / s.
    """
    if found == 0:
        return 1e18
    return float(ef * (size / found) ** (growth / 64.0))


@device
def is_short(limit: int, ef: int, size: int, found: int, growth: int) -> bool:
    """Whether a pool of `size` rows holds too few kept ones, by more than chance makes of a count like `found`."""
    if found >= ef:
        return False
    likely = int(found + CHANCE * math.sqrt(found))
    return found < limit or size < pool_wanted(ef, size, likely, growth) * 0.9


@device
def surroundings(plan: int, entry: int, share: int, tried: int, kept: int, slots: int, first_slot: int) -> int:
    """NEAR; SPARSE where less than a FAR_RATIO-th of `tried` is kept around the entry; FAR where less than that of
    `share` is.
    """
    if share == 0:
        return NEAR
    looked, found = look_around(plan, entry, share, kept, slots, first_slot)
    if looked * share < LINKS_EXPECTED * SHARE_UNIT or found * SHARE_UNIT * FAR_RATIO >= max(share, tried) * looked:
        return NEAR
    return FAR if found * SHARE_UNIT * FAR_RATIO < share * looked else SPARSE


@device
def find_kept(
    plan: int,
    scratch: int,
    entry: int,
    limit: int,
    ef: int,
    widen: int,
    widest: int,
    growth: int,
    share: int,
    tried: int,
    far: int,
    rerank: int,
    kept: int,
    slots: int,
    first_slot: int,
) -> tuple[int, int, int, int]:
    """Fill the pool with kept rows; returns (how many, rows followed, rows scored, how it went)."""
    followed, total, hops = 0, 0, 0
    found, short = 0, True
    size, capacity = 0, 0
    packed, scale, offset = load_i64(plan + PACKED), 0.0, 0.0
    around = surroundings(plan, entry, share, tried, kept, slots, first_slot)
    is_far, told = 1 if around == FAR else 0, max(share, tried)
    if around == SPARSE or (is_far and far == 0):
        return 0, 0, 0, TOO_LITTLE
    if packed:
        scale, offset = make_tables(plan, scratch)
    for step in range(widen, widen + 2 * WIDEN_UNIT, WIDEN_UNIT):
        if is_far:
            break
        wider = min(step, WIDEN_UNIT)
        if packed:
            size, found, hops, capacity, is_far = walk_packed(
                plan, scratch, entry, ef, wider, widest, rerank, 0, -1, kept, slots, first_slot, told, scale, offset
            )
            seen = size
        else:
            size, seen, capacity, is_far = walk(plan, scratch, entry, ef, wider, widest, told, kept, slots, first_slot)
            clear_visited(scratch, seen)
            hops = size
        followed, total = followed + hops, total + seen
        if is_far:
            far = 0 if tried else far
            break
        if not packed:
            found = keep_kept(plan, scratch, size, kept, slots, first_slot)
        short = is_short(limit, ef, size, found, growth)
        if not short or wider == WIDEN_UNIT or capacity >= widest:
            break
    if is_far and far > 0 and packed and load_i64(plan + PADDED) <= CHECKED_PADDED:
        pool = pool_among(plan, far, share, kept, slots, first_slot)
        if pool == 0:
            return 0, followed, total, TOO_LITTLE
        hops, seen = walk_among_packed(plan, scratch, pool, rerank, share, kept, slots, first_slot, scale, offset)
        found = results_to_pool(scratch, rerank)
        return found, followed + hops, total + seen, TOO_LITTLE if found < limit else AMONG_KEPT
    if is_far and far > 0:
        found, seen = walk_among_kept(plan, scratch, entry, far, share, kept, slots, first_slot)
        return found, followed + found, total + seen, TOO_LITTLE if found < limit else AMONG_KEPT
    if packed:
        found = results_to_pool(scratch, rerank)
    return found, followed, total, TOO_LITTLE if short and (is_far or capacity >= widest) else ENOUGH


@kernel
def search_kept(
    plan: int,
    scratch: int,
    queries: int,
    first: int,
    last: int,
    limit: int,
    ef: int,
    widen: int,
    widest: int,
    growth: int,
    share: int,
    tried: int,
    far: int,
    rerank: int,
    kept: int,
    kept_slots: int,
    first_slot: int,
    slots: int,
    distances: int,
    rows: int,
    counts: int,
    stats: int,
) -> int:
    """Answer queries [first, last) of the float32 matrix at `queries` among the rows that the bitmap at `kept` keeps.

    `widen`: rows by which the pool grows per WIDEN_UNIT admitted others, up to `widest` rows in all. When the others
    are so many around a query that this was too little (see `pool_wanted`), it searches again with one row for each.
    `share`: of kept rows in the segment, in SHARE_UNIT-ths; a query that has far fewer of them around it is answered by
    a walk among kept rows with a pool of `far`, or, if that is 0, not at all, which its last figure says. So is one, if
    `tried` is not 0, with less than a FAR_RATIO-th of that around it, but that is not so far.
    Hits go to row i of `slots`, `distances` and `rows`, all (q, limit), their number to counts[i], STATS int32 figures
    to row i of `stats`. Returns rows scored.
    """
    dim = load_i64(plan + DIM)
    query, codes = load_i64(scratch + QUERY), load_i64(scratch + QUERY_CODES)
    scored = 0
    for index in range(first, last):
        figures = stats + 4 * STATS * index
        for position in range(STATS):
            store_i32(figures + 4 * position, 0)
        store_i32(counts + 4 * index, 0)
        if load_i64(plan + ENTRY) < 0:
            continue
        norm = prepare_query(plan, queries + 4 * dim * index, query)
        encode_query(plan, query, norm, codes)
        entry = descend(plan, codes)
        found, followed, total, missed = find_kept(
            plan, scratch, entry, limit, ef, widen, widest, growth, share, tried, far, rerank, kept, kept_slots,
            first_slot,
        )  # fmt: skip
        ranked = rank_pool(plan, scratch, found, limit, rerank, 0, -1)
        place = 4 * limit * index
        best, best_rows = load_i64(scratch + BEST), load_i64(scratch + BEST_ROWS)
        write_hits(best, best_rows, ranked, slots + place, distances + place, rows + place)
        store_i32(counts + 4 * index, ranked)
        store_i32(figures, total)
        store_i32(figures + 4, followed)
        store_i32(figures + 8, found)
        store_i32(figures + 12, missed)
        scored += total
    return scored


@kernel
def scan_rows(
    plan: int,
    scratch: int,
    queries: int,
    first: int,
    last: int,
    limit: int,
    rerank: int,
    margin: int,
    given: int,
    count: int,
    blocks: int,
    slots: int,
    distances: int,
    rows: int,
    counts: int,
) -> int:
    """Best of `count` given rows (int32 at `given`, all rows of the segment) for queries [first, last).

    With `rerank` > 0 rows are compared by their codes, and that many of the best exactly; with 0 all are so. With
    `margin` > 0 only those that may be among the best by their sketches are compared by their codes: see `sketches`;
    `blocks`, 0 or an address, are copies of these (see `copied`).
    """
    dim, width = load_i64(plan + DIM), load_i64(plan + DIM) * (2 if load_i64(plan + HALF) else 4)
    query, codes = load_i64(scratch + QUERY), load_i64(scratch + QUERY_CODES)
    padded, pool, ahead = load_i64(plan + PADDED), load_i64(scratch + POOL), load_i64(plan + AHEAD_ROWS)
    for index in range(first, last):
        norm = prepare_query(plan, queries + 4 * dim * index, query)
        best, best_rows = load_i64(scratch + BEST), load_i64(scratch + BEST_ROWS)
        size, ranked = 0, 0
        if rerank > 0 and margin > 0:
            encode_query(plan, query, norm, codes)
            scan_sketches(plan, scratch, limit, margin, rerank, given, count, blocks)
            ranked = rank_pool(plan, scratch, results_to_pool(scratch, rerank), limit, rerank, 0, -1)
        elif rerank > 0:
            encode_query(plan, query, norm, codes)
            for position in range(min(ahead, count)):
                fetch_row(column_row(plan + CODES, load_i32(given + 4 * position)), padded)
            for position in range(count):
                if position + ahead < count:
                    fetch_row(column_row(plan + CODES, load_i32(given + 4 * (position + ahead))), padded)
                row = load_i32(given + 4 * position)
                key = code_distance(column_row(plan + CODES, row), codes, padded) << 32 | row << 1
                if size < rerank or key < load_i64(pool + 8 * (size - 1)):
                    insert_key(pool, size, rerank, key)
                    size += 1 if size < rerank else 0
            ranked = rank_pool(plan, scratch, size, limit, rerank, 0, -1)
        else:
            for position in range(count):
                if position + ahead < count:
                    fetch_row(column_row(plan + VECTORS, load_i32(given + 4 * (position + ahead))), width)
                ranked = offer_row(plan, load_i32(given + 4 * position), query, best, best_rows, ranked, limit)
        place = 4 * limit * index
        write_hits(best, best_rows, ranked, slots + place, distances + place, rows + place)
        store_i32(counts + 4 * index, ranked)
    return count * (last - first)
