"""Keeps the journal of a pipeline: which items of its sources are stored, what failed, and what its runs did.

A directory with an LMDB environment (`records` has its tables; `lookups` reads them).
Promises: a `write` is stored whole or not at all, and what it stored survives the death of the process and a power cut:
what is intended must, since a delivery follows. Readers (status, failed) see the newest write, before, during and after
a run, and hold nothing up. Damage is a CorruptionError that names the directory and says what to do. Memory does not
grow with the number of items.
Invariants: one writer per directory. What a crash leaves `intended` joins the items when the next writer opens.
Concurrency: all methods from any thread; writes take turns.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from vecdb.errors import ConflictError, DatabaseNotFoundError, ReadOnlyError
from vecdb.ingest.journal import records
from vecdb.ingest.journal.config import RUNS_KEPT_MAX
from vecdb.ingest.journal.intents import Intents
from vecdb.ingest.journal.lookups import JournalReader
from vecdb.ingest.journal.places import open_place, told
from vecdb.ingest.journal.states import JournalChanges, PipelineIdentity, RunRecord, RunState
from vecdb.ingest.journal.writing import ChangeWriter
from vecdb.storage.environment import Environment
from vecdb.storage.layout import JOURNAL, JournalTable
from vecdb.storage.sealed import get_sealed, put_sealed, sealed_items
from vecdb.storage.transactions import WriteTransaction
from vecdb.types import RecordId


class Journal(JournalReader):
    """The journal in a directory: one writer process, any number of readers meanwhile. A context manager."""

    def __init__(self, environment: Environment, identity: PipelineIdentity, directory: Path) -> None:
        super().__init__(environment, identity, directory)
        self._run: RunRecord | None = None
        self._intents = Intents()
        self._changing = threading.Lock()

    # --- opening and closing -----------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls, directory: Path | str, identity: PipelineIdentity | None = None, *, mode: Literal["r", "w"] = "w"
    ) -> Journal:
        """Open a journal; "w" creates it, with `identity`, where there is none.

        Errors: ConflictError when the stored identity is another than the one given (the message says in what and what
        to do, `details["differences"]` is `PipelineIdentity.differences`); DatabaseNotFoundError without a journal in
        mode "r" or without an identity; DatabaseLockedError, which names the other writer; CorruptionError,
        FormatVersionError, StorageFullError, StorageError.
        """
        return cls._open(Path(directory), identity, mode=mode, adopt=False)

    @classmethod
    def adopt(cls, directory: Path | str, identity: PipelineIdentity) -> Journal:
        """Open for writing whoever's it was. Where the identity differs, it changes, and all contents are forgotten.

        See `forget_contents`: everything is compared and stored again, and records that the old settings made and the
        new ones do not are deleted, parts of sources that are no longer given among them.
        """
        return cls._open(Path(directory), identity, mode="w", adopt=True)

    @classmethod
    def _open(cls, directory: Path, given: PipelineIdentity | None, *, mode: Literal["r", "w"], adopt: bool) -> Journal:
        environment = open_place(directory, JOURNAL, "r" if mode == "r" else "rw", create=given is not None)
        try:
            with told(directory, JOURNAL):
                stored = _stored_identity(environment)
                known = _settled(directory, stored, given, mode=mode, adopt=adopt)
                journal = cls(environment, known, directory)
                if mode == "w":
                    journal._prepare(stored)
        except BaseException:
            environment.close()
            raise
        return journal

    def _prepare(self, stored: PipelineIdentity | None) -> None:
        """Take up what the last writer left: an identity to be changed, a run without end, deliveries under way."""
        left = True
        while left:
            with self._writing() as (transaction, writer):
                if stored != self.identity:
                    if stored is not None and stored.differences(self.identity):
                        writer.counters.epoch += 1
                        # what the old settings could not do the new ones may
                        transaction.delete_range(JournalTable.FAILURES, b"", None)
                    identity = (records.IDENTITY, records.encode_identity(self.identity))
                    put_sealed(transaction, JournalTable.STATE, [identity])
                    stored = self.identity
                _interrupt_runs(transaction)
                left = writer.settle_intended()

    def close(self) -> None:
        """Close. Repeated calls do nothing."""
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- changes -----------------------------------------------------------------------------------------------------

    def begin_run(self) -> int:
        """Write down that a run begins; return its number."""
        # one that was killed while it read would keep pages from being used again, for as long as somebody watches
        self._environment.check_readers()
        with self._changing:
            with self._writing() as (transaction, writer):
                number = writer.counters.next_run
                writer.counters.next_run += 1
                run = RunRecord(number, time.time(), None, "running", {})
                _put_run(transaction, run)
                before = records.number_key(max(0, number - RUNS_KEPT_MAX + 1))
                transaction.delete_range(JournalTable.RUNS, b"", before)
            self._run = run
        return number

    def write(self, changes: JournalChanges) -> None:
        """Store changes, in one transaction; on the disk when it returns. Counters are kept within a run only."""
        if not changes:
            return
        with self._changing:
            run = self._run
            if run is not None and changes.counters:
                run = replace(run, counters=dict(Counter(run.counters) + changes.counters))
            with self._writing() as (transaction, writer):
                writer.apply(changes)
                if run is not None and run is not self._run:
                    _put_run(transaction, run)
            self._run = run

    def end_run(self, state: RunState, note: str = "", *, all_read: bool = False) -> None:
        """Write down how a run ended. `all_read`: every part was read or known, so old failures without id are over."""
        with self._changing:
            if self._run is None:
                return
            run = replace(self._run, ended=time.time(), state=state, note=note)
            with self._writing() as (transaction, writer):
                _put_run(transaction, run)
                if all_read:
                    writer.clear_old_problems()
            self._run = None

    def forget_contents(self, items: Sequence[RecordId] | None = None) -> None:
        """Let every item (or those named) count as changed, and the parts be read; the ids of chunks stay known.

        For a destination that went back in time, say: everything is stored again, from the cache as far as it goes.
        """
        with self._changing, self._writing() as (_, writer):
            if items is None:
                writer.counters.epoch += 1
            else:
                writer.forget(items)

    @contextmanager
    def _writing(self) -> Iterator[tuple[WriteTransaction, ChangeWriter]]:
        with told(self.directory, JOURNAL):
            if self._environment.mode == "r":
                raise ReadOnlyError("the journal is open for reading only; open it with mode='w'")
            with self._environment.write() as transaction:
                writer = ChangeWriter(transaction, 0 if self._run is None else self._run.number, self._intents.copy())
                yield transaction, writer
                writer.finish()
            self._intents = writer.intents


def _stored_identity(environment: Environment) -> PipelineIdentity | None:
    with environment.begin_read() as transaction:
        payload = get_sealed(transaction, JournalTable.STATE, records.IDENTITY)
        return None if payload is None else records.decode_identity(payload)


def _settled(
    directory: Path,
    stored: PipelineIdentity | None,
    given: PipelineIdentity | None,
    *,
    mode: Literal["r", "w"],
    adopt: bool,
) -> PipelineIdentity:
    """The identity to go on with."""
    if stored is None:
        # created, and the process ended before it could say for whom
        if given is None or mode == "r":
            raise DatabaseNotFoundError(f"there is no {JOURNAL.noun} at {directory} yet", path=str(directory))
        return given
    differences = {} if given is None else stored.differences(given)
    if differences and not adopt:
        raise _belongs_to_another(directory, differences)
    return given if given is not None and mode == "w" else stored


def _interrupt_runs(transaction: WriteTransaction) -> None:
    for key, payload in list(sealed_items(transaction, JournalTable.RUNS)):
        run = records.decode_run(int.from_bytes(key, "big"), payload)
        if run.state == "running":
            _put_run(transaction, replace(run, state="interrupted"))


def _put_run(transaction: WriteTransaction, run: RunRecord) -> None:
    put_sealed(transaction, JournalTable.RUNS, [(records.number_key(run.number), records.encode_run(run))])


def _belongs_to_another(directory: Path, differences: dict[str, str]) -> ConflictError:
    told_apart = "; ".join(f"{word}: {values}" for word, values in differences.items())
    return ConflictError(
        f"the journal in {directory} was begun with other settings ({told_apart}). Give these settings a directory of "
        "their own, or let them take this journal over: then every item is compared and stored again, and what the "
        "cache of embeddings has is not paid again",
        path=str(directory),
        differences=differences,
    )
