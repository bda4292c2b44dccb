"""Finds the direction along which the rows of a data set spread most, and where rows lie along it.

It is the first principal component (Pearson 1901), from the sums of products of all rows about their mean. Promises: a
block of rows at a time is in memory; the same rows give the same direction, its largest component positive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.engines.protocol import Matrix

BLOCK_ROWS: Final = 8_192


def main_direction(base: Matrix) -> tuple[npt.NDArray[np.float64], float]:
    """(direction (d,) of unit length, share of the rows' variance along it); rows all alike have a share of 0."""
    center = np.asarray(base[:BLOCK_ROWS], dtype=np.float64).mean(axis=0)
    total = np.zeros(base.shape[1])
    products = np.zeros((base.shape[1],) * 2)
    for block in _blocks(base):
        # near their mean, products of float32 lose nothing that an order of rows would show
        near = (block - center).astype(np.float32)
        total += near.sum(axis=0, dtype=np.float64)
        products += near.T @ near
    mean = total / len(base)
    spreads, directions = np.linalg.eigh(products / len(base) - np.outer(mean, mean))
    direction = directions[:, -1]
    found: npt.NDArray[np.float64] = direction * np.sign(direction[np.abs(direction).argmax()])
    whole = float(np.maximum(spreads, 0.0).sum())
    return found, float(spreads[-1]) / whole if whole > 0 else 0.0


def along(rows: Matrix, direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Inner products (n,) with a direction, which say where rows lie along it."""
    return np.concatenate([block @ direction for block in _blocks(rows)])


def _blocks(rows: Matrix) -> Iterator[npt.NDArray[np.float64]]:
    for start in range(0, len(rows), BLOCK_ROWS):
        yield np.asarray(rows[start : start + BLOCK_ROWS], dtype=np.float64)
