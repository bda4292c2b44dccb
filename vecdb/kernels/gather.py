"""Copies the ids of hits to one place and checks them (see `engine.ids` for what an id row is).

Promises: reads only rows of the column; says which row does not fit its check.
Concurrency: no state.
"""

from __future__ import annotations

from vecdb.kernels.checksum import crc32
from vecdb.kernels.identifiers import write_array_head, write_id
from vecdb.kernels.intrinsics import load_i32, load_u8, load_u32, prefetch
from vecdb.kernels.jit import kernel
from vecdb.kernels.traverse import row_address

ROW_HEAD = 3
"""Bytes in front of an id key: its length and its check."""


@kernel
def gather_ids(table: int, shift: int, stride: int, rows: int, slots: int, count: int, target: int) -> int:
    """Write the ids in `count` rows of an id column (numbers int32 at `rows`) as a msgpack array to `target`.

    Returns its bytes, `stride` for each id and the array's head at most; or, less than 0, -1 - position of the first
    that is empty or does not fit the check of its slot (uint32 at `slots`). All rows are asked for before the first is
    read: they lie apart, and the waits for them overlap.
    """
    for position in range(count):
        prefetch(row_address(table, shift, stride, load_i32(rows + 4 * position)))
    end = write_array_head(target, count)
    for position in range(count):
        row = row_address(table, shift, stride, load_i32(rows + 4 * position))
        size, check = load_u8(row), load_u8(row + 1) | load_u8(row + 2) << 8
        if size + ROW_HEAD > stride or crc32(row + ROW_HEAD, size, load_u32(slots + 4 * position)) & 0xFFFF != check:
            return -1 - position
        end = write_id(end, row + ROW_HEAD, size)
        if end == 0:
            return -1 - position
    return end - target
