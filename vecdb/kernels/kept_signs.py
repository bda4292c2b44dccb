"""Walks packed rows with short codes among those that a filter keeps, for queries far from all of them.

As `kept`, but that a row's signs say which of its neighbours are worth a comparison, as in `packed.walk_checked`, and
that rows which are not kept are not hopped over: less than half the time for a pool four times as large. Of 384
components signs tell too little of rows that are all about as far: .939 in 178 us, by codes .945 in 150.

Compared are neighbours estimated to belong to the better half of the pool: a quarter fewer for the same recall than if
all were that may enter it.

Promises: RESULTS holds kept rows only. The drawn rows depend on the segment's size alone, so answers are repeatable.
Concurrency: any number of calls, one scratch each.
"""

from __future__ import annotations

from vecdb.kernels.intrinsics import load_i32, load_i64
from vecdb.kernels.jit import device
from vecdb.kernels.kept import draw_seeds, links_of_kept
from vecdb.kernels.keys import clear_keys
from vecdb.kernels.layout import GUARD, PACKED, PADDED, POOL, RESULTS, SEEN, SPARSEST_KEPT
from vecdb.kernels.packed import check_rows, collect_neighbours, compare, keep_answers, take_row
from vecdb.kernels.traverse import clear_visited, column_row, fetch_row


@device
def pool_among(plan: int, far: int, share: int, kept: int, slots: int, first_slot: int) -> int:
    """Pool of a walk where `far` would do if kept rows linked to kept rows only: larger by what they do not.

    At most SPARSEST_KEPT * far; 0 where that would be too little.
    """
    looked, found = links_of_kept(plan, share, kept, slots, first_slot)
    return far * looked // found if found * SPARSEST_KEPT >= looked and found > 0 else 0


@device
def begin_among_kept(
    plan: int, scratch: int, size: int, keep: int, share: int, kept: int, slots: int, first_slot: int
) -> int:
    """Empty the lists and put kept rows drawn from the whole segment into the pool; returns how many were seen."""
    clear_keys(load_i64(scratch + POOL) + GUARD, size)
    clear_keys(load_i64(scratch + RESULTS) + GUARD, keep)
    count = draw_seeds(plan, scratch, share, kept, slots, first_slot)
    for position in range(count):
        row = load_i32(load_i64(scratch + SEEN) + 4 * position)
        fetch_row(column_row(plan + PACKED, row), load_i64(plan + PADDED))
    check_rows(plan, scratch, 0, count, size, 0, -1, kept, slots, first_slot)
    return count


@device
def walk_among_packed(
    plan: int, scratch: int, ef: int, keep: int, share: int, kept: int, slots: int, first_slot: int,
    step: float, offset: float,
) -> tuple[int, int]:  # fmt: skip
    """Best-first search among kept rows, of which `ef` are expanded; returns (rows expanded, rows compared).

    The best `keep` go to RESULTS.
    """
    size, pool = (max(ef, keep) + 7) & ~7, load_i64(scratch + POOL) + GUARD
    count = begin_among_kept(plan, scratch, size, keep, share, kept, slots, first_slot)
    first, last, hops, among = count, count, 0, (ef + 1) // 2
    row, second, third = take_row(plan, pool, size, 1), -1, -1
    while row >= 0:
        if second < 0:
            second = take_row(plan, pool, size, ef)
        if second >= 0:
            third = take_row(plan, pool, size, ef)
        hops += 1
        distance = compare(plan, scratch, row)
        count = collect_neighbours(plan, scratch, row, distance, among, count, kept, slots, first_slot, step, offset)
        check_rows(plan, scratch, first, last, size, 0, -1, kept, slots, first_slot)
        first, last = last, count
        row, second, third = second, third, -1
        if row < 0:
            check_rows(plan, scratch, first, last, size, 0, -1, kept, slots, first_slot)
            first = last
            row = take_row(plan, pool, size, ef)
    clear_visited(scratch, count)
    keep_answers(plan, scratch, size, keep, 0, -1, kept, slots, first_slot)
    return hops, count
