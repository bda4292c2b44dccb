"""Reaches the databases of the `serve` suite over the network: the adapters of the `db` suite, connected to a server.

Promises: what is written and what is asked for is what those adapters write and ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from benchmarks.databases.milvus_lite_file import NAME as MILVUS_NAME
from benchmarks.databases.milvus_lite_file import MilvusLite
from benchmarks.databases.protocol import INDEXED, Hits, Matrix, Metadata, Place
from benchmarks.databases.vecdb_database import NAME, Vecdb

Columns = tuple[Sequence[str], Matrix, Sequence[Metadata]]
"""Ids, vectors and metadata of a batch."""

WAIT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class ServedPlace(Place):
    """A collection behind an address."""

    address: str = ""


class Store(Protocol):
    """What the suite asks of either."""

    def create(self) -> None:
        """Make the collection."""

    def load(self, batches: Iterable[Columns]) -> None:
        """Store all batches durably, by the fastest way there is."""

    def make_ready(self) -> None:
        """Return when all records are indexed."""

    def set_effort(self, effort: int) -> None:
        """Trade speed for recall."""

    def search(self, query: Matrix, k: int) -> Hits:
        """Nearest records with their metadata."""

    def search_ids(self, query: Matrix, k: int) -> list[str]:
        """Ids of the nearest records."""


class EmbeddedVecdb(Vecdb):
    """The database without a server."""

    @property
    def collection(self) -> Any:
        """The collection itself."""
        return self._collection

    def load(self, batches: Iterable[Columns]) -> None:
        for batch in batches:
            self.insert(*batch)


class ServedVecdb(Vecdb):
    """vecdb's client, and what it is connected to."""

    def __init__(self, place: ServedPlace) -> None:
        super().__init__(place)
        self._address = place.address

    def create(self) -> None:
        self._database = self._library.connect(self._address, timeout_s=WAIT_S)
        self._collection = self._database.create_collection(NAME, dim=self._place.dim, metric=self._place.metric)
        for name in INDEXED:
            self._collection.create_index(name, "int")

    def load(self, batches: Iterable[Columns]) -> None:
        self._collection.ingest(batches)

    def search_ids(self, query: Matrix, k: int) -> list[str]:
        ids: list[str] = self._collection.search(query, k, with_metadata=False, **self._options).ids
        return ids


class ServedMilvus(MilvusLite):
    """pymilvus, and the server that it is connected to."""

    def __init__(self, place: ServedPlace) -> None:
        super().__init__(place)
        self._address = place.address

    def _connect(self) -> None:
        self._client = self._library.MilvusClient(f"http://{self._address}", timeout=WAIT_S)

    def load(self, batches: Iterable[Columns]) -> None:
        for batch in batches:
            self.insert(*batch)

    def search_ids(self, query: Matrix, k: int) -> list[str]:
        found = self._client.search(MILVUS_NAME, [query], limit=k, search_params=self._params)
        return [hit["id"] for hit in found[0]]

    def close(self) -> None:
        self._client.close()


STORES: Final[dict[str, Any]] = {"embedded": EmbeddedVecdb, "vecdb": ServedVecdb, "milvus-lite": ServedMilvus}
