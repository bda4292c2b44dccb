"""Asks a server what tells whether a collection is still as it was, without the rest of the client.

A process that only wants to know that is over in a tenth of a second, half of which gRPC takes to load.
Promises: what cannot be asked, for whatever reason, is None: whoever wants to know why connects.
Concurrency: pure functions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import grpc

from vecdb._pb.v1 import admin_service_pb2 as admin
from vecdb._pb.v1 import collection_service_pb2 as collections

WITHIN_S: Final = 5.0
"""Longest wait for an answer: whoever asks in full waits longer, and says what is wrong."""

OPTIONS: Final = (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A collection: identity and newest commit of its database, how many records it has, a digest of its fields."""

    uuid: str
    seq: int
    records: int
    fields: str


def glimpse(address: str, collection: str, api_key: str | None) -> Glimpse | None:
    """Look at a collection of a server that listens without TLS on this machine."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else gRPC writes lines of its own about what fails here
    metadata = () if api_key is None else (("authorization", f"Bearer {api_key}"),)
    try:
        with grpc.insecure_channel(address, OPTIONS) as channel:

            def ask(service: str, method: str, request: Any, reply: Any) -> Any:
                call = channel.unary_unary(
                    f"/vecdb.v1.{service}/{method}", type(request).SerializeToString, reply.FromString
                )
                return call(request, timeout=WITHIN_S, metadata=metadata)

            asked = collections.GetCollectionRequest(name=collection)
            found = ask("CollectionService", "GetCollection", asked, collections.GetCollectionResponse)
            stats = ask(
                "AdminService", "GetStats", admin.GetStatsRequest(collection=collection), admin.GetStatsResponse
            )
            info = ask("AdminService", "GetServerInfo", admin.GetServerInfoRequest(), admin.GetServerInfoResponse)
    except (grpc.RpcError, ValueError):
        return None
    spelled = b"".join(field.SerializeToString(deterministic=True) for field in found.collection.fields)
    fields = blake2b(spelled, digest_size=16).hexdigest()
    return Glimpse(info.database_uuid.hex(), info.seq, stats.records, fields)
