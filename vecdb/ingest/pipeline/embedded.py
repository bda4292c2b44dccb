"""Delivers into a database in a directory, as its writer.

The directory is opened for writing by `prepare` and not before: a plan, and a run that is refused, leave no trace.
Promises and Concurrency: as `destination`. The background indexer works while records are delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vecdb.config import EngineConfig
from vecdb.errors import DatabaseNotFoundError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.pipeline.collections import Place, model_of, prepared
from vecdb.ingest.pipeline.config import STOP_POLL_S
from vecdb.ingest.pipeline.destination import Acknowledged, Prepared, Supply, Swap
from vecdb.storage.manifest import read_manifest
from vecdb.types import Mode, RecordId

if TYPE_CHECKING:
    from vecdb.engine.database import Database


class EmbeddedDestination:
    """A field of a collection in a directory."""

    def __init__(self, path: Path, place: Place) -> None:
        self._path, self._place = path, place
        self._database: Database | None = None
        self._model: ModelFingerprint | None = None

    def __str__(self) -> str:
        return str(self._path)

    @property
    def uuid(self) -> str:
        return str(read_manifest(self._path).uuid)

    def model(self) -> ModelFingerprint | None:
        try:
            with self._open("r", create=False) as database:
                return model_of(database, self._place)
        except DatabaseNotFoundError:
            return None

    def exists(self) -> bool:
        try:
            with self._open("r", create=False) as database:
                return self._place.collection in database
        except DatabaseNotFoundError:
            return False

    def prepare(self, fingerprint: ModelFingerprint) -> Prepared:
        self._model = fingerprint
        if self._database is None:
            self._database = self._open("rw", create=True)
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

    def _open(self, mode: Mode, *, create: bool) -> Database:
        from vecdb.engine.database import Database  # noqa: PLC0415  a server needs no engine

        return Database.open(self._path, mode, durability="fsync", create=create, config=EngineConfig())
