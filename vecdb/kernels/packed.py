"""The graph search kernel over packed rows: one row read per step gives its own distance and estimates of all its
neighbours.

The pool holds estimates, sorted; rows are expanded from it in order, each fetched two steps ahead. Every expanded
row gets its exact code distance on the way. What the pool holds beyond the rows expanded is compared by its codes
at the end, which costs a sixth of an expansion: with 3/4 of the pool expanded, recall .95 took least time
(wordnet-minilm; at 1/2, 3/4 and all of it 17.3, 17.1 and 17.9 us; at recall .98: 28.4, 25.4, 26.0). The best rows
are ranked by the original vectors as in `search`.

Promises: as of `search_graph`, which it stands for. Concurrency: any number of calls, one scratch each.
"""

from __future__ import annotations

import numpy as np

from vecdb.kernels.distance import code_distance
from vecdb.kernels.intrinsics import load_i32, load_i64, load_u8, lowest_bit, move_bytes, store_i32, store_i64, store_u8
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.keys import NO_KEY, clear_keys, even_keys, insert_sorted, take_even
from vecdb.kernels.layout import (
    BEST,
    BEST_ROWS,
    DEGREE,
    DIM,
    ENTRY,
    ESTIMATES,
    GROUP,
    GROUP_BYTES,
    GUARD,
    PACKED,
    PADDED,
    POOL,
    POOL_MAX,
    QUERY,
    QUERY_CODES,
    RESULTS,
    ROW_BITS,
    ROWS,
    SEEN,
    SEEN_COUNT,
    SIGN_BLOCK,
    TABLES,
    VISITED,
)
from vecdb.kernels.rank import encode_query, prepare_query, write_hits
from vecdb.kernels.search import rank_pool
from vecdb.kernels.signs import estimate_neighbours, make_tables
from vecdb.kernels.traverse import clear_visited, column_row, descend, fetch_row, is_excluded, set_bit


@device
def round_up(count: int) -> int:
    """The next multiple of the keys of one step."""
    return (count + 7) & ~7


@device
def expanded_of(ef: int) -> int:
    """How many rows of a pool are expanded; the others are only compared by their codes."""
    return (3 * ef + 3) // 4


@device
def take_row(plan: int, pool: int, ef: int, expand: int) -> int:
    """Take the best row not yet expanded and ask for it; -1 when there is none among the first `expand`."""
    key = take_even(pool, ef, expand)
    if key < 0:
        return -1
    row = (key & ROW_BITS) >> 1
    fetch_row(column_row(plan + PACKED, row), load_i64(plan + PACKED + 16))
    return row


@device
def offer_result(plan: int, scratch: int, row: int, keep: int, dead: int, skip_row: int) -> int:
    """Compare a row by its codes and keep it if it is among the best; returns the distance."""
    results = load_i64(scratch + RESULTS) + GUARD
    distance = code_distance(column_row(plan + PACKED, row), load_i64(scratch + QUERY_CODES), load_i64(plan + PADDED))
    key = distance << 32 | row << 1
    if key < load_i64(results + 8 * (keep - 1)) and not is_excluded(row, dead, skip_row):
        insert_sorted(results, keep, key)
    return distance


