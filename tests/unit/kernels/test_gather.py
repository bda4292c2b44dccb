"""Checks that ids are read from wherever their rows lie, and that the first bad row is named."""

from __future__ import annotations

import uuid

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
    """An id column over slots 100, 101, ... with ids of all kinds, the strs of 1 to `longest` characters."""
    ids = [(row, uuid.UUID(int=row), "i" * (1 + row % longest))[min(row % 5, 2)] for row in range(ROWS)]
    rows = encode_id_rows(list(map(id_key, ids)), range(100, 100 + ROWS))
    assert rows is not None
    return rows.copy()


def gathered(
    rows: npt.NDArray[np.uint8], chunk_rows: int, wanted: npt.NDArray[np.int32], slots: Slots
) -> tuple[int, bytes]:
    """What the kernel returns and writes, over chunks of `chunk_rows`."""
    column = Column.from_chunks([rows[start : start + chunk_rows].copy() for start in range(0, ROWS, chunk_rows)])
    target = np.zeros((len(wanted) + 1, rows.shape[1]), dtype=np.uint8)
    end = kernels.gather_ids(
        column.address, column.shift, column.stride, wanted.ctypes.data, slots.ctypes.data, len(wanted),
        target.ctypes.data,
    )  # fmt: skip
    written = target.tobytes()
    assert not any(written[5 + len(wanted) * column.stride :])
    return end, written[: max(end, 0)]


@pytest.mark.parametrize("longest", [1, 4, 20, 60])
@pytest.mark.parametrize("chunk_rows", [1, 8, 64])
def test_gathered_ids_equal_the_twins(longest: int, chunk_rows: int, rng: np.random.Generator) -> None:
    rows, wanted = id_rows(longest), rng.integers(0, ROWS, 20).astype(np.int32)
    slots = (wanted + 100).astype(np.uint32)
    assert gathered(rows, chunk_rows, wanted, slots) == oracle.gather_ids(rows, wanted.tolist(), slots.tolist())


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
    end, _ = gathered(rows, 8, wanted, slots)
    assert end == oracle.gather_ids(rows, wanted.tolist(), slots.tolist())[0] == -1 - bad
