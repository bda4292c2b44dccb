"""Checks that rows are copied from wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest

from tests import oracle
from vecdb.kernels.column import Column
from vecdb.kernels.native import kernels


@pytest.mark.parametrize("width", [1, 3, 8, 24, 64, 1_536])
@pytest.mark.parametrize("chunk_rows", [1, 8, 64])
def test_gathered_rows_equal_the_twin(width: int, chunk_rows: int, rng: np.random.Generator) -> None:
    rows = rng.integers(0, 256, (64, width)).astype(np.uint8)
    column = Column.from_chunks([rows[start : start + chunk_rows].copy() for start in range(0, 64, chunk_rows)])
    wanted = rng.integers(0, 64, 20).astype(np.int32)
    target = np.zeros((21, width), dtype=np.uint8)
    table, shift = column.table.ctypes.data, column.shift
    assert kernels.gather_rows(table, shift, width, wanted.ctypes.data, 20, target.ctypes.data) == 20
    assert (target[:20] == oracle.gather_rows(rows, wanted.tolist())).all()
    assert not target[20].any()
