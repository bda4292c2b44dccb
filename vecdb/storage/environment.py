"""Opens, checks, shares and closes the LMDB environment that is a database's directory.

    MANIFEST   what this directory is (`manifest`)          LOCK       who writes (`lock`)
    data.mdb   the data, mapped                             lock.mdb   LMDB's table of readers

Promises: a committed write survives the death of the process, and with durability="fsync" a power cut; with "async" a
power cut may lose the last ASYNC_SYNC_INTERVAL_S of writes and, on file systems that reorder writes, the file. A
damaged or truncated file is a typed error before it is mapped. Creation is all or nothing.
Invariants: one writer per directory; the map is reserved once and never resized; after close and in a forked child
every call raises ClosedError; the map outlives every transaction on it.
Concurrency: all methods from any thread. Writers wait for each other; readers wait for nobody.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import lmdb

from vecdb.config import ASYNC_SYNC_INTERVAL_S, MAP_BYTES_DEFAULT, MEMORY_DISK_BYTES_MIN
from vecdb.errors import (
    AlreadyExistsError,
    DatabaseNotFoundError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
    VecDBError,
)
from vecdb.storage.backup import write_backup
from vecdb.storage.config import HOLE_BYTES_MIN, RELEASE_STEP_BYTES
from vecdb.storage.creation import create_directory
from vecdb.storage.faults import closed_error, storage_error
from vecdb.storage.holes import punch_end, punch_free_pages, taken_bytes
from vecdb.storage.inspection import check_all, count_free_pages
from vecdb.storage.layout import DATABASE, Layout
from vecdb.storage.lock import DirectoryLock
from vecdb.storage.manifest import Manifest, new_manifest, read_manifest, write_manifest
from vecdb.storage.mapping import create_data_file, map_directory
from vecdb.storage.reserve import RESERVE_NAME, Reserve, kept_for_deletions
from vecdb.storage.shared import SharedEnvironment
from vecdb.storage.transactions import ReadTransaction, WriteTransaction
from vecdb.types import Durability, Mode

__all__ = ["Environment", "ReadTransaction", "WriteTransaction"]


class Environment:
    """An open database directory. Use `open_directory` or `open_memory`; a context manager."""

    def __init__(
        self,
        shared: SharedEnvironment,
        manifest: Manifest,
        *,
        path: Path,
        mode: Mode,
        durability: Durability,
        lock: DirectoryLock | None = None,
        directory: Path | None = None,
    ) -> None:
        self.path = path
        self.mode = mode
        self.durability = durability
        self._shared = shared
        self._manifest = manifest
        self._lock = lock
        self._directory = directory
        self._closing = threading.Lock()
        self._closed = False
        has_reserve = mode == "rw" and directory is None and shared.layout is DATABASE
        self.reserve = Reserve(path / RESERVE_NAME if has_reserve else None)
        self._syncer = _start_syncer(self) if mode == "rw" and durability == "async" and directory is None else None

    # --- opening and closing -----------------------------------------------------------------------------------------

    @classmethod
    def open_directory(
        cls,
        path: str | os.PathLike[str],
        mode: Mode = "rw",
        map_bytes: int = MAP_BYTES_DEFAULT,
        durability: Durability = "fsync",
        create: bool = True,
        layout: Layout = DATABASE,
    ) -> Environment:
        """Open a directory; mode "rw" creates it when it is missing or empty and `create` is true.

        A read-only database keeps following the writer. Errors: DatabaseNotFoundError, NotADatabaseError,
        FormatVersionError, DatabaseLockedError, CorruptionError, StorageFullError, StorageError.
        """
        directory = Path(os.path.realpath(os.fspath(path)))
        lock = None
        try:
            manifest = read_manifest(directory, layout)
        except DatabaseNotFoundError:
            if mode == "r" or not create:
                raise
            lock = _create(directory, map_bytes, layout)
            manifest = read_manifest(directory, layout)
        return _open(cls, directory, manifest, layout, mode=mode, map_bytes=map_bytes, durability=durability, lock=lock)

    @classmethod
    def open_memory(cls, map_bytes: int = MAP_BYTES_DEFAULT) -> Environment:
        """Open a private database in memory (or in the temporary directory) that vanishes with the process."""
        import tempfile  # noqa: PLC0415 - with what it imports, 3 ms that opening a directory need not wait for

        directory = Path(tempfile.mkdtemp(prefix="vecdb-", dir=_memory_root()))
        try:
            manifest = new_manifest(map_bytes)
            create_data_file(directory)
            shared = map_directory(directory, manifest.map_bytes, write=True, synced=False)
        finally:
            # The files stay as long as the map has them open; no name is left to clean up after a crash.
            shutil.rmtree(directory, ignore_errors=True)
        return cls(shared, manifest, path=Path(":memory:"), mode="rw", durability="async", directory=directory)

    def close(self) -> None:
        """Sync and close. Live read transactions stay valid until they are closed. Repeated calls do nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if self._shared.forked:
            return
        try:
            if self._syncer is not None:
                self._syncer.stop()
                self._sync()
        finally:
            if self.mode == "rw" and not self._shared.is_my_turn():
                # A write under way in another thread finishes first: until then the directory is not free.
                with self._shared.turn_to_write():
                    self._shared.writer_lock = None
            self._shared.release()
            if self._lock is not None:
                self._lock.release()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not sys.is_finalizing():
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """True after `close`, and in a forked child."""
        return self._closed or self._shared.forked

    @property
    def uuid(self) -> uuid.UUID:
        """Identity of the database; a backup has another."""
        return self._manifest.uuid

    # --- transactions ------------------------------------------------------------------------------------------------

    def begin_read(self) -> ReadTransaction:
        """Pin the newest committed state. About 2 µs; the caller closes it."""
        return ReadTransaction(self._open_shared())

    @contextmanager
    def write(self, *, frees: bool = False) -> Iterator[WriteTransaction]:
        """Write in one transaction: committed when the block ends, forgotten when it raises.

        `frees` says that it is to free room: then it may use what is kept for that (see `reserve`).
        """
        shared = self._open_shared()
        if self.reserve.is_out and not frees:
            self._renew_reserve()
        if self.mode == "r":
            raise ReadOnlyError("the database is open with mode='r'; open it with mode='rw' to write")
        with shared.turn_to_write():
            self._open_shared().require_sound()
            transaction = WriteTransaction(shared)
            try:
                yield transaction
                transaction.commit()
            except BaseException as error:
                # Also for an interrupt on the way into the commit, which would leave the transaction open for ever.
                transaction.abort()
                if isinstance(error, StorageFullError):
                    # What was written of it fills the disk, and a smaller write, such as a deletion, may find room.
                    with ReadTransaction(shared) as newest:
                        punch_end(shared.fd, newest.meta())
                raise
            if self.durability == "fsync" and not shared.synced:
                self._sync()
            self.reserve.keep(os.fstat(shared.fd).st_size)

    def _renew_reserve(self) -> None:
        """Make the reserve again, of the disk's room or of free pages; StorageFullError when neither has enough."""
        if not self.reserve.renew():
            self.release_free_pages(RELEASE_STEP_BYTES, 0)
        if not self.reserve.renew():
            raise kept_for_deletions("writing")

    def committed_txn(self) -> int:
        """Id of the newest committed transaction, by any process. About 0.7 µs.

        A read begun right after may, for an instant, still see the one before: compare its own `txn_id`.
        """
        try:
            return int(self._open_shared().env.info()["last_txnid"])
        except lmdb.Error as error:
            raise storage_error(error, "looking for commits") from None

    def sync(self) -> None:
        """Bring every committed write to the disk (needed with durability="async" only)."""
        self._open_shared().require_sound()
        self._sync()

    def _sync(self) -> None:
        try:
            self._shared.env.sync(True)
        except lmdb.Error as error:
            self._shared.poison(f"a sync failed ({error})")
            self._shared.require_sound()

    def oldest_own_txn(self) -> int:
        """Id of the oldest state that a transaction of this process still sees; the newest without transactions."""
        try:
            known = [txn for txn in self._open_shared().transactions if isinstance(txn, ReadTransaction)]
        except RuntimeError:
            # one was begun meanwhile
            return self.oldest_own_txn()
        return min((txn.txn_id for txn in known if txn.is_open), default=self.committed_txn())

    def oldest_read_txn(self) -> int:
        """Id of the oldest committed transaction that a reader, in any process, still sees; the newest without readers.

        About 10 µs and 0.1 µs per slot of the table of readers.
        """
        newest = self.committed_txn()
        try:
            table = self._open_shared().env.readers()
        except lmdb.Error as error:
            raise storage_error(error, "looking for readers") from None
        rows = [line.split() for line in table.splitlines()[1:]]
        return min([newest, *(int(row[2]) for row in rows if len(row) == 3 and row[2].isdecimal())])

    def check_readers(self) -> int:
        """Free reader slots of dead processes, which would pin old pages; return how many there were."""
        try:
            return int(self._open_shared().env.reader_check())
        except lmdb.Error as error:
            raise storage_error(error, "checking readers") from None

    # --- sizes -------------------------------------------------------------------------------------------------------

    @property
    def page_size(self) -> int:
        """Bytes per page."""
        return self._open_shared().page_size

    def file_bytes(self) -> int:
        """Size of data.mdb."""
        return os.fstat(self._open_shared().fd).st_size

    def free_bytes(self) -> int:
        """Bytes of data.mdb that later writes can use again (some only when old readers are gone)."""
        with self.begin_read() as transaction:
            return count_free_pages(transaction) * self.page_size

    def room(self) -> tuple[int, int]:
        """Bytes of the disk that data.mdb takes beyond the pages in use, and the bytes of these."""
        with self.begin_read() as transaction:
            free = count_free_pages(transaction)
            used = (transaction.meta().last_page + 1 - free) * self.page_size
        return max(taken_bytes(self._open_shared().fd) - used, 0), used

    def release_free_pages(self, limit_bytes: int, shortest: int = HOLE_BYTES_MIN) -> int:
        """Give the disk's room of about `limit_bytes` of free pages back; return how many, 0 when none is left to give.

        Writers wait meanwhile, readers do not. Pages a reader may still see, and runs below `shortest`, keep theirs.
        About 0.3 ms per MiB.
        """
        with self.write(frees=True):
            # What is on the disk must be the newest state: a power cut would else bring back one that uses the pages.
            self._sync()
            with self.begin_read() as newest:
                return punch_free_pages(self._shared.fd, newest.meta(), self.oldest_read_txn(), limit_bytes, shortest)

    def check_structure(self, transaction: ReadTransaction) -> int:
        """Check every B-tree page by file reads; return the number of pages in use. CorruptionError for damage.

        What `transaction` then reads through the map can be wrong, which checksums find, but cannot raise a signal.
        """
        self._open_shared()
        return check_all(transaction)

    def backup(self, target: str | os.PathLike[str], *, compact: bool = False, check: bool = False) -> None:
        """Copy the database, in one committed state, to a directory that does not exist yet. See `backup`."""
        path, map_bytes = Path(target).absolute(), self._manifest.map_bytes
        write_backup(self._open_shared(), path, map_bytes, compact=compact, check=check)

    def _open_shared(self) -> SharedEnvironment:
        if self._closed or self._shared.forked:
            raise closed_error(forked=self._shared.forked)
        return self._shared


