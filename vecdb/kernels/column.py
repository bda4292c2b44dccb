"""Describes rows to kernels: fixed-stride rows spread over chunks of memory, found through a table of addresses.

Promises: a Column keeps alive the memory it points into (`owner`); building one copies no row. Needs numpy only.
Invariants: row r of a column starts at `table[r >> shift] + (r & (2^shift - 1)) * stride`; 0 <= r < rows.
Concurrency: immutable; share freely.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

ALIGNMENT: Final = 64
"""Bytes of a cache line: rows that start on one cost the fewest line fetches."""

SINGLE_CHUNK_SHIFT: Final = 62
"""With this shift every row number falls into chunk 0."""


@dataclass(frozen=True, slots=True)
class Column:
    """Rows of a fixed stride over chunks of 2^shift rows (see the module for where a row starts).

    `table` (chunks,) int64 base addresses, itself at `address`; `stride` in bytes; `owner` is any object that keeps the
    memory alive.
    """

    table: npt.NDArray[np.int64]
    shift: int
    stride: int
    rows: int
    owner: object
    address: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Kept, for asking numpy takes a microsecond.
        object.__setattr__(self, "address", self.table.ctypes.data)

    @classmethod
    def from_array(cls, array: npt.NDArray[Any]) -> Column:
        """A single-chunk column over a 1-D or 2-D C-contiguous array, without a copy.

        Raises TypeError for any other layout: a kernel would read the wrong bytes.
        """
        if array.ndim not in (1, 2) or not array.flags.c_contiguous:
            raise TypeError(f"a column needs a 1-D or 2-D C-contiguous array, got shape {array.shape}")
        stride = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
        table = np.array([array.ctypes.data], dtype=np.int64)
        return cls(table, SINGLE_CHUNK_SHIFT, stride, array.shape[0], array)

    @classmethod
    def from_chunks(cls, chunks: list[npt.NDArray[Any]]) -> Column:
        """A column over equal-size chunks (the last may be shorter); their row count must be a power of two."""
        first = chunks[0]
        rows_per_chunk = first.shape[0]
        if rows_per_chunk & (rows_per_chunk - 1) or any(not chunk.flags.c_contiguous for chunk in chunks):
            raise TypeError("chunks must be C-contiguous and hold a power of two of rows")
        stride = first.itemsize * (first.shape[1] if first.ndim == 2 else 1)
        table = np.array([chunk.ctypes.data for chunk in chunks], dtype=np.int64)
        rows = sum(chunk.shape[0] for chunk in chunks)
        return cls(table, rows_per_chunk.bit_length() - 1, stride, rows, tuple(chunks))

    def shifted(self, offset: int) -> Column:
        """The same rows without their first `offset` bytes; the stride stays."""
        return Column(self.table + offset, self.shift, self.stride, self.rows, self.owner)

    def read_row(self, row: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A copy of one row as a 1-D array of `dtype`. Raises IndexError for a row that is not there."""
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of a column of {self.rows}")
        chunk = row >> self.shift
        address = int(self.table[chunk]) + (row - (chunk << self.shift)) * self.stride
        return np.frombuffer(ctypes.string_at(address, self.stride), dtype=dtype)


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialised C-contiguous array whose first byte starts a cache line (64 bytes)."""
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset : offset + size].view(kind).reshape(shape)


def aligned_zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Like `aligned_empty`, filled with zeros."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array
