"""Maps a directory's data file: checks it first, reserves address space, opens the tables, or shares what is mapped.

Promises: the file's meta pages and length are checked by reads before the map is touched; a missing or empty data file
of an existing database is a CorruptionError, never a silent new database.
Invariants: the reservation is halved, down to MAP_BYTES_MIN or twice the file, only when the operating system refuses
it.
Concurrency: one opening at a time per process (`shared.opening`); any number of processes.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lmdb

from vecdb.config import LMDB_OPEN_ATTEMPTS_MAX, LMDB_OPEN_RETRY_S, MAP_BYTES_MIN, READERS_MAX
from vecdb.errors import CorruptionError, StorageError
from vecdb.storage.faults import full_error, storage_error
from vecdb.storage.inspection import check_opening
from vecdb.storage.layout import DATABASE, Layout
from vecdb.storage.lock import DirectoryLock
from vecdb.storage.meta import newest_meta, read_metas
from vecdb.storage.shared import SharedEnvironment, attach, file_key, opening, register
from vecdb.storage.transactions import ReadTransaction

if TYPE_CHECKING:
    from lmdb import _Database

__all__ = ["DATA_NAME", "create_data_file", "map_directory"]

DATA_NAME: Final = "data.mdb"
_LMDB_LOCK_NAME: Final = "lock.mdb"
_LMDB_LOCK_BYTES: Final = (READERS_MAX + 64) * 64
"""Room for the table of readers, a cache line each, and for what LMDB keeps in front of it."""
_ENGINE: Final = 0  # LMDB 0.9: its data format is what `meta` and `pages` read


def create_data_file(directory: Path, layout: Layout = DATABASE) -> None:
    """Make a new data file with all tables, empty. The directory exists and is nobody else's."""
    try:
        env = _open_lmdb(directory, MAP_BYTES_MIN, layout, readonly=False, lock=True, synced=True)
        try:
            with env.begin(write=True) as transaction:
                for table in layout.tables:
                    env.open_db(table.label.encode(), txn=transaction)
        finally:
            env.close()
    except lmdb.Error as error:
        raise storage_error(error, f"creating {directory}") from None


def map_directory(
    directory: Path, map_bytes: int, layout: Layout = DATABASE, *, write: bool, synced: bool
) -> SharedEnvironment:
    """Return this process's environment of the directory's data file, opening it when there is none yet.

    A reader maps the file so that a writer in the same process can share it later, if this process may write it at all.
    """
    fd = _open_data_file(directory, layout)
    try:
        with opening():
            key = file_key(fd)
            shared = attach(key)
            if shared is None:
                shared = _map(directory, fd, map_bytes, layout, write=write, synced=synced)
                register(key, shared)
                fd = -1
            elif write and not shared.writable:
                shared.release()
                raise StorageError(
                    f"this process opened {directory} when it could not write it; close that first",
                    path=str(directory),
                )
    finally:
        if fd >= 0:
            os.close(fd)
    return shared


