"""Takes the records of a collection out: `export`, to what `vecdb ingest` and most other tools read.

Promises: memory does not grow with the collection. Records that exist, unchanged, during the whole export are written
once; it holds up no writer and pins no state.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from vecdb.checks.declarations import unknown_field
from vecdb.cli.export_files import COMPRESSED, ROW_GROUP, Parquet, Row, write_jsonl
from vecdb.cli.options import AsJson, CollectionName, FilterText, read_filter_text
from vecdb.cli.output import format_bytes, print_json, print_line
from vecdb.cli.places import ApiKeyEnv, Place, Tls, open_place
from vecdb.cli.waiting import counting
from vecdb.errors import InvalidRequestError
from vecdb.ingest.sources.file import extension_of

if TYPE_CHECKING:
    from vecdb.cli.places import AnyCollection
    from vecdb.cli.waiting import Report
    from vecdb.types import Record

STDOUT = Path("-")
JSONL_SUFFIXES = (".jsonl", ".ndjson")
PARQUET_SUFFIXES = (".parquet", ".pq")


class ExportFormat(StrEnum):
    """What is written."""

    JSONL = "jsonl"
    PARQUET = "parquet"


def export(
    place: Place,
    collection: CollectionName,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write, replaced when it is complete; default: stdout.",
            show_default=False,
        ),
    ] = None,
    file_format: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="Default: as the name of the file says, else jsonl.", show_default=False),
    ] = None,
    filter_text: FilterText = None,
    with_vectors: Annotated[bool, typer.Option("--vectors", help="Write the vectors of all fields too.")] = False,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field", metavar="NAME", help="Write the vectors of this field; repeatable.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Write so many records at most.", show_default=False)
    ] = None,
    id_field: Annotated[str, typer.Option("--id-field", help="Key to write ids under.")] = "id",
    vector_field: Annotated[
        str, typer.Option("--vector-field", help="Key to write vectors under; of several fields, KEY.FIELD.")
    ] = "vector",
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Write the records of a collection to JSON Lines or Parquet, one object or row each: id, metadata, vectors.

    What was written is read again by `vecdb ingest run FILE --vector-field vector`. UUIDs become text, and in JSON
    Lines times do. In Parquet every row has every key, null where a record has none.
    """
    target = Target(output, file_format)
    if as_json and target.output is None:
        raise InvalidRequestError(
            "--json prints a document about the export; write the records to a file with --output"
        )
    wanted = read_filter_text(filter_text)
    with open_place(place, api_key_env=api_key_env, tls=tls) as db:
        source = db.collection(collection)
        shape = Shape(id_field, columns_of(source, field, vector_field, all_fields=with_vectors))
        records = Selection(source, wanted, limit, shape)
        count = target.write(records)
    if target.output is not None:
        size = target.output.stat().st_size
        if as_json:
            print_json({"collection": collection, "records": count, "output": str(output), "file_bytes": size})
        else:
            print_line(f"{output}: {count:,} record(s) of {collection}, {format_bytes(size)}")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a record is as a row: the key of its id, and by field those of its vectors."""

    id_field: str
    columns: dict[str, str]

    def __post_init__(self) -> None:
        if self.id_field in self.columns.values():
            raise InvalidRequestError(f"--id-field and --vector-field are both {self.id_field!r}")

    def row(self, record: Record) -> Row:
        """The row of a record."""
        row: Row = {self.id_field: record.id, **record.metadata}
        for field, column in self.columns.items():
            if field in record.vectors:
                row[column] = record.vectors[field]
        taken = {self.id_field, *self.columns.values()}.intersection(record.metadata)
        if taken:
            key = min(taken)
            option = "--id-field" if key == self.id_field else "--vector-field"
            raise InvalidRequestError(
                f"record {record.id!r:.80} has {key!r} in its metadata; choose another key with {option}", key=key
            )
        return row


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that were asked for."""

    source: AnyCollection
    wanted: dict[str, Any] | None
    limit: int | None
    shape: Shape

    def count(self) -> int:
        """How many there are."""
        found = self.source.count(self.wanted)
        return found if self.limit is None else min(found, self.limit)

    def rows(self, report: Report | None = None, *, with_vectors: bool = True) -> Iterator[Row]:
        """They themselves, in the order of the ids."""
        total = 0 if report is None else self.count()
        vectors = with_vectors and bool(self.shape.columns)
        records = self.source.iterate(filter=self.wanted, with_vectors=vectors)
        for number, record in enumerate(islice(records, self.limit)):
            if report is not None and number % ROW_GROUP == 0:
                report(number, total)
            yield self.shape.row(record)


class Target:
    """The file, or stdout, and what is written there."""

    def __init__(self, output: Path | None, file_format: ExportFormat | None) -> None:
        output = None if output == STDOUT else output
        suffix = "" if output is None else extension_of(output)
        is_named = suffix in PARQUET_SUFFIXES
        if file_format is None and suffix not in {"", *JSONL_SUFFIXES, *PARQUET_SUFFIXES}:
            raise InvalidRequestError(
                f"nothing is known of {suffix} files; name it .jsonl or .parquet, or give --format"
            )
        self.output, self._is_parquet = (
            output,
            file_format is ExportFormat.PARQUET or (file_format is None and is_named),
        )
        if self._is_parquet and output is None:
            raise InvalidRequestError("Parquet is no text for stdout; name a file with --output FILE.parquet")
        if self._is_parquet and output is not None and output.suffix.lower() == COMPRESSED:
            raise InvalidRequestError("Parquet is compressed already; name the file without .gz")

    def write(self, chosen: Selection) -> int:
        """Write the rows; returns how many."""
        is_apart = self.output is not None or not sys.stdout.isatty()
        if not self._is_parquet or self.output is None:
            with counting("exporting", is_shown=is_apart) as report:
                return write_jsonl(chosen.rows(report), self.output)
        fields = chosen.source.fields
        file = Parquet(
            chosen.shape.id_field, {column: fields[name].dim for name, column in chosen.shape.columns.items()}
        )
        with counting("looking at the columns") as report:
            schema = file.look(_plain(row) for row in chosen.rows(report, with_vectors=False))
        with counting("exporting") as report:
            return file.write(map(_plain, chosen.rows(report)), schema, self.output)


def columns_of(source: AnyCollection, fields: list[str] | None, key: str, *, all_fields: bool) -> dict[str, str]:
    """The keys that the vectors of the fields asked for are written under."""
    names = list(source.fields)
    asked = list(dict.fromkeys(fields or (names if all_fields else ())))
    for name in asked:
        if name not in names:
            raise unknown_field(source.name, names, name)
    return {asked[0]: key} if len(asked) == 1 else {name: f"{key}.{name}" for name in asked}


def _plain(row: Row) -> Row:
    return {key: str(value) if isinstance(value, UUID) else value for key, value in row.items()}
