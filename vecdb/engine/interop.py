"""Takes hnswlib indexes in with their graph, and writes segments out as hnswlib indexes.

Promises: an import is all or nothing: until its last commit the collection does not exist, and what a crash leaves is
swept at the next open. Foreign files are parsed and checked here, never given to hnswlib's own loader.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vecdb.checks.metadata import Packed, encode_column
from vecdb.engine.columns import gather_rows
from vecdb.engine.commit import Commit
from vecdb.engine.compaction import read_graph, segment_entry
from vecdb.engine.ids import encode_id_rows
from vecdb.engine.operations import put_records
from vecdb.engine.records import fetch_records
from vecdb.engine.schema import CollectionSchema, build_schema
from vecdb.engine.schema_operations import check_room
from vecdb.engine.segments import ColumnData, calibrated, write_segment_columns
from vecdb.engine.state import CollectionState, FieldState, SegmentEntry
from vecdb.errors import CollectionExistsError, InvalidRequestError
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import DEFAULT_FIELD, Field, Metadata, Metric, RecordId

if TYPE_CHECKING:
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView, FieldView, View
    from vecdb.engine.writer import Writer
    from vecdb.index.hnswlib_format import HnswlibIndex
    from vecdb.storage.environment import Environment

IMPORT_ROWS = 2_000
"""Records stored per transaction: a few milliseconds each."""

LABEL_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ReserveNumber:
    """Takes a collection number and marks it dropped, so that a crash before FinishImport leaves nothing behind."""

    name: str

    def apply(self, commit: Commit) -> int:
        """Return the number."""
        if any(schema.name == self.name for schema in commit.schemas.values()):
            raise CollectionExistsError(f"collection {self.name!r} exists already", collection=self.name)
        check_room(commit)
        counters = commit.counters()
        number = counters.next_collection
        commit.put_counters(
            msgspec.structs.replace(counters, next_collection=number + 1, dropped=(*counters.dropped, number))
        )
        return number


@dataclass(frozen=True, slots=True)
class FinishImport:
    """Makes an imported collection exist."""

    schema: CollectionSchema
    entry: SegmentEntry | None
    rows: int
    deleted: Slots

    def apply(self, commit: Commit) -> int:
        """List the collection and its segment."""
        if any(schema.name == self.schema.name for schema in commit.schemas.values()):
            raise CollectionExistsError(f"collection {self.schema.name!r} exists already", collection=self.schema.name)
        number = self.schema.number
        counters = commit.counters()
        dropped = tuple(other for other in counters.dropped if other != number)
        commit.put_counters(msgspec.structs.replace(counters, dropped=dropped))
        key = keys.catalog_key(self.schema.name)
        commit.txn.put(Table.CATALOG, key, codec.encode_struct(Table.CATALOG, key, self.schema))
        segments: tuple[int, ...] = ()
        if self.entry is not None:
            key = keys.segment_key(number, 0, self.entry.number)
            commit.txn.put(Table.SEGMENTS, key, codec.encode_struct(Table.SEGMENTS, key, self.entry))
            segments = (self.entry.number,)
        field = FieldState(segments=segments, indexed_upto=self.rows, next_segment=1)
        commit.schemas[number] = self.schema
        commit.states[number] = CollectionState(
            next_slot=self.rows, live=self.rows - len(self.deleted), fields=(field,)
        )
        commit.change(number).killed.append(self.deleted)
        commit.catalog_changed = True
        return self.rows


def import_index(
    environment: Environment,
    writer: Writer,
    name: str,
    index: object,
    dim: int,
    metric: Metric,
    metadata: Sequence[Metadata | None] | None,
) -> None:
    """Read an hnswlib index and store it as collection `name`. Run it with the indexer's job lock held."""
    from vecdb.index.hnswlib_reader import read_hnswlib  # noqa: PLC0415 - loads hnswlib

    build_schema(0, name, {DEFAULT_FIELD: Field(dim=dim, metric=metric)})
    read = read_hnswlib(index, dim=dim, metric=metric)
    given = encode_column(metadata, len(read.labels))
    # By label and not by row: rows added by several threads are in no order that a caller could know.
    ranks = np.argsort(np.argsort(read.labels, kind="stable"))
    packed = [given[rank] for rank in ranks.tolist()]
    reserved = writer.submit(ReserveNumber(name))
    number = reserved.count
    declared = Field(dim=dim, metric=metric, m=read.m, ef_construction=max(read.ef_construction, read.m))
    schema = build_schema(number, name, {DEFAULT_FIELD: declared})
    # The seq of FinishImport is not known yet, as others may commit before; this one is not above it, and not 0.
    _store_records(writer, number, read, packed, reserved.seq + 1)
    entry = _store_segment(environment, writer, schema, read)
    deleted = np.flatnonzero(read.deleted).astype(np.uint32)
    writer.submit(FinishImport(schema, entry, len(read.labels), deleted))