@device
def offer_neighbours(
    plan: int, scratch: int, row: int, distance: int, ef: int, count: int, step: float, offset: float
) -> int:
    """Put the neighbours of a row that are estimated to belong there into the pool; returns the new count of rows
    seen.
    """
    padded, degree, rows = load_i64(plan + PADDED), load_i64(plan + DEGREE), load_i64(plan + ROWS)
    pool, visited, seen = load_i64(scratch + POOL) + GUARD, load_i64(scratch + VISITED), load_i64(scratch + SEEN)
    estimates, links = load_i64(scratch + ESTIMATES), column_row(plan + PACKED, row) + padded
    size = padded // GROUP * GROUP_BYTES
    signs = links + 12 * degree
    for block in range(degree // SIGN_BLOCK):
        below = estimate_neighbours(
            signs + size * block,
            load_i64(scratch + TABLES),
            size,
            links + 4 * degree,
            links + 8 * degree,
            load_i64(pool + 8 * (ef - 1)) >> 32,
            estimates,
            np.float32(distance),
            np.float32(step),
            np.float32(offset),
        )
        while below:
            place = lowest_bit(below)
            below &= below - 1
            neighbour = load_i32(links + 4 * place)
            if neighbour < 0 or neighbour >= rows:
                continue
            at = visited + (neighbour >> 3)
            byte, bit = load_u8(at), 1 << (neighbour & 7)
            if byte & bit == 0:
                store_u8(at, byte | bit)
                store_i32(seen + 4 * count, neighbour)
                count += 1
                insert_sorted(pool, ef, load_i32(estimates + 4 * place) << 32 | neighbour << 1)
        links += 4 * SIGN_BLOCK
    return count


@device
def compare_rest(plan: int, scratch: int, ef: int, keep: int, dead: int, skip_row: int) -> int:
    """Compare what the pool still holds by its codes; returns how many rows that were."""
    pool, rest = load_i64(scratch + POOL) + GUARD, load_i64(scratch + SEEN)
    padded = load_i64(plan + PADDED)
    count = 0
    for start in range(0, ef, 8):
        bits = even_keys(pool + 8 * start)
        while bits:
            row = (load_i64(pool + 8 * (start + lowest_bit(bits))) & ROW_BITS) >> 1
            bits &= bits - 1
            fetch_row(column_row(plan + PACKED, row), padded)
            store_i32(rest + 4 * count, row)
            count += 1
    for position in range(count):
        offer_result(plan, scratch, load_i32(rest + 4 * position), keep, dead, skip_row)
    return count


@device
def walk_packed(
    plan: int, scratch: int, entry: int, ef: int, keep: int, dead: int, skip_row: int, step: float, offset: float
) -> int:
    """Best-first search from `entry`; the best `keep` rows by code distance go to RESULTS. Returns rows compared.

    A tombstone that is expanded makes room for another row, up to POOL_MAX; `skip_row` is not even walked through.
    """
    pool, seen = load_i64(scratch + POOL) + GUARD, load_i64(scratch + SEEN)
    widest = load_i64(scratch + POOL_MAX) & ~7
    clear_keys(pool, widest)
    clear_keys(load_i64(scratch + RESULTS) + GUARD, keep)
    store_i64(pool, entry << 1)
    store_i32(seen, entry)
    set_bit(load_i64(scratch + VISITED), entry)
    count, hops, wanted = 1, 0, ef
    if skip_row >= 0:
        store_i32(seen + 4, skip_row)
        set_bit(load_i64(scratch + VISITED), skip_row)
        count = 2
    size = round_up(ef)
    row, second, third = take_row(plan, pool, size, 1), -1, -1
    while row >= 0:
        expand = expanded_of(wanted)
        if second < 0:
            second = take_row(plan, pool, size, expand)
        if second >= 0:
            third = take_row(plan, pool, size, expand)
        hops += 1
        distance = offer_result(plan, scratch, row, keep, dead, skip_row)
        count = offer_neighbours(plan, scratch, row, distance, size, count, step, offset)
        if is_excluded(row, dead, skip_row):
            wanted = min(wanted + 1, widest)
            size = min(round_up(wanted), widest)
        row, second, third = second, third, -1
        if row < 0:
            row = take_row(plan, pool, size, expanded_of(wanted))
    clear_visited(scratch, count)
    return hops + compare_rest(plan, scratch, size, keep, dead, skip_row)


@device
def results_to_pool(scratch: int, keep: int) -> int:
    """Copy the results to where they are ranked from; returns how many there are."""
    pool, results = load_i64(scratch + POOL), load_i64(scratch + RESULTS) + GUARD
    count = 0
    while count < keep and load_i64(results + 8 * count) != NO_KEY:
        count += 1
    move_bytes(pool, results, 8 * count)
    return count


@kernel
def search_packed(
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
    """Answer queries [first, last); arguments and result as of `search_graph`. `rerank` is a multiple of 8."""
    dim = load_i64(plan + DIM)
    query, codes = load_i64(scratch + QUERY), load_i64(scratch + QUERY_CODES)
    scored = 0
    for index in range(first, last):
        kept = 0
        if load_i64(plan + ENTRY) >= 0:
            skip_row = load_i64(skip_rows + 8 * index) if skip_rows else -1
            norm = prepare_query(plan, queries + 4 * dim * index, query)
            encode_query(plan, query, norm, codes)
            step, offset = make_tables(plan, scratch)
            scored += walk_packed(plan, scratch, descend(plan, codes), ef, rerank, dead, skip_row, step, offset)
            size = results_to_pool(scratch, rerank)
            kept = rank_pool(plan, scratch, size, limit, rerank, dead, skip_row)
            place = 4 * limit * index
            best, best_rows = load_i64(scratch + BEST), load_i64(scratch + BEST_ROWS)
            write_hits(best, best_rows, kept, slots + place, distances + place, rows + place)
        store_i32(counts + 4 * index, kept)
    store_i64(scratch + SEEN_COUNT, scored)
    return scored
