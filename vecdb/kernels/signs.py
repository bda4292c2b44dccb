"""Estimates the distances of a query to all neighbours of a row at once, from one bit for each component.

A neighbour x of row v is kept as the signs s of the rotated residual R(x - v) and two numbers (RaBitQ, Gao and
Long, 2024, 3.2), and 32 neighbours lie together so that byte shuffles sum them up (FastScan, Andre et al., 2015;
beside the row as in SymphonyQG, Gou et al., 2025, 4.1):

    |x - q|^2  is about  |v - q|^2 + A - W * sum(s_j * (R q)_j)

The sum over 4 components is one of 16 values of a table made once for each query, rounded so that a sum over all
groups fits 16 bits: 255 steps up to 1,028 components, fewer beyond. The sums are integers, the same whatever shuffle
makes them. The line above is float32, in which a processor that multiplies and adds in one step rounds differently in
the last bit, so two kinds of processors may differ in candidates whose estimates are equal but for that.

Invariants: rows have a multiple of 64 components. Concurrency: no state.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from vecdb.kernels.distance import fold
from vecdb.kernels.intrinsics import (
    F16,
    F32,
    I8,
    I16,
    I32,
    I64,
    load_as,
    load_i16,
    load_i64,
    pointer,
    spread,
)
from vecdb.kernels.jit import device, intrinsic
from vecdb.kernels.layout import (
    A_UNIT,
    GROUP,
    GROUP_BYTES,
    PADDED,
    QUERY_CODES,
    ROTATED,
    ROTATION,
    ROTATION_ROOM,
    TABLES,
)
from vecdb.kernels.native import SHUFFLE_VARIABLE
from vecdb.kernels.rotation import rotate

GREATEST_SUM = 65_535
MOST_STEPS = 255

FRACTION = 6
"""Bits below 1 of the values that entries are sums of: with the 8 of the largest entry they fit 16 bits."""

AT_ONCE = 8
FEW_STEPS = 31
"""So that 8 entries fit a byte. Rounding so coarsely adds .2 % to the error of estimates at 384 components."""

GREATEST_ESTIMATE = 2_147_483_392.0
"""The largest float32 below 2^31."""

LANES = 16
SHUFFLES = {64: "llvm.x86.avx512.pshuf.b.512", 32: "llvm.x86.avx2.pshuf.b", 16: "llvm.x86.ssse3.pshuf.b.128"}
ARM_SHUFFLE = "llvm.aarch64.neon.tbl1.v16i8"


def shuffle_bytes() -> int:
    """Bytes that one shuffle of this processor looks up; 0: none that is known here, and bytes are taken one by one.

    The environment variable SHUFFLE_VARIABLE may ask for fewer, as tests do.
    """
    features, wanted = llvm.get_host_cpu_features(), os.environ.get(SHUFFLE_VARIABLE)
    if _is_arm():
        best = 16
    else:
        names = {64: "avx512bw", 32: "avx2", 16: "ssse3"}
        best = next((size for size, name in names.items() if features.get(name)), 0)
    return min(best, int(wanted)) if wanted in {"0", "16", "32", "64"} else best


def _is_arm() -> bool:
    return bool(llvm.get_process_triple().startswith(("aarch64", "arm64")))


def _look_up(builder: Any, table: Any, index: Any, width: int) -> Any:
    """table[index] for each byte, within its 16 bytes."""
    if width == 0:
        return _look_up_singly(builder, table, index)
    name = ARM_SHUFFLE if _is_arm() else SHUFFLES[width]
    kind = ir.FunctionType(index.type, [index.type] * 2)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [table, index])


def _look_up_singly(builder: Any, table: Any, index: Any) -> Any:
    found = ir.Constant(index.type, ir.Undefined)
    for place in range(index.type.count):
        at = builder.zext(builder.extract_element(index, I32(place)), I32)
        found = builder.insert_element(found, builder.extract_element(table, at), I32(place))
    return found


def splat(kind: Any, value: float, count: int) -> Any:
    """A vector constant."""
    return ir.Constant(ir.VectorType(kind, count), [value] * count)


def _sums(builder: Any, codes: Any, tables: Any, size: Any, at_once: int) -> list[Any]:
    """Two <16 x i32>: what the tables hold for the signs of each of 32 neighbours, summed over all groups.

    Low halves of the bytes are of neighbours 0..15, high ones of 16..31. Bytes hold the sum of so many entries at once.
    These sums are kept in 16 bits, twice: as they come, odd bytes disturbing even ones, and of the odd bytes alone.
    """
    shuffled = shuffle_bytes()
    width = shuffled or GROUP_BYTES
    wide, narrow = ir.VectorType(I8, width), ir.VectorType(I16, width // 2)
    totals = [cgutils.alloca_once_value(builder, splat(I16, 0, width // 2)) for _ in range(4)]
    bytewise = [cgutils.alloca_once_value(builder, splat(I8, 0, width)) for _ in range(2)]

    def add_up(at: Any) -> None:
        code = load_as(builder, builder.add(codes, at), wide)
        table = load_as(builder, builder.add(tables, at), wide)
        high = builder.bitcast(builder.lshr(builder.bitcast(code, narrow), splat(I16, 4, width // 2)), wide)
        for total, index in zip(bytewise, (code, high), strict=True):
            found = _look_up(builder, table, builder.and_(index, splat(I8, 15, width)), shuffled)
            builder.store(builder.add(builder.load(total), found), total)

    def widen() -> None:
        for part, total in enumerate(bytewise):
            both = builder.bitcast(builder.load(total), narrow)
            odd = builder.lshr(both, splat(I16, 8, width // 2))
            for place, value in zip(totals[2 * part :], (both, odd), strict=False):
                builder.store(builder.add(builder.load(place), value), place)
            builder.store(splat(I8, 0, width), total)

    with cgutils.for_range(builder, builder.udiv(size, I64(at_once * width))) as loop:
        for number in range(at_once):
            add_up(builder.add(builder.mul(loop.index, I64(at_once * width)), I64(number * width)))
        widen()
    rest = builder.and_(size, I64(-at_once * width))
    with cgutils.for_range(builder, builder.udiv(builder.sub(size, rest), I64(width))) as loop:
        add_up(builder.add(rest, builder.mul(loop.index, I64(width))))
    widen()
    return [_in_order(builder, *(builder.load(total) for total in totals[part : part + 2])) for part in (0, 2)]


def _in_order(builder: Any, both: Any, odd: Any) -> Any:
    """<16 x i32> of the sums of 16 neighbours."""
    both, odd = _fold(builder, both), _fold(builder, odd)
    even = builder.sub(both, builder.shl(odd, splat(I16, 8, 8)))
    order = ir.Constant(ir.VectorType(I32, LANES), [place // 2 + 8 * (place % 2) for place in range(LANES)])
    return builder.zext(builder.shuffle_vector(even, odd, order), ir.VectorType(I32, LANES))


def _fold(builder: Any, vector: Any) -> Any:
    """Sum of the groups of 8 lanes."""
    count = vector.type.count
    while count > 8:
        count //= 2
        low = ir.Constant(ir.VectorType(I32, count), list(range(count)))
        high = ir.Constant(ir.VectorType(I32, count), list(range(count, 2 * count)))
        vector = builder.add(builder.shuffle_vector(vector, vector, low), builder.shuffle_vector(vector, vector, high))
    return vector


def _load_floats(builder: Any, address: Any, part: int, kind: Any) -> Any:
    """<16 x float32> of numbers of this kind, part by part."""
    values = load_as(
        builder, builder.add(address, I64(part * LANES * (2 if kind is F16 else 4))), ir.VectorType(kind, LANES)
    )
    return builder.fpext(values, ir.VectorType(F32, LANES)) if kind is F16 else values


def estimator(
    sums: Callable[[Any, Any, Any, Any], list[Any]], kind: Any = F32, unit: float = 1.0
) -> Callable[..., int]:
    """An `estimate_neighbours` of the sums that are made, 16 together, of signs, tables and the size of the former.

    A and W are of this kind; an A of 1 stands for `unit`.
    """

    def estimate(
        typingctx: Any, codes: Any, tables: Any, size: Any, added: Any, weights: Any, bound: Any, out: Any,
        base: Any, step: Any, offset: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            codes, tables, size, added, weights, bound, out, base, step, offset = args
            floats, ints = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
            zero, top = ir.Constant(floats, [0.0] * LANES), ir.Constant(floats, [GREATEST_ESTIMATE] * LANES)
            limit = spread(builder, builder.trunc(bound, I32), ints)
            near = I64(0)
            for part, total in enumerate(sums(builder, codes, tables, size)):
                at = I64(4 * LANES * part)
                scaled = builder.fmul(builder.uitofp(total, floats), spread(builder, step, floats))
                scaled = builder.fadd(scaled, spread(builder, offset, floats))
                scaled = builder.fmul(scaled, _load_floats(builder, weights, part, kind))
                value = _load_floats(builder, added, part, kind)
                value = builder.fmul(value, splat(F32, unit, LANES)) if unit != 1.0 else value
                value = builder.fsub(value, scaled)
                value = builder.fadd(value, spread(builder, base, floats))
                value = builder.select(builder.fcmp_ordered(">", value, zero), value, zero)
                value = builder.select(builder.fcmp_ordered("<", value, top), value, top)
                whole = builder.fptosi(value, ints)
                builder.store(whole, pointer(builder, builder.add(out, at), ints), align=1)
                bits = builder.zext(builder.bitcast(builder.icmp_signed("<=", whole, limit), I16), I64)
                near = builder.or_(near, builder.shl(bits, I64(LANES * part)))
            return near

        return types.int64(*[types.int64] * 7, *[types.float32] * 3), generate

    return intrinsic(estimate)


estimate_neighbours: Callable[..., int] = estimator(partial(_sums, at_once=1), F16, A_UNIT)
"""Write the estimates of 32 neighbours, int32 in 0 to 2^31, to `out`; returns a bit for each that is at most `bound`.

