"""The limits of the file's room on the disk, each with where it comes from; used here and by the engine's sweeper."""

from __future__ import annotations

from typing import Final

HOLE_BYTES_MIN: Final = 64 * 1024
"""Shorter runs of free pages keep their room: commits of users take these soon, and many small extents make a file
slow. Where somebody asks for all the room there is (`optimize`), single pages give theirs, too: after a bulk load of
117,000 records 750 runs, 1.4 % of the file, in 10 ms."""

RELEASE_STEP_BYTES: Final = 64 * 1024 * 1024
"""Free pages made holes in one go, while writers wait: about 30 ms."""

RELEASE_BYTES_MIN: Final = 8 * 1024 * 1024
RELEASE_SHARE: Final = 0.125
"""Without being asked, room is given back when at least this much is free, and this share of what is in use: what the
next commits would take again stays."""

RESERVE_SHARE: Final = 16
RESERVE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Room kept for deletions on a full disk: one of 50 records anywhere takes up to 500 pages, their metadata indexes
included, and what one commit frees the next but one uses again. Twice as much would be 1 % of 100,000 records of 384
components."""

RESERVE_BYTES_MIN: Final = 256 * 1024
"""Below it, that is for data files of less than 4 MiB, no room is kept: it would be much of what they take."""

RESERVE_DISK_SHARE: Final = 4
"""So many times the reserve must be free when it is made or grows, so that it is not what fills the disk."""
