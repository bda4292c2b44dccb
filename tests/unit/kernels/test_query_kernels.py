"""Checks what is done with 16 components of a query at a time against doing it one by one."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels import query, signs
from vecdb.kernels.column import aligned_zeros
from vecdb.kernels.jit import device


@device
def measure(source: int, count: int) -> float:
    return query.square_sum(source, count)


@device
def scale(source: int, target: int, count: int, factor: float) -> int:
    query.scale_floats(source, target, count, factor)
    return 0


@device
def encode(source: int, center: int, target: int, count: int, factor: float, clip: float) -> int:
    query.encode_floats(source, center, target, count, factor, clip)
    return 0


@device
def fill(values: int, target: int, count: int, factor: float) -> int:
    signs.fill_tables(values, target, count, np.float32(factor))
    return 0


@device
def spans(values: int, count: int) -> tuple[int, int]:
    return signs.spans(values, count)


def test_the_squared_length_of_a_query_is_the_sum_of_all_squares(rng: np.random.Generator) -> None:
    values = rng.standard_normal(96).astype(np.float32)
    assert measure(values.ctypes.data, 96) == pytest.approx(float((values.astype(np.float64) ** 2).sum()), rel=1e-14)


def test_scaled_components_are_rounded_once(rng: np.random.Generator) -> None:
    values, target = rng.standard_normal(48).astype(np.float32), np.zeros(48, dtype=np.float32)
    scale(values.ctypes.data, target.ctypes.data, 48, 1 / 3)
    assert (target == (values.astype(np.float64) / 3).astype(np.float32)).all()


def test_encoded_components_are_rounded_away_from_zero_and_stay_within_the_clip() -> None:
    values = np.array([0.5, -0.5, 0.49, 1.5, -2.5, 900, -900, 0, *[3] * 8], dtype=np.float32)
    center = np.array([*[0] * 8, *[1] * 8], dtype=np.float32)
    codes = np.zeros(16, dtype=np.int16)
    encode(values.ctypes.data, center.ctypes.data, codes.ctypes.data, 16, 1.0, 300.0)
    assert codes.tolist() == [1, -1, 0, 2, -3, 300, -300, 0, *[2] * 8]


def test_entries_of_a_table_are_sums_of_the_chosen_values_above_the_least(rng: np.random.Generator) -> None:
    values = rng.integers(-4_000, 4_000, 64).astype(np.int32)
    tables = aligned_zeros((256,), np.uint8)
    factor = 255 / 16_000
    fill(values.ctypes.data, tables.ctypes.data, 64, factor)
    for group in range(16):
        of_group = values[4 * group : 4 * group + 4]
        for entry in range(16):
            chosen = sum(int(value) for place, value in enumerate(of_group) if entry >> place & 1)
            want = (chosen - int(np.minimum(of_group, 0).sum())) * factor
            assert abs(int(tables[16 * group + entry]) - want) <= 0.5 + 4 / 64


def test_spans_are_those_of_all_groups_and_of_the_largest(rng: np.random.Generator) -> None:
    values = rng.integers(-(2**20), 2**20, 128).astype(np.int32)
    of_groups = np.abs(values.astype(np.int64)).reshape(-1, 4).sum(axis=1)
    assert spans(values.ctypes.data, 128) == (4 * of_groups.sum(), of_groups.max())
