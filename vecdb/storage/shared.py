"""Owns the LMDB environments of this process: one per data file, however many databases are open on it.

LMDB must not open a file twice in one process, so openers share it, counted. The count also covers live transactions:
the map stays until the last of them is closed, so that closing a database never pulls it from under a running search.

A forked child must not touch what it inherited: LMDB would change the parent's reader table, which is shared memory.
The child marks everything closed and frees its copy of the writer's lock. When it opens the same file again, the
inherited map is given up first, once nothing in the child refers to its transactions any more.

Promises: one LMDB environment per data file; no unmapping under a live transaction; a child never harms its parent.
Invariants: `env` is open while `references` > 0 and `forked` is False.
Concurrency: every function may be called from any thread. `writing` serialises write transactions of this process.
"""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import lmdb

from vecdb.config import FORK_CLOSE_TIMEOUT_S
from vecdb.errors import StorageError
from vecdb.storage.faults import closed_error, poisoned_error
from vecdb.storage.layout import DATABASE, Layout
from vecdb.storage.lock import DirectoryLock

if TYPE_CHECKING:
    from lmdb import _Database

    from vecdb.storage.transactions import ReadTransaction, WriteTransaction

__all__ = ["FileKey", "SharedEnvironment", "attach", "file_key", "opening", "register"]

FileKey: TypeAlias = tuple[int, int]


class SharedEnvironment:
    """An open LMDB environment and what goes with it. `fd` is a read-only descriptor of data.mdb for file reads."""

    def __init__(
        self,
        env: lmdb.Environment,
        *,
        fd: int,
        path: Path,
        page_size: int,
        writable: bool,
        synced: bool,
        directory_lock: DirectoryLock | None,
        layout: Layout = DATABASE,
    ) -> None:
        self.env = env
        self.layout = layout
        self.tables: tuple[_Database, ...] = ()
        self.fd = fd
        self.path = path
        self.writable = writable
        self.synced = synced
        self.forked = False
        self.writing = threading.Lock()
        self._writer_thread = 0
        self.writer_lock: DirectoryLock | None = None
        self._directory_lock = directory_lock
        self.transactions: weakref.WeakSet[ReadTransaction | WriteTransaction] = weakref.WeakSet()
        self.page_size = page_size
        self.map_address = 0
        self._references = 1
        self._poison: str | None = None
        self._key: FileKey | None = None

    def retain(self) -> None:
        """Count one more user. ClosedError when the last one has gone already."""
        with _lock:
            if self._references == 0 or self.forked:
                raise closed_error(forked=self.forked)
            self._references += 1

    def release(self) -> None:
        """Count one user less; the last one closes LMDB and unmaps the file."""
        if self.forked:
            return
        with _lock:
            self._references -= 1
            if self._references:
                return
            if self._key is not None:
                del _registry[self._key]
            self.env.close()
            os.close(self.fd)
            if self._directory_lock is not None:
                self._directory_lock.release()

    @contextmanager
    def turn_to_write(self) -> Iterator[None]:
        """Wait for this process's other writers. A write within a write of the same thread would wait for ever."""
        if self.is_my_turn():
            raise AssertionError("a write transaction was begun inside another one of the same thread")
        with self.writing:
            self._writer_thread = threading.get_ident()
            try:
                yield
            finally:
                self._writer_thread = 0

    def is_my_turn(self) -> bool:
        """True inside `turn_to_write` of the same thread."""
        return self._writer_thread == threading.get_ident()

    def abandon_locks(self) -> None:
        """Close a forked child's copies of the locks, which would otherwise outlive the parent."""
        for lock in (self.writer_lock, self._directory_lock):
            if lock is not None:
                lock.abandon()

    def poison(self, cause: str) -> None:
        """Remember that a write failed and left the file's state unknown; writing is over until a reopen."""
        self._poison = self._poison or cause

    def require_sound(self) -> None:
        """Raise StoragePoisonedError after `poison`."""
        if self._poison is not None:
            raise poisoned_error(self._poison)


_lock = threading.RLock()
_registry: dict[FileKey, SharedEnvironment] = {}
_inherited: dict[FileKey, SharedEnvironment] = {}


def opening() -> threading.RLock:
    """The lock to hold from looking a file up (`attach`) until it is registered."""
    return _lock


def file_key(fd: int) -> FileKey:
    """Identify a file by device and inode, as LMDB's own locks do."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def attach(key: FileKey) -> SharedEnvironment | None:
    """Return this process's environment of that file, counted once more, or None. Gives up one inherited by fork."""
    with _lock:
        if key in _inherited:
            _give_up_inherited(key)
        shared = _registry.get(key)
        if shared is not None:
            shared.retain()
        return shared


def register(key: FileKey, shared: SharedEnvironment) -> None:
    """Make a new environment known to later openers."""
    with _lock:
        shared._key = key  # noqa: SLF001 - the registry is the other half of the class
        _registry[key] = shared


def _give_up_inherited(key: FileKey) -> None:
    """Close the inherited LMDB environment in a forked child, without touching what the parent shares with it.

    LMDB's close would abort inherited transactions and so free the parent's reader slots; therefore every transaction
    object must be gone first: py-lmdb drops them without a call to LMDB when the process id has changed.
    """
    shared = _inherited[key]
    handles = [_disowned(wrapper) for wrapper in list(shared.transactions)]
    if any(handle() is not None for handle in handles):
        gc.collect()
    if shared.writing.locked() or any(handle() is not None for handle in handles):
        raise StorageError(
            f"{shared.path} was in use when this process was forked, so it cannot be opened here; "
            "fork before opening, or start processes with the 'spawn' method",
            path=str(shared.path),
        )
    # Close waits for operations that other threads of the parent had under way at the fork; here they never end.
    closing = threading.Thread(target=shared.env.close, name="vecdb-close-inherited", daemon=True)
    closing.start()
    closing.join(FORK_CLOSE_TIMEOUT_S)
    if closing.is_alive():
        raise StorageError(
            f"{shared.path} was being read when this process was forked, so it cannot be opened here; "
            "fork before opening, or start processes with the 'spawn' method",
            path=str(shared.path),
        )
    os.close(shared.fd)
    del _inherited[key]


def _disowned(wrapper: ReadTransaction | WriteTransaction) -> Callable[[], object]:
    """Take a transaction's handle away; the result tells (not None) whether something else still holds it."""
    handle = wrapper.disown()
    return (lambda: None) if handle is None else weakref.ref(handle)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    for key, shared in _registry.items():
        shared.forked = True
        shared.abandon_locks()
        _inherited[key] = shared
    _registry.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
