"""Chooses diverse neighbours out of a sorted candidate list.

HNSW's heuristic (Algorithm 4) with Vamana's slack alpha: a candidate is dropped when a chosen neighbour is nearer to it
than the target is. Promises: deterministic; the nearest candidate is always chosen.
Concurrency: no state.
"""

from __future__ import annotations

from vecdb.kernels.distance import pair_distance
from vecdb.kernels.intrinsics import load_i8, load_i32, load_i64, store_i32
from vecdb.kernels.jit import device
from vecdb.kernels.layout import ALPHA, AUGMENTED, AUGMENTED_COUNT, CODES, PADDED, POOL, ROW_BITS
from vecdb.kernels.traverse import fetch_row, row_address

PRUNE_AHEAD = 2


@device
def augmented_square(plan: int, address: int) -> int:
    """Squared length of the dot augmentation of the code row at `address`; 0 for other metrics."""
    first = load_i64(plan + AUGMENTED)
    if first == 0:
        return 0
    value = load_i8(address + first)
    return load_i64(plan + AUGMENTED_COUNT) * value * value


@device
def row_distance(plan: int, left: int, right: int) -> int:
    """What a graph orders two code rows by: squared l2, and for dot R^2 - <x, y> doubled, which queries are ordered by.

    Rows augmented to one length have l2 = 2 R^2 - 2 <x, y> - 2 a_x a_y; without the last term two rows are compared as
    a query and a row are. A graph built on plain l2 of augmented rows leads queries, which lie elsewhere, astray.
    """
    distance = pair_distance(left, right, load_i64(plan + PADDED))
    first = load_i64(plan + AUGMENTED)
    if first:
        distance += 2 * load_i64(plan + AUGMENTED_COUNT) * load_i8(left + first) * load_i8(right + first)
    return distance


@device
def is_covered(plan: int, row: int, bound: int, chosen: int, count: int) -> int:
    """1 when one of the chosen rows is nearer than `bound` to `row`, or its twin."""
    table, shift, stride = load_i64(plan + CODES), load_i64(plan + CODES + 8), load_i64(plan + CODES + 16)
    address = row_address(table, shift, stride, row)
    for position in range(count):
        other = load_i32(chosen + 4 * position)
        distance = row_distance(plan, address, row_address(table, shift, stride, other))
        if distance < bound or distance == 0:
            return 1
    return 0


@device
def choose_neighbours(plan: int, scratch: int, size: int, limit: int, chosen: int) -> int:
    """Write at most `limit` diverse rows of the pool, nearest first, to int32 `chosen`; returns how many."""
    table, shift, stride = load_i64(plan + CODES), load_i64(plan + CODES + 8), load_i64(plan + CODES + 16)
    padded, alpha = load_i64(plan + PADDED), load_i64(plan + ALPHA)
    pool = load_i64(scratch + POOL)
    count = 0
    for position in range(size):
        if position + PRUNE_AHEAD < size:
            ahead = (load_i64(pool + 8 * (position + PRUNE_AHEAD)) & ROW_BITS) >> 1
            fetch_row(row_address(table, shift, stride, ahead), padded)
        key = load_i64(pool + 8 * position)
        row = (key & ROW_BITS) >> 1
        bound = ((key >> 32) * 64) // alpha
        if not is_covered(plan, row, bound, chosen, count):
            store_i32(chosen + 4 * count, row)
            count += 1
            if count == limit:
                break
    return count
