"""Tells whether a bulk load is under way: more vectors come than the background could index anyway.

Promises: a load that pauses for LOAD_PAUSE_S is none.
Concurrency: one thread.
"""

from __future__ import annotations

from collections import deque

from vecdb.engine.config import LOAD_PAUSE_S, LOAD_ROWS_PER_S, LOAD_WINDOW_S


class Inflow:
    """How many vectors came in the last LOAD_WINDOW_S, and when it was last a load."""

    def __init__(self, now: float, rows: int) -> None:
        """`rows` were there `now`, in seconds of a monotonic clock."""
        self._seen: deque[tuple[float, int]] = deque([(now, rows)])
        self._loading_until = now

    def is_load(self, now: float, rows: int) -> bool:
        """Whether `rows`, which are there now, came as fast as in a load, or did lately. To be asked after commits."""
        seen = self._seen
        seen.append((now, rows))
        while len(seen) > 2 and seen[1][0] <= now - LOAD_WINDOW_S:
            seen.popleft()
        # the first may be from long ago, when it was quiet; what came since the second came within the window
        if any(_is_fast(now - since, rows - before) for since, before in (seen[0], seen[1])):
            self._loading_until = now + LOAD_PAUSE_S
        return now < self._loading_until


def _is_fast(seconds: float, rows: int) -> bool:
    return rows >= LOAD_ROWS_PER_S * max(seconds, LOAD_WINDOW_S)
