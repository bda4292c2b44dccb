"""Reads pages of LMDB's data file by file reads, and single B-trees node by node, believing nothing.

Layout of LMDB 0.9 (see `meta` for page 0 and 1): a page begins with its number u64, pad u16, flags u16, and lower u16,
upper u16 (on the first page of an overflow run: the run's pages u32). Tree pages go on with one u16 per node, its
offset in the page, in key order, up to `lower`; nodes fill the page from `upper` to its end, each on an even offset:
size u16, u16, flags u16, key length u16, key, data. In a branch the first three words are the child's page number; in a
leaf the first two are the size of the data, which follows, or (flag 1) is an overflow run whose page number follows, or
(flag 2) is a tree record.

Promises: only file reads, bounded by the file's size and LMDB's last page: damage is a CorruptionError naming table and
page, never a signal.
Invariants: pages reachable from a transaction do not change while it is open. Concurrency: no state but the descriptor.
Not here: whole trees at speed (`pages`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vecdb.errors import CorruptionError
from vecdb.storage.keys import Table, TableSet
from vecdb.storage.meta import EMPTY_ROOT, Meta, Tree, unpack_tree

__all__ = [
    "BIG_DATA",
    "BRANCH_PAGE",
    "CURSOR_STACK",
    "HEADER_BYTES",
    "KEY_SIZE",
    "LEAF_PAGE",
    "OVERFLOW_PAGE",
    "SUB_TREE",
    "TREE_BYTES",
    "Entry",
    "PageFile",
    "damaged_page",
    "free_lists",
    "free_pages",
    "leaf_entries",
    "read_tables",
]

HEADER_BYTES: Final = 16
TREE_BYTES: Final = 48
BRANCH_PAGE: Final = 0x01
LEAF_PAGE: Final = 0x02
OVERFLOW_PAGE: Final = 0x04
BIG_DATA: Final = 0x01
SUB_TREE: Final = 0x02
CURSOR_STACK: Final = 32  # deepest tree LMDB can walk
KEY_SIZE: Final = 511  # longest key LMDB takes

_HEADER = struct.Struct("<QHHHH")
_OVERFLOW = struct.Struct("<QHHI")
_NODE = struct.Struct("<HHHH")
_U64 = struct.Struct("<Q")


def damaged_page(table: str, page: int, problem: str) -> CorruptionError:
    """The error for a page that cannot be what the tree above it says."""
    return CorruptionError(
        f"data.mdb, table {table}, page {page}: {problem}; restore a backup, or run verify to see how much is damaged",
        table=table,
        page=int(page),
    )


@dataclass(frozen=True, slots=True)
class PageFile:
    """The pages 2..last_page of a data file, as one transaction may see them."""

    fd: int
    page_size: int
    last_page: int

    @classmethod
    def at(cls, fd: int, meta: Meta) -> PageFile:
        """The pages of the state that `meta` describes, as far as the file goes."""
        in_file = os.fstat(fd).st_size // meta.page_size
        return cls(fd, meta.page_size, min(meta.last_page, in_file - 1))

    def require(self, table: str, page: int, count: int = 1) -> None:
        """Raise CorruptionError unless the run of pages lies within the file."""
        if page < 2 or page + count - 1 > self.last_page:
            raise damaged_page(table, page, "a reference leads outside the file (truncated?)")

    def read(self, table: str, page: int, size: int) -> bytes:
        """Read the first `size` bytes of a page."""
        self.require(table, page, -(-size // self.page_size))
        raw = os.pread(self.fd, size, page * self.page_size)
        if len(raw) != size:
            raise damaged_page(table, page, "cannot be read whole: the file is truncated")
        return raw

    def read_many(self, table: str, pages: npt.NDArray[np.int64], size: int, spare: int = 0) -> npt.NDArray[np.uint8]:
        """Read the first `size` bytes of each page into one array of len(pages) * size + spare bytes."""
        outside = (pages < 2) | (pages > self.last_page)
        if outside.any():
            raise damaged_page(
                table, int(pages[int(np.argmax(outside))]), "a reference leads outside the file (truncated?)"
            )
        pread, fd, page_size = os.pread, self.fd, self.page_size
        parts = [pread(fd, size, page * page_size) for page in pages.tolist()]
        raw = b"".join([*parts, bytes(spare)])
        if len(raw) != len(parts) * size + spare:
            short = next(page for page, part in zip(pages.tolist(), parts, strict=True) if len(part) != size)
            raise damaged_page(table, short, "cannot be read whole: the file is truncated")
        return np.frombuffer(raw, dtype=np.uint8)

    def run_pages(self, size: int) -> int:
        """Pages of an overflow run that holds a value of `size` bytes."""
        return (HEADER_BYTES - 1 + size) // self.page_size + 1

    def check_run(self, table: str, page: int, size: int) -> int:
        """Check the header of an overflow run for a value of `size` bytes; return the run's pages."""
        self.require(table, page, self.run_pages(size))
        number, _, flags, count = _OVERFLOW.unpack(self.read(table, page, HEADER_BYTES))
        if number != page or flags != OVERFLOW_PAGE or count < self.run_pages(size):
            raise damaged_page(table, page, "is not the overflow run that its value names")
        self.require(table, page, count)
        return int(count)


