"""Gives the rows that link to some rows other links, as if those had never been in the graph.

How well a graph answers queries that it does not hold can be told with its own rows, once they are taken out of it. A
row that was linked to because no nearer link covers it (see `prune`) covered others in its turn: the nearest of its own
links that only it covered comes in its place. Where there is none, and for any other link, it is the nearest row two
steps away, as in `filling`.

Promises: deterministic; links that stay stay in order, in front; nothing that is there is written to.
Concurrency: calls on disjoint ranges may run in parallel, one scratch each.
"""

from __future__ import annotations

from vecdb.kernels.candidates import nearest_seen
from vecdb.kernels.distance import pair_distance
from vecdb.kernels.intrinsics import load_i32, load_i64, move_bytes, store_i32, store_u8
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.layout import CHOSEN, CODES, DEGREE, LINKS, PADDED, POOL, ROW_BITS, ROWS, SEEN, VISITED
from vecdb.kernels.prune import is_covered, row_distance
from vecdb.kernels.traverse import clear_visited, column_row, set_bit, test_bit

CANDIDATES = 64
"""Nearest rows around that may become links."""

NEAR_LINKS = 8
"""Nearest links of a row whose links are where the nearest rows two steps away are looked for."""


@kernel
def find_linking(plan: int, taken: int, linking: int, first: int, last: int) -> int:
    """Set the byte of each of rows [first, last) at `linking` if it stays and a taken row is among its links.

    Taken rows have their bit set in `taken`.
    """
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    for row in range(first, last):
        if test_bit(taken, row):
            continue
        links = column_row(plan + LINKS, row)
        for position in range(degree):
            other = load_i32(links + 4 * position)
            if other < 0 or other >= rows:
                break
            if test_bit(taken, other):
                store_u8(linking + row, 1)
                break
    return last - first


@kernel
def find_twins(plan: int, order: int, twins: int, count: int) -> int:
    """Set the byte of each of rows order[:count] (int32) at `twins` that links to a row with equal codes."""
    degree, rows, padded = load_i64(plan + DEGREE), load_i64(plan + ROWS), load_i64(plan + PADDED)
    for number in range(count):
        row = load_i32(order + 4 * number)
        own, links = column_row(plan + CODES, row), column_row(plan + LINKS, row)
        for position in range(degree):
            other = load_i32(links + 4 * position)
            if other < 0 or other >= rows:
                break
            if pair_distance(own, column_row(plan + CODES, other), padded) == 0:
                store_u8(twins + number, 1)
                break
    return count


@kernel
def copy_codes(plan: int, order: int, target: int, first: int, last: int) -> int:
    """Copy the codes of rows order[first:last] (int32) to `target`, where those of order[0] are in front."""
    padded = load_i64(plan + PADDED)
    for number in range(first, last):
        move_bytes(target + padded * number, column_row(plan + CODES, load_i32(order + 4 * number)), padded)
    return last - first


@device
def collect_kept(plan: int, links: int, taken: int, visited: int, seen: int, count: int) -> int:
    """`collect_unseen` without the taken rows."""
    rows = load_i64(plan + ROWS)
    for position in range(load_i64(plan + DEGREE)):
        row = load_i32(links + 4 * position)
        if row < 0 or row >= rows:
            break
        if not test_bit(taken, row) and not test_bit(visited, row):
            set_bit(visited, row)
            store_i32(seen + 4 * count, row)
            count += 1
    return count


@device
def collect_covered(plan: int, row: int, gone: int, taken: int, visited: int, seen: int, count: int) -> int:
    """`collect_kept` of those links of `gone` that are nearer to it than to `row`."""
    rows, links = load_i64(plan + ROWS), column_row(plan + LINKS, gone)
    own, its = column_row(plan + CODES, row), column_row(plan + CODES, gone)
    for position in range(load_i64(plan + DEGREE)):
        other = load_i32(links + 4 * position)
        if other < 0 or other >= rows:
            break
        if not test_bit(taken, other) and not test_bit(visited, other):
            codes = column_row(plan + CODES, other)
            if row_distance(plan, its, codes) < row_distance(plan, own, codes):
                set_bit(visited, other)
                store_i32(seen + 4 * count, other)
                count += 1
    return count


