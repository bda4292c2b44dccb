"""Keeps the ids of a segment's rows beside its vectors, so that hits are named without a look-up per record.

A row is `length u8 | check u16 (little-endian) | id key | zeros`, all rows of a segment of one size, a multiple of 8.
The check is the low half of the CRC-32 of slot and key, so a damaged or misplaced row is noticed when it is read.
Promises: a row whose record was gone when the segment was written is empty; it is dead and never returned. A segment
with an id key beyond ID_COLUMN_BYTES_MAX has no such column; its ids come from the records table.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecdb.config import ID_COLUMN_BYTES_MAX
from vecdb.errors import CorruptionError
from vecdb.index.scratch import GATHER_ROWS, thread_scratch
from vecdb.kernels.native import bound
from vecdb.storage.identifiers import read_id_array

if TYPE_CHECKING:
    from vecdb.kernels.column import Column
    from vecdb.kernels.native import Call
    from vecdb.types import RecordId

ARRAY_HEAD = 5
HEAD_BYTES = 3
ROW_STEP = 8


def encode_id_rows(id_keys: Sequence[bytes], slots: Sequence[int]) -> npt.NDArray[np.uint8] | None:
    """Return the column (n, stride) for id keys (empty: no record any more), None when one of them is too long."""
    longest = max(map(len, id_keys), default=0)
    if longest > ID_COLUMN_BYTES_MAX:
        return None
    stride = -(-(HEAD_BYTES + longest) // ROW_STEP) * ROW_STEP
    rows = [
        (len(key).to_bytes(1, "little") + _check(key, slot) + key).ljust(stride, b"\0")
        for key, slot in zip(id_keys, slots, strict=True)
    ]
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), stride)


def read_ids(column: Column, rows: npt.NDArray[np.int32], slots: npt.NDArray[np.uint32]) -> list[RecordId]:
    """Return the ids of live rows (n,) of an id column; CorruptionError for one that does not fit its check.

    The caller holds whatever keeps the column's memory alive. About 3 µs, and 0.1 µs for each id.
    """
    if len(rows) > GATHER_ROWS:
        pieces = (slice(at, at + GATHER_ROWS) for at in range(0, len(rows), GATHER_ROWS))
        return [record_id for piece in pieces for record_id in read_ids(column, rows[piece], slots[piece])]
    count = len(rows)
    scratch = thread_scratch()
    scratch.reserve_gathered(ids_room(column, count))
    scratch.wanted_rows[:count], scratch.wanted_slots[:count] = rows, slots
    end = bind_ids(column, scratch.wanted_rows_address, scratch.wanted_slots_address, count, scratch.gathered_address)()
    if end < 0:
        slot = int(slots[-1 - end])
        raise CorruptionError(
            f"the id of slot {slot} does not fit its check; restore a backup, or run verify to see what is damaged",
            slot=slot,
        )
    return read_id_array(scratch.gathered[:end].tobytes())


def ids_room(column: Column, count: int) -> int:
    """The most bytes that `count` ids take as an array (see `kernels.gather`)."""
    return ARRAY_HEAD + count * column.stride


def bind_ids(column: Column, rows_address: int, slots_address: int, count: int, target_address: int) -> Call:
    """A call that writes the ids of rows (int32), whose slots (uint32) they must fit, and returns the array's bytes.

    Less than 0: -1 - position of the first that does not fit.
    """
    place = column.address, column.shift, column.stride
    return bound("gather_ids", *place, rows_address, slots_address, count, target_address)


def _check(key: bytes, slot: int) -> bytes:
    return (zlib.crc32(key, slot) & 0xFFFF).to_bytes(2, "little")