class Entry(NamedTuple):
    """A leaf node: its data of `size` bytes is `value`, at `offset` in `page`, or (None) the overflow run at `page`."""

    key: bytes
    flags: int
    size: int
    value: bytes | None
    page: int
    offset: int


def leaf_entries(
    file: PageFile, table: str, tree: Tree, start: bytes = b"", stop: bytes | None = None
) -> Iterator[Entry]:
    """Iterate over the entries with start <= key < stop of a tree whose keys sort bytewise, in order.

    Checks each page it passes; overflow runs only lie within the file (`PageFile.check_run` checks their headers).
    """
    if tree.root == EMPTY_ROOT:
        return
    if not 1 <= tree.depth <= CURSOR_STACK:
        raise damaged_page(table, tree.root, "is the root of a tree of impossible depth")
    last = b""
    for entry in _descend(file, table, tree.root, tree.depth, start, stop):
        if last and entry.key <= last:
            raise damaged_page(table, entry.page, "has a key out of order")
        last = entry.key
        if entry.key >= start and (stop is None or entry.key < stop):
            yield entry


def _descend(file: PageFile, table: str, page: int, depth: int, start: bytes, stop: bytes | None) -> Iterator[Entry]:
    raw = file.read(table, page, file.page_size)
    nodes = _nodes(file, table, page, raw, LEAF_PAGE if depth == 1 else BRANCH_PAGE)
    if depth == 1:
        yield from (_entry(file, table, page, raw, offset) for offset in nodes)
        return
    children = []
    for index, offset in enumerate(nodes):
        low, high, flags, key_size = _NODE.unpack_from(raw, offset)
        key = raw[offset + 8 : offset + 8 + key_size] if index else b""
        children.append((key, low | high << 16 | flags << 32))
    for index, (key, child) in enumerate(children):
        beyond = stop is not None and key >= stop
        before = index + 1 < len(children) and children[index + 1][0] <= start
        if not beyond and not before:
            yield from _descend(file, table, child, depth - 1, start, stop)


def _nodes(file: PageFile, table: str, page: int, raw: bytes, kind: int) -> tuple[int, ...]:
    """Offsets of a page's nodes, each with its header inside the page."""
    number, _, flags, lower, upper = _HEADER.unpack_from(raw)
    if number != page or flags != kind:
        raise damaged_page(table, page, "is not the tree page that its parent names")
    if not (HEADER_BYTES < lower <= upper <= file.page_size and lower % 2 == 0):
        raise damaged_page(table, page, "has impossible bounds")
    offsets = struct.unpack_from(f"<{(lower - HEADER_BYTES) // 2}H", raw, HEADER_BYTES)
    for offset in offsets:
        if not upper <= offset <= file.page_size - 8:
            raise damaged_page(table, page, "has a node outside the page")
        if offset + 8 + _NODE.unpack_from(raw, offset)[3] > file.page_size:
            raise damaged_page(table, page, "has a key that runs out of the page")
    return offsets