@device
def list_diverse(plan: int, row: int, taken: int, chosen: int) -> tuple[int, int]:
    """Write the links of a row that no nearer one covers and that stay to int32 `chosen`.

    Returns (how many stay, how many are taken). Links are nearest first.
    """
    rows, links, own = load_i64(plan + ROWS), column_row(plan + LINKS, row), column_row(plan + CODES, row)
    count = 0
    for position in range(load_i64(plan + DEGREE)):
        other = load_i32(links + 4 * position)
        if other < 0 or other >= rows:
            break
        bound = row_distance(plan, own, column_row(plan + CODES, other))
        if not is_covered(plan, other, bound, chosen, count):
            store_i32(chosen + 4 * count, other)
            count += 1
    kept = 0
    for position in range(count):
        other = load_i32(chosen + 4 * position)
        if not test_bit(taken, other):
            store_i32(chosen + 4 * kept, other)
            kept += 1
    return kept, count - kept


@device
def count_links(plan: int, links: int) -> int:
    """How many links a row has."""
    degree, rows, used = load_i64(plan + DEGREE), load_i64(plan + ROWS), 0
    while used < degree and 0 <= load_i32(links + 4 * used) < rows:
        used += 1
    return used


@device
def add_diverse(plan: int, scratch: int, size: int, place: int, kept: int, wanted: int) -> int:
    """Add up to `wanted` of the `size` rows in the pool to the links at `place`; returns how many were added.

    They are the nearest that none of CHOSEN (`kept` of them) nor one another cover.
    """
    pool, chosen, added = load_i64(scratch + POOL), load_i64(scratch + CHOSEN), 0
    for position in range(size):
        if added == wanted:
            break
        key = load_i64(pool + 8 * position)
        row = (key & ROW_BITS) >> 1
        if not is_covered(plan, row, key >> 32, chosen, kept + added):
            store_i32(chosen + 4 * (kept + added), row)
            store_i32(place + 4 * added, row)
            added += 1
    return added


@device
def add_near(scratch: int, size: int, first: int, place: int, lost: int) -> int:
    """Add up to `lost` of the `size` rows in the pool, nearest first, that are not among the links place[first:0]."""
    pool, added = load_i64(scratch + POOL), 0
    for position in range(size):
        if added == lost:
            break
        row, is_new = (load_i64(pool + 8 * position) & ROW_BITS) >> 1, 1
        for at in range(first, 0):
            if load_i32(place + 4 * at) == row:
                is_new = 0
        if is_new:
            store_i32(place + 4 * added, row)
            added += 1
    return added


@kernel
def relink_rows(plan: int, scratch: int, taken: int, order: int, target: int, first: int, last: int) -> int:
    """Write the links of rows order[first:last] (int32) without taken rows to `target` (rows of `order`, degree) int32.

    The room of the pool is CANDIDATES at least.
    """
    degree, visited, seen = load_i64(plan + DEGREE), load_i64(scratch + VISITED), load_i64(scratch + SEEN)
    for number in range(first, last):
        row, place = load_i32(order + 4 * number), target + 4 * degree * number
        links = column_row(plan + LINKS, row)
        linked = count_links(plan, links)
        set_bit(visited, row)
        store_i32(seen, row)
        near = collect_kept(plan, links, taken, visited, seen, 1)
        used = near - 1
        move_bytes(place, seen + 4, 4 * used)
        kept, wanted = list_diverse(plan, row, taken, load_i64(scratch + CHOSEN))
        count = near
        for position in range(linked):
            other = load_i32(links + 4 * position)
            if test_bit(taken, other):
                count = collect_covered(plan, row, other, taken, visited, seen, count)
        size = nearest_seen(plan, scratch, row, near, count, CANDIDATES)
        added = add_diverse(plan, scratch, size, place + 4 * used, kept, wanted)
        used += added
        for position in range(linked):
            if position >= NEAR_LINKS and not test_bit(taken, load_i32(links + 4 * position)):
                continue
            others = column_row(plan + LINKS, load_i32(links + 4 * position))
            count = collect_kept(plan, others, taken, visited, seen, count)
        if used < linked:
            size = nearest_seen(plan, scratch, row, near, count, CANDIDATES)
            used += add_near(scratch, size, -added, place + 4 * used, linked - used)
        clear_visited(scratch, count)
        for position in range(used, degree):
            store_i32(place + 4 * position, -1)
    return last - first
