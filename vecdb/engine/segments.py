"""Writes the columns of a segment as chunks and opens them again for searching in place.

Promises: writing takes many small transactions (INDEX_COMMIT_BYTES each), so commits of users go in between; nothing is
visible before the manifest entry is listed. Opening reads one header per chunk and copies nothing.
Invariants: the addresses handed out point into the map; they are valid while the segment is listed (see `view`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.config import INDEX_COMMIT_BYTES
from vecdb.engine.tail import Slots
from vecdb.errors import ClosedError, CorruptionError
from vecdb.index.calibrate import measure_asked, measure_walks
from vecdb.index.packing import packed_blocks
from vecdb.index.quantize import Quantizer, inverse_norms
from vecdb.index.recall_curve import RecallCurve
from vecdb.index.segment import Segment
from vecdb.index.sketching import sketch_rows
from vecdb.kernels.column import Column
from vecdb.kernels.layout import packed_stride, sketch_stride
from vecdb.storage.chunks import ChunkKind, encode_column, open_column
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.schema import FieldSchema
    from vecdb.engine.state import SegmentEntry
    from vecdb.engine.validate import VectorArray
    from vecdb.engine.writer import Writer
    from vecdb.index.graph import Graph
    from vecdb.storage.environment import Environment
    from vecdb.storage.transactions import ReadTransaction
    from vecdb.types import FloatArray

CALIBRATION_SAMPLE = 200
"""Rows used as queries to measure a segment's recall curve: a standard error of about 0.007 at recall .95 and k=10."""


@dataclass(frozen=True, slots=True)
class ColumnData:
    """Everything a segment stores. `vectors(start, stop)` returns original rows: they never are all on the heap.

    `packed` says that codes and links are stored in packed rows, which `threads` make while they are being written, and
    sketches beside them.
    """

    slots: Slots
    ids: npt.NDArray[np.uint8] | None
    codes: npt.NDArray[np.int8]
    graph: Graph
    vectors: Callable[[int, int], VectorArray]
    packed: bool = False
    threads: int = 1


def open_segment(
    txn: ReadTransaction, collection: int, field: FieldSchema, entry: SegmentEntry, *, check: bool = False
) -> Segment:
    """Open the columns of a listed or freshly written segment in place; `check` reads and checks their rows too."""
    quantizer = Quantizer.from_dict(entry.quantizer)

    def column(kind: ChunkKind, rows: int, stride: int) -> Column:
        opened = open_column(txn, collection, field.number, entry.number, kind, rows, stride, check=check)
        # The transaction must not stay pinned for as long as the segment lives: a View's own pin takes over.
        return replace(opened, owner=None)

    if quantizer.dim != field.dim or quantizer.metric != field.metric:
        raise CorruptionError(
            f"segment {entry.number} of field {field.name!r} was built for {quantizer.dim} dimensions and "
            f"{quantizer.metric}; restore a backup"
        )
    packed = codes = links = sketches = None
    if entry.packed:
        packed = column(ChunkKind.PACKED, entry.rows, packed_stride(quantizer.padded, 2 * entry.m))
        codes, links = packed, packed.shifted(quantizer.padded)
    if entry.sketched:
        sketches = column(ChunkKind.SKETCHES, entry.rows, sketch_stride(quantizer.padded))
    return Segment(
        rows=entry.rows,
        dim=field.dim,
        metric=field.metric,
        dtype=field.dtype,
        quantizer=quantizer,
        vectors=column(ChunkKind.VECTORS, entry.rows, field.dim * np.dtype(field.dtype).itemsize),
        inverse_norms=column(ChunkKind.NORMS, entry.rows, 4) if field.metric == "cosine" else None,
        codes=codes or column(ChunkKind.CODES, entry.rows, quantizer.padded),
        links=links or column(ChunkKind.LINKS, entry.rows, 8 * entry.m),
        upper_rows=column(ChunkKind.UPPER_ROWS, entry.upper, 4),
        upper_down=column(ChunkKind.UPPER_DOWN, entry.upper, 4),
        upper_links=column(ChunkKind.UPPER_LINKS, entry.upper, 4 * entry.m),
        level_starts=np.array(entry.level_starts, dtype=np.int32),
        entry=entry.entry,
        slots=column(ChunkKind.SLOTS, entry.rows, 4),
        curve=RecallCurve.from_dict(entry.curve) if entry.curve else None,
        packed=packed,
        sketches=sketches,
        by_codes=entry.by_codes,
    )


