"""Scans sketches that were copied side by side for the rows that a filter keeps.

A filter that is asked for again and again has its rows scanned again and again. Their sketches, copied once, come from
memory in order, and 32 of them are summed up together by byte shuffles as the neighbours of a packed row are:

    n2 float32 (32) | W float32 (32) | signs in the order of `packing`

This takes 2 ns a row of 384 components where sketches that lie apart take 4.3. The estimates are those of `sketches`,
but that the query's components are rounded as in `signs`, more finely.
Invariants: rows have a multiple of 64 components. Concurrency: no state; blocks are read-only once they are made.
"""

from __future__ import annotations

import math

import numpy as np

from vecdb.config import SIGN_BLOCK
from vecdb.kernels.intrinsics import (
    fill_bytes,
    load_i16,
    load_i32,
    load_i64,
    lowest_bit,
    move_bytes,
    store_i16,
)
from vecdb.kernels.jit import device
from vecdb.kernels.keys import clear_keys, insert_sorted
from vecdb.kernels.layout import (
    GROUP,
    GROUP_BYTES,
    GUARD,
    PADDED,
    POOL,
    SKETCHES,
    TABLES,
)
from vecdb.kernels.packing import order_signs
from vecdb.kernels.rotation import GAIN
from vecdb.kernels.signs import FEW_STEPS, estimate_coarsely, make_tables_of, query_square
from vecdb.kernels.traverse import fetch_row, row_address

ERROR = 0.6
"""Standard deviation of the estimated sum, in lengths of the query: sqrt(1 - a^2) for a cosine a of .8 between a
rotated vector and its signs (RaBitQ, 3.2.2)."""

MARGIN_UNIT = 64
"""A margin is an integer of these parts of ERROR."""

HEAD = 8 * SIGN_BLOCK
"""Bytes of n2 and W in a block."""


@device
def spare_of(squared: int, margin: int) -> float:
    """What is added to the estimated sum of a query of squared length `squared`, so that estimates are lower."""
    return float(margin) / MARGIN_UNIT * ERROR * GAIN * math.sqrt(float(squared))


@device
def offer_near(near: int, first: int, given: int, estimates: int, pool: int, depth: int) -> None:
    """Put those of the given rows from `first` on whose bits are set into the pool, as far as they belong there."""
    while near:
        place = first + lowest_bit(near)
        near &= near - 1
        key = load_i32(estimates + 4 * place) << 32 | load_i32(given + 4 * place) << 1
        if key < load_i64(pool + 8 * (depth - 1)):
            insert_sorted(pool, depth, key)


@device
def copies_bytes(padded: int, count: int) -> int:
    """Bytes of the blocks of `count` rows."""
    return (count + SIGN_BLOCK - 1) // SIGN_BLOCK * (HEAD + padded // GROUP * GROUP_BYTES)


@device
def gather(plan: int, given: int, count: int, target: int) -> None:
    """Copy the sketches of `count` given rows (int32) to blocks at `target`; about 50 ns a row of 384 components."""
    table, shift, stride = load_i64(plan + SKETCHES), load_i64(plan + SKETCHES + 8), load_i64(plan + SKETCHES + 16)
    padded = load_i64(plan + PADDED)
    size = copies_bytes(padded, 1)
    for first in range(0, count, SIGN_BLOCK):
        number = min(count - first, SIGN_BLOCK)
        for place in range(number):
            fetch_row(row_address(table, shift, stride, load_i32(given + 4 * (first + place))), stride)
        fill_bytes(target, 0, size)
        for place in range(number):
            sketch = row_address(table, shift, stride, load_i32(given + 4 * (first + place)))
            move_bytes(target + 4 * place, sketch + padded // 8, 4)
            move_bytes(target + 4 * SIGN_BLOCK + 4 * place, sketch + padded // 8 + 4, 4)
            for part in range(padded // 16):
                store_i16(target + HEAD + 2 * (SIGN_BLOCK * part + place), load_i16(sketch + 2 * part))
        for part in range(padded // 16):
            order_signs(target + HEAD + 2 * SIGN_BLOCK * part)
        target += size


@device
def estimate_copies(
    plan: int, scratch: int, margin: int, given: int, count: int, blocks: int, out: int, depth: int
) -> None:
    """Write the estimates of `count` given rows, int32, to `out` from their blocks; the best `depth` go to the pool."""
    padded, pool, tables = load_i64(plan + PADDED), load_i64(scratch + POOL) + GUARD, load_i64(scratch + TABLES)
    squared, signs = query_square(plan, scratch), padded // GROUP * GROUP_BYTES
    step, offset = make_tables_of(plan, scratch, FEW_STEPS)
    offset += spare_of(squared, margin)
    clear_keys(pool, depth)
    for first in range(0, count, SIGN_BLOCK):
        near = estimate_coarsely(
            blocks + HEAD,
            tables,
            signs,
            blocks,
            blocks + 4 * SIGN_BLOCK,
            load_i64(pool + 8 * (depth - 1)) >> 32,
            out + 4 * first,
            np.float32(squared),
            np.float32(step),
            np.float32(offset),
        )
        blocks += HEAD + signs
        offer_near(near & (1 << min(count - first, SIGN_BLOCK)) - 1, first, given, out, pool, depth)
