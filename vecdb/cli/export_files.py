"""Writes the rows of an export: JSON Lines or Parquet, to a file that is whole or not there at all, or to stdout.

Promises: rows are written as they come and are not kept. A file that is there already is replaced when the new one is
complete; until then, and when something fails, it is as it was.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from vecdb.cli.output import compact_json
from vecdb.errors import InvalidRequestError, StorageError, VecDBError
from vecdb.ingest.embedders.extras import required

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = dict[str, Any]

ROW_GROUP: Final = 1_000
"""Rows put together at a time: a few MiB as a rule, and a row group of a Parquet file."""

COMPRESSED: Final = ".gz"


@contextmanager
def opened(output: Path | None) -> Iterator[IO[bytes]]:
    """Where the bytes go: stdout, or `output`, which gets its name when all of it is written."""
    if output is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(output))
    try:
        if target.exists() and not target.is_file():  # a pipe or a device; of a directory this says what it is
            with target.open("wb") as stream:
                yield stream
            return
        with _beside(target) as part, part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            part.replace(target)
    except BrokenPipeError:
        raise
    except OSError as error:
        if isinstance(error, VecDBError):  # the reading's own: some are OSErrors, too
            raise
        raise StorageError(f"cannot write {str(output)!r}: {error.strerror}", path=str(output)) from error


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_jsonl(rows: Iterable[Row], output: Path | None) -> int:
    """Write one object a line, compressed when the name of the file says so; returns the number of rows."""
    with opened(output) as raw, contextlib.ExitStack() as undo:
        stream: IO[bytes] | gzip.GzipFile = raw
        if output is not None and output.suffix.lower() == COMPRESSED:
            stream = undo.enter_context(gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0))
        count = 0
        for row in rows:
            stream.write(compact_json(row).encode() + b"\n")
            count += 1
    return count


class Parquet:
    """A Parquet file of rows whose columns must be known before: `look` at all rows, then `write` them."""

    def __init__(self, id_column: str, vectors: Mapping[str, int]) -> None:
        """`vectors`: the columns with vectors, and their dimensions."""
        self._arrow: Any = required("pyarrow", extra="ingest", needed_by="writing Parquet")
        self._id_column = id_column
        self._vectors = [(name, self._arrow.list_(self._arrow.float32(), dim)) for name, dim in vectors.items()]

    def look(self, rows: Iterable[Row]) -> pa.Schema:
        """The columns that hold all of these rows, which come without vectors: one type for each key of any of them."""
        arrow = self._arrow
        found = arrow.schema([])
        for group in _groups(rows):
            names = dict.fromkeys(key for row in group for key in row)
            columns = {name: self._array(name, [row.get(name) for row in group], None) for name in names}
            schema = arrow.schema([(name, column.type) for name, column in columns.items()])
            try:
                found = arrow.unify_schemas([found, schema], promote_options="permissive")
            except arrow.ArrowException as error:
                raise _no_column(str(error)) from None
        text = arrow.string()
        types = [(field.name, text if field.type == arrow.null() else field.type) for field in found]
        return arrow.schema([*(types or [(self._id_column, text)]), *self._vectors])

    def write(self, rows: Iterable[Row], schema: pa.Schema, output: Path) -> int:
        """Write rows into the columns of a schema; returns their number."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - large, and only for this format

        count = 0
        with opened(output) as stream, pq.ParquetWriter(stream, schema) as writer:
            for group in _groups(rows):
                unknown = {key for row in group for key in row}.difference(schema.names)
                if unknown:
                    raise InvalidRequestError(
                        f"records with the new key {min(unknown)!r} were written while they were exported; start again"
                    )
                columns = [
                    self._array(field.name, [row.get(field.name) for row in group], field.type) for field in schema
                ]
                writer.write_table(self._arrow.Table.from_arrays(columns, schema=schema))
                count += len(group)
        return count

    def _array(self, name: str, values: list[Any], kind: Any) -> Any:
        try:
            return self._arrow.array(values, type=kind)
        except (self._arrow.ArrowException, OverflowError) as error:
            raise _no_column(f"{name!r}: {error}") from None


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while group := list(islice(left, ROW_GROUP)):
        yield group


def _no_column(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"a column of a Parquet file has one type, and the records do not fit one ({why:.200}); write .jsonl instead"
    )
