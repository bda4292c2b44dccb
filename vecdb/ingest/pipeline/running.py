"""Runs a job from its sources to its collection, and tries again what failed in earlier runs.

One thread (the caller's) compares and cuts what others read ahead; others embed; one delivers and journals.
Promises: everything that is acknowledged by the destination is journalled before a run returns, whatever ends it.
Errors before anything is read (another model, a locked directory, no such source) are raised; what ends a run later is
`RunReport.error`.
Concurrency: runs of different pipelines may go on at once, and share a cache.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from vecdb.errors import VecDBError
from vecdb.ingest.embedders.beside import beside
from vecdb.ingest.journal.cache import EmbeddingCache
from vecdb.ingest.journal.comparing import Comparison
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import RunState
from vecdb.ingest.pipeline.asking import Asking
from vecdb.ingest.pipeline.assembly import Assembly, Choice, is_due, selected
from vecdb.ingest.pipeline.breaker import Breaker
from vecdb.ingest.pipeline.calls import Calls
from vecdb.ingest.pipeline.config import CALLS_WAITING, COLLECT_AFTER, READERS_SHARE, SWITCH_S
from vecdb.ingest.pipeline.control import Budget, Control, Halted
from vecdb.ingest.pipeline.cutting import Cutter
from vecdb.ingest.pipeline.delivery import Delivery
from vecdb.ingest.pipeline.embedding import Embedding
from vecdb.ingest.pipeline.events import Observer, Stopping
from vecdb.ingest.pipeline.job import Job
from vecdb.ingest.pipeline.reading import Reading, Wanted
from vecdb.ingest.pipeline.reconciling import open_journal
from vecdb.ingest.pipeline.reports import RunReport
from vecdb.ingest.pipeline.tally import Tally
from vecdb.ingest.sources.source import Known, nothing_known
from vecdb.types import RecordId


def run(job: Job, *, observer: Observer | None = None, stop: threading.Event | None = None) -> RunReport:
    """Make the collection true to its sources. When `stop` is set, what is under way is finished and journalled."""

    def order(journal: Journal) -> Order:
        return Order(known=nothing_known if job.reread else journal.part_fingerprint)

    return _carried_out(job, order, observer, stop)


def retry(
    job: Job,
    ids: Sequence[RecordId] | None = None,
    *,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> RunReport:
    """Try again what is in quarantine: all of it, or the items of these ids. Only their parts are read."""
    wanted = None if ids is None else set(map(str, ids))

    def order(journal: Journal) -> Order:
        parts = {failure.part for failure in journal.failures() if wanted is None or str(failure.id) in wanted}
        return Order(choice=selected(ids), wanted=parts.__contains__, is_whole=False)

    return _carried_out(job, order, observer, stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What of the sources is read and stored. `is_whole`: all of it, so that what does not come has vanished."""

    known: Known = nothing_known
    choice: Choice = is_due
    wanted: Wanted = lambda _key: True
    is_whole: bool = True


def _carried_out(
    job: Job, order: Callable[[Journal], Order], observer: Observer | None, stop: threading.Event | None
) -> RunReport:
    began = time.monotonic()
    tally, control = Tally(observer), Control(stop)
    prepared = job.destination.prepare(job.embedder.fingerprint)
    with (
        open_journal(job, prepared, tally) as journal,
        EmbeddingCache.open(job.cache, max_bytes=job.work.cache_bytes) as cache,
    ):
        journal.begin_run()
        wanted = order(journal)
        work = _Run(job, journal, cache, control, tally, wanted)
        try:
            work.carry_out()
        finally:
            state, error = work.outcome()
            whole = state == "done" and wanted.is_whole
            journal.end_run(state, note=str(error or ""), all_read=whole)
        failures = journal.summary().failures
    tally.progress()
    return RunReport(
        counts=tally.counts(),
        failures=failures,
        seconds=time.monotonic() - began,
        stopped=state == "stopped",
        complete=state == "done",
        error=error if isinstance(error, VecDBError) else None,
    )


class _Run:
    """The threads of one run."""

    def __init__(
        self, job: Job, journal: Journal, cache: EmbeddingCache, control: Control, tally: Tally, order: Order
    ) -> None:
        self._job, self._control, self._tally, self._order = job, control, tally, order
        model, limits, work = job.embedder.fingerprint, job.embedder.limits, job.work
        workers = work.embedders or limits.parallel
        budget = Budget(work.queue_bytes - work.queue_bytes // READERS_SHARE)
        tally.queued = lambda: budget.used
        self._beside = beside(job.embedder, workers)
        self._workers = workers if self._beside is None else max(workers, self._beside.callers)
        self._calls = Calls(model, limits, cache, control, most=self._workers * (1 + CALLS_WAITING))
        breaker = Breaker(work.retry_for_s, control, tally)
        self._asking = Asking(self._beside or job.embedder, cache, breaker, control, tally)
        self._assembly = Assembly(
            Cutter(job.chunker, job.embedder),
            self._calls,
            journal,
            Comparison(journal),
            budget,
            control,
            tally,
            choice=order.choice,
            is_whole=order.is_whole,
            call_texts=limits.batch_texts,
        )
        self._delivery = Delivery(
            job.destination,
            journal,
            self._assembly.groups,
            budget,
            control,
            tally,
            dim=model.dim,
            retry_for_s=work.retry_for_s,
        )
        self.all_read = False

    def carry_out(self) -> None:
        """Read, embed and deliver everything. What fails is in `outcome`; only defects are raised."""
        with ExitStack() as stack:
            stack.callback(gc.set_threshold, *gc.get_threshold())
            gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH_S)
            stack.callback(self._control.abort)
            if self._beside is not None:
                stack.callback(self._beside.close)
            embedding = Embedding(self._asking, self._calls, self._control, self._workers)
            stack.callback(embedding.close)
            self._delivery.start()
            stack.callback(self._delivery.join)
            try:
                self._read_all()
            except Halted:
                pass
            except VecDBError as error:
                self._control.fail(error)
            finally:
                with suppress(Halted):
                    self._assembly.close()
                if self._beside is not None:
                    self._beside.free()
        failure = self._control.failure
        if failure is not None and not isinstance(failure, VecDBError):
            raise failure

    def outcome(self) -> tuple[RunState, BaseException | None]:
        """How the run ended."""
        error = self._control.failure
        if error is not None:
            return "failed", error
        if self._delivery.is_complete and self.all_read:
            return "done", None
        return "stopped", None

    def _read_all(self) -> None:
        work = self._job.work
        reading = Reading(
            self._job.sources,
            self._order.known,
            self._control,
            readers=work.readers,
            bytes_max=work.queue_bytes // READERS_SHARE,
            wanted=self._order.wanted,
        )
        try:
            for events in reading.batches():
                self._control.check()
                if self._control.is_stopping:
                    self._tally.tell(Stopping())
                    return
                self._assembly.take(events)
        finally:
            reading.close()
        if self._control.is_stopping:
            return
        if self._order.is_whole:
            self._assembly.finish(keep_vanished=self._job.keep_vanished)
        self.all_read = True
