"""Inserts batches of rows into a graph without locks (ParlayANN, Manohar et al., 2024).

Every row of a batch is searched for on the graph frozen before the batch; then the reverse links are added, grouped by
target. Each link row is written by exactly one call, so the result is the same for any number of threads.

Promises: deterministic; degrees never exceed the plan's. Concurrency: calls on disjoint ranges may run in parallel.
"""

from __future__ import annotations

from vecdb.kernels.candidates import find_entry, search_row
from vecdb.kernels.intrinsics import load_i32, load_i64, store_i32
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.layout import (
    CHOSEN,
    CHOSEN_MAX,
    CODES,
    DEGREE,
    LINKS,
    POOL,
    POOL_MAX,
    ROW_BITS,
    ROWS,
    SEEN,
    VISITED,
)
from vecdb.kernels.prune import choose_neighbours, row_distance
from vecdb.kernels.traverse import clear_visited, collect_unseen, column_row, insert_key, set_bit, test_bit

REPAIR_WALK = 64
"""Removed rows whose links are followed when a neighbourhood is repaired: beyond it, candidates are far."""


@device
def write_links(plan: int, row: int, chosen: int, count: int) -> None:
    """Replace the links of a row, padding with -1."""
    links = column_row(plan + LINKS, row)
    for position in range(load_i64(plan + DEGREE)):
        store_i32(links + 4 * position, load_i32(chosen + 4 * position) if position < count else -1)


@kernel
def find_entries(plan: int, scratch: int, order: int, entries: int, first: int, last: int) -> int:
    """Write where the walks of rows order[first:last] (int32) begin to entries[first:last] (int32)."""
    for position in range(first, last):
        store_i32(entries + 4 * position, find_entry(plan, scratch, load_i32(order + 4 * position)))
    return last - first


@kernel
def insert_rows(plan: int, scratch: int, order: int, entries: int, first: int, last: int) -> int:
    """Link rows order[first:last] (int32) to their neighbours among the rows that are in the graph already (READY).

    `entries` as of `find_entries`.
    """
    chosen = load_i64(scratch + CHOSEN)
    for position in range(first, last):
        row = load_i32(order + 4 * position)
        size = search_row(plan, scratch, row, load_i32(entries + 4 * position))
        count = choose_neighbours(plan, scratch, size, load_i64(plan + CHOSEN_MAX), chosen)
        write_links(plan, row, chosen, count)
    return last - first


@device
def offer_candidate(plan: int, scratch: int, target: int, row: int, size: int) -> int:
    """Add a row to the pool with its distance to `target`; returns the new size."""
    distance = row_distance(plan, column_row(plan + CODES, target), column_row(plan + CODES, row))
    key = distance << 32 | row << 1
    pool, widest = load_i64(scratch + POOL), load_i64(scratch + POOL_MAX)
    if size == widest and key >= load_i64(pool + 8 * (size - 1)):
        return size
    insert_key(pool, size, widest, key)
    return min(size + 1, widest)


@kernel
def link_targets(plan: int, scratch: int, edges: int, starts: int, first: int, last: int) -> int:
    """Add reverse links, edges (int64 target << 32 | source, sorted), group g being [starts[g], starts[g + 1]).

    A row whose links overflow is pruned to its degree. Targets of different groups differ.
    """
    degree, chosen = load_i64(plan + DEGREE), load_i64(scratch + CHOSEN)
    for group in range(first, last):
        begin, end = load_i64(starts + 8 * group), load_i64(starts + 8 * group + 8)
        target = load_i64(edges + 8 * begin) >> 32
        links = column_row(plan + LINKS, target)
        used = 0
        while used < degree and load_i32(links + 4 * used) >= 0:
            used += 1
        if used + end - begin <= degree:
            for position in range(begin, end):
                store_i32(links + 4 * (used + position - begin), load_i64(edges + 8 * position) & ROW_BITS)
            continue
        size = 0
        for position in range(used):
            size = offer_candidate(plan, scratch, target, load_i32(links + 4 * position), size)
        for position in range(begin, end):
            size = offer_candidate(plan, scratch, target, load_i64(edges + 8 * position) & ROW_BITS, size)
        write_links(plan, target, chosen, choose_neighbours(plan, scratch, size, degree, chosen))
    return last - first


@kernel
def sort_links(plan: int, scratch: int, first: int, last: int) -> int:
    """Order the links of rows [first, last) by distance, so that the most useful ones are met first."""
    degree, pool = load_i64(plan + DEGREE), load_i64(scratch + POOL)
    for row in range(first, last):
        links = column_row(plan + LINKS, row)
        size = 0
        for position in range(degree):
            other = load_i32(links + 4 * position)
            if other >= 0:
                size = offer_candidate(plan, scratch, row, other, size)
        for position in range(degree):
            key = load_i64(pool + 8 * position)
            store_i32(links + 4 * position, (key & ROW_BITS) >> 1 if position < size else -1)
    return last - first


