"""Removes what no state lists: chunks of replaced or half-written segments, sealed tail rows, dropped collections.

Promises: only unlisted data is removed, in transactions of at most INDEX_COMMIT_BYTES, so commits of users wait little.
Interrupted sweeps are finished by the next one: everything to remove is found from the tables themselves.
Concurrency: called with the indexer's job lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vecdb.config import INDEX_COMMIT_BYTES
from vecdb.engine.loading import load_counters
from vecdb.engine.state import COUNTERS_KEY
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.view import View
    from vecdb.engine.writer import Writer
    from vecdb.storage.environment import Environment
    from vecdb.storage.transactions import ReadTransaction

COLLECTION_TABLES = (Table.IDS, Table.RECORDS, Table.TAIL, Table.DEAD, Table.SEGMENTS, Table.CHUNKS)


class Sweeper:
    """Removes leftovers through the writer, a little at a time."""

    def __init__(self, environment: Environment, writer: Writer) -> None:
        self._environment = environment
        self._writer = writer

    def sweep_all(self, view: View) -> None:
        """Remove all leftovers of a crash."""
        self.sweep_dropped()
        for number, collection in view.collections.items():
            for field in collection.fields:
                self.sweep_field(view, number, field.schema.number)

    def sweep_field(self, view: View, number: int, field: int) -> None:
        """Remove unlisted segments and sealed tail rows of one field."""
        collection = view.collections.get(number)
        if collection is None:
            return
        state = collection.state.fields[field]
        prefix = keys.field_prefix(number, field)
        for table in (Table.CHUNKS, Table.SEGMENTS):
            for segment in self._segments_in(table, prefix):
                if segment not in state.segments:
                    start = keys.segment_prefix(number, field, segment)
                    self._delete(table, start, keys.prefix_stop(start))
        self._delete(Table.TAIL, prefix, keys.tail_key(number, field, state.indexed_upto))

    def sweep_dropped(self) -> None:
        """Remove all data of dropped collections, then forget their numbers."""
        txn = self._environment.begin_read()
        try:
            dropped = load_counters(txn).dropped
        finally:
            txn.close()
        for number in dropped:
            prefix = keys.collection_prefix(number)
            for table in COLLECTION_TABLES:
                self._delete(table, prefix, keys.prefix_stop(prefix))
        if dropped:
            self._forget(dropped)

    def _forget(self, dropped: tuple[int, ...]) -> None:
        with self._writer.transaction() as txn:
            # Read here and not before: a collection created meanwhile has changed the counters.
            counters = load_counters(txn)
            left = tuple(number for number in counters.dropped if number not in dropped)
            after = msgspec.structs.replace(counters, dropped=left)
            txn.put(Table.STATE, COUNTERS_KEY, codec.encode_struct(Table.STATE, COUNTERS_KEY, after))

    def _segments_in(self, table: Table, prefix: bytes) -> list[int]:
        """Numbers of the segments that have keys in a table: one seek each."""
        found: list[int] = []
        txn = self._environment.begin_read()
        try:
            start, stop = prefix, keys.prefix_stop(prefix)
            while (key := _first_key(txn, table, start, stop)) is not None:
                segment_prefix = key[: len(prefix) + 4]
                found.append(int.from_bytes(segment_prefix[-4:], "big"))
                following = keys.prefix_stop(segment_prefix)
                if following is None:
                    break
                start = following
        finally:
            txn.close()
        return found

    def _delete(self, table: Table, start: bytes, stop: bytes | None) -> None:
        """Delete a key range in small transactions; without anything to delete none is begun."""
        txn = self._environment.begin_read()
        try:
            empty = _first_key(txn, table, start, stop) is None
        finally:
            txn.close()
        while not empty:
            with self._writer.transaction() as write:
                empty = write.delete_range(table, start, stop, INDEX_COMMIT_BYTES) == 0


def _first_key(txn: ReadTransaction, table: Table, start: bytes, stop: bytes | None) -> bytes | None:
    for key, _ in txn.items(table, start, stop):
        return bytes(key)
    return None
