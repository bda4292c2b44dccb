"""Draws numbers that are the same on every machine and for ever, because what is stored depends on them.

Concurrency: pure functions.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt


def splitmix64(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Steele et al.'s generator as a hash of 64-bit values."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@cache
def rotation_masks(padded: int) -> npt.NDArray[np.int32]:
    """(2, padded) int32, 0 or -1: the signs of the two rounds of the rotation that packed rows are made with."""
    bits = splitmix64(np.arange(2 * padded, dtype=np.uint64)) >> np.uint64(63)
    masks = -bits.astype(np.int32).reshape(2, padded)
    masks.flags.writeable = False
    return masks