def _open_data_file(directory: Path, layout: Layout) -> int:
    try:
        fd = os.open(directory / DATA_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CorruptionError(
            f"{directory} is a {layout.noun} but its {DATA_NAME} is missing; {layout.remedy}", path=str(directory)
        ) from None
    except OSError as error:
        raise StorageError(f"{directory / DATA_NAME} cannot be read: {error.strerror}", path=str(directory)) from None
    return fd


def _map(directory: Path, fd: int, map_bytes: int, layout: Layout, *, write: bool, synced: bool) -> SharedEnvironment:
    page_size = _require_metas(fd, map_bytes)
    lock = write or _may_lock(directory)
    may_write = write or (lock and os.access(directory / DATA_NAME, os.W_OK))
    # Without LMDB's table of readers, only the absence of any writer makes reading safe.
    directory_lock = None if lock else DirectoryLock.acquire_shared(directory)
    env = None
    try:
        env = _reserve(directory, fd, map_bytes, layout, readonly=not may_write, lock=lock, synced=synced)
        shared = SharedEnvironment(
            env,
            fd=fd,
            path=directory,
            page_size=page_size,
            writable=may_write,
            synced=synced,
            directory_lock=directory_lock,
            layout=layout,
        )
        with ReadTransaction(shared) as transaction:
            check_opening(transaction, write=write)
        shared.tables = _open_tables(env, layout)
    except BaseException:
        if env is not None:
            env.close()
        if directory_lock is not None:
            directory_lock.release()
        raise
    return shared


def _require_metas(fd: int, map_bytes: int) -> int:
    """Check the meta pages; return the page size."""
    meta = newest_meta(read_metas(fd))
    size = os.fstat(fd).st_size
    # LMDB would raise the map to what the meta page says; a sound file may be a little shorter (see `inspection`).
    if meta.file_bytes > max(map_bytes, size):
        raise CorruptionError(
            f"{DATA_NAME} is truncated or its meta page is damaged: it has {size} bytes instead of {meta.file_bytes}; "
            "restore a backup of the database",
            file=DATA_NAME,
        )
    return meta.page_size


def _may_lock(directory: Path) -> bool:
    path = directory / _LMDB_LOCK_NAME
    return os.access(path if path.exists() else directory, os.R_OK | os.W_OK)


def _reserve(
    directory: Path, fd: int, map_bytes: int, layout: Layout, *, readonly: bool, lock: bool, synced: bool
) -> lmdb.Environment:
    least = max(MAP_BYTES_MIN, 2 * os.fstat(fd).st_size)
    size = map_bytes
    while True:
        try:
            return _open_patiently(directory, size, layout, readonly=readonly, lock=lock, synced=synced)
        except lmdb.MemoryError:
            if size // 2 < least:
                raise StorageError(
                    f"the operating system refuses to map {size >> 20} MiB of address space for {directory}; "
                    "raise the limit (ulimit -v)",
                    path=str(directory),
                ) from None
            size //= 2
        except lmdb.Error as error:
            raise storage_error(error, f"opening {directory}") from None


def _open_patiently(
    directory: Path, size: int, layout: Layout, *, readonly: bool, lock: bool, synced: bool
) -> lmdb.Environment:
    for attempt in range(LMDB_OPEN_ATTEMPTS_MAX):
        try:
            return _open_lmdb(directory, size, layout, readonly=readonly, lock=lock, synced=synced)
        except lmdb.Error as error:
            # LMDB's reader table can be caught between its last user's exit and the next one's start.
            transient = isinstance(error, lmdb.LockError) or error.code in {errno.EAGAIN, errno.EINVAL, errno.EINTR}
            if not transient or attempt == LMDB_OPEN_ATTEMPTS_MAX - 1:
                raise
            time.sleep(LMDB_OPEN_RETRY_S)
    raise AssertionError("unreachable")


def _allocate_lock_file(directory: Path) -> None:
    """Give LMDB's table of readers its disk space: LMDB maps it, and touching a page without space ends the process."""
    try:
        fd = os.open(directory / _LMDB_LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, _LMDB_LOCK_BYTES)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise full_error(f"opening {directory}") from None
        raise StorageError(
            f"{directory / _LMDB_LOCK_NAME} cannot be written: {error.strerror}", path=str(directory)
        ) from None


def _open_lmdb(
    directory: Path, size: int, layout: Layout, *, readonly: bool, lock: bool, synced: bool
) -> lmdb.Environment:
    if lock:
        _allocate_lock_file(directory)
    return lmdb.Environment(
        str(directory),
        map_size=size,
        readonly=readonly,
        create=False,
        mode=0o700,
        max_dbs=len(layout.tables),
        max_readers=READERS_MAX,
        readahead=False,
        lock=lock,
        sync=synced,
        metasync=synced and layout.metasync,
        lib_version=_ENGINE,
    )


def _open_tables(env: lmdb.Environment, layout: Layout) -> tuple[_Database, ...]:
    try:
        return tuple(env.open_db(table.label.encode(), create=False) for table in layout.tables)
    except lmdb.NotFoundError as error:
        raise CorruptionError(f"data.mdb lacks a table ({error}); {layout.remedy}") from None
    except lmdb.Error as error:
        raise storage_error(error, "opening tables") from None
