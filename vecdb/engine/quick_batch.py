"""Answers batches again that were asked before, but for the queries, for who passes the hits on.

What `quick_search` is for one query: all but the queries is settled once and kept in the CollectionView, so that what
is left of a batch is one kernel that searches and one that copies ids or records. Only the plainest case is prepared, a
field at rest in one segment, without expiries and without a filter; whatever is out of the ordinary is declined and
left to `PackedCollection.search_columns`, which also says what is wrong.
Promises: what is answered here is what that would have answered.
Concurrency: any thread; nothing of a batch is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vecdb.engine.config import LATE_BYTES_MAX, LATE_HITS_MAX, PREPARED_MAX
from vecdb.engine.found_hits import Form, PackedHits, found_hits
from vecdb.engine.hit_results import opened_records
from vecdb.engine.ids import bind_ids, ids_room
from vecdb.engine.interruption import check_interruption
from vecdb.engine.validate import check_queries
from vecdb.index.search import prepare_batch

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.engine.effort import SearchEffort
    from vecdb.engine.quick_search import Asked
    from vecdb.engine.search import Slots
    from vecdb.engine.view import CollectionView, FieldView, View
    from vecdb.types import FloatArray


def quick_batch(
    database: Database, number: int, asked: Asked, queries: FloatArray, *, with_metadata: bool
) -> PackedHits | None:
    """The hits of queries (n, dim) float32, all as of one query, if such a batch is prepared and nothing is out of the
    ordinary, else None.
    """
    view = database.enter()
    try:
        collection = view.collections.get(number)
        prepared = None if collection is None else collection.prepared_batches.get(asked)
        if prepared is None:
            return None
        return prepared.answer(queries, number, view if with_metadata else None)
    finally:
        database.leave()


def keep_batch(
    collection: CollectionView, asked: Asked, field: FieldView, limit: int, effort: SearchEffort, threads: int
) -> None:
    """Prepare a batch without a filter that was answered in the long way, if it is of the plainest kind."""
    kept = collection.prepared_batches
    is_at_rest = len(field.segments) == 1 and not field.tail.live and collection.expiry is None
    if asked in kept or effort.exact or not is_at_rest:
        return
    if len(kept) >= PREPARED_MAX:
        kept.clear()
    kept[asked] = QuickBatch(field, limit, effort, threads)


class QuickBatch:
    """A batch ready for its queries."""

    def __init__(self, field: FieldView, limit: int, effort: SearchEffort, threads: int) -> None:
        self._field, self._limit = field, limit
        [self._view] = [view] = field.segments
        self._search = prepare_batch(view.segment, limit, effort.ef_for(view, limit), view.dead, threads)

    def answer(self, queries: FloatArray, number: int, view: View | None) -> PackedHits | None:
        """The hits, with the metadata that `view` has of the collection of a number; None to have them found in the
        long way.
        """
        count, limit, column = len(queries), self._limit, self._view.ids
        total = count * limit
        if not 0 < total <= LATE_HITS_MAX or limit > self._view.live or (column is None and view is None):
            return None
        matrix = check_queries(self._field.schema, queries)
        room = np.empty(count + 3 * total + _words(0 if column is None else ids_room(column, total)), dtype=np.int32)
        counts = int(room.ctypes.data)
        rows, slots, distances = (counts + 4 * (count + place * total) for place in range(3))
        self._search(int(matrix.ctypes.data), count, slots, distances, rows, counts)
        if int(np.minimum.reduce(room[:count])) < limit:
            return None
        first, form = count + 2 * total, Form(self._field.schema.metric, total)
        if view is not None:
            found = room[count + total : first].view(np.uint32)
            records = copied_records(view, number, found)
            return None if records is None else found_hits(PackedHits, (form, room[first:][:total].tobytes(), records))
        assert column is not None
        end = bind_ids(column, rows, slots, total, distances + 4 * total)()
        kept = room[first:].view(np.uint8)[: 4 * total + end]
        return None if end < 0 else found_hits(PackedHits, (form, kept.tobytes(), ()))


def copied_records(view: View, number: int, slots: Slots) -> list[bytes] | None:
    """The records at live slots (n,), in pieces; None when one needs a closer look, or when they are too much."""
    reader = view.txn.records or opened_records(view)
    pieces, size = list[bytes](), 0
    for piece in reader.copies(number, slots):
        check_interruption()
        if piece is None:
            return None
        pieces.append(piece)
        size += len(piece)
        if size > LATE_BYTES_MAX:
            return None
    return pieces


def _words(size: int) -> int:
    """Words of 4 bytes that hold so many bytes."""
    return -(-size // 4)