`codes`, `added` and `weights` are the neighbours' signs (`size` bytes), A (in A_UNIT) and W, float16; `base` is
|v - q|^2, and `step` and `offset` turn sums of the tables into sums of the query (see `make_tables`). What a damaged
file makes NaN counts as 0.
"""

estimate_coarsely: Callable[..., int] = estimator(partial(_sums, at_once=AT_ONCE))
"""`estimate_neighbours` where no entry of the tables is more than FEW_STEPS, which takes fewer instructions. A and W
are float32, in their own units."""


def _fill_tables(typingctx: Any, values: Any, target: Any, count: Any, factor: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, target, count, factor = args
        floats, words = ir.VectorType(F32, LANES), ir.VectorType(I16, LANES)
        factors = spread(builder, builder.fmul(factor, ir.Constant(F32, float(1 << FRACTION))), floats)
        with cgutils.for_range(builder, builder.lshr(count, I64(4))) as loop:
            at = builder.mul(loop.index, I64(4 * LANES))
            scaled = builder.sitofp(load_as(builder, builder.add(values, at), ir.VectorType(I32, LANES)), floats)
            whole = builder.fptosi(builder.fmul(scaled, factors), ir.VectorType(I32, LANES))
            value = builder.trunc(whole, words)
            least = builder.and_(value, builder.ashr(value, splat(I16, 15, LANES)))
            for distance in (1, 2):
                least = builder.add(least, _lanes(builder, least, [lane ^ distance for lane in range(LANES)]))
            begin = builder.sub(splat(I16, 1 << FRACTION >> 1, LANES), least)
            for first in range(0, LANES, 2 * GROUP):
                entries = _entries(builder, value, begin, first)
                place = builder.add(builder.add(target, at), I64(GROUP_BYTES // GROUP * first))
                builder.store(entries, pointer(builder, place, entries.type), align=1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, types.float32), generate


def _entries(builder: Any, value: Any, begin: Any, first: int) -> Any:
    """<32 x i8>: the tables of two groups of 4 values, of which `first` is the first."""
    lanes = range(2 * LANES)
    group = [first + GROUP * (lane // LANES) for lane in lanes]
    total = _lanes(builder, begin, group)
    for place in range(GROUP):
        chosen = ir.Constant(total.type, [-(lane >> place & 1) for lane in lanes])
        part = _lanes(builder, value, [start + place for start in group])
        total = builder.add(total, builder.and_(part, chosen))
    return builder.trunc(builder.lshr(total, splat(I16, FRACTION, 2 * LANES)), ir.VectorType(I8, 2 * LANES))


def _lanes(builder: Any, vector: Any, order: list[int]) -> Any:
    """A vector of these lanes of another."""
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(I32, len(order)), order))


fill_tables: Callable[[int, int, int, Any], None] = intrinsic(_fill_tables)
"""fill_tables(values, target, count, factor): write the 16 entries of each group of int32 values: entry b is the sum of
the 4 whose bit of b is set, less that of the negative ones, times a factor, rounded."""


def _spans(typingctx: Any, values: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(I32, LANES)
        zero = splat(I32, 0, LANES)
        total, largest = (cgutils.alloca_once_value(builder, zero) for _ in range(2))
        with cgutils.for_range(builder, builder.lshr(args[1], I64(4))) as loop:
            place = builder.add(args[0], builder.mul(loop.index, I64(4 * LANES)))
            value = load_as(builder, place, kind)
            negative = builder.ashr(value, splat(I32, 31, LANES))
            value = builder.sub(builder.xor(value, negative), negative)
            for distance in (1, 2):
                value = builder.add(value, _lanes(builder, value, [lane ^ distance for lane in range(LANES)]))
            builder.store(builder.add(builder.load(total), value), total)
            most = builder.load(largest)
            builder.store(builder.select(builder.icmp_signed(">", value, most), value, most), largest)
        greater = partial(_greater, builder)
        sums = [fold(builder, builder.load(total), builder.add), fold(builder, builder.load(largest), greater)]
        return cgutils.pack_array(builder, [builder.sext(one, I64) for one in sums])

    return types.UniTuple(types.int64, 2)(types.int64, types.int64), generate


def _greater(builder: Any, left: Any, right: Any) -> Any:
    return builder.select(builder.icmp_signed(">", left, right), left, right)


spans: Callable[[int, int], tuple[int, int]] = intrinsic(_spans)
"""spans(values, count): GROUP times the sum of the magnitudes of int32 values, and the greatest such sum of a group.

