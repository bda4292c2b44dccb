"""Plans about collections and their metadata indexes.

Concurrency: as plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecdb._pb.v1 import collection_service_pb2 as pb
from vecdb.checks.declarations import check_name, declared_fields
from vecdb.checks.models import check_model, single_field
from vecdb.client import methods
from vecdb.client.calling import Progress, call, follow
from vecdb.client.plans import Plan
from vecdb.client.session import Caller, new_request_id
from vecdb.client.targets import Target
from vecdb.errors import CollectionNotFoundError, InvalidNameError
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import Builder, Field, IndexInfo, IndexKind, Layout, Metric, VectorDtype
from vecdb.wire.collections import (
    declared_field,
    put_declaration,
    put_index_path,
    put_new_field,
    put_switch,
    read_collection,
    read_index,
)
from vecdb.wire.models import put_model
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
    layout: Layout,
    model: ModelFingerprint | None,
    fields: Mapping[str, Field] | None,
    ttl_field: str | None,
    exist_ok: bool,
) -> Plan[Target]:
    """See `Database.create_collection`."""
    index: dict[str, Any] = {"metric": metric, "dtype": dtype, "m": m, "ef_construction": ef_construction}
    single = single_field(dim, model, **index, builder=builder, layout=layout)
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


def model(target: Target, field: str | None) -> Plan[ModelFingerprint | None]:
    """See `Collection.model`; asked of the server, as others may have changed it."""
    request = pb.GetCollectionRequest(name=target.name, min_seq=target.session.min_seq(None))
    reply = yield from call(target.caller, methods.GET_COLLECTION, request)
    return declared_field(read_collection(reply.collection), field).model


def set_model(target: Target, model: object, field: object) -> Plan[Target]:
    """See `Collection.set_model`."""
    request = pb.SetModelRequest(collection=target.name, request_id=new_request_id())
    put_model(request.model, check_model(model))
    if field is not None:
        request.field = check_name("field", field)
    return (yield from _change(target, methods.SET_MODEL, request))


def add_field(target: Target, name: object, field: object, *, exist_ok: object) -> Plan[Target]:
    """See `Collection.add_field`."""
    request = pb.AddFieldRequest(collection=target.name, request_id=new_request_id())
    put_new_field(request, name, field, exist_ok=exist_ok)
    return (yield from _change(target, methods.ADD_FIELD, request))


def drop_field(target: Target, name: object) -> Plan[Target]:
    """See `Collection.drop_field`."""
    request = pb.DropFieldRequest(collection=target.name, field=check_name("field", name), request_id=new_request_id())
    return (yield from _change(target, methods.DROP_FIELD, request))


def switch_field(target: Target, name: object, to: object, *, keep_as: object, unless: object) -> Plan[Target]:
    """See `Collection.switch_field`."""
    request = pb.SwitchFieldRequest(collection=target.name, request_id=new_request_id())
    put_switch(request, name, to, keep_as=keep_as, unless=unless)
    return (yield from _change(target, methods.SWITCH_FIELD, request))


def _change(target: Target, method: methods.Method[Any], request: Any) -> Plan[Target]:
    """Change the fields of a collection; returns it as it is then."""
    reply = yield from call(target.caller, method, request)
    target.session.saw(reply.seq)
    return _target(target.caller, reply.collection)


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
    requests = SearchRequests(declared.name)
    return Target(caller, declared.name, declared.fields, declared.ttl_field, requests, declared.main_field)
