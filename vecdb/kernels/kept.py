"""Walks among the rows that a filter keeps, for queries far from all of them.

A best-first walk from such a query meets only rows that the filter does not keep. This one holds kept rows alone in its
pool. It begins at kept rows drawn from the whole segment and at those around the entry, and goes from a row to its kept
neighbours, and, where these are few, to the kept neighbours of the others (as ACORN-1 does: Patel et al., 2024, section
5.2). Only kept rows are scored.

A filter is a bitmap over slots (uint64 words); a row's slot comes from the segment's slots, or, where they have no
gaps, from the first of them.
Promises: the pool holds kept rows only. The drawn rows depend on the segment's size alone, so answers are repeatable.
Invariants: slots and rows read from a damaged file lead nowhere outside the bitmap and the columns; the visited bitset
is all zero afterwards. Rows hopped over are noted from the far end of the list of seen rows; together they are fewer
than the segment's rows, so the two lists do not meet.
Concurrency: any number of calls, one scratch each.
"""

from __future__ import annotations

from vecdb.kernels.distance import code_distance
from vecdb.kernels.intrinsics import load_i32, load_i64, load_u32, lowest_bit, prefetch, store_i32, store_i64, store_u8
from vecdb.kernels.jit import device
from vecdb.kernels.layout import (
    CODES,
    DEGREE,
    LINKS,
    PADDED,
    POOL,
    QUERY_CODES,
    ROW_BITS,
    ROWS,
    SEEN,
    SHARE_UNIT,
    SLOTS,
    VISITED,
)
from vecdb.kernels.traverse import (
    AHEAD,
    BEAM,
    clear_visited,
    column_row,
    fetch_listed,
    fetch_row,
    insert_key,
    row_address,
    set_bit,
    test_bit,
)

ENOUGH_NEIGHBOURS = 48
"""New kept rows of one expansion after which no further row is hopped over. Measured on 116,659 sentence embeddings,
the half on the other side kept: 16, 24, 32 and 48 reach recall .95 in 170, 160, 150 and 150 us, and 48 needs the
smallest pool."""

LINK_BLOCK = 32
"""Most links that are told apart at once."""

AHEAD_HOPS = 6
"""Rows to hop over that are asked for beforehand. Few of those noted are needed."""

LINKS_EXPECTED = 16
"""Kept rows to be expected among the links around an entry before it is believed that there are few: by chance, 3 of 16
or fewer are once in 10,000 times."""

ROWS_LOOKED_AT = 8
"""Kept rows whose links tell how many of the rows near kept ones are kept."""

SEEDS = 32
"""Kept rows drawn to begin at. 16 times as many gained less than .01 of recall, for 40 us."""


@device
def is_kept(plan: int, row: int, kept: int, slots: int, first_slot: int) -> int:
    """Whether the filter keeps a row; `slots` is how many bits the bitmap has."""
    slot = first_slot + row if first_slot >= 0 else load_u32(column_row(plan + SLOTS, row))
    return test_bit(kept, slot) if slot < slots else 0


@device
def next_draw(state: int) -> int:
    """The linear congruential generator that the C standard prints for rand(), of 31 bits, the high ones the better.

    No product leaves 63 bits, which matters, for LLVM is told that integers do not overflow.
    """
    return (state * 1103515245 + 12345) & 0x7FFFFFFF


@device
def count_links(plan: int, row: int, kept: int, slots: int, first_slot: int) -> tuple[int, int]:
    """(Links of a row, those of them that lead to kept rows)."""
    degree, rows, links = load_i64(plan + DEGREE), load_i64(plan + ROWS), column_row(plan + LINKS, row)
    count, found = 0, 0
    for position in range(degree):
        other = load_i32(links + 4 * position)
        if 0 <= other < rows:
            count += 1
            found += is_kept(plan, other, kept, slots, first_slot)
    return count, found


