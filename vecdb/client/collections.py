"""Plans about collections and their metadata indexes.

Concurrency: as plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecdb._pb.v1 import collection_service_pb2 as pb
from vecdb.checks.declarations import check_name, declared_fields
from vecdb.client import methods
from vecdb.client.calling import Progress, call, follow
from vecdb.client.plans import Plan
from vecdb.client.session import Caller, new_request_id
from vecdb.client.targets import Target
from vecdb.errors import CollectionNotFoundError, InvalidNameError
from vecdb.types import Builder, Field, IndexInfo, IndexKind, Metric, VectorDtype
from vecdb.wire.collections import put_declaration, put_index_path, read_collection, read_index
from vecdb.wire.search_requests import SearchRequests


def create(
    caller: Caller,
    name: str,
    dim: int | None,
    *,
    metric: Metric,
    dtype: VectorDtype,
    m: int,
    ef_construction: int,
    builder: Builder,
    fields: Mapping[str, Field] | None,
    ttl_field: str | None,
    exist_ok: bool,
) -> Plan[Target]:
    """See `Database.create_collection`."""
    single = None
    if dim is not None:
        single = Field(dim=dim, metric=metric, dtype=dtype, m=m, ef_construction=ef_construction, builder=builder)
    request = pb.CreateCollectionRequest(request_id=new_request_id())
    put_declaration(request, name, declared_fields(fields, single), ttl_field=ttl_field, exist_ok=exist_ok)
    reply = yield from call(caller, methods.CREATE_COLLECTION, request)
    caller.session.saw(reply.seq)
    return _target(caller, reply.collection)


def find(caller: Caller, name: str) -> Plan[Target]:
    """See `Database.collection`."""
    request = pb.GetCollectionRequest(name=check_name("collection", name), min_seq=caller.session.min_seq(None))
    reply = yield from call(caller, methods.GET_COLLECTION, request)
    return _target(caller, reply.collection)


def exists(caller: Caller, name: object) -> Plan[bool]:
    """See `Database.__contains__`."""
    if not isinstance(name, str):
        return False
    try:
        yield from find(caller, name)
    except (CollectionNotFoundError, InvalidNameError):
        return False
    return True


def names(caller: Caller) -> Plan[list[str]]:
    """See `Database.list_collections`."""
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListCollectionsRequest(page_size=1_000, page_token=token, min_seq=caller.session.min_seq(None))
        reply = yield from call(caller, methods.LIST_COLLECTIONS, request)
        found += [collection.name for collection in reply.collections]
        token = reply.next_page_token
        if not token:
            return found


def drop(caller: Caller, name: str) -> Plan[None]:
    """See `Database.drop_collection`."""
    request = pb.DeleteCollectionRequest(name=check_name("collection", name), request_id=new_request_id())
    reply = yield from call(caller, methods.DELETE_COLLECTION, request, timeout_s=caller.long_timeout_s)
    caller.session.saw(reply.seq)


def create_index(
    target: Target, path: str, kind: IndexKind, *, exist_ok: bool, wait: bool, progress: Progress | None
) -> Plan[None]:
    """See `Collection.create_index`."""
    request = pb.CreateIndexRequest(
        collection=target.name, exist_ok=bool(exist_ok), no_wait=not wait, request_id=new_request_id()
    )
    put_index_path(request, path, kind)
    last = yield from follow(target.caller, methods.CREATE_INDEX, request, progress)
    if last is not None:
        target.session.saw(last.seq)


def drop_index(target: Target, path: str, kind: IndexKind | None) -> Plan[None]:
    """See `Collection.drop_index`."""
    request = pb.DropIndexRequest(collection=target.name, request_id=new_request_id())
    put_index_path(request, path, kind)
    reply = yield from call(target.caller, methods.DROP_INDEX, request, timeout_s=target.caller.long_timeout_s)
    target.session.saw(reply.seq)


def indexes(target: Target) -> Plan[tuple[IndexInfo, ...]]:
    """See `Collection.indexes`."""
    request = pb.ListIndexesRequest(collection=target.name, min_seq=target.session.min_seq(None))
    reply = yield from call(target.caller, methods.LIST_INDEXES, request)
    return tuple(map(read_index, reply.indexes))


def _target(caller: Caller, message: Any) -> Target:
    declared = read_collection(message)
    return Target(caller, declared.name, declared.fields, declared.ttl_field, SearchRequests(declared.name))
