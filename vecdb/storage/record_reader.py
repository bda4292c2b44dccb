"""Reads the records of a search's hits through the map by one kernel call, past LMDB.

Promises: what `read` returns is what LMDB would have returned, checked against its checksums; None when anything is not
as expected or is too much for the thread's buffer: then the caller reads through LMDB, which tells what is wrong.
Invariants: the transaction that a reader was made from stays open as long as the reader is used: it pins the pages.
Concurrency: any number of threads, each with a buffer of its own; needs no lock, unlike the transaction.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.config import RECORD_BUFFER_BYTES, RECORD_LOOKUPS_MAX
from vecdb.kernels.column import aligned_empty
from vecdb.kernels.native import kernels
from vecdb.storage.codec import NOT_MSGPACK, SEEDS
from vecdb.storage.keys import Table, id_from_key
from vecdb.storage.meta import EMPTY_ROOT

if TYPE_CHECKING:
    from vecdb.storage.meta import Tree
    from vecdb.storage.pagefile import PageFile
    from vecdb.types import Metadata, RecordId

_ARRAY: Final = struct.Struct(">BI")
_ARRAY_32: Final = 0xDD
"""Head of a msgpack array with a length of 32 bits: put before the metadata of all records, one decoding reads them."""

Item = TypeVar("Item")

_SEED: Final = SEEDS[Table.RECORDS]


class _Buffers(threading.local):
    """What a kernel call of this thread may overwrite. The copied records follow the room for the array's head."""

    def __init__(self) -> None:
        self.slots = aligned_empty((RECORD_LOOKUPS_MAX,), np.uint32)
        self.work = aligned_empty((3 * RECORD_LOOKUPS_MAX,), np.int64)
        self.copied = aligned_empty((RECORD_BUFFER_BYTES,), np.uint8)
        self.slots_address, self.work_address = int(self.slots.ctypes.data), int(self.work.ctypes.data)
        self.copied_address = int(self.copied.ctypes.data)
        self.view = memoryview(self.copied)  # type: ignore[arg-type]  # an array is a buffer


_buffers = _Buffers()


class RecordReader:
    """The records table as one read transaction sees it; `ReadTransaction.open_records` makes it."""

    def __init__(self, map_address: int, file: PageFile, tree: Tree) -> None:
        self._place = (map_address, file.page_size, file.last_page, tree.root, tree.depth)
        self._is_empty = tree.root == EMPTY_ROOT

    def read(self, collection: int, slots: npt.NDArray[np.uint32]) -> tuple[list[RecordId], list[Metadata]] | None:
        """Ids and metadata of the records at live slots (n,); about 1.2 us each, half of that to decode metadata."""
        return self._read(collection, slots, _maps_of)

    def read_packed(self, collection: int, slots: npt.NDArray[np.uint32]) -> tuple[list[RecordId], list[bytes]] | None:
        """As `read`, with the metadata as the msgpack that is stored."""
        return self._read(collection, slots, _packed_of)

    def _read(
        self, collection: int, slots: npt.NDArray[np.uint32], decode: Callable[[memoryview], list[Item]]
    ) -> tuple[list[RecordId], list[Item]] | None:
        if len(slots) > RECORD_LOOKUPS_MAX:
            return self._read_in_parts(collection, slots, decode)
        count, buffers = len(slots), _buffers
        if self._is_empty or not count:
            return None
        buffers.slots[:count] = slots
        end = kernels.gather_records(
            *self._place,
            collection,
            buffers.slots_address,
            count,
            _SEED,
            buffers.work_address,
            buffers.copied_address,
            RECORD_BUFFER_BYTES,
        )
        return None if end < 0 else _decoded(buffers.view, count, end, decode)

    def _read_in_parts(
        self, collection: int, slots: npt.NDArray[np.uint32], decode: Callable[[memoryview], list[Item]]
    ) -> tuple[list[RecordId], list[Item]] | None:
        ids: list[RecordId] = []
        metadata: list[Item] = []
        for start in range(0, len(slots), RECORD_LOOKUPS_MAX):
            part = self._read(collection, slots[start : start + RECORD_LOOKUPS_MAX], decode)
            if part is None:
                return None
            ids += part[0]
            metadata += part[1]
        return ids, metadata


def _decoded(
    copied: memoryview, count: int, end: int, decode: Callable[[memoryview], list[Item]]
) -> tuple[list[RecordId], list[Item]] | None:
    lengths = struct.unpack_from(f"={count}I", copied)
    start = 4 * count
    stop = start + sum(lengths)
    content, at = bytes(copied[start:stop]), 0
    ids: list[RecordId] = []
    for length in lengths:
        ids.append(id_from_key(content[at : at + length]))
        at += length
    # The head of the array goes where the end of the ids was, which are read.
    head = stop - _ARRAY.size
    _ARRAY.pack_into(copied, head, _ARRAY_32, count)
    try:
        return ids, decode(copied[head:end])
    except NOT_MSGPACK:
        return None


_maps_of: Final = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode
_split: Final = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def _packed_of(array: memoryview) -> list[bytes]:
    """The items of an array as they are; copied, since the thread's next call overwrites them."""
    return [bytes(item) for item in _split(array)]
