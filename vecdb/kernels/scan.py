"""The exact scan kernel: every live row against every query, best `limit` kept.

Promises: the same distances, bit for bit, and the same order as a graph search that finds the same rows.
Concurrency: any number of calls, one workspace each.
"""

from __future__ import annotations

from vecdb.kernels.intrinsics import load_i32, load_i64, store_i32
from vecdb.kernels.jit import kernel
from vecdb.kernels.layout import DIM, ROWS
from vecdb.kernels.rank import offer_row, prepare_query, write_hits
from vecdb.kernels.traverse import is_excluded

BLOCK_ROWS = 64
"""Rows compared with all queries before the next: they stay in the L2 cache meanwhile."""


@kernel
def scan_block(
    plan: int,
    queries: int,
    first: int,
    last: int,
    limit: int,
    dead: int,
    skip_rows: int,
    work: int,
    slots: int,
    distances: int,
    rows_found: int,
    counts: int,
) -> int:
    """Exact hits of queries [first, last); arguments as for `search_graph`.

    `work` holds (last - first) * (12 * limit + 4 * dim) bytes: result keys, prepared queries, rows of the results.
    """
    dim, rows = load_i64(plan + DIM), load_i64(plan + ROWS)
    prepared = work + 8 * limit * (last - first)
    ranked = prepared + 4 * dim * (last - first)
    for index in range(first, last):
        prepare_query(plan, queries + 4 * dim * index, prepared + 4 * dim * (index - first))
        store_i32(counts + 4 * index, 0)
    for begin in range(0, rows, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, rows)
        for index in range(first, last):
            skip_row = load_i64(skip_rows + 8 * index) if skip_rows else -1
            best, best_rows = work + 8 * limit * (index - first), ranked + 4 * limit * (index - first)
            query = prepared + 4 * dim * (index - first)
            size = load_i32(counts + 4 * index)
            for row in range(begin, end):
                if not is_excluded(row, dead, skip_row):
                    size = offer_row(plan, row, query, best, best_rows, size, limit)
            store_i32(counts + 4 * index, size)
    for index in range(first, last):
        size, place = load_i32(counts + 4 * index), 4 * limit * index
        best, best_rows = work + 8 * limit * (index - first), ranked + 4 * limit * (index - first)
        write_hits(best, best_rows, size, slots + place, distances + place, rows_found + place)
    return rows * (last - first)