@kernel
def repair_rows(plan: int, scratch: int, removed: int, target_links: int, first: int, last: int) -> int:
    """Write repaired links of rows [first, last) to `target_links` (rows, degree) int32 (FreshDiskANN's consolidation).

    A removed neighbour (bit set in `removed`) is replaced by the kept rows around it, found by walking through removed
    rows; the union is pruned to the degree. Rows without a removed neighbour keep their links; removed rows get none.
    """
    degree, chosen = load_i64(plan + DEGREE), load_i64(scratch + CHOSEN)
    for row in range(first, last):
        links, kept = column_row(plan + LINKS, row), 0
        if not test_bit(removed, row):
            kept = count_intact(links, degree, removed)
            if kept < 0:
                kept = repair_neighbours(plan, scratch, removed, row, chosen)
                links = chosen
        place = target_links + 4 * degree * row
        for position in range(degree):
            store_i32(place + 4 * position, load_i32(links + 4 * position) if position < kept else -1)
    return last - first


@device
def count_intact(links: int, degree: int, removed: int) -> int:
    """Number of links, or -1 when one of them leads to a removed row."""
    for position in range(degree):
        row = load_i32(links + 4 * position)
        if row < 0:
            return position
        if test_bit(removed, row):
            return -1
    return degree


@device
def repair_neighbours(plan: int, scratch: int, removed: int, row: int, chosen: int) -> int:
    """Choose new neighbours for a row some of whose links lead to removed rows; returns how many."""
    visited, seen = load_i64(scratch + VISITED), load_i64(scratch + SEEN)
    set_bit(visited, row)
    store_i32(seen, row)
    count = collect_around(plan, removed, visited, seen)
    size = 0
    for position in range(1, count):
        other = load_i32(seen + 4 * position)
        if not test_bit(removed, other):
            size = offer_candidate(plan, scratch, row, other, size)
    clear_visited(scratch, count)
    return choose_neighbours(plan, scratch, size, load_i64(plan + DEGREE), chosen)


@device
def collect_around(plan: int, removed: int, visited: int, seen: int) -> int:
    """Neighbours of seen[0], and those met by walking on through removed ones; returns the number seen."""
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    count = collect_unseen(column_row(plan + LINKS, load_i32(seen)), degree, rows, visited, seen, 1)
    walked, position = 0, 1
    while position < count and walked < REPAIR_WALK:
        row = load_i32(seen + 4 * position)
        if test_bit(removed, row):
            count = collect_unseen(column_row(plan + LINKS, row), degree, rows, visited, seen, count)
            walked += 1
        position += 1
    return count


@device
def spread_marks(plan: int, row: int, reached: int, stack: int) -> int:
    """Mark everything reachable from `row` (bytes at `reached`); returns how many rows were new."""
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    store_i32(stack, row)
    set_bit(reached, row)
    depth, total = 1, 1
    while depth:
        depth -= 1
        links = column_row(plan + LINKS, load_i32(stack + 4 * depth))
        before = depth
        depth = collect_unseen(links, degree, rows, reached, stack, depth)
        total += depth - before
    return total


@device
def find_free_link(plan: int, scratch: int, size: int, reached: int) -> int:
    """Address of the first free link of the nearest reached candidate that has one, or 0."""
    degree, pool = load_i64(plan + DEGREE), load_i64(scratch + POOL)
    for position in range(size):
        row = (load_i64(pool + 8 * position) & ROW_BITS) >> 1
        links = column_row(plan + LINKS, row)
        if test_bit(reached, row) and load_i32(links + 4 * (degree - 1)) < 0:
            used = degree - 1
            while used > 0 and load_i32(links + 4 * (used - 1)) < 0:
                used -= 1
            return links + 4 * used
    return 0


@kernel
def attach_unreached(plan: int, scratch: int, entry: int, reached: int, stack: int) -> int:
    """Link every row that `entry` does not reach from the nearest reached row with a free link; returns rows left over.

    `reached` is a zeroed bitset over rows in which rows to ignore are set; `stack` int32 (rows,). Serial.
    """
    spread_marks(plan, entry, reached, stack)
    rows = load_i64(plan + ROWS)
    left = 0
    for row in range(rows):
        if not test_bit(reached, row):
            size = search_row(plan, scratch, row, find_entry(plan, scratch, row))
            place = find_free_link(plan, scratch, size, reached)
            if place:
                store_i32(place, row)
                spread_marks(plan, row, reached, stack)
            else:
                left += 1
    return left