@device
def look_around(plan: int, entry: int, share: int, kept: int, slots: int, first_slot: int) -> tuple[int, int]:
    """Links of an entry and of its neighbours: (how many were looked at, how many of these lead to kept rows).

    As many as make LINKS_EXPECTED kept ones by the `share` that is kept of all rows, or all there are.
    """
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    links, wanted = column_row(plan + LINKS, entry), LINKS_EXPECTED * SHARE_UNIT
    for position in range(min(wanted // max(share * degree, 1), degree)):
        other = load_i32(links + 4 * position)
        if 0 <= other < rows:
            fetch_row(column_row(plan + LINKS, other), 4 * degree)
    looked, found = 0, 0
    for position in range(-1, degree):
        row = entry if position < 0 else load_i32(links + 4 * position)
        if looked * share >= wanted or row < 0 or row >= rows:
            break
        more, of_these = count_links(plan, row, kept, slots, first_slot)
        looked, found = looked + more, found + of_these
    return looked, found


@device
def links_of_kept(plan: int, share: int, kept: int, slots: int, first_slot: int) -> tuple[int, int]:
    """Links of ROWS_LOOKED_AT kept rows drawn from the segment: (how many, how many of them lead to kept rows)."""
    rows = load_i64(plan + ROWS)
    looked, found, drawn, state = 0, 0, 0, 0
    for _ in range(2 * ROWS_LOOKED_AT * SHARE_UNIT // max(share, 1)):
        if drawn == ROWS_LOOKED_AT:
            break
        state = next_draw(state)
        row = (state * rows) >> 31
        if is_kept(plan, row, kept, slots, first_slot):
            drawn += 1
            more, of_these = count_links(plan, row, kept, slots, first_slot)
            looked, found = looked + more, found + of_these
    return looked, found


@device
def see(scratch: int, row: int, count: int) -> int:
    """Note a row as seen, if it was not; returns how many are."""
    visited = load_i64(scratch + VISITED)
    if test_bit(visited, row):
        return count
    set_bit(visited, row)
    store_i32(load_i64(scratch + SEEN) + 4 * count, row)
    return count + 1


@device
def draw_seeds(plan: int, scratch: int, share: int, kept: int, slots: int, first_slot: int) -> int:
    """See SEEDS kept rows, or as many as twice the expected number of draws gives; returns how many."""
    rows = load_i64(plan + ROWS)
    count, state = 0, 0
    for _ in range(2 * SEEDS * SHARE_UNIT // max(share, 1)):
        if count == SEEDS:
            break
        state = next_draw(state)
        row = (state * rows) >> 31
        if is_kept(plan, row, kept, slots, first_slot):
            count = see(scratch, row, count)
    return count


@device
def inside(value: int, count: int) -> int:
    """1 for a value of 0..count - 1, else 0, without a branch."""
    return ((value - count) & ~value) >> 63 & 1


@device
def kept_bit(plan: int, row: int, kept: int, slots: int, first_slot: int) -> int:
    """`is_kept`, 0 or 1, in segments without gaps between slots without a branch."""
    if first_slot < 0:
        return is_kept(plan, row, kept, slots, first_slot)
    slot = first_slot + row
    there = inside(slot, slots)
    return test_bit(kept, slot * there) & there


@device
def split_links(
    plan: int, scratch: int, links: int, count: int, kept: int, slots: int, first_slot: int
) -> tuple[int, int]:
    """Bits for those of `count` links, at most LINK_BLOCK, that lead to unseen rows: (rows that are kept, others).

    Half of all rows kept and half seen is what a processor guesses worst, so nothing here branches: a tenth of the time
    of a walk.
    """
    rows, visited = load_i64(plan + ROWS), load_i64(scratch + VISITED)
    ours, others = 0, 0
    for position in range(count):
        row = load_i32(links + 4 * position)
        there = inside(row, rows)
        row *= there
        unseen = there & (test_bit(visited, row) ^ 1)
        mine = kept_bit(plan, row, kept, slots, first_slot)
        ours |= (unseen & mine) << position
        others |= (unseen & (mine ^ 1)) << position
    return ours, others


@device
def see_links(scratch: int, links: int, chosen: int, count: int) -> int:
    """See the rows that the chosen links lead to; returns how many are seen."""
    while chosen:
        count = see(scratch, load_i32(links + 4 * lowest_bit(chosen)), count)
        chosen &= chosen - 1
    return count


@device
def collect_kept(
    plan: int, scratch: int, row: int, count: int, hopped: int, kept: int, slots: int, first_slot: int
) -> tuple[int, int]:
    """See the kept neighbours of a row, and, while they are fewer than ENOUGH_NEIGHBOURS, those behind the others.

    Returns (rows seen, rows hopped over).
    """
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    visited, last = load_i64(scratch + VISITED), load_i64(scratch + SEEN) + 4 * (rows + 1)
    links = column_row(plan + LINKS, row)
    enough, others = count + ENOUGH_NEIGHBOURS, hopped
    for block in range(0, degree, LINK_BLOCK):
        start = links + 4 * block
        ours, beyond = split_links(plan, scratch, start, min(degree - block, LINK_BLOCK), kept, slots, first_slot)
        count = see_links(scratch, start, ours, count)
        while beyond and count + others < rows:
            other = load_i32(start + 4 * lowest_bit(beyond))
            beyond &= beyond - 1
            store_i32(last - 4 * others, other)
            others += 1
    for position in range(hopped, min(hopped + AHEAD_HOPS, others)):
        fetch_row(column_row(plan + LINKS, load_i32(last - 4 * position)), 4 * degree)
    while hopped < others and count < enough:
        if hopped + AHEAD_HOPS < others:
            fetch_row(column_row(plan + LINKS, load_i32(last - 4 * (hopped + AHEAD_HOPS))), 4 * degree)
        other = load_i32(last - 4 * hopped)
        set_bit(visited, other)
        hopped += 1
        links = column_row(plan + LINKS, other)
        for block in range(0, degree, LINK_BLOCK):
            start = links + 4 * block
            ours, _ = split_links(plan, scratch, start, min(degree - block, LINK_BLOCK), kept, slots, first_slot)
            count = see_links(scratch, start, ours, count)
    return count, hopped


@device
def score_kept(plan: int, scratch: int, first: int, count: int, size: int, capacity: int) -> tuple[int, int]:
    """Score seen[first:count], kept rows all, into the pool; returns (lowest position inserted, pool size)."""
    table, shift, stride = load_i64(plan + CODES), load_i64(plan + CODES + 8), load_i64(plan + CODES + 16)
    padded, query = load_i64(plan + PADDED), load_i64(scratch + QUERY_CODES)
    seen, pool = load_i64(scratch + SEEN), load_i64(scratch + POOL)
    lowest = size
    fetch_listed(table, shift, stride, seen, first, min(first + AHEAD, count), padded)
    for position in range(first, count):
        fetch_listed(table, shift, stride, seen, position + AHEAD, min(position + AHEAD + 1, count), padded)
        row = load_i32(seen + 4 * position)
        key = code_distance(row_address(table, shift, stride, row), query, padded) << 32 | row << 1
        if size < capacity or key < load_i64(pool + 8 * (size - 1)):
            place = insert_key(pool, size, capacity, key)
            size += 1 if size < capacity else 0
            if place < lowest:
                lowest = place
                links = column_row(plan + LINKS, row)
                prefetch(links)
                prefetch(links + 64)
    return lowest, size


@device
def walk_among_kept(
    plan: int, scratch: int, entry: int, ef: int, share: int, kept: int, slots: int, first_slot: int
) -> tuple[int, int]:
    """Best-first search among kept rows with `ef` candidates; returns (pool size, rows scored)."""
    pool, visited = load_i64(scratch + POOL), load_i64(scratch + VISITED)
    count = draw_seeds(plan, scratch, share, kept, slots, first_slot)
    if is_kept(plan, entry, kept, slots, first_slot):
        count = see(scratch, entry, count)
    count, hopped = collect_kept(plan, scratch, entry, count, 0, kept, slots, first_slot)
    _, size = score_kept(plan, scratch, 0, count, 0, ef)
    cursor = 0
    while cursor < size:
        first, expanded = count, 0
        while cursor < size and expanded < BEAM:
            key = load_i64(pool + 8 * cursor)
            if key & 1 == 0:
                store_i64(pool + 8 * cursor, key | 1)
                row = (key & ROW_BITS) >> 1
                count, hopped = collect_kept(plan, scratch, row, count, hopped, kept, slots, first_slot)
                expanded += 1
            cursor += 1
        lowest, size = score_kept(plan, scratch, first, count, size, ef)
        cursor = min(cursor, lowest)
    last = load_i64(scratch + SEEN) + 4 * (load_i64(plan + ROWS) + 1)
    for position in range(hopped):
        store_u8(visited + (load_i32(last - 4 * position) >> 3), 0)
    clear_visited(scratch, count)
    return size, count
