"""Reads and writes tables inside LMDB transactions.

Promises: a read transaction sees one committed state until it is closed; a write transaction is applied whole or not at
all; every failure is a vecdb error.
Invariants: memoryviews of a read transaction point into the map and are valid until it is closed: do not keep them
longer. Those of a write transaction are copies.
Concurrency: a read transaction may be handed between threads but not used by two at once; a write transaction stays on
its thread. Not here: what keys and values mean (`keys`, `codec`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import lmdb
import numpy as np

from vecdb.errors import VecDBError
from vecdb.storage.faults import closed_error, lack_of_room, poisoned_error, storage_error
from vecdb.storage.keys import Table, TableSet, prefix_stop
from vecdb.storage.layout import Layout
from vecdb.storage.meta import Meta, Tree, meta_txn_id, pread_meta, unpack_meta
from vecdb.storage.pagefile import PageFile, leaf_entries, read_tables
from vecdb.storage.record_reader import RecordReader
from vecdb.storage.shared import SharedEnvironment

if TYPE_CHECKING:
    from lmdb import _Database

__all__ = ["ReadTransaction", "WriteTransaction"]

_PATH_BYTES = 4 * 4096  # dirty pages a single put may add beside its value: the way from root to leaf, and a split


class ReadTransaction:
    """A pinned, consistent view of the database. Close it soon: the pages it sees cannot be reused before."""

    __slots__ = ("__weakref__", "_handle", "_meta", "_shared", "_trees", "records", "txn_id")

    def __init__(self, shared: SharedEnvironment) -> None:
        shared.retain()
        self._shared = shared
        self._handle: lmdb.Transaction[memoryview] | None = None
        self._trees: dict[TableSet, Tree] | None = None
        self.records: RecordReader | None = None
        try:
            self._begin()
        except lmdb.Error as error:
            shared.release()
            raise storage_error(error, "beginning to read") from None
        shared.transactions.add(self)

    def _begin(self) -> None:
        """Begin, and keep the meta page of the state pinned: its place is overwritten two commits later."""
        while True:
            handle = self._shared.env.begin(buffers=True)
            self.txn_id = int(handle.id())
            fd, number, page_size = self._shared.fd, self.txn_id & 1, self._shared.page_size
            self._meta = pread_meta(fd, number, page_size)
            # Twice: a writer two commits ahead may be replacing the page, and its id comes last.
            if meta_txn_id(self._meta) == self.txn_id and pread_meta(fd, number, page_size) == self._meta:
                self._handle = handle
                return
            handle.abort()

    def get(self, table: TableSet, key: bytes) -> memoryview | None:
        """Return the value, or None. About 0.4 µs."""
        handle = self.require_handle()
        try:
            return handle.get(key, None, self._shared.tables[table])
        except lmdb.Error as error:
            raise storage_error(error, f"reading {table.label}") from None

    def get_many(self, table: TableSet, keys: Sequence[bytes]) -> list[memoryview | None]:
        """Return the values in the order of `keys`, None where there is none. About 0.25 µs a key."""
        get, database = self.require_handle().get, self._shared.tables[table]
        try:
            return [get(key, None, database) for key in keys]
        except lmdb.Error as error:
            raise storage_error(error, f"reading {table.label}") from None

    def items(
        self, table: TableSet, start: bytes = b"", stop: bytes | None = None
    ) -> Iterator[tuple[bytes, memoryview]]:
        """Iterate over (key, value) with start <= key < stop, in key order. About 1 µs each."""
        return _items(self, self._shared, table, start, stop)

    def last_key(self, table: TableSet, prefix: bytes = b"") -> bytes | None:
        """Return the largest key that starts with `prefix`, or None."""
        return _last_key(self.require_handle(), self._shared, table, prefix)

    def count(self, table: TableSet) -> int:
        """Number of entries of a whole table; about 1 µs."""
        return _count(self.require_handle(), self._shared, table)

    def used_bytes(self, table: TableSet) -> int:
        """Bytes of the pages that a whole table takes; about 1 µs."""
        return _used_bytes(self.require_handle(), self._shared, table)

    # --- beside the map: LMDB's own pages, by file reads -------------------------------------------------------------

    def meta(self) -> Meta:
        """Meta page of the state this transaction sees."""
        self.require_handle()
        return unpack_meta(self._meta, self.txn_id & 1)

    def page_file(self) -> PageFile:
        """The data file's pages, as far as this transaction may see them."""
        return PageFile.at(self._shared.fd, self.meta())

    def tree(self, table: TableSet) -> Tree:
        """B-tree record of a table."""
        if self._trees is None:
            self._trees = read_tables(self.page_file(), self.meta().main, self._shared.layout.tables)
        return self._trees[table]

    def map_address(self) -> int:
        """Where the file is mapped in this process: page n of data.mdb is n * page_size bytes further."""
        if self._shared.map_address == 0:
            # LMDB does not tell, but one value whose place in the file is known gives it away.
            entry = next(leaf_entries(self.page_file(), "main", self.meta().main))
            view = self.require_handle().get(entry.key)
            if view is None:
                raise AssertionError("a table vanished from a pinned state")
            address = int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
            self._shared.map_address = address - entry.page * self._shared.page_size - entry.offset
        return self._shared.map_address

    def open_records(self) -> RecordReader:
        """Make `records`, which reads records past LMDB and is good as long as this transaction is open."""
        if self.records is None:
            self.records = RecordReader(self.map_address(), self.page_file(), self.tree(Table.RECORDS))
        return self.records

    def copy(self, directory: str, *, compact: bool) -> None:
        """Let LMDB write a copy of the data file into a directory; a compact one is of exactly this state."""
        handle = self.require_handle()
        # LMDB can copy a given state only when compacting; a plain copy is of the newest state.
        self._shared.env.copy(directory, compact=compact, txn=handle if compact else None)

    @property
    def layout(self) -> Layout:
        """What kind of directory this is of."""
        return self._shared.layout

    @property
    def is_open(self) -> bool:
        """True until `close`: the pages of its state are kept."""
        return self._handle is not None

    def close(self) -> None:
        """Let go of the view. Repeated calls do nothing."""
        handle = self.disown()
        if handle is None or self._shared.forked:
            return
        handle.abort()
        # LMDB frees the reader slot when the handle goes, which must be before the environment may close.
        del handle
        self._shared.release()

    def disown(self) -> lmdb.Transaction[memoryview] | None:
        """Give the handle away, so that this object can do nothing more."""
        handle, self._handle = self._handle, None
        return handle

    def require_handle(self) -> lmdb.Transaction[memoryview]:
        """LMDB's transaction; ClosedError after close and in a forked child."""
        handle = self._handle
        if handle is None or self._shared.forked:
            raise closed_error(forked=self._shared.forked)
        return handle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


