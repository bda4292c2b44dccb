"""Small operations on tombstone bitmaps: uint64 words, bit r of word r >> 6 says that row or slot r is dead.

Promises: every function returns a new array and leaves its arguments alone, so bitmaps may be shared by snapshots.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.integer]


def words_for(bits: int) -> int:
    """Return the number of uint64 words that hold `bits` bits."""
    return (bits + 63) >> 6


def resized(words: Words, bits: int) -> Words:
    """Return the bitmap with room for at least `bits` bits, new ones clear (grows by doubling; may return `words`)."""
    needed = words_for(bits)
    if needed <= len(words):
        return words
    grown = np.zeros(max(needed, 2 * len(words), 16), dtype=np.uint64)
    grown[: len(words)] = words
    return grown


def with_bits(words: Words, positions: Positions) -> Words:
    """Return a copy of the bitmap with the bits at `positions` set."""
    copy = words.copy()
    if len(positions):
        at = positions.astype(np.int64, copy=False)
        np.bitwise_or.at(copy, at >> 6, np.uint64(1) << (at & 63).astype(np.uint64))
    return copy


def test_bits(words: Words, positions: Positions) -> npt.NDArray[np.bool_]:
    """Return whether each bit at `positions` is set; positions beyond the bitmap are clear."""
    at = positions.astype(np.int64, copy=False)
    inside = at < len(words) * 64
    bits = np.zeros(len(at), dtype=np.bool_)
    known = at[inside]
    bits[inside] = ((words[known >> 6] >> (known & 63).astype(np.uint64)) & np.uint64(1)).astype(np.bool_)
    return bits


def from_mask(mask: npt.NDArray[np.bool_]) -> Words:
    """Pack a boolean mask into words."""
    padded = np.zeros(words_for(len(mask)) * 64, dtype=np.bool_)
    padded[: len(mask)] = mask
    return np.packbits(padded, bitorder="little").view(np.uint64)


def count(words: Words) -> int:
    """Return the number of set bits."""
    return int(np.bitwise_count(words).sum())
