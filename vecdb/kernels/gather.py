"""Copies scattered rows of a column to one place: ids of hits, mostly.

Promises: reads only rows of the column. Concurrency: no state.
"""

from __future__ import annotations

from vecdb.kernels.intrinsics import load_i32, move_bytes, prefetch
from vecdb.kernels.jit import kernel
from vecdb.kernels.traverse import row_address


@kernel
def gather_rows(table: int, shift: int, stride: int, rows: int, count: int, target: int) -> int:
    """Copy `count` rows, whose numbers (int32) are at `rows`, one after another to `target`.

    All are asked for before the first is copied: they lie apart, and the waits for them overlap.
    """
    for position in range(count):
        prefetch(row_address(table, shift, stride, load_i32(rows + 4 * position)))
    for position in range(count):
        source = row_address(table, shift, stride, load_i32(rows + 4 * position))
        move_bytes(target + stride * position, source, stride)
    return count
