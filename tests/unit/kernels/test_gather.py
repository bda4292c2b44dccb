"""Checks that id rows are copied from wherever they lie, and that the first bad one is named."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from vecdb.engine.ids import encode_id_rows
from vecdb.kernels.column import Column
from vecdb.kernels.native import kernels
from vecdb.storage.keys import id_key

ROWS = 64
Slots = npt.NDArray[np.uint32]


def id_rows(longest: int) -> npt.NDArray[np.uint8]:
    """An id column over slots 100, 101, ... with ids of 1 to `longest` characters."""
    rows = encode_id_rows([id_key("i" * (1 + row % longest)) for row in range(ROWS)], range(100, 100 + ROWS))
    assert rows is not None
    return rows.copy()


def gathered(
    rows: npt.NDArray[np.uint8], chunk_rows: int, wanted: npt.NDArray[np.int32], slots: Slots
) -> tuple[int, npt.NDArray[np.uint8]]:
    """What the kernel returns and writes, over chunks of `chunk_rows`."""
    column = Column.from_chunks([rows[start : start + chunk_rows].copy() for start in range(0, ROWS, chunk_rows)])
    target = np.zeros((len(wanted) + 1, rows.shape[1]), dtype=np.uint8)
    good = kernels.gather_ids(
        column.address, column.shift, column.stride, wanted.ctypes.data, slots.ctypes.data, len(wanted),
        target.ctypes.data,
    )  # fmt: skip
    assert not target[-1].any()
    return good, target[:-1]


@pytest.mark.parametrize("longest", [1, 4, 20, 60])
@pytest.mark.parametrize("chunk_rows", [1, 8, 64])
def test_gathered_rows_equal_the_twin(longest: int, chunk_rows: int, rng: np.random.Generator) -> None:
    rows, wanted = id_rows(longest), rng.integers(0, ROWS, 20).astype(np.int32)
    slots = (wanted + 100).astype(np.uint32)
    good, found = gathered(rows, chunk_rows, wanted, slots)
    count, want = oracle.gather_ids(rows, wanted.tolist(), slots.tolist())
    assert good == count == 20
    assert (found == want).all()


@pytest.mark.parametrize("damage", ["flip", "empty", "too long", "other slot"])
def test_the_first_bad_row_equals_the_twins(damage: str, rng: np.random.Generator) -> None:
    rows, wanted = id_rows(20), rng.permutation(ROWS)[:20].astype(np.int32)
    slots = (wanted + 100).astype(np.uint32)
    bad = int(rng.integers(0, 20))
    if damage == "other slot":
        slots[bad] += 1
    else:
        place, value = {"flip": (4, rows[wanted[bad], 4] ^ 8), "empty": (0, 0), "too long": (0, 255)}[damage]
        rows[wanted[bad], place] = value
    good, _ = gathered(rows, 8, wanted, slots)
    assert good == oracle.gather_ids(rows, wanted.tolist(), slots.tolist())[0] == bad
