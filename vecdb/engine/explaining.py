"""Puts together what a search says of itself: plan, counters and times.

Concurrency: a Stopwatch belongs to one call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vecdb.types import Explain, SegmentPlan

if TYPE_CHECKING:
    from vecdb.engine.filtering import Matches


class Stopwatch:
    """Times the stages of one search."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.microseconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.microseconds[stage] = 1e6 * (now - self._last)
        self._last = now


def explained(parts: tuple[SegmentPlan, ...], matches: Matches | None, clock: Stopwatch) -> Explain:
    """The explanation of a search that was answered from `parts`."""
    clock.lap("records")
    tail = next((part for part in parts if part.where == "tail"), None)
    names = dict.fromkeys(part.plan for part in parts)
    remembered = matches is not None and matches.remembered
    return Explain(
        plan=" + ".join(names) or "nothing stored",
        ef=max((part.ef for part in parts), default=0),
        tail_rows=0 if tail is None else tail.rows,
        segments=sum(part.where != "tail" for part in parts),
        microseconds=clock.microseconds,
        matches=None if matches is None else matches.count,
        remembered=remembered,
        steps=() if matches is None or remembered else matches.steps,
        parts=parts,
    )
