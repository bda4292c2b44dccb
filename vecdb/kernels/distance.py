"""Distances between rows, as vector code that LLVM lowers to each CPU's widest registers.

Int8 codes are compared by squared l2 in int32: differences in int16, then multiply-add of pairs (`vpmaddwd` on x86,
`smlal` on arm64), written as portable vector IR. Float rows accumulate in float32.

Promises: exact for codes; float sums differ from a float64 twin by rounding only (about 1e-6 of the sum of magnitudes).
Invariants: code rows and query codes are padded with zeros to a multiple of 64 components.
Concurrency: no state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from vecdb.kernels.intrinsics import F16, F32, I8, I16, I32, I64, load_as
from vecdb.kernels.jit import device, intrinsic

LANES = 16
"""Accumulator lanes: one 512-bit register, two of 256 bits, four of 128."""

CODE_STEP = 64
FLOAT_STEP = 2 * LANES
FLAGS = ("nsz", "arcp", "contract", "afn", "reassoc")


def fold(builder: Any, vector: Any, add: Callable[[Any, Any], Any]) -> Any:
    """Sum of all lanes by halving."""
    width = vector.type.count
    while width > 1:
        width //= 2
        low = ir.Constant(ir.VectorType(I32, width), list(range(width)))
        high = ir.Constant(ir.VectorType(I32, width), list(range(width, 2 * width)))
        vector = add(builder.shuffle_vector(vector, vector, low), builder.shuffle_vector(vector, vector, high))
    return builder.extract_element(vector, I32(0))


def _square_pairs(builder: Any, difference: Any) -> Any:
    """<2k x i16> -> <k x i32> sums of squares of neighbours: the pattern LLVM knows as one multiply-add."""
    count = difference.type.count
    wide = builder.sext(difference, ir.VectorType(I32, count))
    square = builder.mul(wide, wide)
    even = ir.Constant(ir.VectorType(I32, count // 2), list(range(0, count, 2)))
    odd = ir.Constant(ir.VectorType(I32, count // 2), list(range(1, count, 2)))
    return builder.add(builder.shuffle_vector(square, square, even), builder.shuffle_vector(square, square, odd))


def _code_reduction(other_kind: Any, other_bytes: int) -> Callable[[int, int, int], int]:
    """distance(row, other, padded): squared l2 of an int8 row to int16 (query) or int8 (row) codes."""
    half = 2 * LANES

    def reduce(typingctx: Any, row: Any, other: Any, padded: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            row_base, other_base, padded_value = args
            kind = ir.VectorType(I32, LANES)
            sums = [cgutils.alloca_once_value(builder, ir.Constant(kind, [0] * LANES)) for _ in range(2)]
            steps = builder.lshr(padded_value, I64(6))
            with cgutils.for_range(builder, steps) as loop:
                at = builder.mul(loop.index, I64(CODE_STEP))
                for part, total in enumerate(sums):
                    place = builder.add(at, I64(part * half))
                    left = load_as(builder, builder.add(row_base, place), ir.VectorType(I8, half))
                    there = builder.add(other_base, builder.mul(place, I64(other_bytes)))
                    right = load_as(builder, there, ir.VectorType(other_kind, half))
                    wide = ir.VectorType(I16, half)
                    right = right if other_bytes == 2 else builder.sext(right, wide)
                    squares = _square_pairs(builder, builder.sub(builder.sext(left, wide), right))
                    builder.store(builder.add(builder.load(total), squares), total)
            result = fold(builder, builder.add(builder.load(sums[0]), builder.load(sums[1])), builder.add)
            return builder.zext(result, I64)

        return types.int64(types.int64, types.int64, types.int64), generate

    return intrinsic(reduce)


code_distance: Callable[[int, int, int], int] = _code_reduction(I16, 2)
"""Squared l2 of the int8 row at the first address and the int16 query codes at the second."""

pair_distance: Callable[[int, int, int], int] = _code_reduction(I8, 1)
"""Squared l2 of two int8 rows."""


def _term(builder: Any, left: Any, right: Any, squared: bool) -> Any:
    if squared:
        left = right = builder.fsub(left, right, flags=FLAGS)
    return builder.fmul(left, right, flags=FLAGS)


def _float_reduction(row_kind: Any, row_bytes: int, squared: bool) -> Callable[[int, int, int], float]:
    """reduce(row, query, dim): sum of products, or of squared differences; rows float32 or float16, query float32."""

    def load_row(builder: Any, address: Any, lanes: int) -> Any:
        if lanes == 1:
            value = load_as(builder, address, row_kind)
            return value if row_bytes == 4 else builder.fpext(value, F32)
        value = load_as(builder, address, ir.VectorType(row_kind, lanes))
        return value if row_bytes == 4 else builder.fpext(value, ir.VectorType(F32, lanes))

    def add_terms(builder: Any, args: Any, place: Any, total: Any, lanes: int) -> None:
        left = load_row(builder, builder.add(args[0], builder.mul(place, I64(row_bytes))), lanes)
        there = builder.add(args[1], builder.mul(place, I64(4)))
        right = load_as(builder, there, F32 if lanes == 1 else ir.VectorType(F32, lanes))
        term = _term(builder, left, right, squared)
        builder.store(builder.fadd(builder.load(total), term, flags=FLAGS), total)

    def reduce(typingctx: Any, row: Any, query: Any, dim: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.VectorType(F32, LANES)
            sums = [cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * LANES)) for _ in range(2)]
            steps = builder.lshr(args[2], I64(5))
            with cgutils.for_range(builder, steps) as loop:
                at = builder.mul(loop.index, I64(FLOAT_STEP))
                for part, total in enumerate(sums):
                    add_terms(builder, args, builder.add(at, I64(part * LANES)), total, LANES)
            both = builder.fadd(builder.load(sums[0]), builder.load(sums[1]), flags=FLAGS)
            whole = fold(builder, both, lambda a, b: builder.fadd(a, b, flags=FLAGS))
            rest = cgutils.alloca_once_value(builder, whole)
            done = builder.mul(steps, I64(FLOAT_STEP))
            with cgutils.for_range(builder, builder.sub(args[2], done)) as loop:
                add_terms(builder, args, builder.add(done, loop.index), rest, 1)
            return builder.load(rest)

        return types.float32(types.int64, types.int64, types.int64), generate

    return intrinsic(reduce)


_dot_f32 = _float_reduction(F32, 4, squared=False)
_dot_f16 = _float_reduction(F16, 2, squared=False)
_l2_f32 = _float_reduction(F32, 4, squared=True)
_l2_f16 = _float_reduction(F16, 2, squared=True)


@device
def float_reduction(row: int, query: int, dim: int, squared: int, half: int) -> float:
    """Sum of products (squared = 0) or squared differences (1) of a float32 (half = 0) or float16 row and a query."""
    if squared:
        return _l2_f16(row, query, dim) if half else _l2_f32(row, query, dim)
    return _dot_f16(row, query, dim) if half else _dot_f32(row, query, dim)