def open_ids(txn: ReadTransaction, collection: int, field: FieldSchema, entry: SegmentEntry) -> Column | None:
    """Open the column of ids of a segment in place, None when it has none."""
    if not entry.id_stride:
        return None
    column = open_column(txn, collection, field.number, entry.number, ChunkKind.IDS, entry.rows, entry.id_stride)
    return replace(column, owner=None)


def write_segment_columns(
    writer: Writer,
    collection: int,
    field: FieldSchema,
    number: int,
    data: ColumnData,
    cancelled: Callable[[], bool],
) -> int:
    """Write all columns of a segment; returns the bytes written. ClosedError when cancelled half-way."""
    total = 0
    batch: list[tuple[bytes, bytes]] = []
    pending = 0
    for key, value in _chunks(collection, field, number, data):
        batch.append((key, value))
        pending, total = pending + len(value), total + len(value)
        if pending >= INDEX_COMMIT_BYTES:
            _flush(writer, batch, cancelled)
            batch, pending = [], 0
    _flush(writer, batch, cancelled)
    return total


def column_bytes(field: FieldSchema, data: ColumnData) -> int:
    """Bytes of all columns, without the headers of their chunks."""
    return sum(rows * stride for _, rows, stride, _ in _columns(field, data))


def calibrated(
    environment: Environment,
    collection: int,
    field: FieldSchema,
    entry: SegmentEntry,
    threads: int = 1,
    queries: FloatArray | None = None,
) -> SegmentEntry:
    """Measure the recall curve of a segment that is written, with its own rows or with `queries` (n, dim).

    Returns its entry with the curve.
    """
    with environment.begin_read() as txn:
        segment = open_segment(txn, collection, field, entry)
    # Without the pin: it would keep every page that users' commits free meanwhile. The chunks stay where they are, for
    # nobody rewrites them, and only the holder of the job lock, which is this thread, removes unlisted ones.
    curve, by_codes = segment.curve, entry.by_codes
    if queries is None or curve is None:
        curve, by_codes = measure_walks(segment, CALIBRATION_SAMPLE, entry.number, threads)
    if queries is not None:
        curve = measure_asked(replace(segment, by_codes=by_codes), curve, queries, threads)
    return msgspec.structs.replace(entry, curve=curve.to_dict(), by_codes=by_codes)


def _flush(writer: Writer, batch: list[tuple[bytes, bytes]], cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise ClosedError("the database is being closed")
    with writer.transaction() as txn:
        for key, value in batch:
            txn.put(Table.CHUNKS, key, value)


def _chunks(collection: int, field: FieldSchema, number: int, data: ColumnData) -> Iterator[tuple[bytes, Any]]:
    for kind, rows, stride, part in _columns(field, data):
        yield from encode_column(collection, field.number, number, kind, rows, stride, part)


def _columns(
    field: FieldSchema, data: ColumnData
) -> Iterator[tuple[ChunkKind, int, int, Callable[[int, int], npt.NDArray[Any]]]]:
    """Kind, rows, stride and a function that returns rows start..stop-1 of each column."""
    rows, graph = len(data.slots), data.graph
    stride = field.dim * np.dtype(field.dtype).itemsize
    yield ChunkKind.VECTORS, rows, stride, data.vectors
    if field.metric == "cosine":
        yield ChunkKind.NORMS, rows, 4, lambda start, stop: inverse_norms(data.vectors(start, stop))
    if data.packed:
        row_bytes = packed_stride(data.codes.shape[1], graph.links.shape[1])
        yield ChunkKind.PACKED, rows, row_bytes, packed_blocks(data.codes, graph.links, data.threads)
        yield ChunkKind.SKETCHES, rows, sketch_stride(data.codes.shape[1]), partial(sketch_rows, data.codes)
    heap: list[tuple[ChunkKind, npt.NDArray[Any]]] = [
        (ChunkKind.UPPER_ROWS, graph.upper_rows),
        (ChunkKind.UPPER_DOWN, graph.upper_down),
        (ChunkKind.UPPER_LINKS, graph.upper_links),
        (ChunkKind.SLOTS, data.slots),
    ]
    if not data.packed:
        heap = [(ChunkKind.CODES, data.codes), (ChunkKind.LINKS, graph.links), *heap]
    if data.ids is not None:
        heap.append((ChunkKind.IDS, data.ids))
    for kind, array in heap:
        row_bytes = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
        yield kind, len(array), row_bytes, _slicer(array)


def _slicer(array: npt.NDArray[Any]) -> Callable[[int, int], npt.NDArray[Any]]:
    return lambda start, stop: array[start:stop]
