"""Keeps room on a full disk for what frees some: deletions, drops and sweeps.

LMDB changes no page in place, so even a deletion needs new pages, and a full disk has none: what could be freed would
be caught. So a file RESERVE beside the database holds room that nobody uses. When a deletion meets a full disk the file
is removed and the deletion tried again. From then on nothing is stored but what frees room, until the file can be made
again, which is tried before each other write: else the next record would take the room that the next deletion needs.

Promises: the reserve is a sixteenth of the data file at most, and nothing while that is small; failing to make it is no
error. What the file holds is never read: it may be removed at any time.
Concurrency: for the holder of the right to write.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from vecdb.errors import StorageFullError
from vecdb.storage.config import RESERVE_BYTES_MAX, RESERVE_BYTES_MIN, RESERVE_DISK_SHARE, RESERVE_SHARE

RESERVE_NAME: Final = "RESERVE"


class Reserve:
    """The reserve of one database; without a path there never is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._bytes = 0
        self._wanted = 0
        if path is not None and path.is_file():
            self._bytes = path.stat().st_size

    @property
    def is_out(self) -> bool:
        """Whether it was given away and not made again."""
        return self._wanted > 0

    def keep(self, data_bytes: int) -> None:
        """Let it grow with a data file of so many bytes, as long as the disk has plenty. Mostly a comparison."""
        wanted = min(data_bytes // RESERVE_SHARE, RESERVE_BYTES_MAX)
        if wanted < RESERVE_BYTES_MIN or wanted < 2 * self._bytes or self.is_out or self._path is None:
            return
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize >= RESERVE_DISK_SHARE * wanted:
            self._make(wanted)

    def give(self) -> bool:
        """Give its room to the disk; False when there is none."""
        if self._path is None or not self._bytes:
            return False
        self._wanted, self._bytes = self._bytes, 0
        self._path.unlink(missing_ok=True)
        return True

    def renew(self) -> bool:
        """Make it again after `give`; True when it is there, or was never given."""
        if self.is_out and self._make(self._wanted):
            self._wanted = 0
        return not self.is_out

    def _make(self, size: int) -> bool:
        """Take so much room of the disk; False when that cannot be had."""
        assert self._path is not None
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
        except (OSError, AttributeError):  # a system without fallocate has no reserve
            self._path.unlink(missing_ok=True)
            self._bytes = 0
            return False
        self._bytes = size
        return True


def kept_for_deletions(doing: str) -> StorageFullError:
    """The error for a write that would take the room of deletions."""
    return StorageFullError(
        f"no space left on the device while {doing}: what is left is kept for deletions; delete records or drop "
        "collections, or free some elsewhere, and write again: reads go on and nothing stored is lost",
        doing=doing,
    )
