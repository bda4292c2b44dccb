"""Finds the rows that may become the links of a row, by their codes.

`walk_nearest` is the beam search of `traverse` with what building needs: no tombstones, insertion without branches,
and a pool of which only the nearest part is expanded.

Promises: results depend on the graph only. Invariants: the visited bitset is all zero before and after `search_row`.
Concurrency: one scratch per running call.
"""

from __future__ import annotations

from vecdb.kernels.distance import code_distance
from vecdb.kernels.intrinsics import (
    load_i8,
    load_i32,
    load_i64,
    load_u8,
    lowest_bit,
    move_bytes,
    prefetch,
    store_i16,
    store_i32,
    store_i64,
)
from vecdb.kernels.jit import device
from vecdb.kernels.keys import KEYS, NO_KEY, clear_keys, even_keys, insert_sorted
from vecdb.kernels.layout import (
    AUGMENTED,
    AUGMENTED_COUNT,
    CODES,
    DEGREE,
    EF_BUILD,
    EXPAND_BUILD,
    FALLBACK,
    GUARD,
    LINKS,
    PADDED,
    POOL,
    QUERY_CODES,
    READY,
    ROW_BITS,
    ROWS,
    SEEN,
    VISITED,
)
from vecdb.kernels.prune import augmented_square, row_distance
from vecdb.kernels.traverse import (
    AHEAD,
    BEAM,
    clear_visited,
    collect_unseen,
    column_row,
    descend,
    fetch_listed,
    insert_key,
    row_address,
    set_bit,
)


@device
def widen_codes(plan: int, row: int, target: int) -> None:
    """Copy a row's int8 codes to the int16 query codes; as for a query, without the dot augmentation."""
    source = column_row(plan + CODES, row)
    for position in range(load_i64(plan + PADDED)):
        store_i16(target + 2 * position, load_i8(source + position))
    augmented = load_i64(plan + AUGMENTED)
    if augmented:
        for position in range(augmented, augmented + load_i64(plan + AUGMENTED_COUNT)):
            store_i16(target + 2 * position, 0)


@device
def take_next(pool: int, start: int, below: int) -> tuple[int, int]:
    """Make the first even key before place `below` odd; returns (the key as it was, -1 if none; where to go on)."""
    while start < below:
        bits = even_keys(pool + 8 * start)
        if bits:
            place = start + lowest_bit(bits)
            key = load_i64(pool + 8 * place)
            store_i64(pool + 8 * place, key | 1)
            return key, start
        start += KEYS
    return -1, start


@device
def collect_next(plan: int, scratch: int, start: int, below: int, count: int) -> tuple[int, int]:
    """Expand the next BEAM rows of the pool: collect their neighbours not yet met; returns (next start, rows seen)."""
    pool, visited, seen = load_i64(scratch + POOL) + GUARD, load_i64(scratch + VISITED), load_i64(scratch + SEEN)
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    for _ in range(BEAM):
        key, start = take_next(pool, start, below)
        if key < 0:
            break
        count = collect_unseen(column_row(plan + LINKS, (key & ROW_BITS) >> 1), degree, rows, visited, seen, count)
    return start, count


@device
def offer_collected(plan: int, scratch: int, first: int, count: int, size: int, start: int) -> int:
    """Offer seen[first:count] to the pool; returns from where on it may hold rows to expand."""
    table, shift, stride = load_i64(plan + CODES), load_i64(plan + CODES + 8), load_i64(plan + CODES + 16)
    padded, query = load_i64(plan + PADDED), load_i64(scratch + QUERY_CODES)
    pool, seen = load_i64(scratch + POOL) + GUARD, load_i64(scratch + SEEN)
    worst = load_i64(pool + 8 * (size - 1))
    fetch_listed(table, shift, stride, seen, first, min(first + AHEAD, count), padded)
    for position in range(first, count):
        fetch_listed(table, shift, stride, seen, position + AHEAD, min(position + AHEAD + 1, count), padded)
        row = load_i32(seen + 4 * position)
        key = code_distance(row_address(table, shift, stride, row), query, padded) << 32 | row << 1
        if key < worst:
            place = insert_sorted(pool, size, key)
            worst = load_i64(pool + 8 * (size - 1))
            if place <= start + KEYS:
                start = min(start, place)
                links = column_row(plan + LINKS, row)
                prefetch(links)
                prefetch(links + 64)
    return start


