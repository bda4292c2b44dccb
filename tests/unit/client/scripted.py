"""A gRPC server whose answers a test scripts, method by method: real calls, real statuses, no engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from grpc_status import rpc_status

from vecdb._pb.v1 import admin_service_pb2, collection_service_pb2
from vecdb.client.methods import METHODS
from vecdb.errors import VecDBError
from vecdb.wire.status import status_of

Answer: TypeAlias = Callable[[Any], Any]
"""From the request to the reply; of a stream, from the requests to the replies. What it raises becomes the status."""

PATHS = {method.path: method for method in METHODS}


@dataclass
class Script:
    """What the server answers, and what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""

    def asked(self, name: str) -> list[Any]:
        """The requests of a method so far."""
        return [request for asked, request in self.requests if asked == name]


class Handler(grpc.GenericRpcHandler):
    """Answers every method as the script says."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = PATHS[details.method]
        self._script.metadata.append(dict(details.invocation_metadata or ()))
        make = getattr(grpc, f"{method.kind}_rpc_method_handler")
        answer = self._unary if method.kind == "unary_unary" else self._stream
        return make(
            lambda request, context: answer(method, request, context),
            request_deserializer=_request_class(method).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _unary(self, method: Any, request: Any, context: Any) -> Any:
        self._script.requests.append((method.name, request))
        try:
            return self._script.answers[method.name](request)
        except VecDBError as error:
            context.abort_with_status(rpc_status.to_status(status_of(error)))

    def _stream(self, method: Any, requests: Any, context: Any) -> Iterator[Any]:
        try:
            yield from self._script.answers[method.name](self._noted(method, requests))
        except VecDBError as error:
            context.abort_with_status(rpc_status.to_status(status_of(error)))

    def _noted(self, method: Any, requests: Any) -> Any:
        if method.kind == "unary_stream":
            self._script.requests.append((method.name, requests))
            return requests
        return self._each(method, requests)

    def _each(self, method: Any, requests: Any) -> Iterator[Any]:
        for request in requests:
            self._script.requests.append((method.name, request))
            yield request


def _request_class(method: Any) -> Any:
    file = method.reply.DESCRIPTOR.file
    found = file.services_by_name[method.service].methods_by_name[method.name]
    return found.input_type._concrete_class


@contextlib.contextmanager
def scripted(message_bytes_max: int = 1 << 20, **answers: Answer) -> Iterator[Script]:
    """Run a server that knows one collection, docs, of dimension 4, and else what the script says."""
    limits = admin_service_pb2.ServerLimits(message_bytes_max=message_bytes_max)
    collection = collection_service_pb2.GetCollectionResponse()
    collection.collection.name = "docs"
    collection.collection.fields.add(name="default", dim=4)
    script = Script(
        {
            "GetServerInfo": lambda _: admin_service_pb2.GetServerInfoResponse(limits=limits),
            "GetCollection": lambda _: collection,
            **answers,
        }
    )
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, handlers=[Handler(script)])
        script.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield script
        finally:
            server.stop(0).wait()
