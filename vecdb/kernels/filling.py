"""Fills the free links of a graph with the nearest rows that are two steps away.

Diverse links are what leads a search on, and they leave a third of the places empty. A packed row costs the same
with all of them taken: on wordnet-minilm recall went from .955 to .965 at 32 rows expanded of a pool of 64, and
from .993 to .995 at 128.

Rows that lie apart from others are found by few: their neighbours prefer rows in between. Of 200,000 rows like SIFT's
one in a hundred had fewer than 8 links to it, and half of what a thorough walk missed had at most 10. So some links to
rows that many lead to are then given to such rows (`even_links`): recall at ef 64 and 256 went from .9884 and .9977 to
.9910 and .9988, at the same cost.

Promises: links that are there stay, and stay in front, but for those that `even_links` exchanges; deterministic.
Concurrency: calls of `fill_links` on disjoint rows may run in parallel; `even_links` is serial.
"""

from __future__ import annotations

from vecdb.kernels.candidates import nearest_seen
from vecdb.kernels.intrinsics import load_i32, load_i64, load_u8, prefetch, store_i32, store_u8
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.layout import DEGREE, LINKS, POOL, READY, ROW_BITS, ROWS, SEEN, VISITED
from vecdb.kernels.traverse import clear_visited, collect_unseen, column_row, set_bit

NEAREST_KEPT = 4
"""First links of a row, the nearest ones, that are never given up for another row."""


@kernel
def fill_links(plan: int, scratch: int, links_before: int, order: int, first: int, last: int) -> int:
    """Fill the links of rows order[first:last] (int32); `links_before` (rows, degree) int32 is a copy of all links."""
    degree, rows = load_i64(plan + DEGREE), load_i64(plan + ROWS)
    visited, seen, pool = load_i64(scratch + VISITED), load_i64(scratch + SEEN), load_i64(scratch + POOL)
    for number in range(first, last):
        row = load_i32(order + 4 * number)
        links, used = column_row(plan + LINKS, row), 0
        while used < degree and load_i32(links + 4 * used) >= 0:
            used += 1
        if used == degree:
            continue
        set_bit(visited, row)
        store_i32(seen, row)
        near = collect_unseen(links, degree, rows, visited, seen, 1)
        for position in range(1, near):
            others = links_before + 4 * degree * load_i32(seen + 4 * position)
            prefetch(others)
            prefetch(others + 64)
        count = near
        for position in range(1, near):
            others = links_before + 4 * degree * load_i32(seen + 4 * position)
            count = collect_unseen(others, degree, rows, visited, seen, count)
        size = nearest_seen(plan, scratch, row, near, count, degree - used)
        clear_visited(scratch, count)
        for position in range(size):
            store_i32(links + 4 * (used + position), (load_i64(pool + 8 * position) & ROW_BITS) >> 1)
    return last - first


@device
def place_for(plan: int, links: int, row: int, counts: int) -> int:
    """Which of the links may lead to `row` instead: a free one, or that to the row which most lead to; -1 if none.

    That is one to which more lead than a row has links. Links to duplicates stay, which nothing else may lead to.
    """
    degree, ready = load_i64(plan + DEGREE), load_i64(plan + READY)
    best, most = -1, degree
    for position in range(degree):
        other = load_i32(links + 4 * position)
        if other == row:
            return -1
        if other < 0:
            return position
        led = load_i32(counts + 4 * other)
        if position >= NEAREST_KEPT and led > most and load_u8(ready + other):
            best, most = position, led
    return best


@kernel
def even_links(plan: int, counts: int, given: int, order: int, size: int) -> int:
    """Have enough links lead to rows order[:size] (int32), of which `counts` (int32) has how many do; returns how many.

    Enough are three quarters of the links of a row. The rows that a row links to give up one of their links for it,
    the nearest ones first, each at most a quarter of its links; `given` has a zero byte for each row. Links are sorted.
    """
    degree, rows, ready = load_i64(plan + DEGREE), load_i64(plan + ROWS), load_i64(plan + READY)
    enough, most, changed = 3 * degree // 4, degree // 4, 0
    for number in range(size):
        row = load_i32(order + 4 * number)
        own, led = column_row(plan + LINKS, row), load_i32(counts + 4 * row)
        if load_u8(ready + row) == 0:
            continue
        for position in range(degree):
            host = load_i32(own + 4 * position)
            if led >= enough or host < 0 or host >= rows:
                break
            if load_u8(ready + host) == 0 or load_u8(given + host) >= most:
                continue
            links = column_row(plan + LINKS, host)
            place = place_for(plan, links, row, counts)
            if place < 0:
                continue
            other = load_i32(links + 4 * place)
            if other >= 0:
                store_i32(counts + 4 * other, load_i32(counts + 4 * other) - 1)
            store_i32(links + 4 * place, row)
            store_u8(given + host, load_u8(given + host) + 1)
            led += 1
            changed += 1
        store_i32(counts + 4 * row, led)
    return changed
