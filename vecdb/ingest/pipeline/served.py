"""Delivers to a server over its ingest stream: several swaps under way, each acknowledged by itself.

Promises: as `destination`. A stream that breaks is taken up again by the client; what it gives up is for the caller.
Concurrency: as `destination`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vecdb.checks.metadata import encode_sound
from vecdb.client.database import RemoteDatabase
from vecdb.client.ingesting import Load, ingest
from vecdb.client.targets import Target
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.pipeline.collections import Place, model_of, prepared
from vecdb.ingest.pipeline.config import STOP_POLL_S
from vecdb.ingest.pipeline.destination import Acknowledged, Prepared, Supply, Swap
from vecdb.types import RecordId
from vecdb.wire.writes import Batch, Column


class ServedDestination:
    """A field of a collection at a server."""

    def __init__(self, database: RemoteDatabase, place: Place) -> None:
        self._database, self._place = database, place
        self._model: ModelFingerprint | None = None

    def __str__(self) -> str:
        return self._database.address

    @property
    def collection(self) -> str:
        return self._place.collection

    @property
    def uuid(self) -> str:
        return str(self._database.uuid)

    def model(self) -> ModelFingerprint | None:
        return model_of(self._database, self._place)

    def exists(self) -> bool:
        return self._place.collection in self._database

    def prepare(self, fingerprint: ModelFingerprint) -> Prepared:
        self._model = fingerprint
        return prepared(self._database, self._place, fingerprint)

    def deliver(self, supply: Supply, acknowledged: Callable[[Acknowledged], None]) -> None:
        collection = self._database.collection(self._place.collection)
        # the collection's own `ingest` tells how many records are stored, and this has to know which swaps are
        load = _Swaps(collection._target, acknowledged, self._batch)  # noqa: SLF001
        collection._run(ingest(load, self._batches(supply, load)))  # noqa: SLF001

    def versions(self, ids: Sequence[RecordId]) -> dict[RecordId, int]:
        found = self._database.collection(self._place.collection).get(list(ids))
        return {record.id: record.version for record in found if record is not None}

    def close(self) -> None:
        self._database.close()

    def _batches(self, supply: Supply, load: _Swaps) -> Iterator[Any]:
        """Swaps; None when answers should be heard before there is another."""
        while True:
            swap = supply.take(STOP_POLL_S if load.is_idle else 0.0)
            if swap is not None:
                yield swap
            elif supply.is_ended:
                return
            elif not load.is_idle:
                yield None

    def _batch(self, swap: Swap) -> Batch:
        """What is sent. All of it is the ingestor's own, so only its size is looked at again."""
        ids, deletes = list(swap.ids), list(swap.deletes)
        if swap.vectors is None or not ids:
            return Batch(ids, {}, delete=deletes)
        field = self._place.field or None
        models = {} if self._model is None else {field: self._model}
        packed = [encode_sound(metadata, position) for position, metadata in enumerate(swap.metadata)]
        return Batch(ids, {field: Column(swap.vectors, None)}, packed, models=models, delete=deletes)


class _Swaps(Load):
    """A load whose batches are swaps, each of them one batch of the stream."""

    def __init__(
        self, target: Target, acknowledged: Callable[[Acknowledged], None], batch: Callable[[Swap], Batch]
    ) -> None:
        super().__init__(target, "upsert", None)
        self._acknowledged, self._batch = acknowledged, batch
        self._swaps: dict[int, Swap] = {}
        self._is_listening = False

    @property
    def wants_more(self) -> bool:
        return super().wants_more and not self._is_listening

    def take_checked(self, item: Any) -> None:
        if item is None:
            self._is_listening = True
            return
        before = self._numbers
        super().take_checked(item)
        if self._numbers > before:  # else it was refused here
            self._swaps[self._numbers] = item

    def _read(self, item: Any) -> Batch:
        return self._batch(item)

    def hear(self, response: Any) -> bool:
        self._is_listening = False
        stored = super().hear(response)
        if response.WhichOneof("event") == "ack":
            self._acknowledged(Acknowledged(self._swaps.pop(response.ack.number), response.ack.seq))
        return stored
