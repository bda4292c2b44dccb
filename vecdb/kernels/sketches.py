"""Estimates the distance of a query to a row from one bit for each of the row's components: its sketch.

    signs of the rotated codes, bit by bit (padded / 8 bytes) | n2 float32 | W float32 | zeros (see `sketch_stride`)

For codes x, n2 = |x|^2 and rotated codes R x (GAIN times as long), W = 2 n2 / |R x|_1, and

    |x - q|^2  is about  n2 + |q|^2 - W * sum(s_j * (R q)_j)

(RaBitQ, Gao and Long, 2024, 3.2). The query's components are rounded to -7..7 and kept as 4 planes of bits, so that the
sum, of integers, is 4 population counts (3.3.2). The error of the sum is about |q| * ERROR * GAIN; estimates are
lower by a margin of so many of these, so that a row is seldom nearer than its estimate says.

Where a row's own sketch is read, 64 bytes come from memory in place of 384: a scan of given rows takes a third of the
time that it takes by codes.
Invariants: rows have a multiple of 64 components. Concurrency: no state; calls that make disjoint rows may run in
parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from vecdb.kernels.copied import estimate_copies
from vecdb.kernels.intrinsics import (
    F32,
    I16,
    I32,
    I64,
    fill_bytes,
    load_as,
    load_i8,
    load_i32,
    load_i64,
    lowest_bit,
    pointer,
    prefetch,
    spread,
    store_f32,
    store_i32,
    store_u8,
)
from vecdb.kernels.jit import device, intrinsic, kernel
from vecdb.kernels.keys import clear_keys
from vecdb.kernels.layout import (
    AHEAD_SKETCHES,
    AT_A_TIME,
    CODES,
    GUARD,
    NARROW,
    PADDED,
    POOL,
    RESULTS,
    ROTATED,
    ROTATION,
    ROTATION_ROOM,
    SEEN,
    SKETCHES,
    TABLES,
    WIDE,
)
from vecdb.kernels.packed import compare, compare_rest, offer_result
from vecdb.kernels.rotation import rotate
from vecdb.kernels.signs import GREATEST_ESTIMATE, query_square, rotate_query
from vecdb.kernels.sketch_blocks import offer_near, spare_of
from vecdb.kernels.traverse import column_row, fetch_row, row_address

PLANES = 4
"""Bits of a component of the query. With 3, 80 of 11,666 sentence embeddings hold .989 of the nearest ten, with 4 or 5
.994."""

LEVELS = 7
ROWS_AT_ONCE = 4
LANES = 16


def _shuffled(builder: Any, left: Any, right: Any, *places: int) -> Any:
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(I32, len(places)), list(places)))


def _count_planes(builder: Any, sketches: Any, planes: Any, vectors: Any, size: int) -> list[Any]:
    """For each sketch <4 x i64>, whose lanes add up to the sum of the query's components where it has a bit."""
    words = size // 8
    kind = ir.VectorType(I64, words)
    name = f"llvm.ctpop.v{words}i64"
    count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
    totals = [cgutils.alloca_once_value(builder, ir.Constant(kind, [0] * words)) for _ in sketches]
    with cgutils.for_range(builder, vectors) as loop:
        at = builder.add(planes, builder.mul(loop.index, I64(PLANES * size)))
        parts = [load_as(builder, builder.add(at, I64(size * number)), kind) for number in range(PLANES)]
        for sketch, total in zip(sketches, totals, strict=True):
            bits = load_as(builder, builder.add(sketch, builder.mul(loop.index, I64(size))), kind)
            value = builder.load(total)
            for number, plane in enumerate(parts):
                ones = builder.call(count, [builder.and_(bits, plane)])
                ones = builder.shl(ones, ir.Constant(kind, [number] * words)) if number else ones
                # Two's complement: the highest plane counts below zero.
                value = builder.sub(value, ones) if number == PLANES - 1 else builder.add(value, ones)
            builder.store(value, total)
    values = [builder.load(total) for total in totals]
    if words == NARROW // 8:
        return values
    return [
        builder.add(_shuffled(builder, value, value, 0, 1, 2, 3), _shuffled(builder, value, value, 4, 5, 6, 7))
        for value in values
    ]