def _entry(file: PageFile, table: str, page: int, raw: bytes, offset: int) -> Entry:
    low, high, flags, key_size = _NODE.unpack_from(raw, offset)
    size = low | high << 16
    start = offset + 8 + key_size
    key = raw[offset + 8 : start]
    if not 1 <= key_size <= KEY_SIZE:
        raise damaged_page(table, page, "has a key of impossible length")
    if flags == BIG_DATA:
        if start + 8 > file.page_size:
            raise damaged_page(table, page, "has a value that runs out of the page")
        (run,) = _U64.unpack_from(raw, start)
        file.require(table, run, file.run_pages(size))
        return Entry(key, flags, size, None, run, HEADER_BYTES)
    if flags not in {0, SUB_TREE} or start + size > file.page_size:
        raise damaged_page(table, page, "has a value that runs out of the page")
    return Entry(key, flags, size, raw[start : start + size], page, start)


def read_tables(file: PageFile, main: Tree, tables: type[TableSet] = Table) -> dict[TableSet, Tree]:
    """Read the records of all tables from the main tree. CorruptionError unless they are exactly those of `tables`."""
    found: dict[bytes, Tree] = {}
    for entry in leaf_entries(file, "main", main):
        if entry.flags != SUB_TREE or entry.value is None or entry.size != TREE_BYTES:
            raise damaged_page("main", entry.page, "holds something that is not a table")
        found[entry.key] = unpack_tree(entry.value)
    if found.keys() != {table.label.encode() for table in tables} or main.entries != len(found):
        raise damaged_page("main", main.root, "does not list the tables it should have")
    return {table: found[table.label.encode()] for table in tables}


def free_pages(file: PageFile, meta: Meta) -> npt.NDArray[np.int64]:
    """Read the numbers of all free pages, sorted. CorruptionError for a list that LMDB cannot have written."""
    lists = [numbers for _, numbers in free_lists(file, meta)]
    every = np.sort(np.concatenate(lists)) if lists else np.zeros(0, dtype=np.int64)
    if np.any(every[1:] == every[:-1]):
        raise damaged_page("free", meta.free.root, "lists a page twice")
    return every


def free_lists(file: PageFile, meta: Meta) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Iterate over (transaction id, pages it freed that are not used again yet), each checked."""
    for entry in leaf_entries_by_number(file, meta.free):
        raw = entry.value
        if raw is None:
            file.check_run("free", entry.page, entry.size)
            raw = os.pread(file.fd, entry.size, entry.page * file.page_size + HEADER_BYTES)
        numbers = np.frombuffer(raw[: len(raw) // 8 * 8], dtype="<u8").astype(np.int64)
        txn_id = int.from_bytes(entry.key, "little")
        sound = (
            len(entry.key) == 8
            and len(raw) == entry.size >= 8
            and entry.size % 8 == 0
            and 0 <= numbers[0] <= len(numbers) - 1
            and 1 <= txn_id <= meta.txn_id
        )
        numbers = numbers[1 : 1 + numbers[0]] if sound else numbers
        if not sound or np.any(numbers[1:] >= numbers[:-1]) or np.any(numbers < 2) or np.any(numbers > meta.last_page):
            raise damaged_page("free", entry.page, "has a damaged list of free pages")
        yield txn_id, numbers


def leaf_entries_by_number(file: PageFile, tree: Tree) -> Iterator[Entry]:
    """Iterate over the entries of the free tree, whose keys are little-endian u64 and sort as numbers."""
    if tree.root == EMPTY_ROOT:
        return
    if not 1 <= tree.depth <= CURSOR_STACK:
        raise damaged_page("free", tree.root, "is the root of a tree of impossible depth")
    last = -1
    for entry in _descend(file, "free", tree.root, tree.depth, b"", None):
        number = int.from_bytes(entry.key, "little")
        if number <= last:
            raise damaged_page("free", entry.page, "has a key out of order")
        last = number
        yield entry
