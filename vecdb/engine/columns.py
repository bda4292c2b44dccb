"""Copies rows out of columns: for answers with vectors, for merges, and for finding slots.

Promises: what is returned is a copy; no array that points into the map leaves this module.
Invariants: the caller holds whatever keeps the column's memory alive (a View, or a listed segment) during the call.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecdb.kernels.column import Column


def gather_rows(column: Column, rows: npt.NDArray[np.int64], dtype: np.dtype[Any], width: int) -> npt.NDArray[Any]:
    """Copy the given rows of a column out of memory, (n, width) of `dtype`. Rows must exist. Cost: one copy per row."""
    out = np.empty((len(rows), width), dtype=dtype)
    mask = (1 << column.shift) - 1
    chunk_of = rows >> column.shift
    for number in np.unique(chunk_of):
        mine = chunk_of == number
        out[mine] = _chunk_array(column, int(number), dtype, width)[rows[mine] & mask]
    return out


def read_column(column: Column, dtype: np.dtype[Any], width: int) -> npt.NDArray[Any]:
    """Copy a whole column out of memory, (rows, width) of `dtype`."""
    parts = [_chunk_array(column, number, dtype, width) for number in range(len(column.table))]
    return np.concatenate(parts) if parts else np.empty((0, width), dtype=dtype)


def _chunk_array(column: Column, number: int, dtype: np.dtype[Any], width: int) -> npt.NDArray[Any]:
    """View one chunk as an array. Only for immediate copying: the caller's segment keeps the memory alive."""
    rows = min(1 << column.shift, column.rows - (number << column.shift))
    buffer = (ctypes.c_uint8 * (rows * column.stride)).from_address(int(column.table[number]))
    raw = np.ctypeslib.as_array(buffer).view(np.uint8).reshape(rows, column.stride)
    chunk: npt.NDArray[Any] = raw[:, : width * dtype.itemsize].view(dtype)
    return chunk
