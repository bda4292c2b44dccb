"""Turns hits into results: names them, and fetches their metadata and vectors from the View they were found in.

Promises: ids, metadata and vectors are those of the View's seq. Damaged values raise CorruptionError.
Concurrency: LMDB allows a read transaction to one thread at a time, so a fetch from it holds the View's lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecdb.config import RECORD_LOOKUPS_MAX
from vecdb.engine.columns import gather_rows
from vecdb.engine.config import NAMED_QUERIES
from vecdb.engine.found_batches import BatchColumns, IdPieces, ReadRecords, Records, Shared
from vecdb.engine.found_hits import scores_of
from vecdb.engine.ids import bind_ids, ids_room, read_ids
from vecdb.engine.records import present
from vecdb.engine.search import FieldHits
from vecdb.index.workers import run_ranges
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import Explain, Metadata, RecordId, SearchResult

if TYPE_CHECKING:
    from vecdb.engine.search import FieldBatch
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


def batch_columns(
    view: View,
    field: FieldView,
    number: int,
    found: FieldBatch,
    threads: int,
    *,
    with_metadata: bool,
    with_vectors: bool,
) -> BatchColumns:
    """What a result keeps of the hits of many queries; a record found by several is read once."""
    starts = [0, *np.cumsum(found.counts).tolist()]
    pieces = None if with_metadata or with_vectors else _id_pieces(field, found, threads)
    if pieces is not None:
        return BatchColumns(field.schema.metric, found.distances, starts, pieces)
    hits, positions = _unique(found.one_after_another())
    records = _copied(view, number, hits.slots, threads) if with_metadata else None
    names = records or ReadRecords(*_names(view, field, number, hits, with_metadata=with_metadata))
    shared = Shared(positions, names, _vectors(field, hits) if with_vectors else None)
    return BatchColumns(field.schema.metric, found.distances, starts, shared)


def _id_pieces(field: FieldView, found: FieldBatch, threads: int) -> IdPieces | None:
    """The ids of hits that are all in one segment with an id column; None for others, or when one needs a closer look.

    Written by one call of a kernel for NAMED_QUERIES queries, on all cores.
    """
    queries, limit = found.slots.shape
    column = field.segments[0].ids if field.segments and found.places is None else None
    if column is None or not found.slots.size or not found.is_full:
        return None
    slots, rows = np.ascontiguousarray(found.slots), np.ascontiguousarray(found.rows)
    slots_address, rows_address = slots.ctypes.data, rows.ctypes.data
    pieces: list[bytes] = [b""] * -(-queries // NAMED_QUERIES)

    def name(first: int, last: int) -> None:
        at, count = 4 * first * limit, (last - first) * limit
        room = np.empty(ids_room(column, count), dtype=np.uint8)
        end = bind_ids(column, rows_address + at, slots_address + at, count, room.ctypes.data)()
        pieces[first // NAMED_QUERIES] = room[: max(end, 0)].tobytes()

    run_ranges(queries, NAMED_QUERIES, threads, name)
    return IdPieces(pieces, NAMED_QUERIES * limit) if all(pieces) else None


def _copied(view: View, number: int, slots: npt.NDArray[np.uint32], threads: int) -> Records | None:
    """Copies of the records at live slots, made on all cores; None when one needs a closer look."""
    reader = view.txn.records or opened_records(view)
    pieces: list[bytes | None] = [None] * -(-len(slots) // RECORD_LOOKUPS_MAX)

    def copy(first: int, last: int) -> None:
        pieces[first // RECORD_LOOKUPS_MAX] = reader.copy(number, slots[first:last])

    run_ranges(len(slots), RECORD_LOOKUPS_MAX, threads, copy)
    copied = [piece for piece in pieces if piece is not None]
    return Records(copied) if len(copied) == len(pieces) else None


def _unique(hits: FieldHits) -> tuple[FieldHits, npt.NDArray[np.int64]]:
    """Hits, each record once, and where each hit is among them."""
    slots, first, positions = np.unique(hits.slots, return_index=True, return_inverse=True)
    places = None if hits.places is None else hits.places[first]
    return FieldHits(slots, hits.distances[first], hits.rows[first], places), positions


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
