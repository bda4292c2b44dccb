"""Gives the disk's room of free pages back to the file system: their place in the file becomes a hole.

LMDB never shrinks a file. A hole takes no room, reads as zeros, and is filled again when LMDB writes its page, which it
does without reading it first. Neither the length of the file nor any page in use changes, so maps of it, in this and
other processes, stay as they are, and a crash between any two holes leaves a sound file.

Promises: only pages become holes that LMDB itself could overwrite in the very next commit: those freed by transactions
older than every reader's state and older than the newest one, which leaves the states of both meta pages whole. Where
the file system has no holes nothing happens.
Invariants: the caller holds the turn to write, so no page is taken into use meanwhile; the newest state is on the disk.
Concurrency: readers, of any process, go on. A reader that begins meanwhile sees the newest state.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Final

import numpy as np
import numpy.typing as npt

from vecdb.storage.config import HOLE_BYTES_MIN
from vecdb.storage.meta import Meta
from vecdb.storage.pagefile import PageFile, free_lists

__all__ = ["punch_free_pages", "taken_bytes"]

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
"""FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE of linux/falloc.h."""

_BLOCK_BYTES: Final = 512
"""Unit of st_blocks."""


def taken_bytes(fd: int) -> int:
    """Bytes of the disk that a file takes: without its holes."""
    return os.fstat(fd).st_blocks * _BLOCK_BYTES


def punch_free_pages(fd: int, meta: Meta, oldest: int, limit_bytes: int, shortest: int = HOLE_BYTES_MIN) -> int:
    """Make holes, of `shortest` bytes at least, of about `limit_bytes` of pages freed before transaction `oldest`.

    Returns how many bytes.

    `oldest` is at most the transaction of `meta`, the newest state. 0 means that nothing is left to do, or that the
    file system has no holes. CorruptionError for a damaged list of free pages.
    """
    if not hasattr(os, "SEEK_DATA"):
        return 0
    done = 0
    writable = -1
    try:
        for start, stop in _runs(_reusable(fd, meta, min(oldest, meta.txn_id)), meta.page_size, shortest):
            first = _first_data(fd, start, stop)
            if first is None:
                continue
            if writable < 0:
                writable = _reopened(fd)
            if writable < 0 or not _punch(writable, first, stop - first):
                break
            done += stop - first
            if done >= limit_bytes:
                break
    finally:
        if writable >= 0:
            os.close(writable)
    return done


def punch_end(fd: int, meta: Meta) -> None:
    """Make a hole of what lies behind the last page of `meta`, the newest state: what a write left that failed."""
    start, size = meta.file_bytes, os.fstat(fd).st_size
    if start >= size or not hasattr(os, "SEEK_DATA") or _first_data(fd, start, size) is None:
        return
    writable = _reopened(fd)
    if writable >= 0:
        _punch(writable, start, size - start)
        os.close(writable)


def _reusable(fd: int, meta: Meta, oldest: int) -> npt.NDArray[np.int64]:
    """Numbers of the free pages that no state from `oldest` on uses, ascending."""
    lists = [pages for txn_id, pages in free_lists(PageFile.at(fd, meta), meta) if txn_id < oldest]
    return np.sort(np.concatenate(lists)) if lists else np.zeros(0, dtype=np.int64)


def _runs(pages: npt.NDArray[np.int64], page_size: int, shortest: int) -> list[tuple[int, int]]:
    """Byte ranges of at least `shortest` that consecutive pages take."""
    if not len(pages):
        return []
    breaks = np.flatnonzero(np.diff(pages) != 1) + 1
    starts, stops = pages[np.r_[0, breaks]], pages[np.r_[breaks - 1, len(pages) - 1]] + 1
    long = (stops - starts) * page_size >= shortest
    return list(zip((starts[long] * page_size).tolist(), (stops[long] * page_size).tolist(), strict=True))


def _first_data(fd: int, start: int, stop: int) -> int | None:
    """Where the first byte of a range lies that takes room; None when there is none."""
    try:
        found = os.lseek(fd, start, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but holes from there to the end of the file
            return None
        raise
    return found if found < stop else None


def _reopened(fd: int) -> int:
    """A descriptor of the same file to change it by; -1 where the system does not offer one."""
    try:
        # Not by its name, which might be another file's by now.
        return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return -1


def _punch(fd: int, start: int, size: int) -> bool:
    """Make a hole; False when the file system does not."""
    library = ctypes.CDLL(None)
    fallocate = getattr(library, "fallocate64", None)
    if fallocate is None and sys.maxsize > 1 << 32:  # its offsets have 64 bits, as those of musl always
        fallocate = getattr(library, "fallocate", None)
    if fallocate is None:
        return False
    offsets = ctypes.c_int64(start), ctypes.c_int64(size)
    return int(fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, *offsets)) == 0
