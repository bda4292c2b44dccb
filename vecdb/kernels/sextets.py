"""Scans copied sketches 64 at a time, by look-ups in tables of 64 bytes, where a processor has them (AVX-512 VBMI).

As `sketch_blocks`, but that a byte stands for 6 components of a row, and bytes of 64 rows lie side by side:

    n2 float32 (64) | W float32 (64) | for each 6 components: a byte of each row, whose 2 high bits mean nothing

A look-up and a sum for each 64 bytes are all there is to do: 1.1 ns a row of 384 components in the L3 cache, 0.6 of
128, where 16-byte tables take 1.4 and 0.9, for a third more memory. Rows 0..31 of a block are its even bytes, rows
32..63 its odd ones, since sums of bytes are widened so.
Invariants: rows have a multiple of 64 components. Concurrency: no state; blocks are read-only once they are made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from vecdb.kernels.intrinsics import (
    F32,
    I8,
    I16,
    I32,
    I64,
    fill_bytes,
    load_as,
    load_i16,
    load_i32,
    load_i64,
    move_bytes,
    pointer,
    spread,
    store_u8,
)
from vecdb.kernels.jit import device, intrinsic
from vecdb.kernels.keys import clear_keys
from vecdb.kernels.layout import (
    GUARD,
    PADDED,
    POOL,
    SEXTET,
    SEXTET_BYTES,
    SKETCHES,
    TABLES,
)
from vecdb.kernels.native import SHUFFLE_VARIABLE
from vecdb.kernels.signs import AT_ONCE, FEW_STEPS, GREATEST_SUM, LANES, estimator, query_square, rotate_query, splat
from vecdb.kernels.sketch_blocks import offer_near, spare_of
from vecdb.kernels.traverse import fetch_row, row_address

ROWS = 64
LOOK_UP = "llvm.x86.avx512.permvar.qi.512"
HEAD = 8 * ROWS
"""Bytes of n2 and W in a block."""


def has_look_up() -> bool:
    """Whether this processor looks up 64 bytes in a table of 64 at once, and SHUFFLE_VARIABLE does not forbid it."""
    wanted = os.environ.get(SHUFFLE_VARIABLE)
    return bool(llvm.get_host_cpu_features().get("avx512vbmi")) and wanted not in {"0", "16", "32"}


def _sums(builder: Any, codes: Any, tables: Any, size: Any) -> list[Any]:
    """Four <16 x i32>: what the tables hold for the signs of each of 64 rows, summed over `size` bytes of signs a row.

    Bytes hold the sum of AT_ONCE entries. These sums are kept in 16 bits, twice: as they come, odd bytes disturbing
    even ones, and of the odd bytes alone.
    """
    bytes_, words = ir.VectorType(I8, ROWS), ir.VectorType(I16, ROWS // 2)
    both, odd = (cgutils.alloca_once_value(builder, splat(I16, 0, ROWS // 2)) for _ in range(2))
    total = cgutils.alloca_once_value(builder, splat(I8, 0, ROWS))
    look_up = cgutils.get_or_insert_function(builder.module, ir.FunctionType(bytes_, [bytes_] * 2), LOOK_UP)

    def add_up(at: Any) -> None:
        index, table = (load_as(builder, builder.add(start, at), bytes_) for start in (codes, tables))
        builder.store(builder.add(builder.load(total), builder.call(look_up, [table, index])), total)

    def widen() -> None:
        sums = builder.bitcast(builder.load(total), words)
        for place, value in ((both, sums), (odd, builder.lshr(sums, splat(I16, 8, ROWS // 2)))):
            builder.store(builder.add(builder.load(place), value), place)
        builder.store(splat(I8, 0, ROWS), total)

    many = I64(AT_ONCE * SEXTET_BYTES)
    with cgutils.for_range(builder, builder.udiv(size, I64(AT_ONCE))) as loop:
        for number in range(AT_ONCE):
            add_up(builder.add(builder.mul(loop.index, many), I64(number * SEXTET_BYTES)))
        widen()
    rest = builder.mul(builder.udiv(size, I64(AT_ONCE)), many)
    with cgutils.for_range(builder, builder.urem(size, I64(AT_ONCE))) as loop:
        add_up(builder.add(rest, builder.mul(loop.index, I64(SEXTET_BYTES))))
    widen()
    of_odd = builder.load(odd)
    of_even = builder.sub(builder.load(both), builder.shl(of_odd, splat(I16, 8, ROWS // 2)))
    return [part for sums in (of_even, of_odd) for part in _halves(builder, sums)]


def _halves(builder: Any, sums: Any) -> list[Any]:
    """Two <16 x i32> of <32 x i16>."""
    orders = [ir.Constant(ir.VectorType(I32, LANES), [start + place for place in range(LANES)]) for start in (0, LANES)]
    parts = [builder.shuffle_vector(sums, sums, order) for order in orders]
    return [builder.zext(part, ir.VectorType(I32, LANES)) for part in parts]


estimate_sextets: Callable[..., int] = estimator(_sums)
"""`signs.estimate_coarsely` for a block of 64 rows of `size` bytes each; returns 64 bits."""


def _fill_table(typingctx: Any, values: Any, target: Any, factor: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ints, floats = ir.VectorType(I32, LANES), ir.VectorType(F32, LANES)
        half, factor = ir.Constant(floats, [0.5] * LANES), spread(builder, args[2], floats)
        parts = [splat(I32, 0, LANES) for _ in range(ROWS // LANES)]
        for place in range(SEXTET):
            value = spread(builder, load_as(builder, builder.add(args[0], I64(4 * place)), I32), ints)
            least = builder.and_(value, builder.ashr(value, splat(I32, 31, LANES)))
            for number, part in enumerate(parts):
                bits = [-(entry >> place & 1) for entry in range(LANES * number, LANES * (number + 1))]
                chosen = builder.and_(value, ir.Constant(ints, bits))
                parts[number] = builder.add(part, builder.sub(chosen, least))
        for number, part in enumerate(parts):
            rounded = builder.fptosi(builder.fadd(builder.fmul(builder.sitofp(part, floats), factor), half), ints)
            entries = builder.trunc(rounded, ir.VectorType(I8, LANES))
            there = builder.add(args[1], I64(LANES * number))
            builder.store(entries, pointer(builder, there, entries.type), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate


fill_table: Callable[[int, int, Any], None] = intrinsic(_fill_table)
"""Write the 64 entries of a group: entry b is the sum of the 6 int32 values whose bit of b is set, less that of the
negative ones, times a factor."""


@device
def groups_of(padded: int) -> int:
    """How many groups of 6 components there are; the last may be less than full."""
    return (padded + SEXTET - 1) // SEXTET


@device
def copies_bytes(padded: int, count: int) -> int:
    """Bytes of the blocks of `count` rows."""
    return (count + ROWS - 1) // ROWS * (HEAD + groups_of(padded) * SEXTET_BYTES)


@device
def gather(plan: int, given: int, count: int, target: int) -> None:
    """Copy the sketches of `count` given rows (int32) to blocks at `target`."""
    table, shift, stride = load_i64(plan + SKETCHES), load_i64(plan + SKETCHES + 8), load_i64(plan + SKETCHES + 16)
    padded = load_i64(plan + PADDED)
    size, groups = copies_bytes(padded, 1), groups_of(padded)
    for first in range(0, count, ROWS):
        number = min(count - first, ROWS)
        for place in range(number):
            fetch_row(row_address(table, shift, stride, load_i32(given + 4 * (first + place))), stride)
        fill_bytes(target, 0, size)
        for place in range(number):
            sketch = row_address(table, shift, stride, load_i32(given + 4 * (first + place)))
            move_bytes(target + 4 * place, sketch + padded // 8, 4)
            move_bytes(target + 4 * ROWS + 4 * place, sketch + padded // 8 + 4, 4)
            there = target + HEAD + (2 * place if 2 * place < ROWS else 2 * place - ROWS + 1)
            for group in range(groups):
                bits = load_i16(sketch + (SEXTET * group >> 3)) >> (SEXTET * group & 7)
                store_u8(there + SEXTET_BYTES * group, bits & (1 << SEXTET) - 1)
        target += size


@device
def make_tables(plan: int, scratch: int) -> tuple[float, float]:
    """`signs.make_tables_of` groups of 6 components. Those that are not there count as 0."""
    padded = load_i64(plan + PADDED)
    values, tables, groups = rotate_query(plan, scratch), load_i64(scratch + TABLES), groups_of(padded)
    fill_bytes(values + 4 * padded, 0, 4 * (SEXTET * groups - padded))
    largest, total = 1, 0
    for group in range(groups):
        size = 0
        for place in range(SEXTET * group, SEXTET * (group + 1)):
            value = load_i32(values + 4 * place)
            size += max(value, -value)
        total += size
        largest = max(largest, size)
    factor = np.float32(float(min(FEW_STEPS, GREATEST_SUM // groups)) / float(largest))
    for group in range(groups):
        fill_table(values + 4 * SEXTET * group, tables + SEXTET_BYTES * group, factor)
    return 2.0 / np.float64(factor), -float(total)


@device
def estimate_copies(
    plan: int, scratch: int, margin: int, given: int, count: int, blocks: int, out: int, depth: int
) -> None:
    """`sketch_blocks.estimate_copies` of these blocks."""
    padded, pool, tables = load_i64(plan + PADDED), load_i64(scratch + POOL) + GUARD, load_i64(scratch + TABLES)
    squared, groups = query_square(plan, scratch), groups_of(padded)
    step, offset = make_tables(plan, scratch)
    offset += spare_of(squared, margin)
    clear_keys(pool, depth)
    for first in range(0, count, ROWS):
        near = estimate_sextets(
            blocks + HEAD,
            tables,
            groups,
            blocks,
            blocks + 4 * ROWS,
            load_i64(pool + 8 * (depth - 1)) >> 32,
            out + 4 * first,
            np.float32(squared),
            np.float32(step),
            np.float32(offset),
        )
        blocks += HEAD + groups * SEXTET_BYTES
        if count - first < ROWS:
            near &= ~(-1 << (count - first))
        offer_near(near, first, given, out, pool, depth)
