"""Makes packed rows: all that a search needs of a row, in one place.

    codes int8 (padded) | links int32 (degree) | A float32 (degree) | W float32 (degree) | signs

Signs lie in blocks of 32 neighbours; in a block 16 bytes for each group of 4 components, byte i with the signs of
neighbour i in its low half and those of neighbour 16 + i in its high half, the first component in the lowest bit.
For residual r = x - v with n2 = |r|^2 and rotated residual R r (GAIN times as long), w = n2 / |R r|_1 * GAIN,
A = n2 + 2 w sum(s_j (R v)_j) / GAIN and W = 2 w / GAIN: see `signs`.

Promises: deterministic; rows depend on codes and links only. A missing neighbour is farther than everything.
Cost: about 30 us a row of 384 components. Concurrency: calls on disjoint rows may run in parallel.
"""

from __future__ import annotations

from vecdb.config import SIGN_BLOCK
from vecdb.kernels.intrinsics import (
    fill_bytes,
    load_i8,
    load_i32,
    load_i64,
    load_u8,
    move_bytes,
    store_f32,
    store_i32,
    store_u8,
)
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.layout import (
    CODES,
    DEGREE,
    GROUP,
    GROUP_BYTES,
    LINKS,
    PADDED,
    ROTATED,
    ROTATION,
    ROTATION_ROOM,
    ROWS,
    TABLES,
)
from vecdb.kernels.rotation import GAIN, rotate
from vecdb.kernels.traverse import column_row, fetch_row

MISSING = 1e30
"""A of a neighbour that there is not."""


@device
def residual(codes: int, other: int, values: int, padded: int) -> int:
    """Write the differences of two int8 rows as int32; returns the sum of their squares."""
    square = 0
    for place in range(padded):
        difference = load_i8(other + place) - load_i8(codes + place)
        square += difference * difference
        store_i32(values + 4 * place, difference)
    return square


@device
def measure(values: int, own: int, padded: int) -> tuple[int, int]:
    """(|R r|_1, sum(s_j (R v)_j)) of a rotated residual at `values` and the rotated row at `own`."""
    length, along = 0, 0
    for place in range(padded):
        value = load_i32(values + 4 * place)
        mask = (value - 1) >> 63  # -1 unless positive
        length += (value ^ mask) - mask
        along += (load_i32(own + 4 * place) ^ mask) - mask
    return length, along


@device
def write_signs(values: int, block: int, number: int, padded: int) -> None:
    """Write the signs of a rotated residual as neighbour `number` of a block."""
    shift = (number & 16) // 4
    target = block + (number & 15)
    for group in range(padded // GROUP):
        bits = 0
        for place in range(GROUP):
            bits |= (-load_i32(values + 4 * (GROUP * group + place)) >> 63 & 1) << place
        at = target + GROUP_BYTES * group
        store_u8(at, load_u8(at) | bits << shift)


@device
def pack_neighbour(plan: int, scratch: int, codes: int, other: int, number: int, target: int) -> None:
    """Write what the row packed at `target` holds of its neighbour `number`, whose codes are at `other`."""
    padded, degree = load_i64(plan + PADDED), load_i64(plan + DEGREE)
    values, own = load_i64(scratch + ROTATED), load_i64(scratch + TABLES)
    square = residual(codes, other, values, padded)
    rotate(values, load_i64(scratch + ROTATION_ROOM), load_i64(plan + ROTATION), padded)
    length, along = measure(values, own, padded)
    weight = float(square) * GAIN / float(length) if length else 0.0
    added = target + padded + 4 * degree + 4 * number
    store_f32(added, float(square) + 2.0 * weight * float(along) / GAIN)
    store_f32(added + 4 * degree, 2.0 * weight / GAIN)
    block = number // SIGN_BLOCK * (padded // GROUP) * GROUP_BYTES
    write_signs(values, target + padded + 12 * degree + block, number % SIGN_BLOCK, padded)


@kernel
def pack_rows(plan: int, scratch: int, target: int, stride: int, first: int, last: int) -> int:
    """Pack rows [first, last) to `target`, `stride` bytes each."""
    padded, degree, rows = load_i64(plan + PADDED), load_i64(plan + DEGREE), load_i64(plan + ROWS)
    own, masks = load_i64(scratch + TABLES), load_i64(plan + ROTATION)
    for row in range(first, last):
        codes, links = column_row(plan + CODES, row), column_row(plan + LINKS, row)
        fill_bytes(target, 0, stride)
        move_bytes(target, codes, padded)
        move_bytes(target + padded, links, 4 * degree)
        for place in range(padded):
            store_i32(own + 4 * place, load_i8(codes + place))
        rotate(own, load_i64(scratch + ROTATION_ROOM), masks, padded)
        for number in range(degree):
            neighbour = load_i32(links + 4 * number)
            if 0 <= neighbour < rows:
                fetch_row(column_row(plan + CODES, neighbour), padded)
        for number in range(degree):
            neighbour = load_i32(links + 4 * number)
            if 0 <= neighbour < rows:
                pack_neighbour(plan, scratch, codes, column_row(plan + CODES, neighbour), number, target)
            else:
                store_f32(target + padded + 4 * degree + 4 * number, MISSING)
        target += stride
    return last - first
