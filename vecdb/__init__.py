"""vecdb: an embedded vector database engine.

    db = vecdb.open("data")
    docs = db.create_collection("docs", dim=384)
    docs.upsert(ids, vectors, metadata)
    docs.search(query, limit=10)

Layers, top to bottom: `cli` > `engine` > `index` | `storage` > `kernels` > `config` > `types`, `errors`.
Promises: importing this package loads neither numba nor lmdb; they come with the first `open` and the first search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecdb import errors
from vecdb.config import EngineConfig
from vecdb.errors import VecDBError
from vecdb.filters import F, Filter
from vecdb.types import (
    Aggregate,
    BatchResult,
    CollectionStats,
    Explain,
    Field,
    Hit,
    IndexInfo,
    Page,
    RecallReport,
    Record,
    SearchResult,
    VerifyReport,
    WriteResult,
)

if TYPE_CHECKING:
    import os

    from vecdb.engine.collection import Collection
    from vecdb.engine.database import Database
    from vecdb.engine.transaction import Transaction
    from vecdb.types import Durability, Mode

__version__ = "0.1.0"

__all__ = [
    "Aggregate",
    "BatchResult",
    "Collection",
    "CollectionStats",
    "Database",
    "EngineConfig",
    "Explain",
    "F",
    "Field",
    "Filter",
    "Hit",
    "IndexInfo",
    "Page",
    "RecallReport",
    "Record",
    "SearchResult",
    "Transaction",
    "VecDBError",
    "VerifyReport",
    "WriteResult",
    "errors",
    "open",
]


def open(  # noqa: A001 - `vecdb.open` is the front door; it mirrors the builtin on purpose
    path: str | os.PathLike[str],
    mode: Mode = "rw",
    *,
    durability: Durability = "fsync",
    create: bool = True,
    config: EngineConfig | None = None,
) -> Database:
    """Open the database directory `path` (or ":memory:"), creating it when `create` and mode="rw".

    mode="rw" takes the writer lock of the directory; mode="r" opens a reader; there may be many beside the writer.
    durability="fsync": a write returns once it is on the disk. "async": it returns once it is visible, and is on the
    disk within half a second; a power cut may then cost the newest writes.
    Errors: DatabaseLockedError, DatabaseNotFoundError, NotADatabaseError, FormatVersionError, CorruptionError.
    Cost: independent of the size of the database, but for rows not indexed yet, which are read.
    """
    from vecdb.engine.database import Database  # noqa: PLC0415 - keeps `import vecdb` free of lmdb

    return Database.open(path, mode, durability=durability, create=create, config=config or EngineConfig())


def __getattr__(name: str) -> object:
    if name == "Database":
        from vecdb.engine.database import Database  # noqa: PLC0415 - see open

        return Database
    if name == "Collection":
        from vecdb.engine.collection import Collection  # noqa: PLC0415 - see open

        return Collection
    if name == "Transaction":
        from vecdb.engine.transaction import Transaction  # noqa: PLC0415 - see open

        return Transaction
    raise AttributeError(f"module 'vecdb' has no attribute {name!r}")
