"""Carries `JournalChanges` out inside one write transaction.

Invariants: an item is listed in `members` under exactly the part and number that its record names; a part counts the
items whose records name it; numbers are never given twice, not even to an item that comes back.
Concurrency: an object for each transaction, on its thread. Not here: what the changes mean (`states`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vecdb.errors import CorruptionError, InvalidIdError
from vecdb.ingest.journal import records
from vecdb.ingest.journal.intents import Intents
from vecdb.ingest.journal.records import Counters, Head, PartRecord
from vecdb.ingest.journal.states import Failure, ItemState, ItemWrite, JournalChanges, PartWrite
from vecdb.storage.keys import prefix_stop
from vecdb.storage.layout import JournalTable
from vecdb.storage.sealed import get_sealed, get_sealed_many, put_sealed, sealed_items
from vecdb.storage.transactions import WriteTransaction
from vecdb.types import RecordId


class ChangeWriter:
    """Writes to a journal. `finish` stores what was counted on the way."""

    def __init__(self, transaction: WriteTransaction, run: int, intents: Intents) -> None:
        self._transaction = transaction
        self.intents = intents
        stored = get_sealed(transaction, JournalTable.STATE, records.COUNTERS)
        self.counters = Counters() if stored is None else records.decode_counters(stored)
        self._run = run
        self._numbers: dict[str, int] = {}
        self._parts: dict[int, PartRecord] = {}
        self._any_failures = transaction.count(JournalTable.FAILURES) > 0

    def apply(self, changes: JournalChanges) -> None:
        """Everything in `changes` but the counters of the run."""
        self._intend(changes.intended)
        self._store(changes.stored)
        self._remove(changes.removed)
        self._fail(changes.failed)
        self._clear(records.item_keys(changes.cleared))
        for part in changes.parts:
            self._end_part(part)
        for key in changes.removed_parts:
            self._remove_part(key)
        if changes.position is not None:
            self.counters.position = max(self.counters.position, changes.position)

    def finish(self) -> None:
        """Write parts and counters."""
        parts = [(records.number_key(number), records.encode_part(part)) for number, part in self._parts.items()]
        put_sealed(self._transaction, JournalTable.PARTS, parts)
        state = [(records.COUNTERS, records.encode_counters(self.counters))]
        put_sealed(self._transaction, JournalTable.STATE, state)

    # --- items -------------------------------------------------------------------------------------------------------

    def _intend(self, given: Sequence[ItemWrite]) -> None:
        if not given:
            return
        items: dict[bytes, ItemWrite] = {}
        keys = records.item_keys([item.id for item in given])
        for key, item, taken in zip(keys, given, self._take_intents(keys), strict=True):
            before = items.get(key) or taken
            items[key] = item if before is None else _with_chunks(item, _union(before.chunks, item.chunks))
        number, epoch = self.intents.add(items), self.counters.epoch
        parts = {name: self._part_number(name) for name in dict.fromkeys(item.part for item in given)}
        value = records.encode_intent(items, parts, epoch)
        put_sealed(self._transaction, JournalTable.INTENDED, [(records.intent_key(number), value)])

    def _take_intents(self, keys: Iterable[bytes]) -> list[ItemWrite | None]:
        """What was intended of some items, which is not any more."""
        items, over = self.intents.take(keys)
        self._transaction.delete_many(JournalTable.INTENDED, map(records.intent_key, over))
        return items

    def _store(self, given: Sequence[ItemWrite]) -> None:
        items = dict(zip(records.item_keys([item.id for item in given]), given, strict=True))
        self._put_items(items)
        self._take_intents(items)
        self._clear(items)

    def _put_items(self, items: dict[bytes, ItemWrite]) -> None:
        rows, members = [], []
        counters, epoch = self.counters, self.counters.epoch
        for (key, item), old in zip(items.items(), self._read(JournalTable.ITEMS, list(items)), strict=True):
            part = self._part_number(item.part)
            if old is None:
                number = counters.next_item
                counters.next_item += 1
                is_member = False
            else:
                head = records.item_head(old)
                number, is_member = head.number, head.part == part
                counters.stored -= records.has_chunks(old, head)
                if not is_member:
                    self._leave(head)
                    # if it still has the item, which came elsewhere first, that must be known when it goes there
                    self._parts[head.part].fingerprint = None
            if not is_member:
                members.append((records.member_key(part, number), key))
                self._parts[part].items += 1
            counters.stored += bool(item.chunks)
            rows.append((key, records.encode_item(item, part, epoch, number, item.content_hash)))
        put_sealed(self._transaction, JournalTable.ITEMS, rows)
        put_sealed(self._transaction, JournalTable.MEMBERS, members)

    def _remove(self, ids: Iterable[RecordId]) -> None:
        for item_id in ids:
            key = records.item_key(item_id)
            old = get_sealed(self._transaction, JournalTable.ITEMS, key)
            if old is not None:
                head = records.item_head(old)
                self._leave(head)
                self.counters.stored -= records.has_chunks(old, head)
                self._transaction.delete(JournalTable.ITEMS, key)
            self._take_intents([key])
            self._clear([key])

    def _leave(self, head: Head) -> None:
        """Take an item out of the part that it was in, and load that part."""
        self._transaction.delete(JournalTable.MEMBERS, records.member_key(head.part, head.number))
        self._part(head.part).items -= 1

    def settle_intended(self) -> bool:
        """After a crash: what one delivery may have stored joins the items, whose content then counts as changed.

        False when there is nothing left.
        """
        found = next(sealed_items(self._transaction, JournalTable.INTENDED), None)
        if found is None:
            return False
        intent, payload = found
        batch = records.decode_intent(payload)
        items: dict[bytes, ItemWrite] = {}
        for (key, intended), old in zip(batch, self._read(JournalTable.ITEMS, [key for key, _ in batch]), strict=True):
            state = _state(key, intended)
            chunks = state.chunks if old is None else _union(_state(key, old).chunks, state.chunks)
            part = self._part(records.item_head(intended if old is None else old).part)
            part.fingerprint = None  # it may be put back as it was, which would not be read
            items[key] = ItemWrite(state.id, part.key, b"", chunks)
        self._put_items(items)
        self._transaction.delete(JournalTable.INTENDED, intent)
        return True

    def forget(self, ids: Sequence[RecordId]) -> None:
        """Let these items count as changed, and their parts be read."""
        items: dict[bytes, ItemWrite] = {}
        keys = records.item_keys(ids)
        for key, old in zip(keys, self._read(JournalTable.ITEMS, keys), strict=True):
            if old is not None:
                state = _state(key, old)
                part = self._part(records.item_head(old).part)
                part.fingerprint = None
                items[key] = ItemWrite(state.id, part.key, b"", state.chunks, state.version)
        self._put_items(items)

    # --- failures ----------------------------------------------------------------------------------------------------

    def _fail(self, failures: Sequence[Failure]) -> None:
        rows = []
        for failure in failures:
            kept = failure if failure.time else replace(failure, time=time.time())
            try:
                item_key = None if failure.id is None else records.item_key(failure.id)
            except InvalidIdError:  # which may be just what is wrong with it
                item_key, kept = None, replace(kept, id=None)
            if item_key is None:
                key = records.problem_key(self._part_number(failure.part), failure)
            else:
                self._list_failed(item_key, failure)
                key = records.failure_key(item_key)
            rows.append((key, records.encode_failure(kept, self._run)))
        put_sealed(self._transaction, JournalTable.FAILURES, dict(rows).items())
        self._any_failures = self._any_failures or bool(rows)

    def _list_failed(self, key: bytes, failure: Failure) -> None:
        """Make the item of a failure known, so that it is missed when it vanishes."""
        if failure.id is None:
            raise AssertionError("only a failure with an id has an item")
        write = ItemWrite(failure.id, failure.part, b"", ())
        (intended,) = self._take_intents([key])
        if intended is not None:
            write = ItemWrite(failure.id, failure.part, b"", intended.chunks, intended.version)
        old = get_sealed(self._transaction, JournalTable.ITEMS, key)
        if old is not None:
            state = records.decode_item(key, old, failure.part, self.counters.epoch)
            chunks = _union(state.chunks, write.chunks)
            write = ItemWrite(state.id, failure.part, state.content_hash, chunks, state.version)
        self._put_items({key: write})

    def _clear(self, item_keys: Iterable[bytes]) -> None:
        if self._any_failures:
            self._transaction.delete_many(JournalTable.FAILURES, map(records.failure_key, item_keys))

    def clear_old_problems(self) -> None:
        """Forget failures without id that this run has not met."""
        start, stop = records.PROBLEM, prefix_stop(records.PROBLEM)
        old = [
            key
            for key, payload in sealed_items(self._transaction, JournalTable.FAILURES, start, stop)
            if records.decode_failure(payload)[0] < self._run
        ]
        self._transaction.delete_many(JournalTable.FAILURES, old)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _end_part(self, ended: PartWrite) -> None:
        part = self._part(self._part_number(ended.key))
        part.epoch, part.fingerprint = self.counters.epoch, ended.fingerprint

    def _remove_part(self, name: str) -> None:
        key = records.part_key(name)
        stored = get_sealed(self._transaction, JournalTable.PART_NAMES, key)
        if stored is None:
            return
        number = int.from_bytes(stored, "big")
        part = self._part(number)
        part.fingerprint = None
        if part.items == 0:
            self._transaction.delete(JournalTable.PART_NAMES, key)
            self._transaction.delete(JournalTable.PARTS, records.number_key(number))
            del self._parts[number]
            self._numbers.pop(name, None)

    def _part_number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is not None:
            return number
        key = records.part_key(name)
        stored = get_sealed(self._transaction, JournalTable.PART_NAMES, key)
        if stored is None:
            number = self.counters.next_part
            self.counters.next_part += 1
            put_sealed(self._transaction, JournalTable.PART_NAMES, [(key, records.number_key(number))])
            self._parts[number] = PartRecord(self.counters.epoch, 0, None, name)
        else:
            number = int.from_bytes(stored, "big")
            self._part(number)
        self._numbers[name] = number
        return number

    def _part(self, number: int) -> PartRecord:
        part = self._parts.get(number)
        if part is None:
            stored = get_sealed(self._transaction, JournalTable.PARTS, records.number_key(number))
            if stored is None:
                raise CorruptionError(f"part {number} is named by others and not there; what is left cannot be used")
            part = self._parts[number] = records.decode_part(stored)
        return part

    def _read(self, table: JournalTable, keys: Sequence[bytes]) -> list[memoryview | None]:
        return get_sealed_many(self._transaction, table, keys)


def _state(key: bytes, payload: bytes | memoryview) -> ItemState:
    """An item's record for its ids; neither its part nor whether its hash counts is looked up."""
    return records.decode_item(key, payload, "", -1)


def _with_chunks(item: ItemWrite, chunks: tuple[RecordId, ...]) -> ItemWrite:
    return ItemWrite(item.id, item.part, item.content_hash, chunks, item.version)


def _union(first: tuple[RecordId, ...], second: tuple[RecordId, ...]) -> tuple[RecordId, ...]:
    """Both, without repeating any; 5 and "5" are two."""
    if first == second:
        return first
    return tuple({(type(chunk), chunk): chunk for chunk in (*first, *second)}.values())
