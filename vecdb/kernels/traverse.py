"""Walks a graph: greedy descent through the upper levels, beam search at level 0.

The candidate pool is one sorted array of int64 keys (distance << 32 | row << 1 | expanded), as in DiskANN and Glass;
visited rows are a bitset with an undo list; a row is expanded in two passes, first collecting the neighbours not yet
met, then scoring them while the next ones are being fetched.

Promises: results depend on the graph and the query only. Tombstones are walked through and widen the pool by one each.
Invariants: the visited bitset is all zero before and after every kernel.
Concurrency: one scratch per running call.
"""

from __future__ import annotations

from vecdb.kernels.distance import code_distance
from vecdb.kernels.intrinsics import (
    fill_bytes,
    load_i32,
    load_i64,
    load_u8,
    move_bytes,
    prefetch,
    prefetch_l2,
    store_i32,
    store_i64,
    store_u8,
)
from vecdb.kernels.jit import device
from vecdb.kernels.layout import (
    CODES,
    DEGREE,
    ENTRY,
    LEVELS,
    LINKS,
    PADDED,
    POOL,
    QUERY_CODES,
    ROW_BITS,
    ROWS,
    SEEN,
    UPPER_DEGREE,
    UPPER_DOWN,
    UPPER_LINKS,
    UPPER_ROW_COUNT,
    UPPER_ROWS,
    VISITED,
    VISITED_BYTES,
)

AHEAD = 8
"""Rows fetched ahead of the one being scored. With fetches into the second level of cache, 8 took 12 % less than 4."""

BEAM = 2
"""Candidates expanded together."""

UNDO_COST = 32
"""Clearing the whole bitset costs about as much per byte as an undo per this many rows."""


@device
def row_address(table: int, shift: int, stride: int, row: int) -> int:
    """Address of a row of a column."""
    chunk = row >> shift
    return load_i64(table + 8 * chunk) + (row - (chunk << shift)) * stride


@device
def column_row(column: int, row: int) -> int:
    """Address of a row of the column described at address `column` (three int64 fields)."""
    return row_address(load_i64(column), load_i64(column + 8), load_i64(column + 16), row)


@device
def fetch_row(address: int, size: int) -> None:
    """Ask for all cache lines of a row."""
    for offset in range(0, size, 64):
        prefetch_l2(address + offset)


@device
def fetch_listed(table: int, shift: int, stride: int, rows: int, first: int, last: int, size: int) -> None:
    """Ask for rows[first:last] (int32) of a column."""
    for position in range(first, last):
        fetch_row(row_address(table, shift, stride, load_i32(rows + 4 * position)), size)


@device
def test_bit(bits: int, row: int) -> int:
    """Bit `row` of a bitset (little endian, byte by byte)."""
    return (load_u8(bits + (row >> 3)) >> (row & 7)) & 1


@device
def set_bit(bits: int, row: int) -> None:
    """Set bit `row` of a bitset."""
    place = bits + (row >> 3)
    store_u8(place, load_u8(place) | (1 << (row & 7)))


@device
def clear_bit(bits: int, row: int) -> None:
    """Clear bit `row` of a bitset."""
    place = bits + (row >> 3)
    store_u8(place, load_u8(place) & ~(1 << (row & 7)))


@device
def is_excluded(row: int, dead: int, skip_row: int) -> int:
    """1 for tombstones (bit set in the bitset at `dead`, 0 for none) and for `skip_row`."""
    if row == skip_row:
        return 1
    return test_bit(dead, row) if dead else 0


@device
def insert_key(keys: int, size: int, capacity: int, key: int) -> int:
    """Insert into the sorted keys, dropping the last when full; returns the position. The key must belong inside."""
    low = 0
    high = size
    while low < high:
        middle = (low + high) >> 1
        if load_i64(keys + 8 * middle) < key:
            low = middle + 1
        else:
            high = middle
    kept = size if size < capacity else capacity - 1
    place = keys + 8 * low
    move_bytes(place + 8, place, 8 * (kept - low))
    store_i64(place, key)
    return low


@device
def collect_unseen(links: int, degree: int, rows: int, visited: int, seen: int, count: int) -> int:
    """Append the neighbours not yet visited to `seen`, mark them, and return the new count.

    Links of a damaged file may name any number; what is no row of the graph ends the list like -1 does.
    """
    for position in range(degree):
        row = load_i32(links + 4 * position)
        if row < 0 or row >= rows:
            break
        place = visited + (row >> 3)
        byte = load_u8(place)
        bit = 1 << (row & 7)
        store_i32(seen + 4 * count, row)
        store_u8(place, byte | bit)
        count += ((byte & bit) - 1) >> 63 & 1
    return count


@device
def clear_visited(scratch: int, count: int) -> None:
    """Undo the marks of the first `count` seen rows, or wipe the bitset where that is cheaper."""
    visited = load_i64(scratch + VISITED)
    size = load_i64(scratch + VISITED_BYTES)
    if count * UNDO_COST > size:
        fill_bytes(visited, 0, size)
        return
    seen = load_i64(scratch + SEEN)
    for position in range(count):
        store_u8(visited + (load_i32(seen + 4 * position) >> 3), 0)


@device
def within(value: int, count: int) -> int:
    """`value` if it is one of 0..count - 1, else 0: numbers read from a damaged file must not lead outside."""
    return value if 0 <= value < count else 0


@device
def upper_row(plan: int, node: int) -> int:
    """Level-0 row of an upper node."""
    return within(load_i32(column_row(plan + UPPER_ROWS, node)), load_i64(plan + ROWS))


