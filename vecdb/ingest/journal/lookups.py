"""Looks things up in a journal: items, parts, failures, runs, each in the newest committed state.

Promises: what is listed is read a piece at a time, so a long listing holds up neither memory nor the writer; it gives
each thing as it is when it comes up. Concurrency: any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from vecdb.errors import CorruptionError
from vecdb.ingest.journal import records
from vecdb.ingest.journal.config import SCANNED_AT_ONCE
from vecdb.ingest.journal.places import told
from vecdb.ingest.journal.records import Counters
from vecdb.ingest.journal.states import Failure, ItemState, JournalSummary, PartState, PipelineIdentity, RunRecord
from vecdb.storage.environment import Environment
from vecdb.storage.keys import prefix_stop
from vecdb.storage.layout import JOURNAL, JournalTable
from vecdb.storage.lock import holder_of
from vecdb.storage.sealed import get_sealed, sealed_items
from vecdb.storage.transactions import ReadTransaction
from vecdb.types import RecordId

T = TypeVar("T")


class JournalReader:
    """What a journal can tell."""

    def __init__(self, environment: Environment, identity: PipelineIdentity, directory: Path) -> None:
        self.directory = directory
        self.identity = identity
        self._environment = environment

    @contextmanager
    def reading(self) -> Iterator[ReadTransaction]:
        """One committed state, for as short as possible; for `comparing`."""
        with told(self.directory, JOURNAL), self._environment.begin_read() as transaction:
            yield transaction

    def item(self, item_id: RecordId) -> ItemState | None:
        """What is known of an item."""
        key = records.item_key(item_id)
        with self.reading() as transaction:
            payload = get_sealed(transaction, JournalTable.ITEMS, key)
            return None if payload is None else StateReader(transaction).state(key, payload)

    def items(self) -> Iterator[ItemState]:
        """Every item, in the order of the texts of their ids, as it is when it comes up."""

        def decode(transaction: ReadTransaction, rows: list[tuple[bytes, memoryview]]) -> list[ItemState]:
            reader = StateReader(transaction)
            return [reader.state(key, payload) for key, payload in rows]

        yield from self._scan(JournalTable.ITEMS, b"", None, decode)

    def items_of_part(self, key: str) -> Iterator[ItemState]:
        """The items of a part, in the order in which they were first met."""
        with self.reading() as transaction:
            number = part_number(transaction, key)
        if number is None:
            return
        prefix = records.number_key(number)

        def decode(transaction: ReadTransaction, rows: list[tuple[bytes, memoryview]]) -> list[ItemState]:
            reader = StateReader(transaction)
            texts = [bytes(text) for _, text in rows]
            found = [(text, get_sealed(transaction, JournalTable.ITEMS, text)) for text in texts]
            return [reader.state(text, payload) for text, payload in found if payload is not None]

        yield from self._scan(JournalTable.MEMBERS, prefix, prefix_stop(prefix), decode)

    def part(self, key: str) -> PartState | None:
        """What is known of a part."""
        with self.reading() as transaction:
            number = part_number(transaction, key)
            return None if number is None else StateReader(transaction).part(number)

    def part_fingerprint(self, key: str) -> str | None:
        """The fingerprint to skip a part by; a `Known` for `sources.source.read_sources`."""
        part = self.part(key)
        return None if part is None else part.fingerprint

    def parts(self, prefix: str = "") -> Iterator[PartState]:
        """The parts whose keys begin with `prefix`, in their order."""
        start = records.part_key(prefix)

        def decode(transaction: ReadTransaction, rows: list[tuple[bytes, memoryview]]) -> list[PartState]:
            reader = StateReader(transaction)
            return [reader.part(int.from_bytes(number, "big")) for _, number in rows]

        yield from self._scan(JournalTable.PART_NAMES, start, prefix_stop(start), decode)

    def failures(self) -> Iterator[Failure]:
        """Items in quarantine, by the texts of their ids, then what could not be read."""
        yield from self._scan(
            JournalTable.FAILURES,
            b"",
            None,
            lambda _, rows: [records.decode_failure(payload)[1] for _, payload in rows],
        )

    def failure(self, item_id: RecordId) -> Failure | None:
        """Why an item is in quarantine; None when it is not."""
        with self.reading() as transaction:
            key = records.failure_key(records.item_key(item_id))
            payload = get_sealed(transaction, JournalTable.FAILURES, key)
            return None if payload is None else records.decode_failure(payload)[1]

    def position(self) -> int:
        """Newest seq of the destination that was written down; 0 at first."""
        with self.reading() as transaction:
            return counters_of(transaction).position

    def runs(self) -> list[RunRecord]:
        """What is kept of the history, newest first."""
        with self.reading() as transaction:
            found = [
                records.decode_run(int.from_bytes(key, "big"), payload)
                for key, payload in sealed_items(transaction, JournalTable.RUNS)
            ]
        newest_runs = bool(found) and holder_of(self.directory) is not None
        return [
            _interrupted(run) if run.ended is None and not (newest_runs and run is found[-1]) else run
            for run in reversed(found)
        ]

    def summary(self) -> JournalSummary:
        """How much there is of everything, and who is writing."""
        runs = self.runs()
        with self.reading() as transaction:
            counters = counters_of(transaction)
            return JournalSummary(
                identity=self.identity,
                items=transaction.count(JournalTable.ITEMS),
                stored=counters.stored,
                parts=transaction.count(JournalTable.PARTS),
                failures=transaction.count(JournalTable.FAILURES),
                position=counters.position,
                last_run=runs[0] if runs else None,
                writer=holder_of(self.directory),
            )

    def _scan(
        self,
        table: JournalTable,
        start: bytes,
        stop: bytes | None,
        decode: Callable[[ReadTransaction, list[tuple[bytes, memoryview]]], list[T]],
    ) -> Iterator[T]:
        """A piece at a time, each in a transaction of its own: whoever iterates may take his time."""
        while True:
            with self.reading() as transaction:
                rows = list(islice(sealed_items(transaction, table, start, stop), SCANNED_AT_ONCE))
                found = decode(transaction, rows)
            yield from found
            if len(rows) < SCANNED_AT_ONCE:
                return
            start = rows[-1][0] + b"\x00"


class StateReader:
    """Decodes items and parts in one transaction."""

    def __init__(self, transaction: ReadTransaction) -> None:
        self.transaction = transaction
        self.epoch = counters_of(transaction).epoch
        self._parts: dict[int, PartState] = {}

    def state(self, key: bytes, payload: memoryview) -> ItemState:
        """An item, from its entry in the items table."""
        part = self.part(records.item_head(payload).part)
        return records.decode_item(key, payload, part.key, self.epoch)

    def part(self, number: int) -> PartState:
        """A part, by its number."""
        known = self._parts.get(number)
        if known is None:
            payload = get_sealed(self.transaction, JournalTable.PARTS, records.number_key(number))
            if payload is None:
                raise CorruptionError(f"part {number} is named by others and not there; what is left cannot be used")
            part = records.decode_part(payload)
            fingerprint = part.fingerprint if part.epoch == self.epoch else None
            known = self._parts[number] = PartState(part.key, fingerprint, part.items)
        return known


def counters_of(transaction: ReadTransaction) -> Counters:
    """The journal's counters."""
    payload = get_sealed(transaction, JournalTable.STATE, records.COUNTERS)
    return Counters() if payload is None else records.decode_counters(payload)


def part_number(transaction: ReadTransaction, name: str) -> int | None:
    """The number of a part, None for one that is not known."""
    number = get_sealed(transaction, JournalTable.PART_NAMES, records.part_key(name))
    return None if number is None else int.from_bytes(number, "big")


def _interrupted(run: RunRecord) -> RunRecord:
    return replace(run, state="interrupted")
