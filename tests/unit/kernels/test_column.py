"""Checks how columns find their rows."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.column import ALIGNMENT, Column, aligned_empty, aligned_zeros


def test_a_column_over_an_array_reads_its_rows() -> None:
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    column = Column.from_array(array)
    assert (column.rows, column.stride) == (4, 12)
    assert (column.read_row(2, np.float32) == array[2]).all()


def test_a_column_over_chunks_reads_rows_of_each() -> None:
    array = np.arange(22, dtype=np.int32).reshape(11, 2)
    column = Column.from_chunks([array[0:4].copy(), array[4:8].copy(), array[8:].copy()])
    assert column.rows == 11
    assert [column.read_row(row, np.int32).tolist() for row in range(11)] == array.tolist()


def test_a_column_refuses_memory_it_would_misread() -> None:
    array = np.zeros((4, 6), dtype=np.float32)
    with pytest.raises(TypeError, match="C-contiguous"):
        Column.from_array(array[:, ::2])
    with pytest.raises(TypeError, match="C-contiguous"):
        Column.from_array(np.zeros((2, 2, 2), dtype=np.float32))
    with pytest.raises(TypeError, match="power of two"):
        Column.from_chunks([np.zeros((3, 2)), np.zeros((1, 2))])


def test_a_row_that_is_not_there_is_an_error() -> None:
    column = Column.from_array(np.zeros(3, dtype=np.uint32))
    for row in (-1, 3):
        with pytest.raises(IndexError):
            column.read_row(row, np.uint32)


@pytest.mark.parametrize("shape", [(1,), (7, 3), (1000, 64)])
def test_aligned_arrays_start_a_cache_line(shape: tuple[int, ...]) -> None:
    assert aligned_empty(shape, np.int8).ctypes.data % ALIGNMENT == 0
    assert not aligned_zeros(shape, np.float32).any()
