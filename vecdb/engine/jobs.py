"""Decides which index job comes next, and knows who waits for what.

Promises: planning is a pure function of one View. Concurrency: `Callers` is for any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from vecdb.config import DEAD_RATIO_COMPACT, MERGE_RATIO, SEGMENTS_MAX, TAIL_ROWS_KEEP, TAIL_ROWS_SETTLE
from vecdb.engine.compaction import Job

if TYPE_CHECKING:
    from vecdb.engine.view import CollectionView, FieldView, SegmentView


class Effort(Enum):
    """How far to go: what the background does, what `wait_indexed` asks for, what `optimize` asks for."""

    BACKGROUND = 1
    SETTLE = 2
    OPTIMIZE = 3


@dataclass(slots=True)
class Request:
    """What a caller of `settle`, or one round in the background, asks for.

    `bounds`: the row up to which each (collection, field) is to be indexed. `left_out`: those not to plan for.
    """

    collections: list[int]
    effort: Effort
    threads: int
    bounds: dict[tuple[int, int], int] = field(default_factory=dict)
    deadline: float | None = None
    progress: Callable[[int, int], None] | None = None
    left_out: set[tuple[int, int]] = field(default_factory=set)

    def left(self, most: float = inf) -> float:
        """Seconds until the deadline (inf: there is none), or `most` where that is less."""
        return min(most, inf if self.deadline is None else max(0.0, self.deadline - time.monotonic()))


class Callers:
    """Those who wait for jobs."""

    def __init__(self) -> None:
        self._requests: tuple[Request, ...] = ()
        self._lock = threading.Lock()

    @contextmanager
    def waiting(self, request: Request) -> Iterator[None]:
        """Count a caller in, for as long as the block lasts."""
        with self._lock:
            self._requests = (*self._requests, request)
        try:
            yield
        finally:
            with self._lock:
                self._requests = tuple(one for one in self._requests if one is not request)

    def any(self) -> bool:
        """Whether anybody waits."""
        return bool(self._requests)

    def want(self, job: Job, now: FieldView) -> bool:
        """Whether somebody waits for so many rows that came after those of a job that they had better be part of it.

        Who wants everything in one segment does not, where the job leaves others as they are: all is built anew then.
        """
        wanting = [one for one in self._requests if one.bounds.get(job.key, 0) > job.bound]
        alone = len(now.segments) == len(job.replaced)
        wanting = [one for one in wanting if one.effort is not Effort.OPTIMIZE or alone]
        came = now.tail.live - job.tail.live
        return job.seals_tail and any(one.effort is Effort.OPTIMIZE or came >= TAIL_ROWS_SETTLE for one in wanting)


def plan_job(
    collection: CollectionView, field: FieldView, effort: Effort, tail_rows_index: int, bound: int | None = None
) -> Job | None:
    """Decide the next job for a field, None when it is in shape.

    A tail that is due is sealed together with the newest segments it is not small against (MERGE_RATIO), so segments
    shrink geometrically towards the tail and a row takes part in O(log n) merges.
    """
    segments = field.segments
    tail_due = _tail_is_due(field, effort, tail_rows_index, bound)
    if effort is Effort.OPTIMIZE and (tail_due or len(segments) > 1 or any(view.dead_count for view in segments)):
        return _job(collection, field, segments, seals_tail=bool(field.tail.rows))
    if tail_due:
        return _job(collection, field, _suffix(segments, field.tail.live), seals_tail=True)
    for view in segments:
        if view.dead_count > DEAD_RATIO_COMPACT * view.entry.rows:
            return _job(collection, field, (view,), seals_tail=False)
    if len(segments) > SEGMENTS_MAX:
        return _job(collection, field, segments[-2:], seals_tail=False)
    return None


def _tail_is_due(field: FieldView, effort: Effort, tail_rows_index: int, bound: int | None) -> bool:
    tail = field.tail
    if effort is Effort.BACKGROUND:
        return tail.live >= tail_rows_index
    if bound is not None and tail.from_row >= bound:
        return False
    if effort is Effort.OPTIMIZE and field.segments:
        return tail.live > 0
    keep = TAIL_ROWS_SETTLE if field.segments else TAIL_ROWS_KEEP
    return tail.live >= min(keep, tail_rows_index)


def _suffix(segments: tuple[SegmentView, ...], rows: int) -> tuple[SegmentView, ...]:
    """The newest segments that the new rows should be merged with."""
    taken: list[SegmentView] = []
    for view in reversed(segments):
        if rows < MERGE_RATIO * view.live and len(segments) - len(taken) < SEGMENTS_MAX:
            break
        taken.insert(0, view)
        rows += view.live
    return tuple(taken)


def _job(collection: CollectionView, field: FieldView, replaced: tuple[SegmentView, ...], *, seals_tail: bool) -> Job:
    return Job(
        collection=collection.schema,
        field=field.schema,
        replaced=replaced,
        tail=field.tail,
        seals_tail=seals_tail,
        bound=collection.state.next_row(field.schema.number),
    )
