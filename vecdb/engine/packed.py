"""A collection whose hits carry their metadata as the msgpack that is stored, for who only passes it on.

Promises: everything else is as of `Collection`, of which this is a handle like any other. Values are checked against
their checksums as usual; that they hold maps is left to who takes them apart.
Concurrency: as `Collection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from vecdb.engine.collection import Collection
from vecdb.engine.hit_results import batch_results, search_result
from vecdb.engine.records import present
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.search import FieldHits
    from vecdb.engine.view import FieldView, View
    from vecdb.types import SearchResult

Packed = msgspec.Raw


class PackedCollection(Collection):
    """Like `Collection`, but the metadata of hits is `msgspec.Raw`. Made by `packed_collection`."""

    def _result(
        self, view: View, field: FieldView, hits: FieldHits, *, with_metadata: bool, with_vectors: bool
    ) -> SearchResult:
        number = self._schema.number
        result = search_result(view, field, number, hits, with_metadata=False, with_vectors=with_vectors)
        if not with_metadata:
            return result
        return replace(result, metadata=packed_metadata(view, number, hits.slots.tolist()))

    def _results(
        self, view: View, field: FieldView, hits: Sequence[FieldHits], *, with_metadata: bool, with_vectors: bool
    ) -> tuple[SearchResult, ...]:
        number = self._schema.number
        results = batch_results(view, field, number, hits, with_metadata=False, with_vectors=with_vectors)
        if not with_metadata:
            return results
        unique = sorted({slot for found in hits for slot in found.slots.tolist()})
        by_slot = dict(zip(unique, packed_metadata(view, number, unique), strict=True))
        return tuple(
            replace(result, metadata=[by_slot[slot] for slot in found.slots.tolist()])
            for result, found in zip(results, hits, strict=True)
        )


def packed_metadata(view: View, number: int, slots: Sequence[int]) -> list[Any]:
    """The metadata of the records at live slots, as it is stored."""
    record_keys = keys.record_keys(number, slots)
    with view.lock:
        values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
        return [Packed(codec.packed_metadata(key, value)) for key, value in zip(record_keys, values, strict=True)]
