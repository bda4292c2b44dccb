"""Turns hits into results: names them, and fetches their metadata and vectors from the View they were found in.

Promises: ids, metadata and vectors are those of the View's seq. Damaged values raise CorruptionError.
Concurrency: LMDB allows a read transaction to one thread at a time, so a fetch from it holds the View's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecdb.engine.columns import gather_rows
from vecdb.engine.found_hits import scores_of
from vecdb.engine.ids import read_ids
from vecdb.engine.records import present
from vecdb.engine.search import FieldHits
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import Explain, Metadata, RecordId, SearchResult

if TYPE_CHECKING:
    from vecdb.engine.view import FieldView, View
    from vecdb.storage.record_reader import RecordReader
    from vecdb.types import FloatArray


def search_result(
    view: View, field: FieldView, number: int, hits: FieldHits, *, with_metadata: bool, with_vectors: bool
) -> SearchResult:
    """Return the hits of one query with their ids and what else was asked for."""
    ids, metadata = _names(view, field, number, hits, with_metadata=with_metadata)
    return SearchResult(
        ids=ids,
        scores=scores_of(hits.distances, field.schema.metric),
        distances=hits.distances,
        metadata=metadata,
        vectors=_vectors(field, hits) if with_vectors else None,
    )


def batch_results(
    view: View, field: FieldView, number: int, hits: Sequence[FieldHits], *, with_metadata: bool, with_vectors: bool
) -> tuple[SearchResult, ...]:
    """Return the hits of many queries; a record found by several is read once (its metadata is one shared dict)."""
    if not hits:
        return ()
    unique, positions = _unique_hits(hits)
    ids, metadata = _names(view, field, number, unique, with_metadata=with_metadata)
    vectors = _vectors(field, unique) if with_vectors else None
    results, start = [], 0
    for found in hits:
        mine = positions[start : start + len(found.slots)]
        listed = mine.tolist()
        results.append(
            SearchResult(
                ids=[ids[position] for position in listed],
                scores=scores_of(found.distances, field.schema.metric),
                distances=found.distances,
                metadata=None if metadata is None else [metadata[position] for position in listed],
                vectors=None if vectors is None else vectors[mine],
            )
        )
        start += len(listed)
    return tuple(results)


def _unique_hits(hits: Sequence[FieldHits]) -> tuple[FieldHits, npt.NDArray[np.int64]]:
    """The hits of all queries, each record once, and where each hit of each query is among them."""
    slots, first, positions = np.unique(
        np.concatenate([found.slots for found in hits]), return_index=True, return_inverse=True
    )
    distances = np.concatenate([found.distances for found in hits])[first]
    rows = np.concatenate([found.rows for found in hits])[first]
    places = [found.places for found in hits if found.places is not None]
    return FieldHits(slots, distances, rows, np.concatenate(places)[first] if places else None), positions


def _names(
    view: View, field: FieldView, number: int, hits: FieldHits, *, with_metadata: bool
) -> tuple[list[RecordId], list[Metadata] | None]:
    """The ids of hits, and their metadata when wanted. Ids alone come from the id columns wherever there are some."""
    if with_metadata:
        found = (view.txn.records or opened_records(view)).read(number, hits.slots)
        return found or _ids_and_metadata(view, number, hits.slots.tolist())
    if hits.places is None:
        return _ids_at(view, field, number, 0, hits.rows, hits.slots), None
    ids: list[RecordId] = [0] * len(hits.slots)
    for place, mine in _by_place(hits.places):
        named = _ids_at(view, field, number, place, hits.rows[mine], hits.slots[mine])
        for position, record_id in zip(mine.tolist(), named, strict=True):
            ids[position] = record_id
    return ids, None


def _by_place(places: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each place that occurs, and the positions of its hits."""
    for place in np.unique(places).tolist():
        yield place, np.flatnonzero(places == place)


def _ids_at(
    view: View, field: FieldView, number: int, place: int, rows: npt.NDArray[np.int32], slots: npt.NDArray[np.uint32]
) -> list[RecordId]:
    """The ids of rows of one place: from its id column, or where it has none from the records."""
    column = field.segments[place].ids if place < len(field.segments) else None
    if column is not None:
        return read_ids(column, rows, slots)
    record_keys = keys.record_keys(number, slots.tolist())
    with view.lock:
        values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
    return codec.decode_record_ids(record_keys, values)


def opened_records(view: View) -> RecordReader:
    """Make the reader of a View's records, the first time that somebody wants it."""
    with view.lock:
        return view.txn.open_records()


def _ids_and_metadata(view: View, number: int, slots: list[int]) -> tuple[list[RecordId], list[Metadata]]:
    """Read the records at live slots."""
    record_keys = keys.record_keys(number, slots)
    with view.lock:
        values = present(record_keys, view.txn.get_many(Table.RECORDS, record_keys))
    return codec.decode_records(record_keys, values)


def _vectors(field: FieldView, hits: FieldHits) -> FloatArray:
    """The vectors of hits, (n, dim) float32."""
    schema = field.schema
    vectors: FloatArray = np.empty((len(hits.slots), schema.dim), dtype=np.float32)
    places = np.zeros(len(hits.slots), dtype=np.int64) if hits.places is None else hits.places
    for place, mine in _by_place(places):
        rows = hits.rows[mine].astype(np.int64)
        if place < len(field.segments):
            column = field.segments[place].segment.vectors
            vectors[mine] = gather_rows(column, rows, np.dtype(schema.dtype), schema.dim)
        else:
            vectors[mine] = field.tail.gather(rows)
    return vectors


def explained(result: SearchResult, explain: Explain) -> SearchResult:
    """Return the result with its explanation."""
    return replace(result, explain=explain)
