"""Holds a directory's LOCK file, so that there is one writer, and says who it is.

Promises: at most one process holds the lock; the kernel frees it when that process dies, however it dies.
Invariants: the lock is the flock, never the file's content, which only names the holder for messages and may be stale.
Concurrency: one object per holder; `acquire` never waits. A forked child must call `abandon`, or it would keep the
lock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from vecdb.errors import DatabaseLockedError, StorageError

__all__ = ["LOCK_NAME", "DirectoryLock", "holder_of"]

LOCK_NAME = "LOCK"


class DirectoryLock:
    """An flock on the LOCK file of a directory, exclusive for the writer, shared for readers without a reader table."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    @classmethod
    def acquire(cls, directory: Path) -> DirectoryLock:
        """Take the writer's lock and write down who holds it. DatabaseLockedError when somebody else does."""
        path = directory / LOCK_NAME
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(fd)
            os.close(fd)
            raise _locked(directory, holder) from None
        except OSError as error:
            os.close(fd)
            raise StorageError(f"the file system refused to lock {path}: {error.strerror}", path=str(path)) from None
        if not _is_file_at(fd, path):
            # Somebody removed the file between opening and locking it; a lock nobody else can find locks nothing.
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "the lock file was removed", str(path))
        _write_holder(fd)
        return cls(fd, path)

    @classmethod
    def acquire_shared(cls, directory: Path) -> DirectoryLock | None:
        """Keep writers out of a directory this process may only read; None when there is no LOCK file to read."""
        path = directory / LOCK_NAME
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(fd)
            os.close(fd)
            raise _locked(directory, holder) from None
        except OSError:
            os.close(fd)
            return None
        return cls(fd, path)

    def release(self) -> None:
        """Free the lock. Repeated calls do nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # Closing the child's copy leaves the parent's lock alone: an flock belongs to the open file the parent holds.
    abandon = release


def holder_of(directory: Path) -> dict[str, object] | None:
    """Who holds the writer's lock: pid, host and start, as far as they can be read; None when nobody does.

    It asks by taking the lock for an instant, shared, so an `acquire` at that moment can be refused.
    """
    try:
        lock = DirectoryLock.acquire_shared(directory)
    except DatabaseLockedError as error:
        return dict(error.details["holder"])
    if lock is not None:
        lock.release()
    return None


def _locked(directory: Path, holder: dict[str, object]) -> DatabaseLockedError:
    who = "another process"
    if holder:
        mine = holder.get("pid") == os.getpid() and holder.get("host") == os.uname().nodename
        who = "this process" if mine else f"process {holder.get('pid')} on {holder.get('host')}"
        who += f" since {holder.get('started')}"
    return DatabaseLockedError(
        f"{directory} is open for writing by {who}; close it there, or open it here with mode='r'",
        path=str(directory),
        holder=holder,
    )


def _is_file_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(fd: int) -> None:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "started": started})
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)
    except OSError:
        # A full disk must not keep the owner out: the content is only for messages.
        return


def _read_holder(fd: int) -> dict[str, object]:
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
    except (OSError, ValueError):
        return {}
    return {key: holder.get(key) for key in ("pid", "host", "started")} if isinstance(holder, dict) else {}
