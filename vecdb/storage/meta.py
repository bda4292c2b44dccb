"""Reads LMDB's two meta pages from the file, before and beside the map, and refuses what LMDB would stumble over.

Layout of LMDB 0.9, 64 bit, little-endian: page header 16 bytes (page number u64, pad u16, flags u16, lower u16, upper
u16), then magic u32, version u32, address u64, map size u64, the records of the free and the main tree (48 bytes each:
pad u32, flags u16, depth u16, branch, leaf and overflow pages u64, entries u64, root u64), last page number u64,
transaction id u64. The page size is the pad of the free tree. Transaction n is written to meta page n & 1.

Promises: a file shorter or other than LMDB expects is a CorruptionError, found by reads that cannot raise a signal.
Invariants: nothing here goes through the map. Concurrency: pure functions over a descriptor.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from typing import Final

from vecdb.config import LMDB_OPEN_ATTEMPTS_MAX, META_RETRY_S
from vecdb.errors import CorruptionError

__all__ = [
    "EMPTY_ROOT",
    "Meta",
    "Tree",
    "meta_txn_id",
    "newest_meta",
    "pread_meta",
    "read_metas",
    "unpack_meta",
    "unpack_tree",
]

EMPTY_ROOT: Final = 2**64 - 1
_PAGE_HEADER = struct.Struct("<QHHHH")
_META_HEAD = struct.Struct("<IIQQ")
_TREE = struct.Struct("<IHHQQQQQ")
_META_TAIL = struct.Struct("<QQ")
_META_BYTES: Final = _PAGE_HEADER.size + _META_HEAD.size + 2 * _TREE.size + _META_TAIL.size
_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_META_PAGE: Final = 0x08
_INTEGER_KEY: Final = 0x08
_PAGE_SIZES: Final = frozenset({512, 1024, 2048, 4096, 8192, 16384, 32768})


@dataclass(frozen=True, slots=True)
class Tree:
    """LMDB's record of one B-tree."""

    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


@dataclass(frozen=True, slots=True)
class Meta:
    """One meta page: the state after transaction `txn_id`."""

    page_size: int
    last_page: int
    txn_id: int
    free: Tree
    main: Tree

    @property
    def file_bytes(self) -> int:
        """Where the last page in use ends."""
        return (self.last_page + 1) * self.page_size


def unpack_tree(raw: bytes, offset: int = 0) -> Tree:
    """Decode a tree record."""
    return Tree(*_TREE.unpack_from(raw, offset))


def read_metas(fd: int) -> tuple[Meta, Meta]:
    """Read and check both meta pages. CorruptionError names the page and what is wrong.

    A writer at work may commit between the two reads, so damage must be met several times in a row.
    """
    for _ in range(LMDB_OPEN_ATTEMPTS_MAX - 1):
        try:
            return _read_metas_once(fd)
        except CorruptionError:
            time.sleep(META_RETRY_S)
    return _read_metas_once(fd)


def _read_metas_once(fd: int) -> tuple[Meta, Meta]:
    if not os.fstat(fd).st_size:
        raise _damaged("the data file is empty")
    first = unpack_meta(pread_meta(fd, 0, 0), 0)
    second = unpack_meta(pread_meta(fd, 1, first.page_size), 1)
    if second.page_size != first.page_size:
        raise _damaged("the meta pages name different page sizes")
    older, newer = sorted((first, second), key=lambda meta: meta.txn_id)
    if newer.txn_id and (newer.txn_id - older.txn_id != 1 or first.txn_id % 2 or not second.txn_id % 2):
        raise _damaged("the meta pages are not of two consecutive transactions")
    if newer.last_page < older.last_page:
        raise _damaged("the newer meta page names a smaller file than the older one")
    return first, second


def newest_meta(metas: tuple[Meta, Meta]) -> Meta:
    """The committed state, as LMDB chooses it."""
    return max(metas, key=lambda meta: meta.txn_id)


def pread_meta(fd: int, number: int, page_size: int) -> bytes:
    """Read the bytes of one meta page; `meta_txn_id` and `unpack_meta` make sense of them. About 0.7 µs."""
    return os.pread(fd, _META_BYTES, number * page_size)


def meta_txn_id(raw: bytes) -> int:
    """Transaction id in the bytes of a meta page."""
    return int.from_bytes(raw[-8:], "little")


def unpack_meta(raw: bytes, number: int) -> Meta:
    """Decode and check a meta page."""
    if len(raw) < _META_BYTES:
        raise _damaged(f"meta page {number} is cut off: the file is truncated")
    page_number, _, flags, _, _ = _PAGE_HEADER.unpack_from(raw)
    magic, version, address, _ = _META_HEAD.unpack_from(raw, _PAGE_HEADER.size)
    start = _PAGE_HEADER.size + _META_HEAD.size
    free, main = unpack_tree(raw, start), unpack_tree(raw, start + _TREE.size)
    last_page, txn_id = _META_TAIL.unpack_from(raw, start + 2 * _TREE.size)
    sound = (
        (page_number, flags, magic, version, address) == (number, _META_PAGE, _MAGIC, _VERSION, 0)
        and free.pad in _PAGE_SIZES
        and free.flags == _INTEGER_KEY
        and (main.pad, main.flags) == (0, 0)
        and last_page >= 1
    )
    if not sound:
        raise _damaged(f"meta page {number} is damaged")
    return Meta(free.pad, last_page, txn_id, free, main)


def _damaged(problem: str) -> CorruptionError:
    return CorruptionError(f"data.mdb: {problem}; restore a backup of the database", file="data.mdb")