@device
def fetch_upper(plan: int, links: int, degree: int, nodes: int) -> None:
    """Ask for the codes of all neighbours of an upper node."""
    padded = load_i64(plan + PADDED)
    for position in range(degree):
        other = load_i32(links + 4 * position)
        if other < 0 or other >= nodes:
            break
        fetch_row(column_row(plan + CODES, upper_row(plan, other)), padded)


@device
def descend(plan: int, query: int) -> int:
    """Greedy walk from the entry point through the upper levels (HNSW Algorithm 5, ef = 1); returns a level-0 row."""
    node = load_i64(plan + ENTRY)
    levels = load_i64(plan + LEVELS)
    if levels == 0:
        return node
    padded = load_i64(plan + PADDED)
    degree, nodes = load_i64(plan + UPPER_DEGREE), load_i64(plan + UPPER_ROW_COUNT)
    best = code_distance(column_row(plan + CODES, upper_row(plan, node)), query, padded)
    for level in range(levels):
        moved = 1
        while moved:
            moved = 0
            links = column_row(plan + UPPER_LINKS, node)
            fetch_upper(plan, links, degree, nodes)
            for position in range(degree):
                other = load_i32(links + 4 * position)
                if other < 0 or other >= nodes:
                    break
                distance = code_distance(column_row(plan + CODES, upper_row(plan, other)), query, padded)
                if distance < best:
                    best = distance
                    node = other
                    moved = 1
        if level + 1 < levels:
            node = within(load_i32(column_row(plan + UPPER_DOWN, node)), nodes)
    return upper_row(plan, node)


@device
def score_unseen(
    plan: int, scratch: int, first: int, count: int, size: int, capacity: int, widest: int, dead: int
) -> tuple[int, int, int]:
    """Score seen[first:count] into the pool; returns (lowest position inserted, pool size, capacity)."""
    table, shift, stride = load_i64(plan + CODES), load_i64(plan + CODES + 8), load_i64(plan + CODES + 16)
    padded = load_i64(plan + PADDED)
    query = load_i64(scratch + QUERY_CODES)
    seen, pool = load_i64(scratch + SEEN), load_i64(scratch + POOL)
    worst = load_i64(pool + 8 * (size - 1))
    lowest = size
    fetch_listed(table, shift, stride, seen, first, min(first + AHEAD, count), padded)
    for position in range(first, count):
        fetch_listed(table, shift, stride, seen, position + AHEAD, min(position + AHEAD + 1, count), padded)
        row = load_i32(seen + 4 * position)
        distance = code_distance(row_address(table, shift, stride, row), query, padded)
        key = distance << 32 | row << 1
        if size < capacity or key < worst:
            if dead != 0 and capacity < widest and test_bit(dead, row):
                capacity += 1
            place = insert_key(pool, size, capacity, key)
            size += 1 if size < capacity else 0
            worst = load_i64(pool + 8 * (size - 1))
            if place < lowest:
                lowest = place
                links = column_row(plan + LINKS, row)
                prefetch(links)
                prefetch(links + 64)
    return lowest, size, capacity


@device
def expand_next(plan: int, scratch: int, cursor: int, size: int, count: int) -> tuple[int, int]:
    """Expand the next BEAM unexpanded candidates at once: mark them and collect their neighbours not yet met.

    More rows per step keep more memory fetches in flight. Returns (next cursor, rows seen); the links of the
    candidates that follow are asked for ahead of time.
    """
    table, shift, stride = load_i64(plan + LINKS), load_i64(plan + LINKS + 8), load_i64(plan + LINKS + 16)
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    pool, visited, seen = load_i64(scratch + POOL), load_i64(scratch + VISITED), load_i64(scratch + SEEN)
    expanded = 0
    while cursor < size and expanded < BEAM:
        key = load_i64(pool + 8 * cursor)
        if key & 1 == 0:
            store_i64(pool + 8 * cursor, key | 1)
            links = row_address(table, shift, stride, (key & ROW_BITS) >> 1)
            count = collect_unseen(links, degree, rows, visited, seen, count)
            expanded += 1
        cursor += 1
    for position in range(cursor, min(cursor + BEAM, size)):
        links = row_address(table, shift, stride, (load_i64(pool + 8 * position) & ROW_BITS) >> 1)
        prefetch(links)
        prefetch(links + 64)
    return cursor, count


@device
def beam_search(plan: int, scratch: int, entry: int, ef: int, widest: int, dead: int, skip_row: int) -> tuple[int, int]:
    """Best-first search of level 0 from `entry` with `ef` candidates (HNSW Algorithm 2).

    The pool widens by one for each tombstone it admits, up to `widest`; `skip_row` is not even walked through, as if it
    were not in the graph. Returns (pool size, rows seen); the visited marks are left for `clear_visited`.
    """
    query, pool = load_i64(scratch + QUERY_CODES), load_i64(scratch + POOL)
    distance = code_distance(column_row(plan + CODES, entry), query, load_i64(plan + PADDED))
    store_i64(pool, distance << 32 | entry << 1)
    store_i32(load_i64(scratch + SEEN), entry)
    set_bit(load_i64(scratch + VISITED), entry)
    size, count, cursor = 1, 1, 0
    if skip_row >= 0:
        store_i32(load_i64(scratch + SEEN) + 4, skip_row)
        set_bit(load_i64(scratch + VISITED), skip_row)
        count = 2
    capacity = ef + is_excluded(entry, dead, skip_row)
    while cursor < size:
        first = count
        cursor, count = expand_next(plan, scratch, cursor, size, count)
        lowest, size, capacity = score_unseen(plan, scratch, first, count, size, capacity, widest, dead)
        cursor = min(cursor, lowest)
    return size, count
