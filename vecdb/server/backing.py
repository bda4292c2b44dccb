"""What all services of a server share: the database, and the little state that belongs to the process.

Invariants: nothing here assumes that the database can be written or that this is the only process that serves it.
Concurrency: any thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vecdb.engine.packed import PackedCollection
from vecdb.server.long_operation import Places
from vecdb.server.page_tokens import PageTokens
from vecdb.server.receiving import HeldBytes
from vecdb.server.request_ids import RequestIds

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.server.settings import ServerConfig


@dataclass(frozen=True, slots=True)
class Backing:
    """The database behind the services, their configuration and their state."""

    database: Database
    config: ServerConfig
    tokens: PageTokens
    held: HeldBytes
    request_ids: RequestIds = field(default_factory=RequestIds)
    long_operations: Places = field(default_factory=Places)

    @classmethod
    def of(cls, database: Database, config: ServerConfig) -> Backing:
        """What stands behind the services of a configuration."""
        return cls(database, config, PageTokens.of(config), HeldBytes(config.max_in_flight_bytes))

    @property
    def read_bytes_max(self) -> int:
        """Bytes of records that one call may read at once: more than a reply holds, since ids and versions count."""
        return 2 * self.config.max_message_bytes

    def collection(self, name: str) -> PackedCollection:
        """The collection of a request. CollectionNotFoundError names those that exist."""
        return PackedCollection(self.database, self.database.schema_of(name))

    def reach(self, min_seq: int) -> None:
        """Wait until a commit is visible; for reads that the engine has no `min_seq` for."""
        if min_seq:
            with self.database.reading(min_seq):
                pass
