"""Tells whether a bulk load is under way: more vectors come than the background could index anyway.

Promises: a load that pauses for LOAD_WINDOW_S is none.
Concurrency: one thread.
"""

from __future__ import annotations

from collections import deque

from vecdb.engine.config import LOAD_ROWS_PER_S, LOAD_WINDOW_S


class Inflow:
    """How many vectors came in the last LOAD_WINDOW_S."""

    def __init__(self, now: float, rows: int) -> None:
        """`rows` were there `now`, in seconds of a monotonic clock."""
        self._seen: deque[tuple[float, int]] = deque([(now, rows)])

    def is_load(self, now: float, rows: int) -> bool:
        """Whether `rows`, which are there now, came as fast as in a load. To be asked after every commit."""
        seen = self._seen
        seen.append((now, rows))
        while len(seen) > 2 and seen[1][0] <= now - LOAD_WINDOW_S:
            seen.popleft()
        since, before = seen[0]
        return rows - before >= LOAD_ROWS_PER_S * max(now - since, LOAD_WINDOW_S)
