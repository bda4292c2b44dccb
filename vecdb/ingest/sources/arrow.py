"""Reads Parquet and Arrow files, a batch of rows at a time; needs pyarrow.

Promises: damage is an InvalidDocumentError; what was read before it has been given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vecdb.errors import InvalidDocumentError, MissingExtraError
from vecdb.ingest.sources.config import BATCH_ROWS, SHOWN_CHARS_MAX, TABLE_COLUMNS_MAX
from vecdb.ingest.sources.file import SourceFile, open_regular
from vecdb.ingest.sources.item import Item, Problem
from vecdb.ingest.sources.rows import Placed, missing_columns, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

STREAM_MARK = b"\xff\xff\xff\xff"
"""What a stream of Arrow begins with, as opposed to a file."""


def read_parquet(file: SourceFile) -> Iterator[Item | Problem]:
    """The items of a Parquet file."""
    yield from read_rows(_rows(file, _parquet_batches), file)


def read_arrow(file: SourceFile) -> Iterator[Item | Problem]:
    """The items of a file or stream in Arrow's own format (.arrow, .feather)."""
    yield from read_rows(_rows(file, _arrow_batches), file)


def _rows(file: SourceFile, batches_of: Any) -> Iterator[Placed]:
    pyarrow = _library()
    number = 0
    if file.path is None:
        raise InvalidDocumentError("can only be read from a file: tables have their index at the end")
    with open_regular(file.path) as stream:
        batches = batches_of(stream, file)
        while True:
            try:
                batch = next(batches, None)
                rows = None if batch is None else _as_python(batch, pyarrow)
            except (pyarrow.ArrowException, OSError, OverflowError, ValueError) as error:
                if isinstance(error, InvalidDocumentError):
                    raise
                raise InvalidDocumentError(f"is damaged or cut off: {error!s:.{SHOWN_CHARS_MAX}}", row=number) from None
            if rows is None:
                return
            for row in rows:
                number += 1
                yield file.position(row=number), row


def _as_python(batch: pa.RecordBatch, pyarrow: Any) -> list[dict[str, Any]]:
    """Rows as dicts; instants in nanoseconds, which Python does not have, lose what is below microseconds."""
    fields = [
        field.with_type(pyarrow.timestamp("us", field.type.tz))
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    rows: list[dict[str, Any]] = batch.cast(pyarrow.schema(fields), safe=False).to_pylist()
    return rows


def _parquet_batches(stream: Any, file: SourceFile) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only for Parquet

    table = pq.ParquetFile(stream, pre_buffer=False)
    _check_columns(table.schema_arrow.names, file)
    yield from table.iter_batches(batch_size=BATCH_ROWS, use_threads=False)


def _arrow_batches(stream: Any, file: SourceFile) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa  # noqa: PLC0415 - only for Arrow

    head = stream.read(len(STREAM_MARK))
    stream.seek(0)
    if head == STREAM_MARK:
        reader: Any = pa.ipc.open_stream(stream)
        _check_columns(reader.schema.names, file)
        batches = iter(reader)
    else:
        reader = pa.ipc.open_file(stream)
        _check_columns(reader.schema.names, file)
        batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _check_columns(names: list[str], file: SourceFile) -> None:
    if len(names) > TABLE_COLUMNS_MAX:
        raise InvalidDocumentError(f"has {len(names)} columns; {TABLE_COLUMNS_MAX} are the most")
    missing = missing_columns(names, file.options)
    if missing is not None:
        raise InvalidDocumentError(missing)


def _library() -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415 - large, and only for these formats
    except ImportError:
        raise MissingExtraError("Parquet and Arrow files need pyarrow: pip install 'vecdb[ingest]'") from None
    return pa
