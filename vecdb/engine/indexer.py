"""Keeps the index in shape: seals tails into segments, merges small ones, drops dead rows, sweeps what is left over.

Promises: searches are right at every moment whatever it does; it only makes them faster. A caller of `settle` waits for
the same jobs that the background thread would do, run in the caller's thread. A job that the background is at when
somebody begins to wait goes on with all threads and takes in the rows that came meanwhile, so that a load with
`optimize` after it costs one build; the background begins no other while somebody waits. While a bulk load is under way
(`inflow`), the background leaves tails alone up to LOAD_TAIL_BYTES: indexing would take the processor from the load.
Invariants: one job at a time (the job lock); `settle` and the thread plan from the newest View before each job.
Concurrency: `wake` is called after every commit and is cheap; `close` cancels the running job and joins the thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vecdb.config import (
    EXPIRY_SWEEP_RECORDS,
    EXPIRY_SWEEP_S,
    INDEX_RETRY_LONG_S,
    INDEX_RETRY_S,
    READER_CHECK_INTERVAL_S,
    SCRUB_INTERVAL_S,
)
from vecdb.engine.calibration import calibrate_field
from vecdb.engine.compaction import Compactor, Job
from vecdb.engine.config import LOAD_TAIL_BYTES, LOAD_WINDOW_S, PROGRESS_INTERVAL_S
from vecdb.engine.expired import RemoveExpired, expired_slots
from vecdb.engine.index_operations import build_index
from vecdb.engine.inflow import Inflow
from vecdb.engine.interruption import check_interruption
from vecdb.engine.jobs import Callers, Effort, Request, plan_job
from vecdb.engine.scrub import Scrubber
from vecdb.engine.sweep import Sweeper
from vecdb.errors import (
    ClosedError,
    CollectionNotFoundError,
    CorruptionError,
    FieldNotFoundError,
    StorageError,
    StorageFullError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from vecdb.config import EngineConfig
    from vecdb.engine.publisher import Publisher
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.writer import Writer
    from vecdb.storage.environment import Environment
    from vecdb.types import FloatArray

__all__ = ["Effort", "Indexer"]

log = logging.getLogger("vecdb.indexer")


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
        self._sweeper = Sweeper(environment, writer, publisher)
        self.scrubber = Scrubber(environment)
        self._next_numbers: dict[tuple[int, int], int] = {}
        self._failed: dict[tuple[int, int], tuple[float, float]] = {}
        self._freed: set[tuple[int, int]] = set()
        self._callers = Callers()
        self._under_way = (0, 0)
        self._inflow = Inflow(time.monotonic(), self._rows_ever())
        self._tidied = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Sweep what a crash may have left, then start the background thread (when configured)."""
        try:
            self._sweeper.sweep_all(self._publisher.view)
        except StorageFullError as error:
            # Even a deletion needs a few pages; a full disk must not keep the owner from opening the database.
            log.warning("leftovers are swept at the next open: %s", error)
        if self._config.background:
            self._thread = threading.Thread(target=self._loop, name="vecdb-indexer", daemon=True)
            self._thread.start()
            self.wake()

    def wake(self) -> None:
        """Tell the background thread that something was committed."""
        self._wake.set()

    def close(self) -> None:
        """Cancel the running job, stop the thread, free room. Unfinished work is begun anew after the next open."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._job_lock:
            self._tidy(sparing=True)

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
        request = Request(
            collections,
            effort,
            self._threads,
            bounds={key: bound for number in collections for key, bound in self._next_rows(number).items()},
            deadline=None if timeout_s is None else time.monotonic() + timeout_s,
            progress=progress,
        )
        try:
            with self._callers.waiting(request):
                while self._step(request):
                    pass
        finally:
            self.wake()  # for what the background left to this call
        if effort is Effort.OPTIMIZE:
            with self.paused():
                self._tidy(sparing=False)

    def build_indexes(
        self, schema: CollectionSchema, number: int | None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Build one metadata index of a collection to the end, or (None) all that are not ready."""
        view = self._publisher.view.collections.get(schema.number)
        waiting = [] if view is None else [index.number for index in view.state.indexes if not index.ready]
        for one in waiting if number is None else [number]:
            build_index(
                self._writer,
                schema,
                one,
                lambda: self._publisher.view.collections.get(schema.number),
                stopped=self._closing.is_set,
                progress=progress,
            )
        self._check_open()

    def calibrate(self, schema: CollectionSchema, field: int, queries: FloatArray | None) -> int:
        """Measure the curves of a field, by number, with queries, or (None) its own rows; returns the commit."""
        with self.paused():
            view = self._publisher.view.collection(schema.number, schema.name).numbered(field)
            if view is None:
                raise FieldNotFoundError(f"the field of {schema.name!r} was dropped", collection=schema.name)
            threads, check = self._threads, self._check_wanted
            return calibrate_field(self._environment, self._writer, schema, view, queries, threads, check)

    def _check_wanted(self) -> None:
        self._check_open()
        check_interruption()

    def sweep_indexes(self, number: int) -> None:
        """Remove what dropped metadata indexes of a collection left behind."""
        with self._job_lock:
            self._sweeper.sweep_indexes(number)

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

    def sweep_all(self) -> bool:
        """Remove everything unlisted now; tell whether that freed a segment. Does nothing beside a running job."""
        if not self._job_lock.acquire(blocking=False):
            return False
        try:
            found = self._sweeper.sweep_all(self._publisher.view)
            if found:
                self._sweeper.wait_for_readers()
        except StorageError as error:
            log.warning("what is unlisted is swept later: %s", error)
            return False
        finally:
            self._job_lock.release()
        return found

    def _tidy(self, *, sparing: bool) -> None:
        """Remove what is unlisted and give the disk's room back; the job lock is held. Failing costs room only."""
        try:
            self._sweeper.sweep_all(self._publisher.view)
            self._sweeper.release(sparing=sparing)
        except (StorageError, ClosedError) as error:
            log.info("free pages keep their room on the disk: %s", error)

    def _next_rows(self, number: int) -> dict[tuple[int, int], int]:
        view = self._publisher.view.collections.get(number)
        fields = () if view is None else view.fields
        return {(number, one.schema.number): view.state.next_row(one.schema.number) for one in fields if view}

    def _step(self, request: Request) -> bool:
        """Plan and run one job; False when there is none left, or when the background leaves it to callers."""
        self._take_turn(request)
        try:
            self._check_open()
            if request.effort is Effort.BACKGROUND and self._callers.any():
                return False
            planned = self._plan(request)
            if planned is None:
                return False
            self._run(*planned, request)
            return True
        finally:
            self._job_lock.release()

    def _take_turn(self, request: Request) -> None:
        """Acquire the job lock; meanwhile tell a caller how far the job is that he waits for."""
        told = 0, 0
        while not self._job_lock.acquire(timeout=request.left(PROGRESS_INTERVAL_S)):
            if request.left() == 0:
                raise WaitTimeoutError("indexing did not finish in time; it goes on in the background")
            now = self._under_way
            if request.progress is not None and now not in {told, (0, 0)}:
                told = now
                request.progress(*now)

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise ClosedError("the database is closed")

    def _plan(self, request: Request) -> tuple[Job, int] | None:
        """The next job and the number of its segment. Numbers of jobs that failed are not used again."""
        view = self._publisher.view
        for number in request.collections:
            collection = view.collections.get(number)
            if collection is None:
                continue
            for view_field in collection.fields:
                key = (number, view_field.schema.number)
                if key in request.left_out:
                    continue
                bound = request.bounds.get(key)
                job = plan_job(collection, view_field, request.effort, self._config.tail_rows_index, bound)
                if job is not None:
                    next_segment = collection.state.fields[key[1]].next_segment
                    self._next_numbers[key] = max(next_segment, self._next_numbers.get(key, 0)) + 1
                    return job, self._next_numbers[key] - 1
        return None

    def _run(self, job: Job, number: int, request: Request) -> None:
        key = (job.collection.number, job.field.number)
        deadline = request.deadline
        if request.effort is Effort.OPTIMIZE:
            # Once: rows that die during a job would ask for another one, for as long as someone deletes.
            request.left_out.add(key)

        def cancelled() -> bool:
            view = self._publisher.view.collections.get(key[0])
            gone = view is None or view.numbered(key[1]) is None
            return gone or self._closing.is_set() or (deadline is not None and time.monotonic() > deadline)

        done = False
        try:
            self._compactor(key, cancelled, request).run(job, number)
            self._failed.pop(key, None)
            done = True
        except (ClosedError, CollectionNotFoundError, FieldNotFoundError):
            self._explain_cancel(key[0], deadline)
        except CorruptionError as error:
            if request.effort is not Effort.BACKGROUND:
                raise
            self._leave_out(key, error, request)
        finally:
            self._under_way = (0, 0)
            if done:
                self._sweeper.sweep_tail(*key)
            elif not self._closing.is_set():
                self._sweeper.sweep_field(*key)

    def _compactor(self, key: tuple[int, int], cancelled: Callable[[], bool], request: Request) -> Compactor:
        return Compactor(
            self._environment,
            self._writer,
            cancelled,
            make_room=lambda wanted: self._sweeper.make_room(*key, wanted),
            progress=partial(self._tell, request),
            announce=self._config.progress,
            threads=lambda: self._threads if self._callers.any() else request.threads,
            grown=self._grown if request.effort is Effort.BACKGROUND else None,
        )

    def _tell(self, request: Request, done: int, total: int) -> None:
        self._under_way = (done, total)
        if request.progress is not None:
            request.progress(done, total)

    def _grown(self, job: Job) -> Job | None:
        """A job under way with the rows that came since, if a caller waits for them and it gives what he wants."""
        view = self._publisher.view.collections.get(job.collection.number)
        found = None if view is None else view.numbered(job.field.number)
        if view is None or found is None or not self._callers.want(job, found):
            return None
        return replace(job, tail=found.tail, bound=view.state.next_row(job.field.number))

    def _explain_cancel(self, number: int, deadline: float | None) -> None:
        self._check_open()
        if number in self._publisher.view.collections and deadline is not None and time.monotonic() > deadline:
            raise WaitTimeoutError("indexing did not finish in time; call again to go on")

    def _loop(self) -> None:
        next_check = next_scrub = time.monotonic() + SCRUB_INTERVAL_S
        next_expiry = time.monotonic() + EXPIRY_SWEEP_S
        waits = False
        while not self._closing.is_set():
            rest_s = EXPIRY_SWEEP_S if self._any_expiring() else SCRUB_INTERVAL_S
            at_rest = not self._wake.wait(LOAD_WINDOW_S if waits else rest_s) and not waits
            self._wake.clear()
            try:
                now = time.monotonic()
                if now >= next_check:
                    # The next time is set first: what fails must not keep the rest from being done for ever.
                    next_check = now + READER_CHECK_INTERVAL_S
                    self._environment.check_readers()
                if self._config.scrub and now >= next_scrub:
                    next_scrub = now + SCRUB_INTERVAL_S
                    self.scrubber.step()
                if now >= next_expiry:
                    next_expiry = now + EXPIRY_SWEEP_S
                    self._remove_expired()
                waits = self._work()
                if at_rest:
                    self._rest()
            except ClosedError:
                continue
            except StorageError as error:
                log.warning("indexing paused for %.0f s: %s", INDEX_RETRY_S, error)
                self._pause()
            except Exception:
                log.exception("indexing failed")
                self._pause()

    def _rest(self) -> None:
        """Tidy up once after the last commit; does nothing beside a running job."""
        if self._environment.committed_txn() == self._tidied or not self._job_lock.acquire(blocking=False):
            return
        try:
            self._tidy(sparing=True)
            self._tidied = self._environment.committed_txn()
        finally:
            self._job_lock.release()

    def _any_expiring(self) -> bool:
        return any(view.expiry is not None for view in self._publisher.view.collections.values())

    def _remove_expired(self) -> None:
        """Delete records that have expired, a few at a time."""
        for number in list(self._publisher.view.collections):
            while not self._closing.is_set():
                view = self._publisher.view.collections.get(number)
                due = None if view is None else expired_slots(view, EXPIRY_SWEEP_RECORDS)
                if view is None or due is None or not len(due):
                    break
                if not self._writer.submit(RemoveExpired(view.schema, due)).count:  # the clock was set back
                    break

    def _pause(self) -> None:
        self._closing.wait(INDEX_RETRY_S)
        self._wake.set()

    def _sweep_dropped_fields(self) -> None:
        """Free what dropped fields held, once for each; what a crash interrupts is swept at the next open."""
        for number, view in list(self._publisher.view.collections.items()):
            listed = {one.schema.number for one in view.fields}
            dropped = {(number, gone) for gone in range(len(view.state.fields)) if gone not in listed}
            for key in sorted(dropped - self._freed):
                with self._job_lock:
                    self._check_open()
                    self._sweeper.sweep_field(*key)
                self._freed.add(key)

    def _work(self) -> bool:
        """Do what is to be done; True when some of it waits for the end of a load."""
        self._sweep_dropped_fields()
        damage = self._build_metadata_indexes()
        # One core stays free for searches while a build runs in the background.
        threads = max(1, self._threads - 1)
        request = Request(list(self._publisher.view.collections), Effort.BACKGROUND, threads)
        request.left_out.update(key for key, (again, _) in self._failed.items() if again > time.monotonic())
        waiting: set[tuple[int, int]] = set()
        while True:
            request.left_out -= waiting
            waiting = self._waiting() - request.left_out
            request.left_out |= waiting
            if not self._step(request):
                break
        if damage is not None:
            raise damage
        return bool(waiting)

    def _build_metadata_indexes(self) -> CorruptionError | None:
        """Build those that are not ready; the damage that one met, which must not hold up what else is to be done."""
        damage = None
        for view in list(self._publisher.view.collections.values()):
            if not all(index.ready for index in view.state.indexes):
                try:
                    self.build_indexes(view.schema, None)
                except CorruptionError as error:
                    damage = error
        return damage

    def _waiting(self) -> set[tuple[int, int]]:
        """Fields that are left alone for now, since a load is under way and their tails are still small enough."""
        if not self._inflow.is_load(time.monotonic(), self._rows_ever()) or self._config.index_loads:
            return set()
        return {
            (number, one.schema.number)
            for number, view in self._publisher.view.collections.items()
            for one in view.fields
            if one.tail.live >= self._config.tail_rows_index and one.tail.vector_bytes < LOAD_TAIL_BYTES
        }

    def _rows_ever(self) -> int:
        """Vectors that were ever written, as far as their collections are still there."""
        collections = self._publisher.view.collections.values()
        return sum(view.state.next_row(one.schema.number) for view in collections for one in view.fields)

    def _leave_out(self, key: tuple[int, int], error: Exception, request: Request) -> None:
        """Let a field whose sources are damaged wait, longer each time, so that it does not hold up the others."""
        _, delay = self._failed.get(key, (0.0, INDEX_RETRY_S / 2))
        delay = min(2 * delay, INDEX_RETRY_LONG_S)
        self._failed[key] = (time.monotonic() + delay, delay)
        request.left_out.add(key)
        log.error("collection %d, field %d is not indexed, next attempt in %.0f s: %s", *key, delay, error)