class WriteTransaction:
    """The only write transaction of its moment. Made by `Environment.write`, which commits or aborts it."""

    __slots__ = ("__weakref__", "_bytes", "_handle", "_shared", "txn_id")

    def __init__(self, shared: SharedEnvironment) -> None:
        shared.retain()
        self._shared = shared
        self._handle: lmdb.Transaction[bytes] | None = None
        self._bytes = 0
        try:
            self._handle = shared.env.begin(write=True)
            self.txn_id = int(self._handle.id())
        except lmdb.Error as error:
            shared.release()
            raise storage_error(error, "beginning to write") from None
        shared.transactions.add(self)

    def get(self, table: TableSet, key: bytes) -> memoryview | None:
        """Return a copy of the value as this transaction sees it, or None."""
        value = self.require_handle().get(key, None, self._shared.tables[table])
        return None if value is None else memoryview(value)

    def get_many(self, table: TableSet, keys: Sequence[bytes]) -> list[memoryview | None]:
        """Return copies of the values in the order of `keys`, None where there is none."""
        get, database = self.require_handle().get, self._shared.tables[table]
        try:
            values = [get(key, None, database) for key in keys]
        except lmdb.Error as error:
            raise storage_error(error, f"reading {table.label}") from None
        return [None if value is None else memoryview(value) for value in values]

    def items(
        self, table: TableSet, start: bytes = b"", stop: bytes | None = None
    ) -> Iterator[tuple[bytes, memoryview]]:
        """Iterate over (key, copy of the value) with start <= key < stop. Do not write to the table meanwhile."""
        for key, value in _items(self, self._shared, table, start, stop):
            yield key, memoryview(value)

    def last_key(self, table: TableSet, prefix: bytes = b"") -> bytes | None:
        """Return the largest key that starts with `prefix`, or None."""
        return _last_key(self.require_handle(), self._shared, table, prefix)

    def count(self, table: TableSet) -> int:
        """Number of entries of a whole table."""
        return _count(self.require_handle(), self._shared, table)

    def used_bytes(self, table: TableSet) -> int:
        """Bytes of the pages that a whole table takes, as this transaction leaves it."""
        return _used_bytes(self.require_handle(), self._shared, table)

    def put(self, table: TableSet, key: bytes, value: bytes | bytearray | memoryview) -> None:
        """Set a value. Values up to 2 GiB; large ones are copied once, straight to their pages."""
        handle = self.require_handle()
        self._bytes += len(value) + _PATH_BYTES
        try:
            handle.put(key, value, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._failed(error, f"writing {table.label}") from None

    def put_many(self, table: TableSet, items: Sequence[tuple[bytes, bytes]], *, append: bool = False) -> None:
        """Set many values; about 1 µs each. `append` is faster for ascending keys beyond the table's last one."""
        handle = self.require_handle()
        self._bytes += sum(len(value) for _, value in items) + len(items) * _PATH_BYTES
        try:
            with handle.cursor(self._shared.tables[table]) as cursor:
                _, added = cursor.putmulti(items, append=append)
        except lmdb.Error as error:
            raise self._failed(error, f"writing {table.label}") from None
        if added != len(items):
            raise AssertionError(f"append to {table.label} with keys that do not ascend beyond the last one")

    def delete(self, table: TableSet, key: bytes) -> bool:
        """Remove a key; tell whether it was there."""
        handle = self.require_handle()
        self._bytes += _PATH_BYTES
        try:
            return handle.delete(key, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._failed(error, f"deleting from {table.label}") from None

    def delete_many(self, table: TableSet, keys: Iterable[bytes]) -> int:
        """Remove keys; return how many were there."""
        return sum(self.delete(table, key) for key in keys)

    def delete_range(self, table: TableSet, start: bytes, stop: bytes | None, limit_bytes: int | None = None) -> int:
        """Remove keys in start <= key < stop until about `limit_bytes` of values are gone; return how many keys.

        Call it in further transactions until it returns 0.
        """
        handle = self.require_handle()
        database = self._shared.tables[table]
        removed = 0
        try:
            # Counting pages, not values: asking py-lmdb for a value would read all its pages.
            least = _pages(handle, database) - (1 << 62 if limit_bytes is None else limit_bytes // 4096)
            with handle.cursor(database) as cursor:
                found = cursor.set_range(start) if start else cursor.first()
                while found and (stop is None or cursor.key() < stop):
                    cursor.delete()
                    removed += 1
                    found = bool(cursor.key())
                    if _pages(handle, database) <= least:
                        break
        except lmdb.Error as error:
            raise self._failed(error, f"deleting from {table.label}") from None
        self._bytes += removed * _PATH_BYTES
        return removed

    def commit(self) -> None:
        """Make the writes durable as the environment was opened to, and visible."""
        handle = self.require_handle()
        try:
            handle.commit()
        except lmdb.Error as error:
            raise self._failed(error, "committing") from None
        finally:
            self._finish()

    def abort(self) -> None:
        """Forget the writes. Repeated calls, and calls after commit, do nothing."""
        handle = self._handle
        if handle is None:
            return
        if not self._shared.forked:
            handle.abort()
        self._finish()

    def disown(self) -> lmdb.Transaction[bytes] | None:
        """Give the handle away, so that this object can do nothing more."""
        handle, self._handle = self._handle, None
        return handle

    def _finish(self) -> None:
        if self.disown() is not None:
            self._shared.release()

    def require_handle(self) -> lmdb.Transaction[bytes]:
        """LMDB's transaction; ClosedError after commit, abort, and in a forked child."""
        handle = self._handle
        if handle is None or self._shared.forked:
            raise closed_error(forked=self._shared.forked)
        return handle

    def _failed(self, error: lmdb.Error, doing: str) -> VecDBError:
        """Tell a full disk from a failing one; the latter poisons the environment."""
        if error.code == errno.EIO:
            if full := lack_of_room(self._shared.fd, self._bytes, doing):
                return full
            self._shared.poison(f"an input/output error while {doing}")
            return poisoned_error(f"an input/output error while {doing}")
        if isinstance(error, lmdb.PanicError):
            self._shared.poison(f"LMDB gave up while {doing}")
        return storage_error(error, doing)


def _pages(handle: lmdb.Transaction[bytes], database: _Database) -> int:
    stat = handle.stat(database)
    return stat["leaf_pages"] + stat["overflow_pages"]


def _items(
    owner: ReadTransaction | WriteTransaction,
    shared: SharedEnvironment,
    table: TableSet,
    start: bytes,
    stop: bytes | None,
) -> Iterator[tuple[bytes, Any]]:
    try:
        with owner.require_handle().cursor(shared.tables[table]) as cursor:
            if not (cursor.set_range(start) if start else cursor.first()):
                return
            for found, value in cursor:
                key = bytes(found)
                if stop is not None and key >= stop:
                    return
                yield key, value
                owner.require_handle()
    except lmdb.Error as error:
        raise storage_error(error, f"reading {table.label}") from None


def _last_key(handle: lmdb.Transaction[Any], shared: SharedEnvironment, table: TableSet, prefix: bytes) -> bytes | None:
    stop = prefix_stop(prefix)
    try:
        with handle.cursor(shared.tables[table]) as cursor:
            beyond = stop is not None and cursor.set_range(stop)
            found = cursor.prev() if beyond else cursor.last()
            key = bytes(cursor.key()) if found else None
    except lmdb.Error as error:
        raise storage_error(error, f"reading {table.label}") from None
    return key if key is not None and key.startswith(prefix) else None


def _used_bytes(handle: lmdb.Transaction[Any], shared: SharedEnvironment, table: TableSet) -> int:
    try:
        stat = handle.stat(shared.tables[table])
    except lmdb.Error as error:
        raise storage_error(error, f"reading {table.label}") from None
    return (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * shared.page_size


def _count(handle: lmdb.Transaction[Any], shared: SharedEnvironment, table: TableSet) -> int:
    try:
        return int(handle.stat(shared.tables[table])["entries"])
    except lmdb.Error as error:
        raise storage_error(error, f"reading {table.label}") from None
