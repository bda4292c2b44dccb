"""Walks packed rows: one row read per step gives its own distance and estimates of all its
neighbours.

Long codes (`walk_estimated`): the pool holds estimates, sorted; rows are expanded from it in order, each fetched two
steps ahead. Every expanded row gets its exact code distance on the way. What the pool holds beyond the rows expanded is
compared by its codes at the end, which costs a sixth of an expansion: with 3/4 of the pool expanded, recall .95 took
least time (wordnet-minilm; at 1/2, 3/4 and all of it 17.3, 17.1 and 17.9 us; at recall .98: 28.4, 25.4, 26.0).

Short codes (`walk_checked`): estimates from few components are so rough, and codes so cheap to read, that each
neighbour estimated to belong into the pool is compared by its codes first. The pool then holds code distances, and a
third to a half fewer rows have to be expanded for the same recall.

The best rows are ranked by the original vectors as in `search`.

Promises: what `search_graph` promises, whose walk this is where rows are packed.
Concurrency: any number of calls, one scratch each.
"""

from __future__ import annotations

import numpy as np

from vecdb.config import SIGN_BLOCK
from vecdb.kernels.distance import code_distance
from vecdb.kernels.intrinsics import load_i32, load_i64, lowest_bit, move_bytes, store_i32, store_i64
from vecdb.kernels.jit import device
from vecdb.kernels.kept import is_kept
from vecdb.kernels.keys import NO_KEY, clear_keys, even_keys, insert_sorted, take_even
from vecdb.kernels.layout import (
    A_BYTES,
    CHECKED_PADDED,
    DEGREE,
    ESTIMATES,
    GROUP,
    GROUP_BYTES,
    GUARD,
    PACKED,
    PADDED,
    POOL,
    POOL_MAX,
    QUERY_CODES,
    RESULTS,
    ROW_BITS,
    ROWS,
    SEEN,
    SHARE_UNIT,
    SIGNS_BYTES,
    TABLES,
    VISITED,
    W_BYTES,
)
from vecdb.kernels.signs import estimate_neighbours, make_tables
from vecdb.kernels.traverse import (
    clear_bit,
    clear_visited,
    column_row,
    fetch_row,
    is_excluded,
    row_address,
    set_bit,
    test_bit,
)

WIDEN_UNIT = 64
"""`widen` counts rows per 64 expanded rows that are no answers."""

FAR_RATIO = 4
"""The query lies far from kept rows where their share around it is this many times less than in the whole segment."""

FAR_EXPECTED = 8
"""Kept rows that should have been met before that is believed: by chance, 1 of 8 or fewer are once in 300 times. It is
asked after every row, so about 1 in 100 searches takes a near query for a far one, which costs time only."""


@device
def expanded_of(ef: int) -> int:
    """How many rows of a pool of estimates are expanded; the others are only compared by their codes."""
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
def is_out(plan: int, row: int, dead: int, skip_row: int, kept: int, slots: int, first_slot: int) -> int:
    """1 for rows that are no answer: those a filter does not keep, or, without one, tombstones and `skip_row`."""
    if kept:
        return 1 - is_kept(plan, row, kept, slots, first_slot)
    return is_excluded(row, dead, skip_row)


@device
def compare(plan: int, scratch: int, row: int) -> int:
    """Distance of a row to the query by their codes."""
    return code_distance(column_row(plan + PACKED, row), load_i64(scratch + QUERY_CODES), load_i64(plan + PADDED))


@device
def compare_listed(plan: int, scratch: int, rows: int, count: int) -> None:
    """Write the distances of the int32 rows at `rows`, up to SIGN_BLOCK, to ESTIMATES.

    Apart from what is done with them: what a distance decides is often guessed wrong, and then nothing that was begun
    for the rows behind it counts. Checked walks take a tenth less time so.
    """
    table, shift, stride = load_i64(plan + PACKED), load_i64(plan + PACKED + 8), load_i64(plan + PACKED + 16)
    query, padded, out = load_i64(scratch + QUERY_CODES), load_i64(plan + PADDED), load_i64(scratch + ESTIMATES)
    for position in range(count):
        row = load_i32(rows + 4 * position)
        store_i32(out + 4 * position, code_distance(row_address(table, shift, stride, row), query, padded))


@device
def offer_result(scratch: int, distance: int, row: int, keep: int) -> None:
    """Keep a row if it is among the best."""
    results = load_i64(scratch + RESULTS) + GUARD
    key = distance << 32 | row << 1
    if key < load_i64(results + 8 * (keep - 1)):
        insert_sorted(results, keep, key)


