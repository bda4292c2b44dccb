"""The Python side of the kernels that scan columns of metadata: addresses in, bitmaps and arrays out.

A bitmap is uint64 words over slots, 32 for each block of the column; all bitmaps of one filter have one length.
What whole filters cost at a million records: ARCHITECTURE.md, *Filters*.
Invariants: whoever holds a ColumnTable keeps the blocks it points to alive (a View does).
Concurrency: pure functions over immutable tables; kernels release the GIL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vecdb.kernels.layout import BLOCK_WORDS, IN_CODES, IN_KEYS, IN_RANGE
from vecdb.kernels.native import kernels

Words = npt.NDArray[np.uint64]
Keys = npt.NDArray[np.int64]

LIST_ROOM: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class ColumnTable:
    """Addresses of the blocks of one column, int64, 0 where there is none."""

    addresses: Keys

    def match_range(self, low: int, high: int, candidates: Words) -> Words:
        """Candidates with a key, or an element of a list, in low..high. One pass over the column, SIMD."""
        return self._match(IN_RANGE, low, high, 0, candidates)

    def match_codes(self, codes: Words, count: int, candidates: Words) -> Words:
        """Candidates whose key, or an element, has its bit set in a bitset of `count` bits; about 2 ns a candidate."""
        return self._match(IN_CODES, 0, count, codes.ctypes.data, candidates)

    def match_keys(self, keys: Keys, candidates: Words) -> Words:
        """Candidates whose key, or an element, is one of the sorted keys; about 2 ns times log2(keys) a candidate."""
        return self._match(IN_KEYS, 0, len(keys), keys.ctypes.data, candidates)

    def _match(self, mode: int, low: int, high: int, keys: int, candidates: Words) -> Words:
        out = np.zeros_like(candidates)
        blocks = min(len(self.addresses), len(candidates) // BLOCK_WORDS)
        kernels.match_column(
            self.addresses.ctypes.data, blocks, mode, low, high, keys, candidates.ctypes.data, out.ctypes.data
        )
        return out

    def list_sizes(self, low: int, high: int, candidates: Words) -> Words:
        """Candidates that are lists of low..high elements."""
        out = np.zeros_like(candidates)
        blocks = min(len(self.addresses), len(candidates) // BLOCK_WORDS)
        kernels.match_sizes(self.addresses.ctypes.data, blocks, low, high, candidates.ctypes.data, out.ctypes.data)
        return out

    def state_bits(self, state: int) -> Words:
        """Slots in a state of `storage.blocks` (or TEXT), dead ones too."""
        out = np.zeros(len(self.addresses) * BLOCK_WORDS, dtype=np.uint64)
        kernels.copy_states(self.addresses.ctypes.data, len(self.addresses), state, out.ctypes.data)
        return out

    def gather(self, slots: npt.NDArray[np.uint32]) -> tuple[Keys, npt.NDArray[np.uint8]]:
        """Key (0 where there is no scalar) and state of each slot; 3 to 10 ns each."""
        slots = np.ascontiguousarray(slots, dtype=np.uint32)
        keys, states = np.empty(len(slots), dtype=np.int64), np.empty(len(slots), dtype=np.uint8)
        kernels.gather_keys(
            self.addresses.ctypes.data,
            len(self.addresses),
            slots.ctypes.data,
            len(slots),
            keys.ctypes.data,
            states.ctypes.data,
        )
        return keys, states

    def lists(self, slots: npt.NDArray[np.uint32]) -> tuple[Keys, Keys]:
        """Elements of the lists at slots, one list after the other, and where each begins (and the last ends).

        Slots that are no lists have none. About 20 ns a list.
        """
        slots = np.ascontiguousarray(slots, dtype=np.uint32)
        starts, elements = np.empty(len(slots) + 1, dtype=np.int64), np.empty(LIST_ROOM, dtype=np.int64)
        while True:
            count = kernels.copy_lists(
                self.addresses.ctypes.data,
                len(self.addresses),
                slots.ctypes.data,
                len(slots),
                starts.ctypes.data,
                elements.ctypes.data,
                len(elements),
            )
            if count <= len(elements):
                return elements[:count], starts
            elements = np.empty(count, dtype=np.int64)


def slots_of_bits(words: Words) -> npt.NDArray[np.uint32]:
    """Positions of the set bits, ascending; about 1 ns each."""
    return bits_from(words, 0).view(np.uint32)


def bits_from(words: Words, first: int) -> npt.NDArray[np.int32]:
    """Positions of the set bits less `first`, ascending."""
    words = np.ascontiguousarray(words)
    out = np.empty(int(np.bitwise_count(words).sum()), dtype=np.int32)
    kernels.list_bits(words.ctypes.data, len(words), first, out.ctypes.data)
    return out
