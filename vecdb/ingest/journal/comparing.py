"""Compares what sources give with the journal: what is new, changed, unchanged, and at the end what vanished.

    run = Comparison(journal)
    for event in read_sources(sources, journal.part_fingerprint):
        Item       run.items([item, …]) gives a Verdict each; a few hundred at a time are compared fastest
        Problem    run.problem(problem): what was bad has not vanished
        PartEnd    run.part_end(end): True: write PartWrite(end.part, end.fingerprint) once the part's items are stored;
                   False: something is missing from it, and `finish` will tell
        SourceEnd  run.source_end(end)
    for vanished in run.finish(): …         when all sources were read to their end, and not after a stop

What vanished is known at the end only: an item that one part no longer has may still come in another.
Promises: nothing counts as vanished that was met anywhere in the run, even as a problem with an id, nor anything of a
part that failed or was not read, nor parts that are not listed when a source could not be listed in full. An item is
compared with what was written of it before this run. Memory is two bits for each known item that is looked at.
Invariants: numbers of items and parts from `_first_new` on were given in this run, and have not vanished.
Concurrency: all methods from any thread; `finish` comes last.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import msgspec

from vecdb.errors import InvalidIdError
from vecdb.ingest.journal import records
from vecdb.ingest.journal.config import SCAN_ITEMS_MAX, VANISHED_BATCH
from vecdb.ingest.journal.lookups import JournalReader, StateReader, counters_of, part_number
from vecdb.ingest.journal.marks import Marks
from vecdb.ingest.journal.records import Head
from vecdb.ingest.journal.states import Failure, ItemState, PartWrite
from vecdb.ingest.sources.item import Item, PartEnd, Problem, SourceEnd
from vecdb.storage.layout import JournalTable
from vecdb.storage.sealed import get_sealed, get_sealed_many, sealed_items
from vecdb.storage.transactions import ReadTransaction

Kind: TypeAlias = Literal["new", "changed", "moved", "unchanged", "quarantined", "duplicate"]
"""`moved`: the same content in another part: nothing to embed, but to be written as stored there (its metadata may name
the part). `quarantined`: the content that failed before, see `Verdict.failure`; left alone unless somebody asks for it,
but its failure is to be written anew when `is_elsewhere`. `unchanged` with a failure: other content failed, and what is
stored came back, so the failure is to be cleared.
`duplicate`: its id belongs to an item of a part that was skipped as unchanged, and so came first."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What an item is to the journal. `known` is what was stored of it: None for new and for unchanged ones."""

    kind: Kind
    item: Item
    known: ItemState | None = None
    failure: Failure | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the journal has the item in another part than the one in which it came."""
        return self.known is not None and self.known.part != self.item.part


@dataclass(frozen=True, slots=True)
class Vanished:
    """What to delete, up to a few hundred items, and what to write when that and all before it are done."""

    items: tuple[ItemState, ...]
    parts: tuple[PartWrite, ...] = ()
    removed_parts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Progress:
    """Of a part that is being read: how many items were known of it, and how many of those came."""

    expected: int
    came: int = 0


class Comparison:
    """One run's comparison. Without a journal everything is new."""

    def __init__(self, journal: JournalReader | None) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._seen, self._ended, self._unread, self._robbed = Marks(), Marks(), Marks(), Marks()
        self._progress: dict[str, _Progress] = {}
        self._unsettled: list[PartEnd] = []
        self._refused: set[str] = set()
        self._complete = True
        self._first_new = (0, 0)
        self._any_failures = self._was_empty = False
        if journal is not None:
            with journal.reading() as transaction:
                counters = counters_of(transaction)
                self._first_new = (counters.next_item, counters.next_part)
                self._any_failures = transaction.count(JournalTable.FAILURES) > 0
                self._was_empty = not (counters.next_item or self._any_failures)

    # --- items -------------------------------------------------------------------------------------------------------

    def items(self, items: Sequence[Item]) -> list[Verdict]:
        """A verdict for each item, in order. About 4 µs for one that is unchanged."""
        if self._journal is None or self._was_empty:
            return [Verdict("new", item) for item in items]
        keys = records.item_keys([item.id for item in items])
        with self._journal.reading() as transaction, self._lock:
            reader = StateReader(transaction)
            values = get_sealed_many(transaction, JournalTable.ITEMS, keys)
            return [self._verdict(reader, *given) for given in zip(items, keys, values, strict=True)]

    def _verdict(self, reader: StateReader, item: Item, key: bytes, payload: memoryview | None) -> Verdict:
        if payload is None:
            return self._unless_quarantined(reader, key, Verdict("new", item))
        head = records.item_head(payload)
        part = reader.part(head.part).key
        same = (
            head.epoch == reader.epoch
            and records.content_hash_of(payload, head) == item.content_hash
            and head.id_type == records.id_type(item.id)
        )
        if part == item.part:
            self._mark(reader, head, part)
            if same:
                return Verdict("unchanged", item, None, self._failure(reader, key))
        elif head.part in self._unread:
            self._refused.add(item.part)
            return Verdict("duplicate", item, reader.state(key, payload))
        else:
            self._robbed.add(head.part)
            self._mark(reader, head, "")
        known = reader.state(key, payload)
        if same:
            return Verdict("moved", item, known)
        return self._unless_quarantined(reader, key, Verdict("changed", item, known))

    def _unless_quarantined(self, reader: StateReader, key: bytes, verdict: Verdict) -> Verdict:
        failure = self._failure(reader, key)
        if failure is None or failure.content_hash != verdict.item.content_hash:
            return verdict
        return Verdict("quarantined", verdict.item, verdict.known, failure)

    def _failure(self, reader: StateReader, key: bytes) -> Failure | None:
        if not self._any_failures:
            return None
        payload = get_sealed(reader.transaction, JournalTable.FAILURES, records.failure_key(key))
        return None if payload is None else records.decode_failure(payload)[1]

    def problem(self, problem: Problem) -> Problem:
        """What could not be read has not vanished, as far as it is known by its id.

        The problem to write down: without an id that belongs to an item of a part that was skipped.
        """
        if self._journal is None or problem.item_id is None:
            return problem
        try:
            key = records.item_key(problem.item_id)
        except InvalidIdError:
            return replace(problem, item_id=None)
        with self._journal.reading() as transaction, self._lock:
            payload = get_sealed(transaction, JournalTable.ITEMS, key)
            if payload is not None:
                reader, head = StateReader(transaction), records.item_head(payload)
                part = reader.part(head.part).key
                if part != problem.part and head.part in self._unread:
                    return replace(problem, item_id=None)
                if part != problem.part:
                    self._robbed.add(head.part)
                self._mark(reader, head, part if part == problem.part else "")
        return problem

    def _mark(self, reader: StateReader, head: Head, part: str) -> None:
        """An item came; `part` is where it was expected, if it came there."""
        if self._seen.add(head.number) and part and head.number < self._first_new[0]:
            progress = self._progress.get(part)
            if progress is None:
                progress = self._progress[part] = _Progress(reader.part(head.part).items)
            progress.came += 1

    # --- parts and sources -------------------------------------------------------------------------------------------

    def part_end(self, end: PartEnd) -> bool:
        """True when nothing vanished from the part: it is done with, and may be skipped by `end.fingerprint`, when what
        it gave is stored. What `finish` gives for a part comes with its own PartWrite.

        False also for an "unchanged" part that has lost an item to a part before it: it is to be read next time.
        """
        if self._journal is None:
            return True
        with self._journal.reading() as transaction, self._lock:
            number = part_number(transaction, end.part)
            progress = self._progress.pop(end.part, None)
            if number is not None:
                self._ended.add(number)
                if end.state == "unchanged":
                    self._unread.add(number)
                    return number not in self._robbed
            if end.state != "read":
                return True
            if end.part in self._refused:
                # looked at again next time: the items that came first may be gone then
                self._unsettled.append(replace(end, fingerprint=None))
                return False
            if number is None or number >= self._first_new[1]:
                return True
            if progress is None:
                progress = _Progress(StateReader(transaction).part(number).items)
            if progress.came < progress.expected:
                self._unsettled.append(end)
                return False
            return True

    def source_end(self, end: SourceEnd) -> None:
        """A source was listed, in full or not."""
        with self._lock:
            self._complete = self._complete and end.complete

    # --- what vanished -----------------------------------------------------------------------------------------------

    def finish(self) -> Iterator[Vanished]:
        """What vanished, from parts that were read and with parts that are no longer there."""
        if self._journal is None:
            return
        for end in self._unsettled:
            yield from self._vanished_from(end.part, Vanished((), parts=(PartWrite(end.part, end.fingerprint),)))
        if self._complete:
            for key in self._unlisted():
                yield from self._vanished_from(key, Vanished((), removed_parts=(key,)))

    def _unlisted(self) -> Iterator[str]:
        """Keys of the parts known from before that did not end in this run."""
        number, stop = 0, self._first_new[1]
        while number < stop:
            found, number = self._read_unlisted(number)
            yield from found

    def _read_unlisted(self, first: int) -> tuple[list[str], int]:
        """Some of them from number `first` on, and where to go on."""
        found: list[str] = []
        start, stop = records.number_key(first), records.number_key(self._first_new[1])
        with self._reading() as transaction:
            for looked_at, (key, payload) in enumerate(sealed_items(transaction, JournalTable.PARTS, start, stop), 1):
                number = int.from_bytes(key, "big")
                if number not in self._ended:
                    found.append(records.decode_part(payload).key)
                if len(found) == VANISHED_BATCH or looked_at == SCAN_ITEMS_MAX:
                    return found, number + 1
        return found, self._first_new[1]

    def _vanished_from(self, part: str, done: Vanished) -> Iterator[Vanished]:
        """The items of a part that did not come, and with the last of them what is `done` then."""
        with self._reading() as transaction:
            number = part_number(transaction, part)
        place: int | None = 0
        while number is not None and place is not None:
            items, place = self._read_vanished(number, place)
            if place is None:
                done = replace(done, items=tuple(items))
            elif items:
                yield Vanished(tuple(items))
        yield done

    def _read_vanished(self, part: int, first: int) -> tuple[list[ItemState], int | None]:
        """Some of a part's items that did not come, from number `first` on, and where to go on."""
        texts: list[tuple[bytes, int]] = []
        start, stop = records.member_key(part, first), records.member_key(part, self._first_new[0])
        place = None
        with self._reading() as transaction:
            for looked_at, (key, text) in enumerate(sealed_items(transaction, JournalTable.MEMBERS, start, stop), 1):
                number = records.member_number(key)
                if number not in self._seen:
                    texts.append((bytes(text), number))
                if len(texts) == VANISHED_BATCH or looked_at == SCAN_ITEMS_MAX:
                    place = number + 1
                    break
            return self._still_there(transaction, part, texts), place

    def _still_there(
        self, transaction: ReadTransaction, part: int, texts: Sequence[tuple[bytes, int]]
    ) -> list[ItemState]:
        reader = StateReader(transaction)
        payloads = get_sealed_many(transaction, JournalTable.ITEMS, [text for text, _ in texts])
        return [
            reader.state(text, payload)
            for (text, number), payload in zip(texts, payloads, strict=True)
            if payload is not None and records.item_head(payload)[1:4:2] == (part, number)
        ]

    def _reading(self) -> AbstractContextManager[ReadTransaction]:
        if self._journal is None:
            raise AssertionError("without a journal nothing was known")
        return self._journal.reading()