@device
def offer_neighbours(
    plan: int, scratch: int, row: int, distance: int, ef: int, count: int, step: float, offset: float
) -> int:
    """Put the neighbours of a row that are estimated to belong there into the pool; returns the new count of rows seen.

    What drops out of the pool may come back with another estimate: those made from near rows are better. It is then
    counted twice, so the list of seen rows may come to its end; `clear_visited` does not need it then.
    """
    padded, degree, rows = load_i64(plan + PADDED), load_i64(plan + DEGREE), load_i64(plan + ROWS)
    pool, visited, seen = load_i64(scratch + POOL) + GUARD, load_i64(scratch + VISITED), load_i64(scratch + SEEN)
    estimates, links = load_i64(scratch + ESTIMATES), column_row(plan + PACKED, row) + padded
    size = padded // GROUP * GROUP_BYTES
    added, weights, signs = links + A_BYTES * degree, links + W_BYTES * degree, links + SIGNS_BYTES * degree
    for block in range(degree // SIGN_BLOCK):
        near = estimate_neighbours(
            signs + size * block,
            load_i64(scratch + TABLES),
            size,
            added + 2 * SIGN_BLOCK * block,
            weights + 2 * SIGN_BLOCK * block,
            load_i64(pool + 8 * (ef - 1)) >> 32,
            estimates,
            np.float32(distance),
            np.float32(step),
            np.float32(offset),
        )
        while near:
            place = lowest_bit(near)
            near &= near - 1
            neighbour = load_i32(links + 4 * place)
            if neighbour < 0 or neighbour >= rows:
                continue
            key, last = load_i32(estimates + 4 * place) << 32 | neighbour << 1, load_i64(pool + 8 * (ef - 1))
            if key < last and not test_bit(visited, neighbour):
                set_bit(visited, neighbour)
                if count < rows:
                    store_i32(seen + 4 * count, neighbour)
                count += 1
                insert_sorted(pool, ef, key)
                if last & 1 == 0:
                    clear_bit(visited, (last & ROW_BITS) >> 1)
        links += 4 * SIGN_BLOCK
    return count


@device
def compare_rest(
    plan: int, scratch: int, size: int, keep: int, dead: int, skip_row: int, kept: int, slots: int, first_slot: int
) -> tuple[int, int]:
    """Compare what the pool still holds by its codes; returns how many rows that were, and how many are answers."""
    pool, rest = load_i64(scratch + POOL) + GUARD, load_i64(scratch + SEEN)
    padded = load_i64(plan + PADDED)
    count, found = 0, 0
    for start in range(0, size, 8):
        bits = even_keys(pool + 8 * start)
        while bits:
            row = (load_i64(pool + 8 * (start + lowest_bit(bits))) & ROW_BITS) >> 1
            bits &= bits - 1
            count += 1
            if not is_out(plan, row, dead, skip_row, kept, slots, first_slot):
                fetch_row(column_row(plan + PACKED, row), padded)
                store_i32(rest + 4 * found, row)
                found += 1
    for start in range(0, found, SIGN_BLOCK):
        some = min(found - start, SIGN_BLOCK)
        compare_listed(plan, scratch, rest + 4 * start, some)
        for position in range(some):
            distance = load_i32(load_i64(scratch + ESTIMATES) + 4 * position)
            offer_result(scratch, distance, load_i32(rest + 4 * (start + position)), keep)
    return count, found


@device
def begin_walk(scratch: int, entry: int, size: int, keep: int, skip_row: int) -> int:
    """Empty the lists and put the entry into the pool; returns the number of rows seen."""
    pool, seen, visited = load_i64(scratch + POOL) + GUARD, load_i64(scratch + SEEN), load_i64(scratch + VISITED)
    clear_keys(pool, size)
    clear_keys(load_i64(scratch + RESULTS) + GUARD, keep)
    store_i64(pool, entry << 1)
    store_i32(seen, entry)
    set_bit(visited, entry)
    if skip_row < 0:
        return 1
    store_i32(seen + 4, skip_row)
    set_bit(visited, skip_row)
    return 2


@device
def widen_pool(scratch: int, size: int, wanted: int) -> int:
    """Room for `wanted` rows, and for `size` at least; returns how much there is."""
    pool = load_i64(scratch + POOL) + GUARD
    while size < wanted:
        for place in range(size, size + 8):
            store_i64(pool + 8 * place, NO_KEY)
        size += 8
    return size


@device
def is_far_off(hops: int, found: int, share: int) -> bool:
    """Whether among the rows expanded so few are kept that the query must lie far from the kept ones."""
    few = found * SHARE_UNIT * FAR_RATIO < share * hops
    return few and (hops - found) * share >= FAR_EXPECTED * SHARE_UNIT


@device
def walk_estimated(
    plan: int, scratch: int, entry: int, ef: int, widen: int, widest: int, keep: int, dead: int, skip_row: int,
    kept: int, slots: int, first_slot: int, share: int, step: float, offset: float,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """`walk_packed` by estimates alone."""
    pool = load_i64(scratch + POOL) + GUARD
    size = (ef + 7) & ~7
    count = begin_walk(scratch, entry, size, keep, skip_row)
    hops, found, wanted, is_far = 0, 0, ef, 0
    row, second, third = take_row(plan, pool, size, 1), -1, -1
    while row >= 0:
        if second < 0:
            second = take_row(plan, pool, size, expanded_of(wanted))
        if second >= 0:
            third = take_row(plan, pool, size, expanded_of(wanted))
        hops += 1
        distance = compare(plan, scratch, row)
        if is_out(plan, row, dead, skip_row, kept, slots, first_slot):
            wanted = min(ef + 4 * (hops - found) * widen // (3 * WIDEN_UNIT), widest)
            size = widen_pool(scratch, size, wanted)
        else:
            found += 1
            offer_result(scratch, distance, row, keep)
        count = offer_neighbours(plan, scratch, row, distance, size, count, step, offset)
        if is_far_off(hops, found, share):
            is_far = 1
            break
        row, second, third = second, third, -1
        if row < 0:
            row = take_row(plan, pool, size, expanded_of(wanted))
    clear_visited(scratch, count)
    rest, more = 0, 0
    if not is_far:
        rest, more = compare_rest(plan, scratch, size, keep, dead, skip_row, kept, slots, first_slot)
    return hops + rest, found + more, hops, wanted, is_far


@device
def collect_neighbours(
    plan: int, scratch: int, row: int, distance: int, among: int, count: int, only: int, slots: int, first_slot: int,
    step: float, offset: float,
) -> int:  # fmt: skip
    """Append neighbours estimated to be among the best `among` of the pool to the rows seen, and ask for their codes.

    With the bitmap of a filter at `only`, those alone that it keeps. Returns the new count of rows seen. What is
    estimated too far is not marked: another row may tell better.
    """
    padded, degree, rows = load_i64(plan + PADDED), load_i64(plan + DEGREE), load_i64(plan + ROWS)
    visited, seen = load_i64(scratch + VISITED), load_i64(scratch + SEEN)
    table, shift, stride = load_i64(plan + PACKED), load_i64(plan + PACKED + 8), load_i64(plan + PACKED + 16)
    estimates, links = load_i64(scratch + ESTIMATES), row_address(table, shift, stride, row) + padded
    worst = load_i64(load_i64(scratch + POOL) + GUARD + 8 * (among - 1)) >> 32
    added, weights, signs = links + A_BYTES * degree, links + W_BYTES * degree, links + SIGNS_BYTES * degree
    for block in range(degree // SIGN_BLOCK):
        near = estimate_neighbours(
            signs + padded // GROUP * GROUP_BYTES * block,
            load_i64(scratch + TABLES),
            padded // GROUP * GROUP_BYTES,
            added + 2 * SIGN_BLOCK * block,
            weights + 2 * SIGN_BLOCK * block,
            worst,
            estimates,
            np.float32(distance),
            np.float32(step),
            np.float32(offset),
        )
        while near:
            neighbour = load_i32(links + 4 * lowest_bit(near))
            near &= near - 1
            if 0 <= neighbour < rows and not test_bit(visited, neighbour):
                if only and not is_kept(plan, neighbour, only, slots, first_slot):
                    continue
                set_bit(visited, neighbour)
                store_i32(seen + 4 * count, neighbour)
                count += 1
                fetch_row(row_address(table, shift, stride, neighbour), padded)
        links += 4 * SIGN_BLOCK
    return count


@device
def check_rows(
    plan: int, scratch: int, first: int, last: int, room: int, dead: int, skip_row: int, kept: int, slots: int,
    first_slot: int,
) -> int:  # fmt: skip
    """Compare seen[first:last] by their codes and put them into the pool; returns how many of those are no answers."""
    pool, seen, distances = load_i64(scratch + POOL) + GUARD, load_i64(scratch + SEEN), load_i64(scratch + ESTIMATES)
    out = 0
    for start in range(first, last, SIGN_BLOCK):
        some = min(last - start, SIGN_BLOCK)
        compare_listed(plan, scratch, seen + 4 * start, some)
        for position in range(some):
            row = load_i32(seen + 4 * (start + position))
            key = load_i32(distances + 4 * position) << 32 | row << 1
            if key < load_i64(pool + 8 * (room - 1)):
                insert_sorted(pool, room, key)
                if dead or kept:
                    out += is_out(plan, row, dead, skip_row, kept, slots, first_slot)
    return out


@device
def keep_answers(
    plan: int, scratch: int, room: int, keep: int, dead: int, skip_row: int, kept: int, slots: int, first_slot: int
) -> None:
    """Copy the best answers of a pool of code distances to RESULTS."""
    pool, results, count = load_i64(scratch + POOL) + GUARD, load_i64(scratch + RESULTS) + GUARD, 0
    for position in range(room):
        key = load_i64(pool + 8 * position)
        if key == NO_KEY or count == keep:
            break
        if not is_out(plan, (key & ROW_BITS) >> 1, dead, skip_row, kept, slots, first_slot):
            store_i64(results + 8 * count, key)
            count += 1


@device
def walk_checked(
    plan: int, scratch: int, entry: int, ef: int, widen: int, widest: int, keep: int, dead: int, skip_row: int,
    kept: int, slots: int, first_slot: int, share: int, step: float, offset: float,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """`walk_packed` with every row compared by its codes before it enters the pool.

    What a row's neighbours are worth is known one step later, when their codes have come. The pool keeps `room` rows,
    of which those among the first `wanted` are expanded; each that is no answer makes room for another, for what drops
    out of the pool does not come back.
    """
    size, pool = (ef + 7) & ~7, load_i64(scratch + POOL) + GUARD
    most = max(size, keep)
    count, room = begin_walk(scratch, entry, most, keep, skip_row), most
    clear_keys(pool, room)
    most += check_rows(plan, scratch, 0, 1, room, dead, skip_row, kept, slots, first_slot)
    first, last, hops, found, wanted, is_far = count, count, 0, 0, ef, 0
    row, second, third = take_row(plan, pool, size, 1), -1, -1
    while row >= 0:
        if second < 0:
            second = take_row(plan, pool, size, wanted)
        if second >= 0:
            third = take_row(plan, pool, size, wanted)
        hops += 1
        if is_out(plan, row, dead, skip_row, kept, slots, first_slot):
            wanted = min(ef + (hops - found) * widen // WIDEN_UNIT, widest)
            size = (wanted + 7) & ~7
            room = widen_pool(scratch, room, size)
        else:
            found += 1
        if dead or kept:
            room = widen_pool(scratch, room, min(most + last - first, widest))
        distance = compare(plan, scratch, row)
        count = collect_neighbours(plan, scratch, row, distance, wanted, count, 0, 0, -1, step, offset)
        most += check_rows(plan, scratch, first, last, room, dead, skip_row, kept, slots, first_slot)
        first, last = last, count
        if is_far_off(hops, found, share):
            is_far = 1
            break
        row, second, third = second, third, -1
        if row < 0:
            most += check_rows(plan, scratch, first, last, room, dead, skip_row, kept, slots, first_slot)
            first = last
            row = take_row(plan, pool, size, wanted)
    clear_visited(scratch, count)
    keep_answers(plan, scratch, room, keep, dead, skip_row, kept, slots, first_slot)
    return hops if kept else count, found, hops, wanted, is_far


@device
def walk_packed(
    plan: int, scratch: int, entry: int, ef: int, widen: int, widest: int, keep: int, dead: int, skip_row: int,
    kept: int, slots: int, first_slot: int, share: int, step: float, offset: float,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Best-first search from `entry`; the best `keep` answers by code distance go to RESULTS.

    Every WIDEN_UNIT expanded rows that are no answers (see `is_out`) let `widen` more be expanded, in a pool of up to
    `widest`; `skip_row` is not even walked through. Returns (rows compared, or with a filter those that answers are
    counted among, answers among them, rows expanded, room, is far), the last being 1 where it ended early for want of
    kept rows, as `filtered.walk` does.
    """
    if load_i64(plan + PADDED) <= CHECKED_PADDED:
        return walk_checked(
            plan, scratch, entry, ef, widen, widest, keep, dead, skip_row, kept, slots, first_slot, share, step, offset
        )
    return walk_estimated(
        plan, scratch, entry, ef, widen, widest, keep, dead, skip_row, kept, slots, first_slot, share, step, offset
    )


@device
def results_to_pool(scratch: int, keep: int) -> int:
    """Copy the results to where they are ranked from; returns how many there are."""
    pool, results = load_i64(scratch + POOL), load_i64(scratch + RESULTS) + GUARD
    count = 0
    while count < keep and load_i64(results + 8 * count) != NO_KEY:
        count += 1
    move_bytes(pool, results, 8 * count)
    return count


@device
def find_packed(plan: int, scratch: int, entry: int, ef: int, rerank: int, dead: int, skip_row: int) -> tuple[int, int]:
    """Put the best `rerank` rows, a multiple of 8, into the pool; returns (how many there are, rows compared)."""
    fetch_row(column_row(plan + PACKED, entry), load_i64(plan + PACKED + 16))
    step, offset = make_tables(plan, scratch)
    widest = load_i64(scratch + POOL_MAX)
    compared, _, _, _, _ = walk_packed(
        plan, scratch, entry, ef, WIDEN_UNIT, widest, rerank, dead, skip_row, 0, 0, -1, 0, step, offset
    )
    return results_to_pool(scratch, rerank), compared
