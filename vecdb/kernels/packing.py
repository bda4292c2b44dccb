"""Makes packed rows: all that a search needs of a row, in one place.

    codes int8 (padded) | links int32 (degree) | A float16 (degree) | W float16 (degree) | signs

Signs lie in blocks of 32 neighbours; in a block 16 bytes for each group of 4 components, byte i with the signs of
neighbour i in its low half and those of neighbour 16 + i in its high half, the first component in the lowest bit.
For residual r = x - v with n2 = |r|^2 and rotated residual R r (GAIN times as long), w = n2 / |R r|_1 * GAIN,
A = n2 + 2 w sum(s_j (R v)_j) / GAIN and W = 2 w / GAIN: see `signs`; A is in units of A_UNIT.

Rotation is linear, so R r = R x - R v: each row is rotated once, and not for each row that it is a neighbour of, which
took 42 us a row of 384 components instead of 8 to 12.

Promises: deterministic; rows depend on codes and links only. A missing neighbour is farther than everything.
Concurrency: calls on disjoint rows may run in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from vecdb.config import SIGN_BLOCK
from vecdb.kernels.distance import fold, pair_distance
from vecdb.kernels.intrinsics import (
    I8,
    I16,
    I32,
    I64,
    fill_bytes,
    load_as,
    load_i8,
    load_i16,
    load_i32,
    load_i64,
    move_bytes,
    pointer,
    store_f16,
    store_i16,
    store_i32,
)
from vecdb.kernels.jit import device, intrinsic, kernel
from vecdb.kernels.layout import (
    A_BYTES,
    A_UNIT,
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
    SIGNS_BYTES,
    TABLES,
    W_BYTES,
)
from vecdb.kernels.rotation import GAIN, rotate
from vecdb.kernels.traverse import column_row, fetch_row

LANES = 16
"""Components compared at once."""

AHEAD = 4
"""Neighbours fetched ahead of the one being compared."""

WIDE = -32768
"""First value of a rotated row that does not fit int16; others do not begin with it."""

MISSING = np.inf
"""A of a neighbour that there is not."""


def _compare(kind: Any, size: int) -> Callable[..., Any]:
    """compare(other, own, padded, place) -> (|r|_1, sum(s_j own_j)) for r = other - own, `other` of this kind.

    The signs of components 16 c to 16 c + 15 are stored as 16 bits at place + 64 * c.
    """

    def compare(typingctx: Any, other: Any, own: Any, padded: Any, place: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            ints = ir.VectorType(I32, LANES)
            zero = ir.Constant(ints, [0] * LANES)
            length, along = (cgutils.alloca_once_value(builder, zero) for _ in range(2))
            with cgutils.for_range(builder, builder.lshr(args[2], I64(4))) as loop:
                theirs = builder.add(args[0], builder.mul(loop.index, I64(LANES * size)))
                value = load_as(builder, theirs, ir.VectorType(kind, LANES))
                value = value if size == 4 else builder.sext(value, ints)
                ours = load_as(builder, builder.add(args[1], builder.mul(loop.index, I64(LANES * 4))), ints)
                difference = builder.sub(value, ours)
                positive = builder.icmp_signed(">", difference, zero)
                target = builder.add(args[3], builder.mul(loop.index, I64(2 * SIGN_BLOCK)))
                builder.store(builder.bitcast(positive, I16), pointer(builder, target, I16), align=1)
                for total, term in ((length, difference), (along, ours)):
                    signed = builder.select(positive, term, builder.sub(zero, term))
                    builder.store(builder.add(builder.load(total), signed), total)
            sums = [fold(builder, builder.load(total), builder.add) for total in (length, along)]
            return cgutils.pack_array(builder, [builder.sext(total, I64) for total in sums])

        return types.UniTuple(types.int64, 2)(*[types.int64] * 4), generate

    return intrinsic(compare)


compare_narrow: Callable[[int, int, int, int], tuple[int, int]] = _compare(I16, 2)
compare_wide: Callable[[int, int, int, int], tuple[int, int]] = _compare(I32, 4)


def _order_signs(typingctx: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = ir.VectorType(I16, LANES)
        low = load_as(builder, args[0], words)
        high = load_as(builder, builder.add(args[0], I64(2 * LANES)), words)
        for group in range(LANES // GROUP):
            shift, half = ir.Constant(words, [GROUP * group] * LANES), ir.Constant(words, [15] * LANES)
            of_low, of_high = (builder.and_(builder.lshr(part, shift), half) for part in (low, high))
            both = builder.or_(of_low, builder.shl(of_high, ir.Constant(words, [4] * LANES)))
            entries = builder.trunc(both, ir.VectorType(I8, LANES))
            target = builder.add(args[0], I64(GROUP_BYTES * group))
            builder.store(entries, pointer(builder, target, entries.type), align=1)
        return context.get_dummy_value()

    return types.void(types.int64), generate


order_signs: Callable[[int], None] = intrinsic(_order_signs)
"""Turn the signs of 16 components of 32 neighbours, 16 bits each, into those of 4 groups, in place (64 bytes)."""


def _narrow(typingctx: Any, values: Any, target: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ints = ir.VectorType(I32, LANES)
        wide = cgutils.alloca_once_value(builder, ir.Constant(ints, [0] * LANES))
        with cgutils.for_range(builder, builder.lshr(args[2], I64(4))) as loop:
            value = load_as(builder, builder.add(args[0], builder.mul(loop.index, I64(4 * LANES))), ints)
            words = builder.trunc(value, ir.VectorType(I16, LANES))
            place = builder.add(args[1], builder.mul(loop.index, I64(2 * LANES)))
            builder.store(words, pointer(builder, place, words.type), align=1)
            lost = builder.xor(builder.sext(words, ints), value)
            builder.store(builder.or_(builder.load(wide), lost), wide)
        return builder.zext(fold(builder, builder.load(wide), builder.or_), I64)

    return types.int64(*[types.int64] * 3), generate


narrow: Callable[[int, int, int], int] = intrinsic(_narrow)
"""Write int32 values as int16; returns 0 when all of them fit."""


@device
def rotate_codes(plan: int, scratch: int, codes: int, values: int) -> None:
    """Write the rotated codes of the row at `codes` as int32."""
    padded = load_i64(plan + PADDED)
    for place in range(padded):
        store_i32(values + 4 * place, load_i8(codes + place))
    rotate(values, load_i64(scratch + ROTATION_ROOM), load_i64(plan + ROTATION), padded)


@kernel
def rotate_rows(plan: int, scratch: int, target: int, first: int, last: int) -> int:
    """Write the rotated codes of rows [first, last) as int16 to `target`, of which row 0 is row 0.

    A row whose values do not fit begins with WIDE, and is rotated again wherever it is needed.
    """
    padded, values = load_i64(plan + PADDED), load_i64(scratch + ROTATED)
    for row in range(first, last):
        rotate_codes(plan, scratch, column_row(plan + CODES, row), values)
        place = target + 2 * padded * row
        if narrow(values, place, padded) or load_i16(place) == WIDE:
            store_i16(place, WIDE)
    return last - first


@device
def compare_signs(plan: int, scratch: int, other: int, rotated: int, place: int) -> tuple[int, int]:
    """`compare` of the neighbour at code row `other`, whose rotated codes are at `rotated` or 0, and the own row."""
    padded, own = load_i64(plan + PADDED), load_i64(scratch + TABLES)
    if rotated and load_i16(rotated) != WIDE:
        return compare_narrow(rotated, own, padded, place)
    values = load_i64(scratch + ROTATED)
    rotate_codes(plan, scratch, other, values)
    return compare_wide(values, own, padded, place)


@device
def pack_neighbour(plan: int, scratch: int, codes: int, other: int, rotated: int, number: int, target: int) -> None:
    """Write what the row packed at `target` holds of its neighbour `number`, signs not yet in order."""
    padded, degree = load_i64(plan + PADDED), load_i64(plan + DEGREE)
    block = target + padded + SIGNS_BYTES * degree + number // SIGN_BLOCK * (padded // GROUP) * GROUP_BYTES
    length, along = compare_signs(plan, scratch, other, rotated, block + 2 * (number % SIGN_BLOCK))
    square = pair_distance(codes, other, padded)
    weight = float(square) * GAIN / float(length) if length else 0.0
    added = float(square) + 2.0 * weight * float(along) / GAIN
    store_f16(target + padded + A_BYTES * degree + 2 * number, np.float32(added / A_UNIT))
    store_f16(target + padded + W_BYTES * degree + 2 * number, np.float32(2.0 * weight / GAIN))


@device
def fetch_neighbour(plan: int, neighbour: int, rotated: int, count: int) -> None:
    """Ask for all that packing reads of a neighbour."""
    padded = load_i64(plan + PADDED)
    if 0 <= neighbour < load_i64(plan + ROWS):
        fetch_row(column_row(plan + CODES, neighbour), padded)
        if neighbour < count:
            fetch_row(rotated + 2 * padded * neighbour, 2 * padded)


@kernel
def pack_rows(
    plan: int, scratch: int, rotated: int, count: int, target: int, stride: int, first: int, last: int
) -> int:
    """Pack rows [first, last) to `target`, `stride` bytes each; `rotated` has the first `count` of `rotate_rows`."""
    padded, degree, rows = load_i64(plan + PADDED), load_i64(plan + DEGREE), load_i64(plan + ROWS)
    for row in range(first, last):
        codes, links = column_row(plan + CODES, row), column_row(plan + LINKS, row)
        fill_bytes(target, 0, stride)
        move_bytes(target, codes, padded)
        move_bytes(target + padded, links, 4 * degree)
        rotate_codes(plan, scratch, codes, load_i64(scratch + TABLES))
        for number in range(min(AHEAD, degree)):
            fetch_neighbour(plan, load_i32(links + 4 * number), rotated, count)
        for number in range(degree):
            if number + AHEAD < degree:
                fetch_neighbour(plan, load_i32(links + 4 * (number + AHEAD)), rotated, count)
            neighbour = load_i32(links + 4 * number)
            if 0 <= neighbour < rows:
                known = rotated + 2 * padded * neighbour if neighbour < count else 0
                pack_neighbour(plan, scratch, codes, column_row(plan + CODES, neighbour), known, number, target)
            else:
                store_f16(target + padded + A_BYTES * degree + 2 * number, np.float32(MISSING))
        for place in range(padded + SIGNS_BYTES * degree, stride, 2 * SIGN_BLOCK):
            order_signs(target + place)
        target += stride
    return last - first