Both fit int32: a query's codes are less than 2^15.5 long (see `segment.query_clip`), so 8,192 rotated ones sum up to
2^28.
"""


def _widen_codes(typingctx: Any, codes: Any, target: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ints = ir.VectorType(I32, LANES)
        with cgutils.for_range(builder, builder.lshr(args[2], I64(4))) as loop:
            place = builder.add(args[0], builder.mul(loop.index, I64(2 * LANES)))
            value = builder.sext(load_as(builder, place, ir.VectorType(I16, LANES)), ints)
            target = builder.add(args[1], builder.mul(loop.index, I64(4 * LANES)))
            builder.store(value, pointer(builder, target, ints), align=1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


widen_codes: Callable[[int, int, int], None] = intrinsic(_widen_codes)
"""widen_codes(codes, target, count): write int16 values as int32."""


@device
def query_square(plan: int, scratch: int) -> int:
    """Squared length of the query in QUERY_CODES."""
    codes, square = load_i64(scratch + QUERY_CODES), 0
    for place in range(load_i64(plan + PADDED)):
        value = load_i16(codes + 2 * place)
        square += value * value
    return square


@device
def rotate_query(plan: int, scratch: int) -> int:
    """Put the query in QUERY_CODES, rotated, into ROTATED; returns its address there."""
    padded, codes, values = load_i64(plan + PADDED), load_i64(scratch + QUERY_CODES), load_i64(scratch + ROTATED)
    widen_codes(codes, values, padded)
    rotate(values, load_i64(scratch + ROTATION_ROOM), load_i64(plan + ROTATION), padded)
    return values


@device
def make_tables(plan: int, scratch: int) -> tuple[float, float]:
    """Make the look-up tables of the query in QUERY_CODES.

    Returns (step, offset): sum(s_j * (R q)_j) is about step * (sum of the entries) + offset, in rotated units.
    """
    return make_tables_of(plan, scratch, MOST_STEPS)


@device
def make_tables_of(plan: int, scratch: int, steps: int) -> tuple[float, float]:
    """`make_tables` whose entries are at most `steps`."""
    values, tables = rotate_query(plan, scratch), load_i64(scratch + TABLES)
    groups = load_i64(plan + PADDED) // GROUP
    total, largest = spans(values, load_i64(plan + PADDED))
    factor = np.float32(float(min(steps, GREATEST_SUM // groups)) / float(max(largest, 1)))
    fill_tables(values, tables, load_i64(plan + PADDED), factor)
    return 2.0 / np.float64(factor), -float(total // GROUP)
