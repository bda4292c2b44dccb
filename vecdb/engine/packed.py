"""A collection whose hits and records carry their metadata as the msgpack that is stored, for who only passes it on.

Promises: everything else is as of `Collection`, of which this is a handle like any other. Values are checked against
their checksums as usual; that they hold maps is left to who takes them apart.
Concurrency: as `Collection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vecdb.checks.options import check_count
from vecdb.config import RECORD_LOOKUPS_MAX
from vecdb.engine.collection import Collection
from vecdb.engine.config import LATE_HITS_MAX
from vecdb.engine.found_hits import Form, PackedHits, found_hits, scores_of
from vecdb.engine.hit_results import opened_records, search_result
from vecdb.engine.ids import bind_ids, ids_room
from vecdb.engine.interruption import check_bytes
from vecdb.engine.quick_batch import copied_records, keep_batch
from vecdb.engine.quick_search import asked_of
from vecdb.engine.records import Decoded, present
from vecdb.engine.search import FieldHits
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import SearchResult

if TYPE_CHECKING:
    from vecdb.engine.search import FieldBatch, Slots
    from vecdb.engine.view import FieldView, View
    from vecdb.filters import FilterLike
    from vecdb.fingerprint import ModelFingerprint
    from vecdb.types import RecordId, VectorLike


class HitColumns(NamedTuple):
    """The hits of many queries: how many each has, and all of them one after another, as if of one query."""

    counts: list[int]
    hits: SearchResult


class PackedCollection(Collection):
    """Like `Collection`, but the metadata of hits (`search`, `search_columns`) and of records is bytes."""

    @staticmethod
    def _decode(keys: Sequence[bytes], values: Sequence[memoryview]) -> Iterable[Decoded]:
        return codec.decode_whole_packed(keys, values)

    _hits_kind = PackedHits

    def search_columns(
        self,
        queries: VectorLike,
        limit: int = 10,
        *,
        field: str | None = None,
        ef: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        filter: FilterLike | None = None,  # noqa: A002 - the word for it everywhere
        strict: bool = False,
        with_metadata: bool = False,
        with_vectors: bool = False,
        min_seq: int | None = None,
        model: ModelFingerprint | None = None,
    ) -> HitColumns:
        """`search_batch` for who sends columns: a batch of 100 takes half a millisecond less than with its results."""
        limit = check_count("limit", limit)
        effort = self._effort(ef, target_recall, exact=exact)
        wanted = self._filter(filter)
        self._load_kernels()
        with self._database.reading(min_seq) as view:
            found, hits = self._batch_hits(view, field, queries, limit, effort, wanted, strict=strict, model=model)
            late = None if with_vectors else self._late(view, found, hits, with_metadata=with_metadata)
            if late is not None:
                if wanted is None and model is None:
                    asked, threads = asked_of(limit, ef, target_recall, exact, field), self._database.threads
                    keep_batch(self._view(view), asked, found, limit, effort, threads)
                return HitColumns(hits.counts.tolist(), late)
            every = hits.one_after_another()
            result = self._result(view, found, every, with_metadata=with_metadata, with_vectors=with_vectors)
        return HitColumns(hits.counts.tolist(), result)

    def _late(self, view: View, field: FieldView, found: FieldBatch, *, with_metadata: bool) -> PackedHits | None:
        """All hits as of one query, as kernels copy them; None when some query has fewer than others, or when one needs
        a closer look.
        """
        count = found.slots.size
        if not 0 < count <= LATE_HITS_MAX or not found.is_full:
            return None
        distances, form = found.distances.tobytes(), Form(field.schema.metric, count)
        if with_metadata:
            records = copied_records(view, self._number, found.slots.ravel())
            return None if records is None else found_hits(PackedHits, (form, distances, records))
        ids = copied_ids(field, found)
        return None if ids is None else found_hits(PackedHits, (form, distances + ids, ()))

    def _result(
        self, view: View, field: FieldView, hits: FieldHits, *, with_metadata: bool, with_vectors: bool
    ) -> SearchResult:
        number = self._number
        if not with_metadata:
            return search_result(view, field, number, hits, with_metadata=False, with_vectors=with_vectors)
        ids, metadata = packed_records(view, number, hits.slots)
        result = SearchResult(ids, scores_of(hits.distances, field.schema.metric), hits.distances, metadata)
        if not with_vectors:
            return result
        found = search_result(view, field, number, hits, with_metadata=False, with_vectors=True)
        return replace(result, vectors=found.vectors)


def copied_ids(field: FieldView, found: FieldBatch) -> bytes | None:
    """The ids of all hits; None when they are of several places, or when one needs a closer look."""
    column = field.segments[0].ids if field.segments and found.places is None else None
    if column is None:
        return None
    slots, rows = np.ascontiguousarray(found.slots), np.ascontiguousarray(found.rows)
    room = np.empty(ids_room(column, slots.size), dtype=np.uint8)
    end = bind_ids(column, rows.ctypes.data, slots.ctypes.data, slots.size, room.ctypes.data)()
    return None if end < 0 else room[:end].tobytes()


def packed_records(view: View, number: int, slots: Slots) -> tuple[list[RecordId], list[Any]]:
    """The ids and the metadata, as it is stored, of the records at live slots (n,). One that occurs often is read once,
    where there are many.
    """
    if len(slots) <= RECORD_LOOKUPS_MAX:
        return _read_packed(view, number, slots)
    unique, places = np.unique(slots, return_inverse=True)
    ids, metadata = _read_packed(view, number, unique)
    where = places.tolist()
    return [ids[place] for place in where], [metadata[place] for place in where]


def _read_packed(view: View, number: int, slots: Slots) -> tuple[list[RecordId], list[Any]]:
    found = (view.txn.records or opened_records(view)).read_packed(number, slots)
    if found is not None:
        check_bytes(found[1])
        return found
    record_keys = keys.record_keys(number, slots.tolist())
    with view.lock:
        values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
        check_bytes(values)
        return codec.decode_packed_records(record_keys, values)
