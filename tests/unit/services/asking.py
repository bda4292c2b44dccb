"""A server over a database in memory, stubs to ask it, and small requests."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from grpc_status import rpc_status

import vecdb
from vecdb._pb.v1 import (
    admin_service_pb2_grpc,
    collection_service_pb2_grpc,
    export_service_pb2_grpc,
    ingest_service_pb2_grpc,
    record_pb2,
    record_service_pb2,
    record_service_pb2_grpc,
    search_service_pb2,
    search_service_pb2_grpc,
    vectors_pb2,
)
from vecdb.errors import VecDBError
from vecdb.server.app import serving
from vecdb.server.principals import LOCAL, Principal, Scope
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig
from vecdb.types import FloatArray
from vecdb.wire.status import error_of
from vecdb.wire.vectors import put_vectors
from vecdb.wire.writes import put_batch, read_batch

DIM = 4
PACKED = vectors_pb2.ENCODING_PACKED


STUBS: tuple[Callable[[grpc.Channel], Any], ...] = (
    collection_service_pb2_grpc.CollectionServiceStub,
    record_service_pb2_grpc.RecordServiceStub,
    search_service_pb2_grpc.SearchServiceStub,
    ingest_service_pb2_grpc.IngestServiceStub,
    export_service_pb2_grpc.ExportServiceStub,
    admin_service_pb2_grpc.AdminServiceStub,
)


@dataclass
class Asked:
    """A database that is served, and one stub for each service."""

    db: vecdb.Database
    collections: Any
    records: Any
    search: Any
    ingest: Any
    export: Any
    admin: Any


@contextlib.contextmanager
def asking(db: vecdb.Database, **settings: Any) -> Iterator[Asked]:
    """Serve a database while the block lasts."""
    config = ServerConfig(**{"data": ":memory:", "listen": ("127.0.0.1:0",), "access_log": False, **settings})
    with (
        serving(config, bind_services(db, config), log_stream=io.StringIO()) as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        yield Asked(db, *(made(channel) for made in STUBS))


class FakeCall:
    """A call without a transport: for what only the servicer does. `left` looks at it are harmless, the next raises."""

    def __init__(
        self, method: str = "/vecdb.v1.Test/Call", principal: Principal = LOCAL, left: int = 10_000_000
    ) -> None:
        self.method = method
        self.principal = principal
        self.left = left
        self.is_draining = False
        self.remaining_s: float | None = None

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise vecdb.errors.CancelledError("gone")

    def require(self, scope: Scope, collection: str | None = None) -> None:
        self.principal.require(scope, collection)


def fake_call(*arguments: Any, **options: Any) -> Any:
    """A FakeCall, where a Call is wanted."""
    return FakeCall(*arguments, **options)


def error_from(call: Callable[[], object]) -> VecDBError:
    """The error that a call ends with, as a client reads it."""
    try:
        call()
    except grpc.RpcError as error:
        return error_of(rpc_status.from_call(error))  # type: ignore[arg-type]  # such errors are calls
    raise AssertionError("the call ended well")


def code_from(call: Callable[[], object]) -> grpc.StatusCode:
    """The status that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def rows(count: int, seed: int = 0) -> FloatArray:
    """Random vectors (count, DIM)."""
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def batch(ids: Sequence[Any], metadata: Any = None, *, vectors: Any = None, **options: Any) -> record_pb2.RecordBatch:
    """A batch for a collection with one field."""
    message = record_pb2.RecordBatch()
    put_batch(
        message,
        read_batch("default", ids, rows(len(ids)) if vectors is None else vectors, metadata, **options),
    )
    return message


def upsert(ids: Sequence[Any], metadata: Any = None, request_id: str = "", **options: Any) -> Any:
    """An upsert into "docs"."""
    return record_service_pb2.UpsertRecordsRequest(
        collection="docs", records=batch(ids, metadata, **options), request_id=request_id
    )


def search(query: FloatArray, **options: Any) -> Any:
    """A search of "docs"."""
    request = search_service_pb2.SearchRequest(collection="docs", options=options)
    put_vectors(request.query, query)
    return request


def search_batch(queries: FloatArray, **options: Any) -> Any:
    """A batch of searches of "docs"."""
    request = search_service_pb2.SearchBatchRequest(collection="docs", options=options)
    put_vectors(request.queries, queries)
    return request
