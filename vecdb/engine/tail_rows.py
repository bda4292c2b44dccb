"""Spells the rows of a tail as they are stored, numbered by slot or by arrival.

A row of a field that the collection was created with has the number of its slot, and tails ascend by slot. Records that
were stored long before may get their vectors of a field that was added later, in any order and without a new slot: the
rows of such a field are numbered as they arrive, and each says which slot it belongs to.
Promises: what is written comes back; a damaged row is a CorruptionError.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vecdb.engine.schema import FieldSchema
from vecdb.engine.validate import VectorArray
from vecdb.storage import codec
from vecdb.storage.codec import Value

SLOT = np.dtype("<u4")
Numbers = npt.NDArray[np.uint32]


class TailRows(NamedTuple):
    """Rows on their way into a tail: the slot, the vector and the number of each; numbers ascend."""

    slots: npt.NDArray[np.uint32]
    vectors: VectorArray
    numbers: Numbers


def encode_rows(keys: Sequence[bytes], rows: TailRows, *, by_arrival: bool) -> list[tuple[bytes, bytes]]:
    """Items of the tail table, under keys by number."""
    if not by_arrival:
        return codec.encode_vectors(keys, rows.vectors)
    count, stride = len(keys), rows.vectors.shape[1] * rows.vectors.itemsize
    packed = np.empty((count, SLOT.itemsize + stride), dtype=np.uint8)
    packed[:, : SLOT.itemsize] = rows.slots.astype(SLOT).view(np.uint8).reshape(count, SLOT.itemsize)
    packed[:, SLOT.itemsize :] = np.ascontiguousarray(rows.vectors).view(np.uint8).reshape(count, stride)
    return codec.encode_vectors(keys, packed)


def decode_rows(
    keys: Sequence[bytes], values: Sequence[Value], numbers: Numbers, field: FieldSchema, *, by_arrival: bool
) -> TailRows:
    """The rows stored under keys by number."""
    if not by_arrival:
        return TailRows(numbers, codec.decode_vectors(keys, values, field.dim, field.dtype), numbers)
    size = SLOT.itemsize + field.dim * np.dtype(field.dtype).itemsize
    packed: npt.NDArray[Any] = codec.decode_vectors(keys, values, size, np.uint8)
    slots = np.ascontiguousarray(packed[:, : SLOT.itemsize]).view(SLOT).reshape(-1).astype(np.uint32)
    vectors = np.ascontiguousarray(packed[:, SLOT.itemsize :]).view(field.dtype).reshape(len(keys), field.dim)
    return TailRows(slots, vectors, numbers)
