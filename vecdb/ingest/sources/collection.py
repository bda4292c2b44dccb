"""Reads a collection of vecdb, in a directory or at a server: texts from its metadata, or vectors as they are.

Promises: the engine is loaded only for a directory. A directory is opened for reading, beside any writer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecdb.config import CLIENT_RETRIES_DEFAULT, CLIENT_TIMEOUT_S, EngineConfig
from vecdb.errors import InvalidSourceError, MissingExtraError
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.item import Position, Problem
from vecdb.ingest.sources.options import ReadOptions
from vecdb.ingest.sources.rows import Placed, Row, read_rows
from vecdb.ingest.sources.source import Part
from vecdb.types import Record


@dataclass(frozen=True, slots=True)
class CollectionSource:
    """The records of a collection. With `vector_field` (a field of it) their vectors are taken, else their texts."""

    name: str
    place: str
    options: ReadOptions

    def __post_init__(self) -> None:
        if not self.options.collection:
            raise InvalidSourceError(f"{self.name} needs a collection: put '?collection=NAME' behind it")

    def parts(self) -> Iterator[Part | Problem]:
        file = SourceFile(None, self.options.prefix + str(self.options.collection), self.name, self.options)
        yield Part(self.name, Position(self.name), lambda: None, lambda: read_rows(self._rows(), file))

    def _rows(self) -> Iterator[Placed]:
        field = self.options.vector_field
        with closing(open_database(self.place, self.options)) as db:
            records = db.collection(self.options.collection).iterate(with_vectors=field is not None)
            for number, record in enumerate(records, start=1):
                yield Position(self.name, row=number), _row_of(record, self.options)


def open_database(place: str, options: ReadOptions) -> Any:
    """A database for reading: the directory `place`, or the server there."""
    if Path(place).is_dir():
        try:
            from vecdb.engine.database import Database  # noqa: PLC0415 - the engine is not needed for a server
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"{place} is a directory, which needs all of vecdb: pip install vecdb") from error
        return Database.open(place, "r", durability="fsync", create=False, config=EngineConfig())
    from vecdb.client import connecting  # noqa: PLC0415 - grpc is not needed for files

    api_key = os.environ.get(options.api_key_env) if options.api_key_env else None
    if options.api_key_env and not api_key:
        raise InvalidSourceError(f"api-key-env names {options.api_key_env}, and there is no such variable")
    arguments = connecting.read_arguments(
        place,
        api_key=api_key,
        tls=True if options.tls == "true" else options.tls,
        timeout_s=CLIENT_TIMEOUT_S,
        retries=CLIENT_RETRIES_DEFAULT,
        read_your_writes=False,
        insecure=False,
    )
    return connecting.open_database(arguments)


def _row_of(record: Record, options: ReadOptions) -> Row:
    """Record's metadata with the id and the vector where `read_rows` looks for them."""
    row: dict[str, Any] = {**record.metadata, options.id_field: record.id}
    if options.vector_field is not None:
        row[options.vector_field] = record.vectors.get(options.vector_field)
    return row
