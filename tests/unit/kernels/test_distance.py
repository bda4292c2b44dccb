"""Checks every distance of the kernels against numpy float64, over metrics, dtypes and dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from vecdb.index.quantize import inverse_norms
from vecdb.index.search import scan_planned
from vecdb.index.segment import query_clip, scan_plan
from vecdb.kernels.column import Column, aligned_zeros
from vecdb.kernels.distance import code_distance, pair_distance
from vecdb.kernels.jit import device
from vecdb.types import Metric, VectorDtype

DIMS = [1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 255, 384, 511, 513, 1000, 1023, 1536, 2047, 2048]
METRICS: list[Metric] = ["cosine", "dot", "l2"]
DTYPES: list[VectorDtype] = ["float32", "float16"]
ROUNDING = 4e-7
"""Float32 rounding of a sum of products, relative to the sum of their magnitudes."""


def scan_all(metric: Metric, vectors: npt.NDArray[Any], query: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Distances of all rows in row order, through the scan kernel."""
    norms = Column.from_array(inverse_norms(vectors)) if metric == "cosine" else None
    rows, dim = vectors.shape
    slots = Column.from_array(np.arange(rows, dtype=np.uint32))
    dtype: VectorDtype = "float16" if vectors.dtype == np.float16 else "float32"
    plan = scan_plan(Column.from_array(vectors), norms, slots, rows, metric, dtype, dim)
    hits = scan_planned(plan, query.reshape(1, -1), rows).of(0)
    return hits.distances[np.argsort(hits.slots)]


def tolerance(metric: Metric, vectors: npt.NDArray[Any], query: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """How far rounding may take a distance of each row."""
    rows, wanted = np.abs(vectors.astype(np.float64)), np.abs(query.astype(np.float64))
    if metric == "dot":
        return np.asarray(ROUNDING * (rows @ wanted) + 1e-37)
    if metric == "cosine":
        return np.full(len(rows), 2e-6)
    return np.asarray(ROUNDING * 4 * np.sqrt(np.square(vectors.astype(np.float64) - query).sum(axis=1)) + 2e-19)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_distances_equal_the_twin_in_every_dimension(metric: Metric, dtype: str, rng: np.random.Generator) -> None:
    for dim in DIMS:
        vectors = rng.standard_normal((7, dim)).astype(dtype)
        query = rng.standard_normal(dim).astype(np.float32)
        got = scan_all(metric, vectors, query)
        want = oracle.true_distances(metric, vectors, query)
        assert (np.abs(got - want) <= tolerance(metric, vectors, query)).all(), dim


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e17, 1e-30, 1e-42])
def test_huge_and_denormal_values_keep_finite_distances(metric: Metric, scale: float, rng: np.random.Generator) -> None:
    vectors = (rng.uniform(-1, 1, (20, 300)) * scale).astype(np.float32)
    query = (rng.uniform(-1, 1, 300) * scale).astype(np.float32)
    got = scan_all(metric, vectors, query)
    want = oracle.true_distances(metric, vectors, query)
    assert np.isfinite(got).all()
    if metric != "cosine" or scale > 1e-38:  # the inverse norm of a denormal row overflows float32
        assert (np.abs(got - want) <= tolerance(metric, vectors, query)).all()


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_zero_vectors_have_distances(metric: Metric) -> None:
    vectors, query = np.zeros((3, 40), dtype=np.float32), np.ones(40, dtype=np.float32)
    want = oracle.true_distances(metric, vectors, query)
    assert np.allclose(scan_all(metric, vectors, query), want)


def test_a_row_is_at_distance_zero_from_itself_within_rounding(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((50, 384)).astype(np.float32)
    for row in range(50):
        assert abs(float(scan_all("cosine", vectors, vectors[row])[row])) <= 1e-6
        assert float(scan_all("l2", vectors, vectors[row])[row]) == 0.0


@device
def measure_code(row: int, other: int, padded: int) -> int:
    """`code_distance`, callable from here."""
    return code_distance(row, other, padded)


@device
def measure_pair(row: int, other: int, padded: int) -> int:
    """`pair_distance`, callable from here."""
    return pair_distance(row, other, padded)


@pytest.mark.parametrize("padded", [64, 128, 192, 384, 448, 2048, 8192])
def test_code_distances_are_exact_at_the_ends_of_their_range(padded: int, rng: np.random.Generator) -> None:
    clip = query_clip(padded)
    row, query = aligned_zeros((padded,), np.int8), aligned_zeros((padded,), np.int16)
    for codes in (rng.integers(-127, 128, padded), np.full(padded, -127)):
        row[:], query[:] = codes, clip
        assert measure_code(row.ctypes.data, query.ctypes.data, padded) == oracle.code_distance(row, query)


def test_pair_distances_are_exact(rng: np.random.Generator) -> None:
    rows = aligned_zeros((2, 384), np.int8)
    for _ in range(20):
        rows[...] = rng.integers(-127, 128, rows.shape)
        got = measure_pair(rows[0].ctypes.data, rows[1].ctypes.data, 384)
        assert got == oracle.code_distance(rows[0], rows[1])


def test_distances_do_not_depend_on_alignment(rng: np.random.Generator) -> None:
    memory = np.zeros(384 * 4 * 4 + 64, dtype=np.uint8)
    vectors = rng.standard_normal((4, 384)).astype(np.float32)
    query = rng.standard_normal(384).astype(np.float32)
    for offset in (1, 3, 17):
        moved = memory[offset : offset + vectors.nbytes].view(np.float32).reshape(vectors.shape)
        moved[...] = vectors
        assert (scan_all("l2", moved, query) == scan_all("l2", vectors, query)).all()