@device
def walk_nearest(plan: int, scratch: int, entry: int, ef: int) -> tuple[int, int]:
    """Best-first search that keeps `ef` rows, a multiple of 8, and expands those among the nearest EXPAND_BUILD.

    Returns (how many it keeps, rows seen); the visited marks are left for `clear_visited`.
    """
    pool, seen = load_i64(scratch + POOL) + GUARD, load_i64(scratch + SEEN)
    query, below = load_i64(scratch + QUERY_CODES), load_i64(plan + EXPAND_BUILD)
    clear_keys(pool, ef)
    distance = code_distance(column_row(plan + CODES, entry), query, load_i64(plan + PADDED))
    store_i64(pool, distance << 32 | entry << 1)
    store_i32(seen, entry)
    set_bit(load_i64(scratch + VISITED), entry)
    start, count = 0, 1
    while start < below:
        first = count
        start, count = collect_next(plan, scratch, start, below, count)
        start = offer_collected(plan, scratch, first, count, ef, start)
    size = 0
    while size < ef and load_i64(pool + 8 * size) != NO_KEY:
        size += 1
    move_bytes(load_i64(scratch + POOL), pool, 8 * size)
    return size, count


@device
def search_row(plan: int, scratch: int, row: int, entry: int) -> int:
    """Candidates for `row` among the rows in the graph, in the pool with their `row_distance`; returns how many.

    `entry` is where `descend` leads from the row.
    """
    widen_codes(plan, row, load_i64(scratch + QUERY_CODES))
    if load_u8(load_i64(plan + READY) + entry) == 0:
        entry = load_i64(plan + FALLBACK)
    size, seen = walk_nearest(plan, scratch, entry, load_i64(plan + EF_BUILD))
    clear_visited(scratch, seen)
    missing = augmented_square(plan, column_row(plan + CODES, row)) << 32
    if missing:
        pool = load_i64(scratch + POOL)
        for position in range(size):
            store_i64(pool + 8 * position, load_i64(pool + 8 * position) + missing)
    return size


@device
def find_entry(plan: int, scratch: int, row: int) -> int:
    """The row in which a walk to the neighbours of `row` begins: where the upper levels lead."""
    codes = load_i64(scratch + QUERY_CODES)
    widen_codes(plan, row, codes)
    return descend(plan, codes)


@device
def nearest_seen(plan: int, scratch: int, target: int, first: int, count: int, limit: int) -> int:
    """Put the `limit` rows of seen[first:count] nearest to `target` into the pool; returns how many there are."""
    table, shift, stride = load_i64(plan + CODES), load_i64(plan + CODES + 8), load_i64(plan + CODES + 16)
    padded, seen, pool = load_i64(plan + PADDED), load_i64(scratch + SEEN), load_i64(scratch + POOL)
    own, size, worst = row_address(table, shift, stride, target), 0, NO_KEY
    fetch_listed(table, shift, stride, seen, first, min(first + AHEAD, count), padded)
    for position in range(first, count):
        fetch_listed(table, shift, stride, seen, position + AHEAD, min(position + AHEAD + 1, count), padded)
        row = load_i32(seen + 4 * position)
        key = row_distance(plan, own, row_address(table, shift, stride, row)) << 32 | row << 1
        if key < worst:
            insert_key(pool, size, limit, key)
            size = min(size + 1, limit)
            if size == limit:
                worst = load_i64(pool + 8 * (size - 1))
    return size
