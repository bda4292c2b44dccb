"""Writes the columns of a segment as chunk values and reads them back in place, as tables of addresses into the map.

A column is cut into chunks of 2^shift rows, as many as fit CHUNK_BYTES_TARGET; only the last may hold fewer. A chunk
value is a header of 48 bytes, the rows, and, in a shorter last chunk, zeros up to 1 to 7, or 8 to 15 times 2^n, pages.
LMDB puts a value of more than half a page on pages of its own, 16 bytes in, so row 0 lies on a multiple of 64.
Header, little-endian:

    0 magic "VDBC" | 4 version u8 | 5 kind u8 | 6 zero u16 | 8 rows u32 | 12 stride u32 | 16 first row u64
    24 payload bytes u64 | 32 crc32 of the payload u32 | 36 crc32 of table, key and bytes 0..36 u32 | 40 zero (8 bytes)

Full chunks of a kind are all of one size and last chunks of few sizes, so that the extents freed by a merge fit the
chunks of the next one: otherwise the file grows with every merge.

Promises: `open_column` copies nothing and checks every header; `check_chunk` checks the rows as well.
Invariants: a chunk is never rewritten; a Column keeps the read transaction that pins its pages alive.
Concurrency: pure functions over transactions. Not here: when chunks are written, dropped or scrubbed (`vecdb.engine`).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.config import CHUNK_BYTES_TARGET
from vecdb.errors import CorruptionError
from vecdb.kernels.column import ALIGNMENT, Column
from vecdb.storage.codec import Value, corrupt_value
from vecdb.storage.keys import Table, chunk_key, kind_prefix, prefix_stop
from vecdb.storage.pagefile import BIG_DATA, HEADER_BYTES, leaf_entries
from vecdb.storage.transactions import ReadTransaction

__all__ = [
    "CHUNK_HEADER_BYTES",
    "ChunkKind",
    "check_chunk",
    "chunk_count",
    "chunk_shift",
    "encode_chunk",
    "encode_column",
    "open_column",
    "rows_per_chunk",
]


class ChunkKind(IntEnum):
    """Which column of a segment a chunk belongs to. The numbers are stored."""

    VECTORS = 1
    NORMS = 2
    CODES = 3
    LINKS = 4
    UPPER_ROWS = 5
    UPPER_DOWN = 6
    UPPER_LINKS = 7
    SLOTS = 8
    IDS = 10
    PACKED = 11
    SKETCHES = 12


CHUNK_HEADER_BYTES: Final = 48
_MAGIC: Final = b"VDBC"
_VERSION: Final = 1
_PREFIX = struct.Struct("<4sBBHIIQQ")
_HEAD = struct.Struct("<4sBBHIIQQI")
_CHECKED_BYTES: Final = _HEAD.size
_SEED: Final = zlib.crc32(Table.CHUNKS.label.encode())
# A value of more than half a page gets pages of its own; so a whole page does. LMDB's pages end at 32 KiB.
_PAGE_BYTES: Final = min(mmap.PAGESIZE, 32768)


def chunk_shift(stride: int) -> int:
    """Exponent of the rows per chunk for rows of `stride` bytes."""
    return max(CHUNK_BYTES_TARGET // stride, 1).bit_length() - 1


def rows_per_chunk(stride: int) -> int:
    """Rows in a full chunk: the largest power of two that fits CHUNK_BYTES_TARGET, at least 1."""
    return 1 << chunk_shift(stride)


def chunk_count(rows: int, stride: int) -> int:
    """Chunks that a column of `rows` rows takes."""
    return -(-rows >> chunk_shift(stride)) if rows else 0


def encode_chunk(key: bytes, kind: ChunkKind, first_row: int, rows: npt.NDArray[Any]) -> bytes:
    """Value of one chunk: `rows` is (n,) or (n, columns), C-contiguous. About 1 ms per MiB, most of it the checksum."""
    payload = rows.data.cast("B")
    stride = rows.nbytes // len(rows)
    head = _HEAD.pack(
        _MAGIC, _VERSION, kind, 0, len(rows), stride, first_row, len(payload), zlib.crc32(payload, zlib.crc32(key))
    )
    header = head + _header_end(zlib.crc32(head, zlib.crc32(key, _SEED)))
    size = CHUNK_HEADER_BYTES + len(payload)
    padding = b"" if len(rows) == rows_per_chunk(stride) else bytes(_padded_bytes(size) - size)
    return b"".join((header, payload, padding))


def _padded_bytes(size: int) -> int:
    """Size of a last chunk's value of at least `size` bytes: with the header of its page, a full number of pages."""
    pages = -(-(HEADER_BYTES + size) // _PAGE_BYTES)
    step = 1 << max(pages.bit_length() - 4, 0)
    return -(-pages // step) * step * _PAGE_BYTES - HEADER_BYTES


def encode_column(
    collection: int,
    field: int,
    segment: int,
    kind: ChunkKind,
    rows: int,
    stride: int,
    part: Callable[[int, int], npt.NDArray[Any]],
) -> Iterator[tuple[bytes, bytes]]:
    """Items of the chunks table for a whole column, one at a time: write them in transactions of INDEX_COMMIT_BYTES.

    `part(start, stop)` returns rows of `stride` bytes, so that a column need never be in memory as a whole.
    """
    step = rows_per_chunk(stride)
    for chunk, first in enumerate(range(0, rows, step)):
        key = chunk_key(collection, field, segment, kind, chunk)
        yield key, encode_chunk(key, kind, first, np.ascontiguousarray(part(first, min(first + step, rows))))


def open_column(
    transaction: ReadTransaction,
    collection: int,
    field: int,
    segment: int,
    kind: ChunkKind,
    rows: int,
    stride: int,
    *,
    check: bool = False,
) -> Column:
    """Return the column's rows in place. Its owner is the transaction: keep that open as long as the column is used.

    CorruptionError for a missing, surplus, misplaced or damaged header. About 4 µs per chunk. All is found by file
    reads and arithmetic: py-lmdb would touch every page of every value, and so read the whole index from the disk.

    `check` reads the rows too and compares checksums (0.3 ms per MiB): for columns whose values are used as addresses.
    """
    shift = chunk_shift(stride)
    prefix = kind_prefix(collection, field, segment, kind)
    file, name = transaction.page_file(), Table.CHUNKS.label
    entries = list(leaf_entries(file, name, transaction.tree(Table.CHUNKS), prefix, prefix_stop(prefix)))
    wanted = [chunk_key(collection, field, segment, kind, chunk) for chunk in range(chunk_count(rows, stride))]
    if [entry.key for entry in entries] != wanted:
        raise _missing_chunk(kind, collection, field, segment)
    pages = np.array([entry.page for entry in entries], dtype=np.int64)
    heads = file.read_many(name, pages, HEADER_BYTES + CHUNK_HEADER_BYTES).data
    pack, crc32, step = _PREFIX.pack, zlib.crc32, HEADER_BYTES + CHUNK_HEADER_BYTES
    for index, entry in enumerate(entries):
        at = index * step + HEADER_BYTES
        head = bytes(heads[at : at + CHUNK_HEADER_BYTES])
        first = index << shift
        count = min(1 << shift, rows - first)
        sound = (
            entry.flags == BIG_DATA
            and entry.size >= CHUNK_HEADER_BYTES + count * stride
            and head.startswith(pack(_MAGIC, _VERSION, kind, 0, count, stride, first, count * stride))
            and head[_CHECKED_BYTES:] == _header_end(crc32(head[:_CHECKED_BYTES], crc32(entry.key, _SEED)))
        )
        if not sound:
            raise corrupt_value(Table.CHUNKS, entry.key, "has a damaged header")
    if check:
        _check_rows(transaction, wanted)
    table = transaction.map_address() + pages * file.page_size + step
    if np.any(table % ALIGNMENT):
        raise AssertionError(f"a chunk of {kind.name} is not aligned to {ALIGNMENT} bytes")
    return Column(table, shift, stride, rows, transaction)


def check_chunk(key: bytes, value: Value) -> int:
    """Check a chunk's header and rows against their checksums; return its rows. About 1 ms per MiB."""
    if len(value) < CHUNK_HEADER_BYTES:
        raise corrupt_value(Table.CHUNKS, key, "is shorter than a header")
    view = memoryview(value)
    magic, version, kind, _, rows, stride, first, size, payload_crc = _HEAD.unpack_from(view)
    end = _header_end(zlib.crc32(view[:_CHECKED_BYTES], zlib.crc32(key, _SEED)))
    sound = (
        view[_CHECKED_BYTES:CHUNK_HEADER_BYTES] == end
        and (magic, version, bytes([kind])) == (_MAGIC, _VERSION, key[-5:-4])
        and size == rows * stride <= len(view) - CHUNK_HEADER_BYTES
        and first == int.from_bytes(key[-4:], "big") * rows_per_chunk(stride)
    )
    if not sound:
        raise corrupt_value(Table.CHUNKS, key, "has a damaged header")
    payload = view[CHUNK_HEADER_BYTES : CHUNK_HEADER_BYTES + size]
    if zlib.crc32(payload, zlib.crc32(key)) != payload_crc:
        raise corrupt_value(Table.CHUNKS, key)
    return int(rows)


def _check_rows(transaction: ReadTransaction, keys: list[bytes]) -> None:
    for key in keys:
        value = transaction.get(Table.CHUNKS, key)
        if value is None:
            raise corrupt_value(Table.CHUNKS, key, "is missing")
        check_chunk(key, value)


def _header_end(crc: int) -> bytes:
    return crc.to_bytes(4, "little") + bytes(8)


def _missing_chunk(kind: ChunkKind, collection: int, field: int, segment: int) -> CorruptionError:
    return CorruptionError(
        f"segment {segment} of collection {collection}, field {field}: a chunk of {kind.name} is missing or surplus; "
        "restore a backup, or run verify to see how much is damaged",
        table=Table.CHUNKS.label,
    )
