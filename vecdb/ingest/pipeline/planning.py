"""Says what a run would do and cost, without writing anything or asking a service.

Everything is read, compared and cut as a run would; then the texts that are not in the cache are counted. The time is
estimated from a sample, where the model runs in this process and costs nothing, else from what the last run took.
Promises: nothing is made: no database, collection, journal or cache. A service is not asked, not even about one text.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from vecdb.errors import ConflictError, DatabaseNotFoundError, VecDBError
from vecdb.fingerprint import require_same_model
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.journal.cache import EmbeddingCache
from vecdb.ingest.journal.comparing import Comparison
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.pipeline.assembly import is_due
from vecdb.ingest.pipeline.calls import tokens_of
from vecdb.ingest.pipeline.config import PROBLEMS_TOLD, READERS_SHARE, SAMPLE_S, SAMPLE_TEXTS
from vecdb.ingest.pipeline.control import Control
from vecdb.ingest.pipeline.cutting import Cut, Cutter
from vecdb.ingest.pipeline.events import Observer
from vecdb.ingest.pipeline.job import Job
from vecdb.ingest.pipeline.reading import Reading
from vecdb.ingest.pipeline.reconciling import OWN, identity_of
from vecdb.ingest.pipeline.reports import PlanReport
from vecdb.ingest.pipeline.tally import Tally
from vecdb.ingest.sources.item import Event, Item, PartEnd, Problem, SourceEnd
from vecdb.ingest.sources.seen import SeenIds
from vecdb.ingest.sources.source import nothing_known

FREE: Final = frozenset({"builtin", "onnx", "sentence-transformers", "clip"})
"""Providers that run in this process, so that a sample costs nothing but its time."""

COUNTED_AS: Final = {"moved": "unchanged", "quarantined": "failed", "duplicate": "failed"}

PARALLEL: Final = frozenset({"builtin"})
"""Providers of which two calls at once take as long as one, where there are cores for both."""


def plan(job: Job, *, observer: Observer | None = None, stop: threading.Event | None = None) -> PlanReport:
    """Read and compare everything, and count. When `stop` is set, what was counted until then is given back."""
    stored = job.destination.model()
    if stored is not None:
        require_same_model(stored, job.embedder.fingerprint, collection=job.collection)
    with ExitStack() as stack:
        creates = not job.destination.exists()
        journal = None if creates else known_journal(job)
        if journal is not None:
            stack.enter_context(journal)
        cache = None
        if job.cache.exists():
            cache = stack.enter_context(EmbeddingCache.open(job.cache, max_bytes=job.work.cache_bytes))
        planning = _Planning(job, journal, cache, Tally(observer))
        complete = planning.read(Control(stop))
        return planning.report(creates=creates, complete=complete)


def known_journal(job: Job) -> Journal | None:
    """The journal as a run would find it: None where there is none, or where a run would begin anew."""
    try:
        return Journal.open(job.journal, identity_of(job), mode="r")
    except DatabaseNotFoundError:
        return None
    except ConflictError as error:
        if OWN & set(error.details["differences"]):
            raise
        return None


class _Planning:
    """What was counted so far."""

    def __init__(self, job: Job, journal: Journal | None, cache: EmbeddingCache | None, tally: Tally) -> None:
        self._job, self._journal, self._cache, self._tally = job, journal, cache, tally
        self._cutter = Cutter(job.chunker, job.embedder)
        self._comparison = Comparison(journal)
        self._seen = SeenIds()
        self._counts: Counter[str] = Counter()
        self._problems: list[str] = []
        self._sample: list[str] = []

    def read(self, control: Control) -> bool:
        """Read all sources; False when they were not read to their end."""
        work, journal = self._job.work, self._journal
        known = nothing_known if self._job.reread or journal is None else journal.part_fingerprint
        reading = Reading(
            self._job.sources, known, control, readers=work.readers, bytes_max=work.queue_bytes // READERS_SHARE
        )
        complete = True
        try:
            for events in reading.batches():
                if control.is_stopping:
                    return False
                complete = self._take(events) and complete
        finally:
            reading.close()
            control.abort()
        if not self._job.keep_vanished:
            self._counts["vanished"] = sum(len(step.items) for step in self._comparison.finish())
        return complete

    def report(self, *, creates: bool, complete: bool) -> PlanReport:
        """What was found."""
        rate, rate_from = self._rate()
        tokens = self._counts["tokens"]
        seconds = None if rate is None or (tokens and not rate) else (tokens / rate if tokens else 0.0)
        return PlanReport(
            **self._counts,
            rate=rate,
            rate_from=rate_from,
            seconds=seconds,
            model=str(self._job.embedder.fingerprint),
            creates_collection=creates,
            complete=complete,
            problems=tuple(self._problems),
        )

    def _take(self, events: Sequence[Event]) -> bool:
        """Count some events; False when a source could not be listed."""
        self._items([event for event in events if isinstance(event, Item)])
        complete = True
        for event in events:
            if isinstance(event, Problem):
                self._comparison.problem(event)
                self._failed(str(event))
            elif isinstance(event, PartEnd):
                self._comparison.part_end(event)
                if event.state == "unchanged" and self._journal is not None:
                    known = self._journal.part(event.part)
                    self._counts["skipped"] += 0 if known is None else known.items
            elif isinstance(event, SourceEnd):
                self._comparison.source_end(event)
                complete = complete and event.complete
        self._tally.add(items=sum(isinstance(event, Item) for event in events))
        return complete

    def _items(self, items: Sequence[Item]) -> None:
        taken = self._cutter.taken(items)
        cuts = []
        for verdict in self._comparison.items(taken) if taken else ():
            word = {"moved": "unchanged", "quarantined": "failed", "duplicate": "failed"}.get(
                verdict.kind, verdict.kind
            )
            self._counts[word] += 1
            if is_due(verdict):
                try:
                    cuts.append(self._cutter.cut(verdict.item))
                except VecDBError as error:
                    self._failed(f"{verdict.item.position}: {error.message}")
        self._counts["items"] += len(items)
        self._cost(cuts)

    def _cost(self, cuts: Sequence[Cut]) -> None:
        """Count what of the chunks is to be embedded: a text once, and not what is in the cache."""
        self._counts["chunks"] += sum(len(cut.ids) for cut in cuts)
        keys = [key for cut in cuts for key in cut.keys]
        given = [one for cut in cuts for one in cut.given]
        has = self._cache.has_many(self._job.embedder.fingerprint, keys) if self._cache else [False] * len(keys)
        costs = [
            one for key, one, there in zip(keys, given, has, strict=True) if not there and self._seen.add(key.hex())
        ]
        self._counts["cached"] += len(keys) - len(costs)
        self._counts["to_embed"] += len(costs)
        self._counts["tokens"] += sum(tokens_of(costs))
        room = SAMPLE_TEXTS - len(self._sample)
        self._sample += [one for one in costs if isinstance(one, str)][:room]

    def _failed(self, message: str) -> None:
        self._counts["failed"] += 1
        if len(self._problems) < PROBLEMS_TOLD:
            self._problems.append(message)

    def _rate(self) -> tuple[float | None, str]:
        """Tokens a second, and how that is known."""
        embedder = self._job.embedder
        if embedder.fingerprint.provider in FREE and self._sample:
            return measured_rate(embedder, self._sample), "sample"
        for run in () if self._journal is None else self._journal.runs():
            tokens = run.counters.get("tokens", 0)
            if tokens and run.ended is not None and run.ended > run.started:
                return tokens / (run.ended - run.started), "last run"
        return None, ""


def measured_rate(embedder: Embedder, texts: Sequence[str]) -> float | None:
    """Tokens a second of a model that costs nothing; None when it takes none of the texts."""
    parallel = min(embedder.limits.parallel, os.cpu_count() or 1) if embedder.fingerprint.provider in PARALLEL else 1
    done, began, step = 0, time.perf_counter(), max(1, embedder.limits.batch_texts // 4)
    for start in range(0, len(texts), step):
        part = texts[start : start + step]
        try:
            embedder.embed(part)
        except VecDBError:
            continue
        done += sum(tokens_of(part))
        if time.perf_counter() - began > SAMPLE_S:
            break
    return parallel * done / (time.perf_counter() - began) if done else None
