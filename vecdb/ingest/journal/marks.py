"""Marks numbers: a set of item or part numbers in one bit each, for as many as are looked at in a run.

Promises: memory is a bit for each number up to the largest of a block of MARKS_BLOCK that has any marked at all.
Concurrency: not thread-safe.
"""

from __future__ import annotations

from vecdb.ingest.journal.config import MARKS_BLOCK


class Marks:
    """A set of numbers from 0 that only grows."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}

    def add(self, number: int) -> bool:
        """Mark a number; False when it was marked before. About 0.2 µs."""
        block, place = divmod(number, MARKS_BLOCK)
        bits = self._blocks.get(block)
        if bits is None:
            bits = self._blocks[block] = bytearray(MARKS_BLOCK // 8)
        before = bits[place >> 3]
        bits[place >> 3] = before | 1 << (place & 7)
        return not before >> (place & 7) & 1

    def __contains__(self, number: int) -> bool:
        block, place = divmod(number, MARKS_BLOCK)
        bits = self._blocks.get(block)
        return bits is not None and bool(bits[place >> 3] >> (place & 7) & 1)
