"""Services for the tests of the server: every RPC answered with an empty message, or by a function of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf import message_factory

from vecdb._pb.v1 import (
    admin_service_pb2,
    collection_service_pb2,
    export_service_pb2,
    ingest_service_pb2,
    record_service_pb2,
    search_service_pb2,
)
from vecdb.server.app import ServiceBinding

FILES = (
    admin_service_pb2,
    collection_service_pb2,
    export_service_pb2,
    ingest_service_pb2,
    record_service_pb2,
    search_service_pb2,
)
SERVICES = {service.full_name: service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()}
METHODS = {f"/{name}/{method.name}": method for name, service in SERVICES.items() for method in service.methods}

Behavior: TypeAlias = Callable[[Any, Any], Any]


def message_of(descriptor: Any) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(descriptor)


def bindings(**behaviors: Behavior) -> list[ServiceBinding]:
    """All services. `Search=function` answers the method of that name by `function(request or requests, call)`."""
    return [ServiceBinding(name, _add_all(service, behaviors), object()) for name, service in SERVICES.items()]


def _add_all(service: Any, behaviors: Mapping[str, Behavior]) -> Callable[[Any, Any], None]:
    handlers = {method.name: _handler(method, behaviors.get(method.name)) for method in service.methods}

    def add(_servicer: object, server: Any) -> None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
        server.add_registered_method_handlers(service.full_name, handlers)

    return add


def _handler(method: Any, behavior: Behavior | None) -> Any:
    reply = message_of(method.output_type)

    def single(request: Any, _call: Any) -> Any:
        if method.client_streaming:
            list(request)
        return reply()

    def stream(request: Any, _call: Any) -> Iterator[Any]:
        for _ in request if method.client_streaming else [request]:
            yield reply()

    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = kinds[method.client_streaming, method.server_streaming]
    return make(
        behavior or (stream if method.server_streaming else single),
        request_deserializer=message_of(method.input_type).FromString,
        response_serializer=reply.SerializeToString,
    )


def call_raw(
    channel: Any,
    path: str,
    *bodies: bytes,
    metadata: list[tuple[str, str]] | None = None,
    timeout: float | None = 20,
) -> list[bytes]:
    """Call an RPC of whatever kind with bodies as they are, and return the bodies of the replies."""
    streams = METHODS[path]
    options: dict[str, Any] = {"metadata": metadata, "timeout": timeout}
    if streams.client_streaming:
        return list(channel.stream_stream(path)(iter(bodies), **options))
    return list(channel.unary_stream(path)(bodies[0], **options))


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    """The status that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK
