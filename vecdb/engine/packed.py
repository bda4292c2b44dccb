"""A collection whose hits carry their metadata as the msgpack that is stored, for who only passes it on.

Promises: everything else is as of `Collection`, of which this is a handle like any other. Values are checked against
their checksums as usual; that they hold maps is left to who takes them apart.
Concurrency: as `Collection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vecdb.engine.collection import Collection
from vecdb.engine.hit_results import batch_results, opened_records, scores_of, search_result
from vecdb.engine.interruption import check_bytes
from vecdb.engine.records import present
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import SearchResult

if TYPE_CHECKING:
    from vecdb.engine.search import FieldHits, Slots
    from vecdb.engine.view import FieldView, View
    from vecdb.types import RecordId


class PackedCollection(Collection):
    """Like `Collection`, but the metadata of a hit is bytes."""

    def _result(
        self, view: View, field: FieldView, hits: FieldHits, *, with_metadata: bool, with_vectors: bool
    ) -> SearchResult:
        number = self._schema.number
        if not with_metadata:
            return search_result(view, field, number, hits, with_metadata=False, with_vectors=with_vectors)
        ids, metadata = packed_records(view, number, hits.slots)
        result = SearchResult(ids, scores_of(hits.distances, field.schema.metric), hits.distances, metadata)
        if not with_vectors:
            return result
        found = search_result(view, field, number, hits, with_metadata=False, with_vectors=True)
        return replace(result, vectors=found.vectors)

    def _results(
        self, view: View, field: FieldView, hits: Sequence[FieldHits], *, with_metadata: bool, with_vectors: bool
    ) -> tuple[SearchResult, ...]:
        number = self._schema.number
        if not with_metadata or with_vectors:
            results = batch_results(view, field, number, hits, with_metadata=False, with_vectors=with_vectors)
            if not with_metadata:
                return results
            vectors = [result.vectors for result in results]
        else:
            vectors = [None] * len(hits)
        unique, places = np.unique(np.concatenate([found.slots for found in hits]), return_inverse=True)
        ids, metadata = packed_records(view, number, unique)
        metric, where = field.schema.metric, places.tolist()
        named, start = list[SearchResult](), 0
        for found, rows in zip(hits, vectors, strict=True):
            mine = where[start : start + len(found.slots)]
            start += len(mine)
            named.append(
                SearchResult(
                    ids=[ids[place] for place in mine],
                    scores=scores_of(found.distances, metric),
                    distances=found.distances,
                    metadata=[metadata[place] for place in mine],
                    vectors=rows,
                )
            )
        return tuple(named)


def packed_records(view: View, number: int, slots: Slots) -> tuple[list[RecordId], list[Any]]:
    """The ids and the metadata, as it is stored, of the records at live slots (n,)."""
    found = (view.txn.records or opened_records(view)).read_packed(number, slots)
    if found is not None:
        check_bytes(found[1])
        return found
    record_keys = keys.record_keys(number, slots.tolist())
    with view.lock:
        values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
        check_bytes(values)
        return codec.decode_packed_records(record_keys, values)
