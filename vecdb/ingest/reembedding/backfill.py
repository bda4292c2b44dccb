"""Fills the field beside with vectors of its model, in rounds, until only what cannot be embedded is due.

A round reads what is due, page by page, and has the pipeline's threads embed it: from the cache what was paid for
before, retried, halved and quarantined as in any run of the ingestor. Each vector is stored only if its record still
has the version that its text was read at; one that somebody wrote meanwhile is still due, and comes in the next round.
Resuming is beginning again: what is done is not due any more, and what was paid for is in the cache, on the disk,
before it is sent. So a crash costs at most the calls of the model that were under way.

Promises: no vector of an older text is ever stored. What cannot be embedded is remembered in the journal, with the text
that it failed with, and is tried again when the text changes or when asked to.
Concurrency: one thread fills; the journal's lock keeps others, of the same state directory, from doing it at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from vecdb.errors import DeadlineExceededError, InvalidVectorError, OverloadedError, UnavailableError, VecDBError
from vecdb.ingest.journal.cache import text_key
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure, JournalChanges
from vecdb.ingest.pipeline.breaker import pause
from vecdb.ingest.pipeline.calls import Call, Calls
from vecdb.ingest.pipeline.config import STOP_POLL_S
from vecdb.ingest.pipeline.control import Control, Halted
from vecdb.ingest.pipeline.events import ItemFailed, Retrying
from vecdb.ingest.pipeline.groups import Row
from vecdb.ingest.pipeline.tally import Tally
from vecdb.ingest.reembedding.config import (
    BATCH_RECORDS_MIN,
    BATCHES_AHEAD,
    EXAMPLES_SHOWN,
    LEVEL_ROUNDS_MAX,
    PAGE_RECORDS,
)
from vecdb.ingest.reembedding.due import DueRecord, count_due, due_page
from vecdb.ingest.reembedding.reports import FillReport
from vecdb.ingest.reembedding.roles import Roles
from vecdb.types import FloatArray, RecordId

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Round:
    """What one round has met: `tried` records were asked for, the others were given up on before or now."""

    tried: int = 0
    failed: dict[RecordId, str] = field(default_factory=dict)
    textless: dict[RecordId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some records that are being embedded, with a row or the call that it comes from for each."""

    records: list[DueRecord]
    rows: list[Row]


