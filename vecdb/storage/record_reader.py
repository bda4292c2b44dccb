"""Reads the records of a search's hits through the map by one kernel call, past LMDB.

Promises: what `read` returns is what LMDB would have returned, checked against its checksums; None when anything is not
as expected or is too much for the thread's buffer: then the caller reads through LMDB, which tells what is wrong.
Invariants: the transaction that a reader was made from stays open as long as the reader is used: it pins the pages.
Concurrency: any number of threads, each with a buffer of its own; needs no lock, unlike the transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.config import RECORD_BUFFER_BYTES, RECORD_LOOKUPS_MAX
from vecdb.kernels.column import aligned_empty
from vecdb.kernels.native import bound
from vecdb.storage.codec import NOT_MSGPACK, SEEDS
from vecdb.storage.identifiers import read_id_array
from vecdb.storage.keys import Table
from vecdb.storage.meta import EMPTY_ROOT

if TYPE_CHECKING:
    from vecdb.storage.meta import Tree
    from vecdb.storage.pagefile import PageFile
    from vecdb.types import Metadata, RecordId

_START: Final = 4
"""Bytes of a copy before its ids: where they end and metadata begins."""

Item = TypeVar("Item")

_SEED: Final = SEEDS[Table.RECORDS]


class _Buffers(threading.local):
    """What a kernel call of this thread may overwrite."""

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
        # Page 0 is of no tree: what is looked for in an empty one is not found.
        root, depth = (0, 1) if tree.root == EMPTY_ROOT else (tree.root, tree.depth)
        self._place = (map_address, file.page_size, file.last_page, root, depth)

    def read(self, collection: int, slots: npt.NDArray[np.uint32]) -> tuple[list[RecordId], list[Metadata]] | None:
        """Ids and metadata of the records at live slots (n,); about 1.2 us each, half of that to decode metadata."""
        return self._read(collection, slots, metadata_of)

    def read_packed(self, collection: int, slots: npt.NDArray[np.uint32]) -> tuple[list[RecordId], list[bytes]] | None:
        """As `read`, with the metadata as the msgpack that is stored."""
        return self._read(collection, slots, packed_of)

    def _read(
        self, collection: int, slots: npt.NDArray[np.uint32], decode: Callable[[bytes], list[Item]]
    ) -> tuple[list[RecordId], list[Item]] | None:
        ids: list[RecordId] = []
        metadata: list[Item] = []
        for content in self.copies(collection, slots):
            if content is None:
                return None
            ids += ids_of(content)
            try:
                metadata += decode(content)
            except NOT_MSGPACK:
                return None
        return (ids, metadata) if ids else None

    def copy(self, collection: int, slots: npt.NDArray[np.uint32]) -> bytes | None:
        """A copy of the records at live slots (n,), RECORD_LOOKUPS_MAX at most; see `ids_of` and its like."""
        buffers, count = _buffers, len(slots)
        buffers.slots[:count] = slots
        return self.prepare(collection, buffers.slots_address, count).run()

    def copies(self, collection: int, slots: npt.NDArray[np.uint32]) -> Iterator[bytes | None]:
        """As `copy`, for any number of slots, one part after the other; they share what a call takes to prepare."""
        buffers = _buffers
        read = self.prepare(collection, buffers.slots_address, RECORD_LOOKUPS_MAX)
        whole = len(slots) - len(slots) % RECORD_LOOKUPS_MAX
        for start in range(0, whole, RECORD_LOOKUPS_MAX):
            buffers.slots[:] = slots[start : start + RECORD_LOOKUPS_MAX]
            yield read.run()
        if whole < len(slots):
            yield self.copy(collection, slots[whole:])

    def prepare(self, collection: int, slots_address: int, count: int) -> PreparedRead:
        """A read of the records at `count` live slots, RECORD_LOOKUPS_MAX at most, uint32 at an address."""
        return PreparedRead(self, _buffers, (*self._place, collection, slots_address, count, _SEED))


class PreparedRead:
    """A read of records whose slots are given in one place; it belongs to the thread that made it."""

    __slots__ = ("_call", "_view", "reader")

    def __init__(self, reader: RecordReader, buffers: _Buffers, arguments: tuple[int, ...]) -> None:
        self.reader, self._view = reader, buffers.view
        self._call = bound(
            "gather_records", *arguments, buffers.work_address, buffers.copied_address, RECORD_BUFFER_BYTES
        )

    def run(self) -> bytes | None:
        """A copy of the records, to be read with `ids_of`, `metadata_of` or `packed_of`."""
        end = self._call()
        return None if end < 0 else bytes(self._view[:end])


def ids_of(content: bytes) -> list[RecordId]:
    """The ids of copied records."""
    return read_id_array(content[_START : int.from_bytes(content[:_START], "little")])


def metadata_of(content: bytes) -> list[Metadata]:
    """The metadata of copied records; NOT_MSGPACK errors when it is none."""
    return _maps_of(content[int.from_bytes(content[:_START], "little") :])


def packed_of(content: bytes) -> list[bytes]:
    """The metadata of copied records as the msgpack that is stored; NOT_MSGPACK errors when it is none."""
    return [bytes(item) for item in _split(content[int.from_bytes(content[:_START], "little") :])]


_maps_of: Final = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode
_split: Final = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
