"""Delivers into a database in a directory, as its writer.

The directory is opened for writing by `prepare` and not before: a plan, and a run that is refused, leave no trace.
Promises: as `destination`. The background indexer works while records are delivered.
Concurrency: as `destination`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vecdb.config import EngineConfig
from vecdb.errors import DatabaseLockedError, DatabaseNotFoundError, FieldNotFoundError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.pipeline.collections import Place, prepared
from vecdb.ingest.pipeline.config import STOP_POLL_S
from vecdb.ingest.pipeline.destination import Acknowledged, Prepared, Supply, Swap
from vecdb.storage.manifest import read_manifest
from vecdb.types import RecordId

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.engine.schema import CollectionSchema


class EmbeddedDestination:
    """A field of a collection in a directory."""

    def __init__(self, path: Path, place: Place) -> None:
        self._path, self._place = path, place
        self._database: Database | None = None
        self._model: ModelFingerprint | None = None

    def __str__(self) -> str:
        return str(self._path)

    @property
    def collection(self) -> str:
        return self._place.collection

    @property
    def uuid(self) -> str:
        return str(read_manifest(self._path).uuid)

    def model(self) -> ModelFingerprint | None:
        schema = self._schema()
        try:
            return None if schema is None else schema.field(self._place.field or None).model
        except FieldNotFoundError:
            return None

    def exists(self) -> bool:
        return self._schema() is not None

    def _schema(self) -> CollectionSchema | None:
        """How the collection is declared; None when there is none. Only that is read, and no row of it."""
        from vecdb.engine.loading import load_schemas  # noqa: PLC0415  a server needs no engine
        from vecdb.storage.environment import Environment  # noqa: PLC0415  as above

        config = EngineConfig()
        try:
            environment = Environment.open_directory(
                str(self._path), "r", map_bytes=config.map_bytes, durability="fsync", create=False
            )
        except DatabaseNotFoundError:
            return None
        try:
            with environment.begin_read() as transaction:
                found = load_schemas(transaction).values()
        finally:
            environment.close()
        return next((schema for schema in found if schema.name == self._place.collection), None)

    def prepare(self, fingerprint: ModelFingerprint) -> Prepared:
        self._model = fingerprint
        if self._database is None:
            try:
                self._database = self._open()
            except DatabaseLockedError as error:
                held = error.message.partition(";")[0]
                advice = "wait for it, or if it is a server, ingest into that: --to HOST:PORT"
                raise DatabaseLockedError(f"{held}; {advice}", **error.details) from error
        return prepared(self._database, self._place, fingerprint)

    def deliver(self, supply: Supply, acknowledged: Callable[[Acknowledged], None]) -> None:
        while True:
            swap = supply.take(STOP_POLL_S)
            if swap is not None:
                acknowledged(Acknowledged(swap, self._store(swap)))
            elif supply.is_ended:
                return

    def versions(self, ids: Sequence[RecordId]) -> dict[RecordId, int]:
        assert self._database is not None
        found = self._database.collection(self._place.collection).get(list(ids))
        return {record.id: record.version for record in found if record is not None}

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _store(self, swap: Swap) -> int:
        assert self._database is not None
        with self._database.transaction() as transaction:
            collection = transaction.collection(self._place.collection)
            if swap.ids:
                collection.upsert(swap.ids, self._place.named(swap.vectors), swap.metadata, model=self._model)
            if swap.deletes:
                collection.delete(swap.deletes)
        return transaction.result.seq

    def _open(self) -> Database:
        from vecdb.engine.database import Database  # noqa: PLC0415  a server needs no engine

        return Database.open(self._path, "rw", durability="fsync", create=True, config=EngineConfig(index_loads=True))