def _open(
    cls: type[Environment],
    directory: Path,
    manifest: Manifest,
    layout: Layout,
    *,
    mode: Mode,
    map_bytes: int,
    durability: Durability,
    lock: DirectoryLock | None,
) -> Environment:
    if not layout.one_writer:
        if lock is not None:
            lock.release()
        lock = None
    elif mode == "rw" and lock is None:
        lock = _writer_lock(directory)
    try:
        if mode == "rw" and map_bytes > manifest.map_bytes:
            manifest = _enlarged(directory, manifest, map_bytes, layout)
            map_bytes = manifest.map_bytes
        wanted = map_bytes if mode == "rw" else manifest.map_bytes
        synced = mode == "r" or durability == "fsync"
        shared = map_directory(directory, wanted, layout, write=mode == "rw", synced=synced)
        if mode == "rw":
            shared.writer_lock = lock
        environment = cls(shared, manifest, path=directory, mode=mode, durability=durability, lock=lock)
        if mode == "rw":
            environment.check_readers()
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return environment


def _enlarged(directory: Path, manifest: Manifest, map_bytes: int, layout: Layout) -> Manifest:
    """Readers reserve what the manifest says, so it must say the largest map ever written through."""
    enlarged = manifest.with_map_bytes(map_bytes)
    try:
        write_manifest(directory, enlarged, layout)
    except OSError:
        # A full disk must not keep the owner from opening the database and deleting; the old map will do for that.
        return manifest
    return enlarged


