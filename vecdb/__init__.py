"""vecdb: an embedded vector database engine.

    db = vecdb.open("data")
    docs = db.create_collection("docs", dim=384)
    docs.upsert(ids, vectors, metadata)
    docs.search(query, limit=10)

    db = vecdb.connect("localhost:50051")    # the same, answered by `vecdb serve`

Layers, top to bottom: `cli` > `ingest` > `server` | `client` > `engine` > `index` | `storage` > `kernels` > `wire` >
`checks` > `filters` > `types` > `fingerprint` > `config` > `errors`.
Promises: importing this package loads next to nothing, neither numba, lmdb, grpc nor numpy: its names come with
their first use, numba with the first search that has to compile.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vecdb.config import CLIENT_RETRIES_DEFAULT as _RETRIES
from vecdb.config import CLIENT_TIMEOUT_S as _TIMEOUT_S
from vecdb.config import EngineConfig as _EngineConfig

if TYPE_CHECKING:
    import os

    from vecdb import errors, ingest
    from vecdb.client.async_database import AsyncCollection, AsyncDatabase
    from vecdb.client.database import RemoteCollection, RemoteDatabase
    from vecdb.config import EngineConfig
    from vecdb.engine.collection import Collection
    from vecdb.engine.database import Database
    from vecdb.engine.transaction import Transaction
    from vecdb.errors import VecDBError
    from vecdb.filters import F, Filter
    from vecdb.fingerprint import ModelFingerprint
    from vecdb.types import (
        Aggregate,
        BatchResult,
        CollectionStats,
        Durability,
        Explain,
        Field,
        Hit,
        IndexInfo,
        Mode,
        Page,
        RecallReport,
        Record,
        SearchResult,
        TLSConfig,
        VerifyReport,
        WriteResult,
    )

__version__ = "0.1.0"

__all__ = [
    "Aggregate",
    "AsyncCollection",
    "AsyncDatabase",
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
    "ModelFingerprint",
    "Page",
    "RecallReport",
    "Record",
    "RemoteCollection",
    "RemoteDatabase",
    "SearchResult",
    "TLSConfig",
    "Transaction",
    "VecDBError",
    "VerifyReport",
    "WriteResult",
    "connect",
    "connect_async",
    "errors",
    "ingest",
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
    try:
        from vecdb.engine.database import Database  # noqa: PLC0415 - keeps `import vecdb` free of lmdb
    except ModuleNotFoundError as error:
        raise _incomplete(error, "vecdb.open", "vecdb.engine", "all of vecdb (pip install vecdb)") from error

    return Database.open(path, mode, durability=durability, create=create, config=config or _EngineConfig())


def connect(
    address: str,
    *,
    api_key: str | None = None,
    tls: TLSConfig | str | os.PathLike[str] | bool | None = None,
    timeout_s: float = _TIMEOUT_S,
    retries: int = _RETRIES,
    read_your_writes: bool = True,
    insecure: bool = False,
) -> RemoteDatabase:
    """Connect to a server (`vecdb serve`) at "host:port" or "unix:/path"; the result has the methods of a Database.

    `api_key` as `vecdb keys` printed it; it is sent to another machine only over TLS, unless `insecure`.
    `tls`: True to trust whom this machine trusts, the path of a CA file, or a `vecdb.TLSConfig`.
    `timeout_s` limits each call, repetitions included (calls that work through a collection get an hour);
    `with_timeout` of the handles sets another. `retries`: how often a call is repeated, after growing pauses, when the
    server cannot be reached or has too much to do; a write is still done once. `read_your_writes`: reads wait until
    the process that answers them has what this connection wrote.
    The connection may be used by any thread, but not by a fork of this process, which must connect anew.
    Errors: UnavailableError when nobody answers, UnauthenticatedError, InvalidRequestError for a bad argument.
    """
    _check_grpc()
    from vecdb.client import connecting  # noqa: PLC0415 - keeps `import vecdb` free of grpc

    arguments = connecting.read_arguments(
        address,
        api_key=api_key,
        tls=tls,
        timeout_s=timeout_s,
        retries=retries,
        read_your_writes=read_your_writes,
        insecure=insecure,
    )
    return connecting.open_database(arguments)


async def connect_async(
    address: str,
    *,
    api_key: str | None = None,
    tls: TLSConfig | str | os.PathLike[str] | bool | None = None,
    timeout_s: float = _TIMEOUT_S,
    retries: int = _RETRIES,
    read_your_writes: bool = True,
    insecure: bool = False,
) -> AsyncDatabase:
    """Connect as `connect` does, from a coroutine; all methods of the result are awaited.

    The connection belongs to the running event loop.
    """
    _check_grpc()
    from vecdb.client import connecting  # noqa: PLC0415 - keeps `import vecdb` free of grpc

    arguments = connecting.read_arguments(
        address,
        api_key=api_key,
        tls=tls,
        timeout_s=timeout_s,
        retries=retries,
        read_your_writes=read_your_writes,
        insecure=insecure,
    )
    return await connecting.open_async_database(arguments)


def _check_grpc() -> None:
    try:
        import google.rpc.status_pb2  # noqa: F401, PLC0415 - keeps `import vecdb` free of grpc
        import grpc  # noqa: F401, PLC0415 - as above
    except ModuleNotFoundError as error:
        packages = "grpcio, protobuf and googleapis-common-protos"
        raise _incomplete(error, "vecdb.connect", ("grpc", "google"), packages) from error


def _incomplete(
    error: ModuleNotFoundError, caller: str, missing: str | tuple[str, ...], needed: str
) -> ModuleNotFoundError:
    """The error to raise when a module is not there: one that says what to install, where that is the reason."""
    if error.name is None or not error.name.startswith(missing):
        return error
    return ModuleNotFoundError(f"{caller} needs {needed}: there is no module {error.name!r}", name=error.name)


_MODULES = {
    "vecdb.client.async_database": ("AsyncCollection", "AsyncDatabase"),
    "vecdb.client.database": ("RemoteCollection", "RemoteDatabase"),
    "vecdb.config": ("EngineConfig",),
    "vecdb.engine.collection": ("Collection",),
    "vecdb.engine.database": ("Database",),
    "vecdb.engine.transaction": ("Transaction",),
    "vecdb.errors": ("VecDBError",),
    "vecdb.filters": ("F", "Filter"),
    "vecdb.fingerprint": ("ModelFingerprint",),
    "vecdb.types": (
        "Aggregate", "BatchResult", "CollectionStats", "Explain", "Field", "Hit", "IndexInfo", "Page", "RecallReport",
        "Record", "SearchResult", "TLSConfig", "VerifyReport", "WriteResult",
    ),
}  # fmt: skip
"""Where the names of this package come from, each with its first use: numpy alone takes longer to load than Python."""

_SUBMODULES = ("errors", "ingest")
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return importlib.import_module(f"vecdb.{name}")  # which makes it an attribute
    if name not in _HOMES:
        raise AttributeError(f"module 'vecdb' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
