"""Copies the id rows of hits to one place and checks them (see `engine.ids` for what such a row is).

Promises: reads only rows of the column; says which row does not fit its check.
Concurrency: no state.
"""

from __future__ import annotations

from vecdb.kernels.checksum import crc32
from vecdb.kernels.intrinsics import load_i32, load_u8, load_u32, move_bytes, prefetch
from vecdb.kernels.jit import kernel
from vecdb.kernels.traverse import row_address


@kernel
def gather_ids(table: int, shift: int, stride: int, rows: int, slots: int, count: int, target: int) -> int:
    """Copy `count` rows of an id column (numbers int32 at `rows`) one after another to `target`.

    Returns the position of the first that is empty or does not fit the check of its slot (uint32 at `slots`), or
    `count`. All rows are asked for before the first is copied: they lie apart, and the waits for them overlap.
    """
    for position in range(count):
        prefetch(row_address(table, shift, stride, load_i32(rows + 4 * position)))
    for position in range(count):
        place = target + stride * position
        move_bytes(place, row_address(table, shift, stride, load_i32(rows + 4 * position)), stride)
        size, check = load_u8(place), load_u8(place + 1) | load_u8(place + 2) << 8
        if size == 0 or size + 3 > stride or crc32(place + 3, size, load_u32(slots + 4 * position)) & 0xFFFF != check:
            return position
    return count
