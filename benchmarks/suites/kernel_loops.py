"""Runs the distance kernels over all rows of a matrix, many times, so that the call from Python is spread thin.

Importing this module loads numba. Addresses are trusted, as in `vecdb.kernels`. Concurrency: no state.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecdb.kernels.distance import code_distance, float_reduction
from vecdb.kernels.jit import device


@device
def code_rows(rows: int, count: int, padded: int, query: int, passes: int) -> int:
    """Sum of the squared l2 of int8 rows to int16 query codes, over all passes."""
    total = 0
    for _ in range(passes):
        for row in range(count):
            total += code_distance(rows + row * padded, query, padded)
    return total


@device
def float_rows(rows: int, count: int, dim: int, query: int, half: int, passes: int) -> float:
    """Sum of the products of float32 (half = 0) or float16 (1) rows with a float32 query, over all passes."""
    stride = dim * (2 if half else 4)
    total = np.float32(0.0)
    for _ in range(passes):
        for row in range(count):
            total += float_reduction(rows + row * stride, query, dim, 0, half)
    return total  # type: ignore[return-value]  # numba's float32 is a float here


@device
def read_words(words: npt.NDArray[np.int64], passes: int) -> int:
    """Sum of the words (up to three at the end left out): no more work than reading them, in vectors, at four places.

    One place at a time reads a few per cent slower here.
    """
    quarter = len(words) // 4
    first = second = third = fourth = np.int64(0)
    for _ in range(passes):
        for word in range(quarter):
            first += words[word]
            second += words[quarter + word]
            third += words[2 * quarter + word]
            fourth += words[3 * quarter + word]
    return first + second + third + fourth  # type: ignore[return-value]  # an int64 of numba is an int here
