"""Prepares queries and ranks rows by their true float distance: the last step of a search and all of a scan.

Promises: graph search and scan compute a row's distance by the same code, so the two agree bit for bit.
Invariants: result keys are float_order(distance) << 32 | slot, kept sorted: ties go to the lower slot. The row of each
key stands at the same position of a second array.
Concurrency: no state.
"""

from __future__ import annotations

import math

import numpy as np

from vecdb.kernels.distance import float_reduction
from vecdb.kernels.intrinsics import (
    float_from_order,
    float_order,
    load_f32,
    load_f64,
    load_i32,
    load_i64,
    load_u32,
    move_bytes,
    store_f32,
    store_i16,
    store_i32,
)
from vecdb.kernels.jit import device
from vecdb.kernels.layout import (
    CENTER,
    DIM,
    HALF,
    METRIC,
    METRIC_COSINE,
    METRIC_L2,
    NORMS,
    PADDED,
    QUERY_CLIP,
    QUERY_FACTOR,
    ROW_BITS,
    SLOTS,
    VECTORS,
)
from vecdb.kernels.query import LANES, encode_floats, scale_floats, square_sum
from vecdb.kernels.traverse import column_row, insert_key


@device
def prepare_query(plan: int, source: int, target: int) -> float:
    """Copy the float32 query at `source` to `target`, normalised for cosine; returns its norm (float64)."""
    dim = load_i64(plan + DIM)
    whole = dim & -LANES
    total = square_sum(source, whole)
    for position in range(whole, dim):
        value = np.float64(load_f32(source + 4 * position))
        total += value * value
    norm = math.sqrt(total)
    factor = 1.0
    if load_i64(plan + METRIC) == METRIC_COSINE:
        factor = 1.0 / norm if norm > 0.0 else 0.0
    scale_floats(source, target, whole, factor)
    for position in range(whole, dim):
        store_f32(target + 4 * position, np.float64(load_f32(source + 4 * position)) * factor)
    return norm


@device
def encode_query(plan: int, query: int, norm: float, codes: int) -> None:
    """int16 codes of a prepared query; beyond the clip they saturate, which keeps every distance inside int32."""
    dim = load_i64(plan + DIM)
    clip = float(load_i64(plan + QUERY_CLIP))
    factor = load_f64(plan + QUERY_FACTOR)
    metric = load_i64(plan + METRIC)
    if metric != METRIC_L2 and metric != METRIC_COSINE:
        factor = factor / norm if norm > 0.0 else 0.0
    center, whole = load_i64(plan + CENTER), dim & -LANES
    encode_floats(query, center, codes, whole, factor, clip)
    for position in range(whole, dim):
        value = np.float64(load_f32(query + 4 * position)) - np.float64(load_f32(center + 4 * position))
        scaled = min(max(value * factor, -clip), clip)
        store_i16(codes + 2 * position, int(scaled + 0.5 if scaled >= 0.0 else scaled - 0.5))
    for position in range(dim, load_i64(plan + PADDED)):
        store_i16(codes + 2 * position, 0)


@device
def true_distance(plan: int, row: int, query: int) -> float:
    """The user's distance of a row to a prepared query, float32: cosine 1 - cos, dot -<x, q>, l2 rooted."""
    metric = load_i64(plan + METRIC)
    squared = 1 if metric == METRIC_L2 else 0
    total = float_reduction(
        column_row(plan + VECTORS, row), query, load_i64(plan + DIM), squared, load_i64(plan + HALF)
    )
    if metric == METRIC_L2:
        return math.sqrt(total)
    if metric == METRIC_COSINE:
        return 1.0 - total * load_f32(column_row(plan + NORMS, row))
    return -total


@device
def offer_row(plan: int, row: int, query: int, best: int, best_rows: int, size: int, limit: int) -> int:
    """Score a row exactly and keep it if it is among the best `limit`; returns the new size of `best`."""
    key = float_order(true_distance(plan, row, query)) << 32 | load_u32(column_row(plan + SLOTS, row))
    if size == limit and key >= load_i64(best + 8 * (size - 1)):
        return size
    kept = min(size, limit - 1)
    at = insert_key(best, size, limit, key)
    place = best_rows + 4 * at
    move_bytes(place + 4, place, 4 * (kept - at))
    store_i32(place, row)
    return kept + 1


@device
def write_hits(best: int, best_rows: int, size: int, slots: int, distances: int, rows: int) -> None:
    """Unpack results into uint32 slots, float32 distances and int32 rows."""
    for position in range(size):
        key = load_i64(best + 8 * position)
        store_i32(slots + 4 * position, key & ROW_BITS)
        store_f32(distances + 4 * position, float_from_order(key >> 32))
        store_i32(rows + 4 * position, load_i32(best_rows + 4 * position))
