"""Keeps the index in shape: seals tails into segments, merges small ones, drops dead rows, sweeps what is left over.

Promises: searches are right at every moment whatever it does; it only makes them faster. A caller of `settle` waits for
the same jobs that the background thread would do, run in the caller's thread.
Invariants: one job at a time (the job lock); `settle` and the thread plan from the newest View before each job.
Concurrency: `wake` is called after every commit and is cheap; `close` cancels the running job and joins the thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from vecdb.config import (
    DEAD_RATIO_COMPACT,
    INDEX_RETRY_S,
    MERGE_RATIO,
    READER_CHECK_INTERVAL_S,
    SCRUB_INTERVAL_S,
    SEGMENTS_MAX,
    TAIL_ROWS_KEEP,
    TAIL_ROWS_SETTLE,
)
from vecdb.engine.compaction import Compactor, Job
from vecdb.engine.scrub import Scrubber
from vecdb.engine.sweep import Sweeper
from vecdb.errors import ClosedError, CollectionNotFoundError, StorageError, VecDBError, WaitTimeoutError

if TYPE_CHECKING:
    from vecdb.config import EngineConfig
    from vecdb.engine.publisher import Publisher
    from vecdb.engine.view import CollectionView, FieldView, SegmentView
    from vecdb.engine.writer import Writer
    from vecdb.storage.environment import Environment

log = logging.getLogger("vecdb.indexer")


class Effort(Enum):
    """How far to go: what the background does, what `wait_indexed` asks for, what `optimize` asks for."""

    BACKGROUND = 1
    SETTLE = 2
    OPTIMIZE = 3


class Indexer:
    """The index jobs of one database opened with mode="rw"."""

    def __init__(
        self, environment: Environment, publisher: Publisher, writer: Writer, config: EngineConfig, threads: int
    ) -> None:
        self._environment = environment
        self._publisher = publisher
        self._writer = writer
        self._config = config
        self._threads = threads
        self._job_lock = threading.Lock()
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._sweeper = Sweeper(environment, writer)
        self.scrubber = Scrubber(environment)
        self._next_numbers: dict[tuple[int, int], int] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Sweep what a crash may have left, then start the background thread (when configured)."""
        self._sweeper.sweep_all(self._publisher.view)
        if self._config.background:
            self._thread = threading.Thread(target=self._loop, name="vecdb-indexer", daemon=True)
            self._thread.start()
            self.wake()

    def wake(self) -> None:
        """Tell the background thread that something was committed."""
        self._wake.set()

    def close(self) -> None:
        """Cancel the running job and stop the thread. Unfinished work is begun anew after the next open."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._job_lock:
            pass

    def settle(
        self,
        collections: list[int],
        effort: Effort,
        timeout_s: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Run jobs until the rows committed before this call are indexed as far as `effort` says.

        WaitTimeoutError when that takes longer than `timeout_s`; the background goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        bounds = {number: self._next_slot(number) for number in collections}
        while self._step(collections, effort, bounds, deadline, self._threads, progress):
            pass

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the job lock: no job and no sweep runs meanwhile."""
        with self._job_lock:
            self._check_open()
            yield

    def sweep_dropped(self) -> None:
        """Remove what dropped collections left behind."""
        with self._job_lock:
            self._sweeper.sweep_dropped()

    def _next_slot(self, number: int) -> int:
        view = self._publisher.view.collections.get(number)
        return 0 if view is None else view.state.next_slot

    def _step(
        self,
        collections: list[int],
        effort: Effort,
        bounds: dict[int, int],
        deadline: float | None,
        threads: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> bool:
        """Plan and run one job; False when there is none left."""
        if not self._job_lock.acquire(timeout=-1 if deadline is None else max(0.0, deadline - time.monotonic())):
            raise WaitTimeoutError("indexing did not finish in time; it goes on in the background")
        try:
            self._check_open()
            job = self._plan(collections, effort, bounds)
            if job is None:
                return False
            self._run(job, threads, deadline, progress)
            return True
        finally:
            self._job_lock.release()

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise ClosedError("the database is closed")

    def _plan(self, collections: list[int], effort: Effort, bounds: dict[int, int]) -> Job | None:
        view = self._publisher.view
        for number in collections:
            collection = view.collections.get(number)
            if collection is None:
                continue
            for field in collection.fields:
                job = plan_job(collection, field, effort, self._config.tail_rows_index, bounds.get(number))
                if job is not None:
                    return job
        return None

    def _run(
        self, job: Job, threads: int, deadline: float | None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        key = (job.collection.number, job.field.number)
        state = self._publisher.view.collections[key[0]].state.fields[key[1]]
        number = max(state.next_segment, self._next_numbers.get(key, 0))
        self._next_numbers[key] = number + 1

        def cancelled() -> bool:
            gone = key[0] not in self._publisher.view.collections
            return gone or self._closing.is_set() or (deadline is not None and time.monotonic() > deadline)

        try:
            self._compactor(cancelled, progress).run(job, number, threads)
        except (ClosedError, CollectionNotFoundError):
            self._explain_cancel(key[0], deadline)
        finally:
            if not self._closing.is_set():
                self._sweeper.sweep_field(self._publisher.view, *key)

    def _compactor(self, cancelled: Callable[[], bool], progress: Callable[[int, int], None] | None) -> Compactor:
        return Compactor(self._environment, self._writer, cancelled, progress, announce=self._config.progress)

    def _explain_cancel(self, number: int, deadline: float | None) -> None:
        self._check_open()
        if number in self._publisher.view.collections and deadline is not None and time.monotonic() > deadline:
            raise WaitTimeoutError("indexing did not finish in time; call again to go on")

    def _loop(self) -> None:
        next_check = next_scrub = time.monotonic() + SCRUB_INTERVAL_S
        while not self._closing.is_set():
            self._wake.wait(SCRUB_INTERVAL_S)
            self._wake.clear()
            try:
                now = time.monotonic()
                if now >= next_check:
                    self._environment.check_readers()
                    next_check = now + READER_CHECK_INTERVAL_S
                if self._config.scrub and now >= next_scrub:
                    self.scrubber.step()
                    next_scrub = now + SCRUB_INTERVAL_S
                self._work()
            except ClosedError:
                continue
            except StorageError as error:
                log.warning("indexing paused for %.0f s: %s", INDEX_RETRY_S, error)
                self._pause()
            except VecDBError:
                log.exception("indexing failed")
                self._pause()

    def _pause(self) -> None:
        self._closing.wait(INDEX_RETRY_S)
        self._wake.set()

    def _work(self) -> None:
        # One core stays free for searches while a build runs in the background.
        threads = max(1, self._threads - 1)
        while self._step(list(self._publisher.view.collections), Effort.BACKGROUND, {}, None, threads):
            pass


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
    if bound is not None and tail.from_slot >= bound:
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
        bound=collection.state.next_slot,
    )
