"""Translates what LMDB and the system report into the errors of vecdb, and tells a full disk from a failing one.

Promises: every lmdb.Error leaves this package as a VecDBError whose message says what to do.
Invariants: an I/O error counts as a full disk only when the disk (or the file-size limit of the process) really lacks
room for what was being written; any other I/O error poisons the database, because it may have been a failed sync.
Concurrency: pure functions. Not here: remembering that a database is poisoned (`shared`).
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Final

import lmdb

from vecdb.config import FULL_DISK_SLACK_BYTES
from vecdb.errors import (
    ClosedError,
    CorruptionError,
    StorageError,
    StorageFullError,
    StoragePoisonedError,
    VecDBError,
)

__all__ = ["closed_error", "full_error", "lack_of_room", "poisoned_error", "storage_error"]

_FULL_CODES: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.CursorFullError,
    lmdb.IncompatibleError,
    lmdb.PageFullError,
    lmdb.BadTxnError,  # an earlier step of the transaction met damage and did not say so
)
_RESTORE: Final = "restore a backup, or run verify to see how much is damaged"


def storage_error(error: lmdb.Error, doing: str) -> VecDBError:
    """Return the vecdb error for an lmdb error met while `doing` something ("reading", "writing", "opening", ...)."""
    text = str(error)
    if isinstance(error, lmdb.MapFullError):
        return StorageFullError(
            "the reserved map is used up; delete records and optimize, or reopen with EngineConfig(map_bytes=more)"
        )
    if isinstance(error, lmdb.DiskError) or error.code in _FULL_CODES:
        return full_error(doing, limited=error.code == errno.EFBIG)
    if isinstance(error, lmdb.PanicError):
        return poisoned_error(f"an earlier write of the meta page failed ({text})")
    if isinstance(error, _DAMAGE):
        return CorruptionError(f"the data file is damaged: LMDB reported '{text}' while {doing}; {_RESTORE}")
    if isinstance(error, lmdb.ReadersFullError):
        return StorageError(
            "all reader slots are taken; close readers or long iterations, in this and other processes", doing=doing
        )
    if isinstance(error, lmdb.MapResizedError):
        return StorageError(
            "the file outgrew the address space this process could reserve; raise its limit (ulimit -v) and reopen",
            doing=doing,
        )
    if isinstance(error, lmdb.MemoryError):
        return StorageError(f"the operating system refused memory or address space while {doing}", doing=doing)
    if error.code == 0 and "closed/deleted/dropped" in text:
        return closed_error()
    return StorageError(f"LMDB reported '{text}' while {doing}", doing=doing, code=error.code)


def closed_error(*, forked: bool = False) -> ClosedError:
    """The error for anything done after close, or in a forked child."""
    if forked:
        return ClosedError(
            "this process is a fork of the one that opened the database; open it here again", forked=True
        )
    return ClosedError("the database, or this transaction of it, is closed; open it again")


def full_error(doing: str, *, limited: bool = False) -> StorageFullError:
    """The error for a disk (or quota) without room, or, if `limited`, for a file that this process may not enlarge."""
    cause = "no space left on the device"
    remedy = "free some and write again"
    if limited:
        cause = "the file may not grow beyond the file-size limit of this process (ulimit -f, RLIMIT_FSIZE)"
        remedy = "raise it and write again"
    return StorageFullError(f"{cause} while {doing}; {remedy}: reads go on and nothing stored is lost", doing=doing)


def poisoned_error(cause: str) -> StoragePoisonedError:
    """The error for a database whose last write may or may not be on disk."""
    return StoragePoisonedError(
        f"{cause}: what is on disk is uncertain; close the database, check the disk, reopen it and run verify"
    )


def lack_of_room(fd: int, needed_bytes: int, doing: str) -> StorageFullError | None:
    """The error if the file's disk, or the file-size limit of this process, lacks room for `needed_bytes` more.

    LMDB reports a short write as EIO, like a failed sync, so after EIO this is what tells them apart.
    """
    room = os.fstatvfs(fd)
    needed = needed_bytes + FULL_DISK_SLACK_BYTES
    if room.f_bavail * room.f_frsize < needed:
        return full_error(doing)
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and os.fstat(fd).st_size + needed > limit:
        return full_error(doing, limited=True)
    return None