def _sum_lanes(builder: Any, first: Any, second: Any, third: Any, fourth: Any) -> Any:
    """<4 x i32>: the sums of the lanes of four <4 x i64>."""

    def halves(left: Any, right: Any) -> Any:
        even, odd = _shuffled(builder, left, right, 0, 4, 2, 6), _shuffled(builder, left, right, 1, 5, 3, 7)
        return builder.add(even, odd)

    low, high = halves(first, second), halves(third, fourth)
    total = builder.add(_shuffled(builder, low, high, 0, 1, 4, 5), _shuffled(builder, low, high, 2, 3, 6, 7))
    return builder.trunc(total, ir.VectorType(I32, ROWS_AT_ONCE))


def _factors(builder: Any, addresses: Any) -> tuple[Any, Any]:
    """<4 x float> of n2 and of W."""
    pairs = [load_as(builder, address, ir.VectorType(F32, 2)) for address in addresses]
    first, second = (_shuffled(builder, *pairs[start : start + 2], 0, 1, 2, 3) for start in (0, 2))
    return _shuffled(builder, first, second, 0, 2, 4, 6), _shuffled(builder, first, second, 1, 3, 5, 7)


def _estimator(size: int) -> Callable[..., int]:
    """An `estimate_rows` whose planes lie side by side, `size` bytes of each."""

    def estimate(
        typingctx: Any, first: Any, second: Any, third: Any, fourth: Any, planes: Any, vectors: Any, factors: Any,
        bound: Any, out: Any, base: Any, step: Any, offset: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            sketches, (planes, vectors, factors, bound, out, base, step, offset) = args[:4], args[4:]
            floats, ints = ir.VectorType(F32, ROWS_AT_ONCE), ir.VectorType(I32, ROWS_AT_ONCE)
            total = _sum_lanes(builder, *_count_planes(builder, sketches, planes, vectors, size))
            squares, weights = _factors(builder, [builder.add(sketch, factors) for sketch in sketches])
            scaled = builder.fmul(builder.sitofp(total, floats), spread(builder, step, floats))
            scaled = builder.fmul(builder.fadd(scaled, spread(builder, offset, floats)), weights)
            value = builder.fsub(builder.fadd(squares, spread(builder, base, floats)), scaled)
            zero, top = (ir.Constant(floats, [edge] * ROWS_AT_ONCE) for edge in (0.0, GREATEST_ESTIMATE))
            value = builder.select(builder.fcmp_ordered(">", value, zero), value, zero)
            value = builder.select(builder.fcmp_ordered("<", value, top), value, top)
            whole = builder.fptosi(value, ints)
            builder.store(whole, pointer(builder, out, ints), align=1)
            near = builder.icmp_signed("<=", whole, spread(builder, builder.trunc(bound, I32), ints))
            return builder.zext(builder.bitcast(near, ir.IntType(ROWS_AT_ONCE)), I64)

        return types.int64(*[types.int64] * 9, *[types.float32] * 3), generate

    return intrinsic(estimate)


_estimate_narrow, _estimate_wide = _estimator(NARROW), _estimator(WIDE)


def _at_most(typingctx: Any, values: Any, bound: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(I32, LANES)
        near = builder.icmp_signed(
            "<=", load_as(builder, args[0], kind), spread(builder, builder.trunc(args[1], I32), kind)
        )
        return builder.zext(builder.bitcast(near, I16), I64)

    return types.int64(types.int64, types.int64), generate


at_most: Callable[[int, int], int] = intrinsic(_at_most)
"""A bit for each of the 16 int32 at an address that is at most `bound`."""


@device
def plane_bytes(padded: int) -> int:
    """How many bytes of each plane lie side by side: as many as there are of a sketch, or a cache line."""
    return NARROW if padded // 8 + 8 <= NARROW else WIDE


@device
def estimate_rows(
    first: int,
    second: int,
    third: int,
    fourth: int,
    planes: int,
    padded: int,
    bound: int,
    out: int,
    base: float,
    step: float,
    offset: float,
) -> int:
    """Write the estimated distances of 4 rows, int32 in 0 to 2^31, to `out`; returns a bit for each at most `bound`.

    The first four are addresses of sketches, `planes` that of the query's; `base` is |q|^2, and `step` and `offset`
    turn sums of the planes into sums of the query (see `make_planes`). What a damaged file makes NaN counts as 0.
    """
    scale, start, size = np.float32(step), np.float32(offset), np.float32(base)
    if plane_bytes(padded) == NARROW:
        return _estimate_narrow(first, second, third, fourth, planes, 1, padded // 8, bound, out, size, scale, start)
    count = (padded + 8 * WIDE - 1) // (8 * WIDE)
    return _estimate_wide(first, second, third, fourth, planes, count, padded // 8, bound, out, size, scale, start)


def _fill_planes(typingctx: Any, values: Any, target: Any, size: Any, factor: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ints, floats = ir.VectorType(I32, LANES), ir.VectorType(F32, LANES)
        value = load_as(builder, args[0], ints)
        scaled = builder.fmul(builder.sitofp(value, floats), spread(builder, args[3], floats))
        negative = builder.icmp_signed("<", value, ir.Constant(ints, [0] * LANES))
        half = builder.select(negative, ir.Constant(floats, [-0.5] * LANES), ir.Constant(floats, [0.5] * LANES))
        level = builder.fptosi(builder.fadd(scaled, half), ints)
        for number in range(PLANES):
            bit = builder.and_(level, ir.Constant(ints, [1 << number] * LANES))
            bits = builder.bitcast(builder.icmp_signed("!=", bit, ir.Constant(ints, [0] * LANES)), I16)
            there = builder.add(args[1], builder.mul(args[2], I64(number)))
            builder.store(bits, pointer(builder, there, I16), align=1)
        total = I64(0)
        for place in range(LANES):
            total = builder.add(total, builder.sext(builder.extract_element(level, I32(place)), I64))
        return total

    return types.int64(*[types.int64] * 3, types.float32), generate


fill_planes: Callable[[int, int, int, Any], int] = intrinsic(_fill_planes)
"""Write 16 int32 values, times a factor and rounded, as 2 bytes of each plane, which are `size` bytes apart; returns
the sum of what was written."""


@device
def make_planes(plan: int, scratch: int, margin: int) -> tuple[float, float, float]:
    """Make the planes of the query in QUERY_CODES.

    Returns (base, step, offset): base is |q|^2, and sum(s_j * (R q)_j) about step * (sum over the planes) + offset, in
    rotated units.
    """
    padded, planes = load_i64(plan + PADDED), load_i64(scratch + TABLES)
    square, values = query_square(plan, scratch), rotate_query(plan, scratch)
    largest = 1
    for place in range(padded):
        value = load_i32(values + 4 * place)
        largest = max(largest, value, -value)
    factor = np.float32(float(LEVELS) / float(largest))
    size = plane_bytes(padded)
    fill_bytes(planes, 0, (padded + 8 * size - 1) // (8 * size) * PLANES * size)
    total = 0
    for place in range(0, padded, LANES):
        block = place // (8 * size) * PLANES * size
        total += fill_planes(values + 4 * place, planes + block + place // 8 % size, size, factor)
    unit = 1.0 / np.float64(factor)
    return float(square), 2.0 * unit, spare_of(square, margin) - float(total) * unit


@device
def estimate_all(plan: int, scratch: int, margin: int, given: int, count: int, out: int, depth: int) -> None:
    """Write the estimates of `count` given rows, int32, to `out`, and put the best `depth` into the pool."""
    table, shift, stride = load_i64(plan + SKETCHES), load_i64(plan + SKETCHES + 8), load_i64(plan + SKETCHES + 16)
    padded, pool, planes = load_i64(plan + PADDED), load_i64(scratch + POOL) + GUARD, load_i64(scratch + TABLES)
    ahead, last = load_i64(plan + AHEAD_SKETCHES), count - 1
    base, step, offset = make_planes(plan, scratch, margin)
    clear_keys(pool, depth)
    for position in range(min(ahead, count)):
        prefetch(row_address(table, shift, stride, load_i32(given + 4 * position)))
    for first in range(0, count, ROWS_AT_ONCE):
        for position in range(first + ahead, min(first + ahead + ROWS_AT_ONCE, count)):
            prefetch(row_address(table, shift, stride, load_i32(given + 4 * position)))
        near = estimate_rows(
            row_address(table, shift, stride, load_i32(given + 4 * first)),
            row_address(table, shift, stride, load_i32(given + 4 * min(first + 1, last))),
            row_address(table, shift, stride, load_i32(given + 4 * min(first + 2, last))),
            row_address(table, shift, stride, load_i32(given + 4 * min(first + 3, last))),
            planes,
            padded,
            load_i64(pool + 8 * (depth - 1)) >> 32,
            out + 4 * first,
            base,
            step,
            offset,
        )
        offer_near(near & (1 << min(count - first, ROWS_AT_ONCE)) - 1, first, given, out, pool, depth)


@device
def compared_first(limit: int) -> int:
    """Rows that are compared by their codes in any case, a multiple of 8: the limit-th of them bounds the others."""
    return (2 * limit + 11) & ~7


@device
def compare_near(plan: int, scratch: int, limit: int, keep: int, given: int, count: int, estimates: int) -> None:
    """Compare by their codes all rows beyond the pool that may be among the best `limit`; RESULTS has those within.

    Where a filter keeps rows that are all about as far from the query, that may be many, and no fixed depth would do.
    """
    results, rows = load_i64(scratch + RESULTS) + GUARD, load_i64(scratch + SEEN)
    padded, found = load_i64(plan + PADDED), 0
    compared = load_i64(load_i64(scratch + POOL) + GUARD + 8 * (compared_first(limit) - 1))
    for first in range(0, count, LANES):
        near = at_most(estimates + 4 * first, load_i64(results + 8 * (limit - 1)) >> 32)
        while near:
            place = first + lowest_bit(near)
            near &= near - 1
            if place >= count:
                break
            row = load_i32(given + 4 * place)
            if load_i32(estimates + 4 * place) << 32 | row << 1 > compared:
                fetch_row(column_row(plan + CODES, row), padded)
                store_i32(rows + 4 * found, row)
                found += 1
        if found >= AT_A_TIME - LANES or first + LANES >= count:
            for position in range(found):
                row = load_i32(rows + 4 * position)
                offer_result(scratch, compare(plan, scratch, row), row, keep)
            found = 0


@device
def scan_sketches(
    plan: int, scratch: int, limit: int, margin: int, keep: int, given: int, count: int, blocks: int
) -> None:
    """Put the best `keep` of `count` given rows into RESULTS, as far as their sketches tell them.

    The best few, and all that are estimated to be no farther than the limit-th of these, are compared by their codes.
    Estimates lie behind the candidates in the list of rows that a walk has seen. `blocks`, if there are any, are the
    sketches of the given rows (see `copied`).
    """
    depth = compared_first(limit)
    estimates = load_i64(scratch + SEEN) + 4 * max(AT_A_TIME, depth)
    if blocks:
        estimate_copies(plan, scratch, margin, given, count, blocks, estimates, depth)
    else:
        estimate_all(plan, scratch, margin, given, count, estimates, depth)
    clear_keys(load_i64(scratch + RESULTS) + GUARD, keep)
    compare_rest(plan, scratch, depth, keep, 0, -1, 0, 0, -1)
    if count > depth:
        compare_near(plan, scratch, limit, keep, given, count, estimates)


@kernel
def sketch_rows(plan: int, scratch: int, target: int, stride: int, first: int, last: int) -> int:
    """Write the sketches of rows [first, last) to `target`, `stride` bytes each."""
    padded, values = load_i64(plan + PADDED), load_i64(scratch + ROTATED)
    for row in range(first, last):
        codes = column_row(plan + CODES, row)
        square, length = 0, 0
        for place in range(padded):
            value = load_i8(codes + place)
            square += value * value
            store_i32(values + 4 * place, value)
        rotate(values, load_i64(scratch + ROTATION_ROOM), load_i64(plan + ROTATION), padded)
        fill_bytes(target, 0, stride)
        for block in range(padded // 8):
            bits = 0
            for place in range(8):
                value = load_i32(values + 4 * (8 * block + place))
                length += max(value, -value)
                bits |= (-value >> 63 & 1) << place
            store_u8(target + block, bits)
        store_f32(target + padded // 8, float(square))
        store_f32(target + padded // 8 + 4, 2.0 * float(square) / float(length) if length else 0.0)
        target += stride
    return last - first
