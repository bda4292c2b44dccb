"""Removes what no state lists: chunks of replaced or half-written segments, sealed tail rows, dropped collections.

LMDB hands out free pages in the order in which they were freed, whatever they lie beside. Chunks freed early would be
taken apart, page by page, by the small commits that follow, and the next segment, finding no room for its chunks, would
make the file longer, job after job. So chunks of replaced segments stay where they are until the next job is about to
write: freed then, they are taken as they are. A database at rest, optimized, closed or short of room keeps none, and
the first three give the disk's room of free pages back to the file system (`storage/holes`).

Promises: only unlisted data is removed, in transactions of at most INDEX_COMMIT_BYTES, so commits of users wait little.
Interrupted sweeps are finished by the next one: everything to remove is found from the tables themselves.
Concurrency: called with the indexer's job lock held. States are read from the newest View each time: a View held for
as long as a sweep takes would pin what users' commits free meanwhile.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from vecdb.config import EXPIRY_INDEX, FOLLOW_INTERVAL_S, FOLLOW_WAIT_S, INDEX_COMMIT_BYTES
from vecdb.engine.loading import load_counters
from vecdb.engine.state import COUNTERS_KEY, FieldState, SegmentEntry
from vecdb.errors import CorruptionError
from vecdb.storage import codec, keys
from vecdb.storage.config import HOLE_BYTES_MIN, RELEASE_BYTES_MIN, RELEASE_SHARE, RELEASE_STEP_BYTES
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.publisher import Publisher
    from vecdb.engine.view import View
    from vecdb.engine.writer import Writer
    from vecdb.storage.environment import Environment
    from vecdb.storage.transactions import ReadTransaction

COLLECTION_TABLES = (
    Table.IDS,
    Table.RECORDS,
    Table.TAIL,
    Table.DEAD,
    Table.SEGMENTS,
    Table.CHUNKS,
    Table.COLUMNS,
    Table.TERMS,
)


class Sweeper:
    """Removes leftovers through the writer, a little at a time."""

    def __init__(self, environment: Environment, writer: Writer, publisher: Publisher) -> None:
        self._environment = environment
        self._writer = writer
        self._publisher = publisher

    def sweep_all(self, view: View) -> bool:
        """Remove everything that no state lists; tell whether a segment was among it."""
        self.sweep_dropped()
        found = False
        for number, collection in view.collections.items():
            self.sweep_indexes(number)
            for field in range(len(collection.state.fields)):  # dropped ones too, which list nothing
                found |= self.sweep_field(number, field)
        return found

    def sweep_indexes(self, number: int) -> None:
        """Remove the blocks and terms of metadata indexes that the collection no longer has."""
        prefix = keys.collection_prefix(number)
        stored = {index for table in (Table.COLUMNS, Table.TERMS) for index in self._indexes_in(table, prefix)}
        view = self._publisher.view.collections.get(number)
        if view is None:
            return
        listed = {EXPIRY_INDEX, *(index.number for index in view.state.indexes)}
        # An index created since the View was taken has a number that no View so far has listed.
        gone = [index for index in sorted(stored - listed) if index < view.state.next_index]
        for index in gone:
            start = keys.index_prefix(number, index)
            for table in (Table.COLUMNS, Table.TERMS):
                self._delete(table, start, keys.prefix_stop(start))
        if gone:
            self._writer.renew_view()

    def _indexes_in(self, table: Table, prefix: bytes) -> list[int]:
        """Numbers of the metadata indexes that have keys in a table."""
        return [int.from_bytes(part[-2:], "big") for part in self._prefixes_in(table, prefix, len(prefix) + 2)]

    def sweep_field(self, number: int, field: int) -> bool:
        """Remove the unlisted segments and the sealed tail rows of one field; tell whether there was a segment."""
        self.sweep_tail(number, field)
        unlisted = self._unlisted(number, field)
        self._remove(number, field, unlisted)
        return bool(unlisted)

    def sweep_tail(self, number: int, field: int) -> None:
        """Remove the sealed tail rows of one field."""
        state = self._state(number, field)
        if state is not None:
            prefix = keys.field_prefix(number, field)
            self._delete(Table.TAIL, prefix, keys.tail_key(number, field, state.indexed_upto))
            self._writer.renew_view()

    def make_room(self, number: int, field: int, wanted: int) -> None:
        """Remove unlisted segments of one field until `wanted` bytes are free, and no more remain than are listed.

        The smallest first: a large one waits for a large job.
        """
        sizes = {segment: self._bytes(number, field, segment) for segment in self._unlisted(number, field)}
        state = self._state(number, field)
        left = sum(sizes.values())
        listed = 0 if state is None else sum(self._bytes(number, field, segment) for segment in state.segments)
        chosen: list[int] = []
        for segment in sorted(sizes, key=lambda segment: sizes[segment]):
            if wanted <= 0 and left <= listed:
                break
            wanted, left = wanted - sizes[segment], left - sizes[segment]
            chosen.append(segment)
        if chosen:
            self._remove(number, field, chosen)
            self.wait_for_readers()

    def wait_for_readers(self) -> None:
        """Give readers, which follow the writer at intervals, time to let go of what was removed. Not required."""
        removed, deadline = self._environment.committed_txn(), time.monotonic() + FOLLOW_WAIT_S
        while self._environment.oldest_read_txn() < removed and time.monotonic() < deadline:
            time.sleep(FOLLOW_INTERVAL_S / 10)

    def release(self, *, sparing: bool) -> int:
        """Give the disk's room of free pages back to the file system; returns the bytes.

        `sparing`: only where it is much beside what is in use, and not of short runs of pages.
        """
        free, used = self._environment.room()
        if sparing and free < max(RELEASE_BYTES_MIN, RELEASE_SHARE * used):
            return 0
        self._add_commit()
        self.wait_for_readers()
        total = 0
        shortest = HOLE_BYTES_MIN if sparing else 0
        while part := self._environment.release_free_pages(RELEASE_STEP_BYTES, shortest):
            total += part
            left, _ = self._environment.room()
            if left >= free:  # a file system whose blocks are larger than pages keeps what it says it gave
                break
            free = left
        return total

    def _add_commit(self) -> None:
        """Commit without a change: what the last commit freed is then older than the newest state."""
        with self._writer.transaction(frees=True) as txn:
            counters = txn.get(Table.STATE, COUNTERS_KEY)
            if counters is not None:
                txn.put(Table.STATE, COUNTERS_KEY, counters)
        self._writer.renew_view()

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
            self._writer.renew_view()

    def _forget(self, dropped: tuple[int, ...]) -> None:
        with self._writer.transaction(frees=True) as txn:
            # Read here and not before: a collection created meanwhile has changed the counters.
            counters = load_counters(txn)
            left = tuple(number for number in counters.dropped if number not in dropped)
            after = msgspec.structs.replace(counters, dropped=left)
            txn.put(Table.STATE, COUNTERS_KEY, codec.encode_struct(Table.STATE, COUNTERS_KEY, after))

    def _state(self, number: int, field: int) -> FieldState | None:
        view = self._publisher.view.collections.get(number)
        return None if view is None else view.state.fields[field]

    def _unlisted(self, number: int, field: int) -> list[int]:
        """Numbers of the segments that are stored and not listed; none of a dropped collection (see sweep_dropped)."""
        state = self._state(number, field)
        if state is None:
            return []
        prefix = keys.field_prefix(number, field)
        stored = {segment for table in (Table.CHUNKS, Table.SEGMENTS) for segment in self._segments_in(table, prefix)}
        return sorted(stored.difference(state.segments))

    def _bytes(self, number: int, field: int, segment: int) -> int:
        """Bytes of a segment's chunks as its entry says; 0 for one half-written, which has none."""
        key = keys.segment_key(number, field, segment)
        with self._environment.begin_read() as txn:
            value = txn.get(Table.SEGMENTS, key)
            try:
                return 0 if value is None else codec.decode_struct(Table.SEGMENTS, key, value, SegmentEntry).bytes
            except CorruptionError:
                return 0

    def _remove(self, number: int, field: int, segments: list[int]) -> None:
        """Remove segments, chunks first: LMDB gives out the pages that a commit freed after one more commit."""
        for table in (Table.CHUNKS, Table.SEGMENTS):
            for segment in segments:
                start = keys.segment_prefix(number, field, segment)
                self._delete(table, start, keys.prefix_stop(start))
        if segments:
            self._writer.renew_view()

    def _segments_in(self, table: Table, prefix: bytes) -> list[int]:
        """Numbers of the segments that have keys in a table."""
        return [int.from_bytes(part[-4:], "big") for part in self._prefixes_in(table, prefix, len(prefix) + 4)]

    def _prefixes_in(self, table: Table, prefix: bytes, length: int) -> list[bytes]:
        """The different first `length` bytes of the keys under a prefix: one seek each."""
        found: list[bytes] = []
        txn = self._environment.begin_read()
        try:
            start, stop = prefix, keys.prefix_stop(prefix)
            while (key := _first_key(txn, table, start, stop)) is not None:
                found.append(key[:length])
                following = keys.prefix_stop(found[-1])
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
            with self._writer.transaction(frees=True) as write:
                empty = write.delete_range(table, start, stop, INDEX_COMMIT_BYTES) == 0


def _first_key(txn: ReadTransaction, table: Table, start: bytes, stop: bytes | None) -> bytes | None:
    for key, _ in txn.items(table, start, stop):
        return bytes(key)
    return None