def export_field(
    view: View, collection: CollectionView, field: FieldView, path: str | os.PathLike[str]
) -> list[RecordId]:
    """Write the only segment of a field as an hnswlib file; returns the ids of live rows, in row order."""
    from vecdb.index.hnswlib_writer import write_hnswlib_file  # noqa: PLC0415

    if len(field.segments) != 1 or field.tail.live:
        raise InvalidRequestError(
            f"export needs one segment and an empty tail; field {field.schema.name!r} has {len(field.segments)} "
            f"segment(s) and {field.tail.live} tail row(s): call optimize() first (small collections stay in the tail)"
        )
    segment = field.segments[0]
    rows = np.arange(segment.entry.rows)
    live = segment.live_rows()
    with view.lock:
        stored = fetch_records(view, collection.schema.number, segment.slot_map.slots[live])
    ids = [record.id for record in stored]
    labels = _labels(len(rows), live, ids)
    deleted = np.ones(len(rows), dtype=np.bool_)
    deleted[live] = False
    vectors = gather_rows(segment.segment.vectors, rows, np.dtype(field.schema.dtype), field.schema.dim)
    write_hnswlib_file(
        path,
        read_graph(segment),
        vectors,
        metric=field.schema.metric,
        labels=labels,
        deleted=deleted,
        ef_construction=field.schema.ef_construction,
    )
    return ids


def _labels(rows: int, live: Any, ids: list[RecordId]) -> Any:
    """Ids as labels when all are ints that hnswlib can hold, else 0, 1, 2, ... over live rows; dead rows follow."""
    labels = np.zeros(rows, dtype=np.uint64)
    numeric = [record_id for record_id in ids if isinstance(record_id, int) and record_id <= LABEL_MAX]
    labels[live] = numeric if len(numeric) == len(ids) else np.arange(len(ids))
    dead = np.setdiff1d(np.arange(rows), live)
    used = set(labels[live].tolist())
    free = (label for label in range(rows + len(used) + 1) if label not in used)
    labels[dead] = [next(free) for _ in range(len(dead))]
    return labels


def _store_records(writer: Writer, number: int, read: HnswlibIndex, packed: list[Packed], version: int) -> None:
    live = np.flatnonzero(~read.deleted)
    for start in range(0, len(live), IMPORT_ROWS):
        rows = live[start : start + IMPORT_ROWS]
        id_keys = [keys.id_key(int(label)) for label in read.labels[rows]]
        with writer.transaction() as txn:
            mine = [packed[row] for row in rows.tolist()]
            put_records(txn, number, rows.astype(np.uint32), id_keys, mine, version, None)


def _store_segment(
    environment: Environment, writer: Writer, schema: CollectionSchema, read: HnswlibIndex
) -> SegmentEntry | None:
    from vecdb.index.quantize import encode_rows, fit_quantizer  # noqa: PLC0415

    if not len(read.labels):
        return None
    field = schema.fields[0]
    quantizer = fit_quantizer(read.vectors, field.metric)
    slots = np.arange(len(read.labels), dtype=np.uint32)
    id_keys = [keys.id_key(int(label)) for label in read.labels.tolist()]
    ids = encode_id_rows(id_keys, slots.tolist())
    data = ColumnData(
        slots=slots,
        ids=ids,
        codes=encode_rows(quantizer, read.vectors),
        graph=read.graph,
        vectors=lambda start, stop: read.vectors[start:stop],
        packed=field.packed,
    )
    size = write_segment_columns(writer, schema.number, field, 0, data, lambda: False)
    entry = segment_entry(0, data, quantizer, size)
    return calibrated(environment, schema.number, field, entry)