def _create(directory: Path, map_bytes: int, layout: Layout) -> DirectoryLock | None:
    def build(temporary: Path) -> None:
        create_data_file(temporary, layout)
        write_manifest(temporary, new_manifest(map_bytes, layout), layout)

    try:
        return create_directory(directory, build)
    except AlreadyExistsError:
        return None


def _writer_lock(directory: Path) -> DirectoryLock:
    try:
        return DirectoryLock.acquire(directory)
    except OSError as error:
        if isinstance(error, VecDBError):
            raise
        raise StorageError(
            f"{directory} cannot be opened for writing ({error.strerror}); open it with mode='r'", path=str(directory)
        ) from None


def _memory_root() -> str | None:
    shm = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private directory in it
    try:
        room = os.statvfs(shm)
    except OSError:
        return None
    if room.f_bavail * room.f_frsize < MEMORY_DISK_BYTES_MIN or not os.access(shm, os.W_OK | os.X_OK):
        return None
    return str(shm)


class _Syncer:
    """Syncs every ASYNC_SYNC_INTERVAL_S when there is something new."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vecdb-sync", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        synced = 0
        while not self._stop.wait(ASYNC_SYNC_INTERVAL_S):
            try:
                committed = self._environment.committed_txn()
                if committed != synced:
                    self._environment.sync()
                    synced = committed
            except VecDBError:
                # Closed, or poisoned: the next writer is told.
                return


def _start_syncer(environment: Environment) -> _Syncer:
    return _Syncer(environment)
