"""Makes the next View: from a commit in the writer's process, from the log in a reader's, from scratch at open.

Promises: `view` is always a whole, consistent picture; it is replaced by one assignment. A reader that lags behind by
more than the log holds reloads everything; otherwise it reads only what changed.
Invariants: applying a commit and following its log entry give equal Views.
Concurrency: `publish` is called under the writer's lock; `follow` locks itself; `view` may be read at any time.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vecdb.config import BLOCK_SLOTS, LOG_ENTRIES_KEPT
from vecdb.engine import bitmap
from vecdb.engine.index_view import advanced_expiry, advanced_indexes, block_count, load_expiry, load_indexes
from vecdb.engine.loading import (
    empty_tail,
    load_collection_state,
    load_dead,
    load_schemas,
    load_segment,
    load_tail_rows,
    load_view,
    newest_seq,
    require,
)
from vecdb.engine.state import FieldState, LogEntry
from vecdb.engine.tail import Slots
from vecdb.engine.tail_rows import TailRows
from vecdb.engine.view import CollectionView, FieldView, View
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vecdb.engine.commit import Commit
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.state import CollectionState
    from vecdb.storage.environment import Environment
    from vecdb.storage.transactions import ReadTransaction


class Publisher:
    """Owner of the current View of one open database."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self.view: View = load_view(environment)

    def publish(self, commit: Commit, seq: int) -> None:
        """Swap in the View of a commit just made by this process."""
        txn = self._environment.begin_read()
        collections = {number: view for number, view in self.view.collections.items() if number in commit.schemas}
        for number, change in commit.changes.items():
            collections[number] = advanced(
                txn,
                collections.get(number),
                commit.schemas[number],
                commit.states[number],
                change.killed_slots(),
                change.appended,
                change.rewritten_slots(),
            )
        self.view = View(seq=seq, txn=txn, collections=collections, names=_names(collections))

    def renew(self) -> None:
        """Swap in the same View with a new pin: for the writer, its lock held, after commits that no View shows."""
        view, txn = self.view, self._environment.begin_read()
        self.view = View(seq=view.seq, txn=txn, collections=view.collections, names=view.names)

    def follow(self) -> View:
        """Catch up with the writer if it has committed since; returns the View to use."""
        if self._environment.committed_txn() == self.view.txn.txn_id:
            return self.view
        with self._lock:
            if self._environment.committed_txn() != self.view.txn.txn_id:
                self.view = self._followed()
            return self.view

    def _followed(self) -> View:
        txn = self._environment.begin_read()
        before, seq = self.view, newest_seq(txn)
        if seq - before.seq >= LOG_ENTRIES_KEPT:
            return load_view(self._environment)
        killed, rewritten, catalog = self._read_log(txn, before.seq, seq)
        schemas = load_schemas(txn) if catalog else {n: view.schema for n, view in before.collections.items()}
        collections = {number: view for number, view in before.collections.items() if number in schemas}
        for number, parts in killed.items():
            if number not in schemas:
                continue
            state = load_collection_state(txn, number)
            known = collections.get(number)
            appended = _tail_news(txn, known, schemas[number], state)
            slots, changed = np.sort(np.concatenate(parts)), np.concatenate(rewritten[number])
            collections[number] = advanced(txn, known, schemas[number], state, slots, appended, changed)
        return View(seq=seq, txn=txn, collections=collections, names=_names(collections))

    def _read_log(
        self, txn: ReadTransaction, after: int, upto: int
    ) -> tuple[dict[int, list[Slots]], dict[int, list[Slots]], bool]:
        """Slots killed and slots rewritten of every changed collection, and whether the catalog changed."""
        killed: dict[int, list[Slots]] = {}
        rewritten: dict[int, list[Slots]] = {}
        catalog = False
        for seq in range(after + 1, upto + 1):
            key = keys.log_key(seq)
            entry = codec.decode_struct(Table.LOG, key, require(txn, Table.LOG, key), LogEntry)
            catalog |= entry.catalog
            for number, slots in entry.collections.items():
                killed.setdefault(number, []).append(np.frombuffer(slots, dtype="<u4"))
                in_place = entry.rewritten.get(number, b"")
                rewritten.setdefault(number, []).append(np.frombuffer(in_place, dtype="<u4"))
        return killed, rewritten, catalog


