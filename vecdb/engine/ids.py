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
from vecdb.kernels.native import kernels
from vecdb.storage.keys import id_from_key

if TYPE_CHECKING:
    from vecdb.kernels.column import Column
    from vecdb.types import RecordId

HEAD_BYTES = 3
ROW_STEP = 8
STR_KIND = 2
"""Type byte of str ids (see `storage.keys.id_key`)."""


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

    The caller holds whatever keeps the column's memory alive. About 2 µs, and 0.2 µs for each id.
    """
    if len(rows) > GATHER_ROWS:
        pieces = (slice(at, at + GATHER_ROWS) for at in range(0, len(rows), GATHER_ROWS))
        return [record_id for piece in pieces for record_id in read_ids(column, rows[piece], slots[piece])]
    count, stride = len(rows), column.stride
    scratch = thread_scratch()
    scratch.reserve_gathered(count * stride)
    scratch.wanted_rows[:count], scratch.wanted_slots[:count] = rows, slots
    good = kernels.gather_ids(
        column.address,
        column.shift,
        stride,
        scratch.wanted_rows_address,
        scratch.wanted_slots_address,
        count,
        scratch.gathered_address,
    )
    if good < count:
        raise CorruptionError(
            f"the id of slot {slots[good]} does not fit its check; restore a backup, or run verify to see what is "
            "damaged",
            slot=int(slots[good]),
        )
    return _decoded(scratch.gathered[: count * stride].tobytes(), stride)


def _decoded(content: bytes, stride: int) -> list[RecordId]:
    ids: list[RecordId] = []
    for at in range(0, len(content), stride):
        kind, stop = at + HEAD_BYTES, at + HEAD_BYTES + content[at]
        # The commonest kind is spelled out: this loop is a part of every search.
        ids.append(content[kind + 1 : stop].decode() if content[kind] == STR_KIND else id_from_key(content[kind:stop]))
    return ids


def _check(key: bytes, slot: int) -> bytes:
    return (zlib.crc32(key, slot) & 0xFFFF).to_bytes(2, "little")
