"""Counts the room that copies of sketches and lists of matches take.

The sketches of the rows that a filter matches are copied side by side when it is asked for again and again (see
`kernels.copied`): a scan of copies takes less than half the time. They live with what a View remembers of the
filter.
Concurrency: threads that copy at once may together take a copy's size more than there is.
"""

from __future__ import annotations

from dataclasses import dataclass

from vecdb.engine.config import COPIES_BYTES


@dataclass(slots=True)
class CopyRoom:
    """Bytes that are left for copies."""

    left: int = COPIES_BYTES

    def take(self, size: int) -> bool:
        """Take room, if there is as much."""
        if size > self.left:
            return False
        self.left -= size
        return True
