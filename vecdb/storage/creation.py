"""Creates directories that are whole or not there: built beside their place under another name, synced, renamed.

Promises: after a crash at any instant the place holds nothing or a complete directory; a loser of a race changes
nothing.
Invariants: a builder holds the LOCK of its temporary directory, and keeps it through the rename; so one whose LOCK can
be taken belongs to nobody alive and may be removed.
Concurrency: safe between processes. Not here: what is built (`environment`, `backup`).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vecdb.config import CREATE_ATTEMPTS_MAX
from vecdb.errors import AlreadyExistsError, DatabaseLockedError, StorageError
from vecdb.storage.faults import full_error
from vecdb.storage.lock import LOCK_NAME, DirectoryLock
from vecdb.storage.manifest import INSIDE_PREFIX, MANIFEST_NAME, sync_directory

_NO_PLACE_BESIDE: Final = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}

__all__ = ["create_directory", "sweep_leftovers"]


def create_directory(target: Path, build: Callable[[Path], None]) -> DirectoryLock:
    """Fill a temporary sibling with `build`, sync it and rename it to `target`. Returns the LOCK, still held.

    `target` may be an empty directory. AlreadyExistsError when somebody else was first; the caller then opens that one.
    """
    try:
        return _create_beside(target, build)
    except OSError as error:
        if error.errno in _NO_PLACE_BESIDE and target.is_dir():
            return _create_inside(target, build)
        if isinstance(error, StorageError):
            raise
        raise _cannot_create(target, error) from None


def _create_beside(target: Path, build: Callable[[Path], None]) -> DirectoryLock:
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(target)
    for _ in range(CREATE_ATTEMPTS_MAX):
        try:
            return _create(target, build)
        except (FileNotFoundError, DatabaseLockedError):
            # A sweeper took the directory between mkdir and the taking of its lock.
            continue
    raise StorageError(f"{target} cannot be created: its temporary directory keeps disappearing", path=str(target))


def _create(target: Path, build: Callable[[Path], None]) -> DirectoryLock:
    temporary = target.parent / f"{_prefix(target)}{os.urandom(6).hex()}"
    temporary.mkdir(mode=0o700)
    lock = DirectoryLock.acquire(temporary)
    try:
        build(temporary)
        for path in temporary.iterdir():
            _sync_file(path)
        sync_directory(temporary)
        temporary.rename(target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        lock.release()
        if isinstance(error, OSError) and error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise AlreadyExistsError(f"{target} exists already", path=str(target)) from None
        raise
    sync_directory(target.parent)
    return lock


def _create_inside(target: Path, build: Callable[[Path], None]) -> DirectoryLock:
    """Fill an empty directory that cannot be replaced: a mount point, or one in a directory we may not write.

    MANIFEST, which makes it a database, is moved in last. A crash just before leaves a directory to be emptied by hand.
    """
    lock = DirectoryLock.acquire(target)
    try:
        for leftover in target.glob(f"{INSIDE_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        _require_empty(target)
        temporary = target / f"{INSIDE_PREFIX}{os.urandom(6).hex()}"
        temporary.mkdir(mode=0o700)
        build(temporary)
        for path in sorted(temporary.iterdir(), key=lambda path: path.name == MANIFEST_NAME):
            _sync_file(path)
            if path.name == MANIFEST_NAME:
                sync_directory(target)
            path.rename(target / path.name)
        temporary.rmdir()
        sync_directory(target)
    except BaseException as error:
        for leftover in target.glob(f"{INSIDE_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        lock.release()
        if isinstance(error, FileExistsError):
            raise AlreadyExistsError(f"{target} exists already", path=str(target)) from None
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise _cannot_create(target, error) from None
        raise
    return lock


def _require_empty(target: Path) -> None:
    if {path.name for path in target.iterdir()} != {LOCK_NAME}:
        raise FileExistsError(errno.EEXIST, "not empty", str(target))


def sweep_leftovers(target: Path) -> None:
    """Remove temporary siblings of `target` whose builders are dead. Never fails: leftovers only cost disk space."""
    prefix = _prefix(target)
    try:
        found = [entry for entry in os.scandir(target.parent) if entry.name.startswith(prefix)]
    except OSError:
        return
    for entry in found:
        _remove_if_dead(Path(entry.path))


def _remove_if_dead(leftover: Path) -> None:
    if not (leftover / LOCK_NAME).exists():
        try:
            # Empty: the builder died, or lives just before its lock and will start again. Not empty: not ours.
            leftover.rmdir()
        except OSError:
            pass
        return
    try:
        lock = DirectoryLock.acquire(leftover)
    except (DatabaseLockedError, OSError):
        return
    shutil.rmtree(leftover, ignore_errors=True)
    lock.release()


def _prefix(target: Path) -> str:
    return f".{target.name}.creating-"


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cannot_create(target: Path, error: OSError) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return full_error(f"creating {target}")
    return StorageError(f"{target} cannot be created: {error.strerror or error}", path=str(target))
