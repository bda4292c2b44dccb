"""Rotates int32 vectors by two rounds of random signs and Walsh-Hadamard transforms, exactly.

After it the signs of a vector's components tell about its direction whatever the data looked like before (RaBitQ, Gao
and Long, 2024, 3.1.2; the fast form as in FFHT). Blocks of 64 components are transformed, components dealt out over
blocks in between, so that with up to 64 blocks every one ends up in every other. Sums, not normalised: GAIN times
as long.

Invariants: vectors have a multiple of 64 components; |component| < 2^31 / 4096. The same on every processor.
Concurrency: no state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from vecdb.kernels.intrinsics import I32, I64, load_as, load_i32, move_bytes, pointer, store_i32
from vecdb.kernels.jit import device, intrinsic

BLOCK = 64
"""Components of one transform."""

GAIN = 64
"""How much longer rotated vectors are: sqrt(BLOCK) for each of two rounds."""

LANES = 16


def _hadamard(typingctx: Any, address: Any) -> Any:
    """Walsh-Hadamard transform of 64 int32 in place: halves within vectors of 16, then whole vectors."""

    def within_vector(builder: Any, row: Any, half: int) -> Any:
        swapped = ir.Constant(ir.VectorType(I32, LANES), [place ^ half for place in range(LANES)])
        upper = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [int(place & half > 0) for place in range(LANES)])
        other = builder.shuffle_vector(row, row, swapped)
        return builder.select(upper, builder.sub(other, row), builder.add(row, other))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(I32, LANES)
        places = [builder.add(args[0], I64(4 * start)) for start in range(0, BLOCK, LANES)]
        rows = [load_as(builder, place, kind) for place in places]
        for half in (1, 2, 4, 8):
            rows = [within_vector(builder, row, half) for row in rows]
        for half in (1, 2):
            for number in range(len(rows)):
                if not number & half:
                    low, high = rows[number], rows[number + half]
                    rows[number], rows[number + half] = builder.add(low, high), builder.sub(low, high)
        for place, row in zip(places, rows, strict=True):
            builder.store(row, pointer(builder, place, kind), align=1)
        return context.get_dummy_value()

    return types.void(types.int64), generate


hadamard: Callable[[int], None] = intrinsic(_hadamard)


def _flip_signs(typingctx: Any, values: Any, masks: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(I32, LANES)
        with cgutils.for_range(builder, builder.lshr(args[2], I64(4))) as loop:
            at = builder.mul(loop.index, I64(4 * LANES))
            mask = load_as(builder, builder.add(args[1], at), kind)
            value = builder.xor(load_as(builder, builder.add(args[0], at), kind), mask)
            place = pointer(builder, builder.add(args[0], at), kind)
            builder.store(builder.sub(value, mask), place, align=1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


flip_signs: Callable[[int, int, int], None] = intrinsic(_flip_signs)
"""Negate the int32 values whose mask is -1; the others' is 0."""


@device
def rotate(values: int, room: int, masks: int, count: int) -> None:
    """Rotate int32 values (count,) in place; `room` holds as many, `masks` those of two rounds."""
    blocks = count // BLOCK
    flip_signs(values, masks, count)
    for block in range(blocks):
        hadamard(values + 4 * BLOCK * block)
        for place in range(BLOCK):
            store_i32(room + 4 * (place * blocks + block), load_i32(values + 4 * (BLOCK * block + place)))
    flip_signs(room, masks + 4 * count, count)
    for block in range(blocks):
        hadamard(room + 4 * BLOCK * block)
    move_bytes(values, room, 4 * count)