class Backfill:
    """What fills one field beside, as `roles` say. The model embeds `texts_at_once`, in all its calls together."""

    def __init__(
        self,
        collection: Any,
        roles: Roles,
        paths: tuple[str, ...],
        calls: Calls,
        journal: Journal,
        control: Control,
        tally: Tally,
        *,
        texts_at_once: int,
        retry_for_s: float,
    ) -> None:
        self._batch = min(max(texts_at_once, BATCH_RECORDS_MIN), PAGE_RECORDS)
        self._collection, self._roles, self._paths = collection, roles, paths
        self._calls, self._journal, self._control, self._tally = calls, journal, control, tally
        self._retry_for_s = retry_for_s
        self._begun, self._cut = time.monotonic(), 0
        self._model = roles.required_shadow().model
        # in memory: asking the journal for each record would take longer than all else that is done for it
        self._failures = {failure.id: failure for failure in journal.failures()}

    def fill(self, *, retry_failed: bool = False) -> FillReport:
        """Rounds until nothing more can be done, or the run is to stop. Raises what ended it early."""
        rounds, met = 0, _Round()
        while not self._control.is_stopping and rounds < LEVEL_ROUNDS_MAX:
            met, rounds = _Round(), rounds + 1
            try:
                self._round(met, retry_failed=retry_failed and rounds == 1)
            except Halted:
                break
            if not met.tried:
                break
        self._tally.progress()
        problems = {**met.failed, **met.textless}
        return FillReport(
            roles=self._roles,
            counts=self._tally.counts(),
            rounds=rounds,
            seconds=time.monotonic() - self._begun,
            left=count_due(self._collection, self._roles),
            failed=len(met.failed),
            textless=len(met.textless),
            cut=self._cut,
            given_up=frozenset(problems),
            examples=tuple(list(problems.items())[:EXAMPLES_SHOWN]),
            stopped=self._control.is_stopping,
        )

    def _round(self, met: _Round, *, retry_failed: bool) -> None:
        waiting: deque[_Batch] = deque()
        cursor: str | None = None
        while not self._control.is_stopping:
            page = self._patiently(partial(due_page, self._collection, self._roles, self._paths, cursor))
            met.textless.update((one.id, one.problem.message) for one in page.textless)
            for start in range(0, len(page.records), self._batch):
                waiting.append(self._begin(page.records[start : start + self._batch], met, retry_failed=retry_failed))
                while len(waiting) > BATCHES_AHEAD:
                    self._finish(waiting.popleft(), met)
            cursor = page.cursor
            if cursor is None:
                break
        while waiting:
            self._finish(waiting.popleft(), met)

    def _begin(self, due: Sequence[DueRecord], met: _Round, *, retry_failed: bool) -> _Batch:
        """Ask for the rows of some records, but of those that failed before with the same text."""
        records, keys = [], []
        for record in due:
            key, failure = text_key(record.text), self._failures.get(record.id)
            if failure is not None and failure.content_hash == key and not retry_failed:
                met.failed[record.id] = failure.message
                continue
            records.append(record)
            keys.append(key)
        rows = self._calls.find(keys, lambda place: records[place].text) if records else []
        met.tried += len(records)
        self._tally.add(items=len(records), cached=sum(type(row) is not tuple for row in rows))
        return _Batch(records, rows)

    def _finish(self, batch: _Batch, met: _Round) -> None:
        """Store the rows of a batch where nobody was faster, and remember what could not be embedded."""
        if any(type(row) is tuple and not row[0].done.is_set() for row in batch.rows):
            self._calls.flush()
        done: list[DueRecord] = []
        vectors: list[FloatArray] = []
        wrong: list[tuple[DueRecord, VecDBError]] = []
        for record, row in zip(batch.records, batch.rows, strict=True):
            found = self._wait(*row) if isinstance(row, tuple) else row
            if isinstance(found, VecDBError):
                wrong.append((record, found))
            elif found is not None:
                done.append(record)
                vectors.append(found)
        if done:
            wrong += self._store(done, np.stack(vectors))
        met.failed.update((record.id, error.message) for record, error in wrong)
        changes = JournalChanges(failed=[self._failed(record, error) for record, error in wrong])
        for record in done:
            if record.id not in met.failed and self._failures.pop(record.id, None) is not None:
                changes.cleared.append(record.id)
        if changes:
            self._journal.write(changes)

    def _wait(self, call: Call, place: int) -> FloatArray | VecDBError | None:
        """The row that a call has for a text, or what is wrong with the text; None when it was given up to stop."""
        while not call.done.wait(STOP_POLL_S):
            self._control.check()
        if isinstance(call.error, Halted):
            return None
        if call.error is not None:
            raise call.error
        assert call.rows is not None
        row: FloatArray = call.rows[place]
        return call.failures.get(place, row)

    def _store(self, records: list[DueRecord], vectors: FloatArray) -> list[tuple[DueRecord, VecDBError]]:
        """Store vectors of records that are still as they were read; returns those whose vectors are refused."""
        try:
            result = self._patiently(
                lambda: self._collection.set_vectors(
                    [record.id for record in records],
                    {self._roles.shadow_name: vectors},
                    if_version=[record.version for record in records],
                    skip_changed=True,
                    model={self._roles.shadow_name: self._model},
                )
            )
        except InvalidVectorError as error:  # zero under cosine, or out of range: one of them, and the others are good
            if len(records) == 1:
                return [(records[0], error)]
            half = len(records) // 2
            return self._store(records[:half], vectors[:half]) + self._store(records[half:], vectors[half:])
        self._cut += sum(record.is_cut for record in records)
        self._tally.add(stored=result.count, chunks_stored=result.count, changed=len(records) - result.count)
        return []

    def _failed(self, record: DueRecord, error: VecDBError) -> Failure:
        known = self._failures.get(record.id)
        position = f"record {record.id}"
        self._tally.add(failed=1)
        self._tally.tell(ItemFailed(record.id, self._roles.collection, position, error.reason, error.message))
        failure = self._failures[record.id] = Failure(
            id=record.id,
            part=self._roles.collection,
            position=position,
            reason=error.reason,
            message=error.message,
            attempts=1 if known is None else known.attempts + 1,
            content_hash=text_key(record.text),
            time=time.time(),
        )
        return failure

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the database, again for `retry_for_s` while it is away or has too much to do."""
        begun, failures = time.monotonic(), 0
        while True:
            try:
                return ask()
            except (UnavailableError, OverloadedError, DeadlineExceededError) as error:
                if time.monotonic() - begun > self._retry_for_s:
                    raise
                failures += 1
                wait = pause(failures, error)
                self._tally.add(retries=1)
                self._tally.tell(Retrying("destination", failures, wait, error.message))
                self._control.pause(wait)