def advanced(
    txn: ReadTransaction,
    before: CollectionView | None,
    schema: CollectionSchema,
    state: CollectionState,
    killed: Slots,
    appended: Mapping[int, list[TailRows]],
    rewritten: Slots,
) -> CollectionView:
    """Return the collection after rows were appended, slots killed or rewritten, or segments exchanged."""
    dead = before.dead if before is not None else load_dead(txn, schema.number, state.next_slot)
    dead = bitmap.resized(dead, state.next_slot)
    if len(killed) and before is not None:
        dead = bitmap.with_bits(dead, killed)
    fields = []
    for field in schema.fields:
        known = None if before is None else before.numbered(field.number)
        stored = state.fields[field.number]
        segments, tail = (
            ((), empty_tail(field, FieldState(next_row=stored.next_row)))
            if known is None
            else (
                known.segments,
                known.tail,
            )
        )
        for rows in appended.get(field.number, ()):
            tail = tail.appended(*rows)
        changed = FieldView(field, segments, tail)
        if len(killed):
            changed = changed.killed(killed)
        calibrated = before is not None and known is not None and _calibrated(before.state, state, field.number)
        fields.append(_with_segments(txn, schema.number, changed, state, dead, reread=calibrated))
    view = CollectionView(schema=schema, state=state, dead=dead, fields=tuple(fields))
    return _with_columns(txn, before, view, rewritten) if state.indexes or state.expiring else view


def _with_columns(
    txn: ReadTransaction, before: CollectionView | None, view: CollectionView, rewritten: Slots
) -> CollectionView:
    """Add indexes and expiries: a commit may have written the blocks of new slots and of slots rewritten in place."""
    number, state = view.schema.number, view.state
    if before is None:
        return replace(view, indexes=load_indexes(txn, number, state), expiry=load_expiry(txn, number, state))
    touched = set(range(before.state.next_slot // BLOCK_SLOTS, block_count(state.next_slot)))
    touched.update((rewritten // BLOCK_SLOTS).tolist())
    return replace(
        view,
        indexes=advanced_indexes(txn, number, before.indexes, state, touched),
        expiry=advanced_expiry(txn, number, before.expiry, state, touched),
    )


def _calibrated(before: CollectionState, after: CollectionState, field: int) -> bool:
    return before.fields[field].calibrations != after.fields[field].calibrations


def _with_segments(
    txn: ReadTransaction, collection: int, field: FieldView, state: CollectionState, dead: bitmap.Words, *, reread: bool
) -> FieldView:
    """Open segments that are new in `state` (`reread`: all), forget those that are gone, drop what the tail no longer
    answers for.
    """
    wanted = state.fields[field.schema.number]
    current = tuple(segment.entry.number for segment in field.segments)
    if current == wanted.segments and field.tail.from_row >= wanted.indexed_upto and not reread:
        return field
    known = {} if reread else {segment.entry.number: segment for segment in field.segments}
    segments = tuple(
        known.get(number) or load_segment(txn, collection, field.schema, number, dead) for number in wanted.segments
    )
    return FieldView(field.schema, segments, field.tail.dropped_below(wanted.indexed_upto))


def _tail_news(
    txn: ReadTransaction, known: CollectionView | None, schema: CollectionSchema, state: CollectionState
) -> dict[int, list[TailRows]]:
    """Read the tail rows that this process has not seen."""
    news = {}
    for field in schema.fields:
        is_new = known is None or known.numbered(field.number) is None
        seen = 0 if known is None or is_new else known.state.next_row(field.number)
        stored = state.fields[field.number]
        rows = load_tail_rows(txn, schema.number, field, stored, max(seen, stored.indexed_upto))
        if len(rows.slots):
            news[field.number] = [rows]
    return news


def _names(collections: Mapping[int, CollectionView]) -> dict[str, int]:
    return {view.schema.name: number for number, view in collections.items()}
