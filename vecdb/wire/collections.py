"""Converts declarations: fields, collections and metadata indexes, to messages and back.

Promises: a declaration that a message cannot hold (a dim that is no int) is refused in the engine's words.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from vecdb._pb.v1 import collection_pb2, collection_service_pb2
from vecdb.checks.declarations import (
    check_declaration,
    check_field,
    check_index,
    check_name,
    check_ttl_field,
    unknown_field,
)
from vecdb.config import EF_CONSTRUCTION_DEFAULT, M_DEFAULT
from vecdb.errors import InvalidRequestError
from vecdb.filters import require_filter
from vecdb.types import Field, IndexInfo
from vecdb.wire.choices import BUILDERS, INDEX_KINDS, LAYOUTS, METRICS, STORED_TYPES
from vecdb.wire.filters import put_filter, read_filter_message
from vecdb.wire.models import put_model, read_model
from vecdb.wire.writes import Arguments


class Declaration(NamedTuple):
    """A collection as it was declared, and its metadata indexes."""

    name: str
    fields: dict[str, Field]
    ttl_field: str | None
    indexes: tuple[IndexInfo, ...]
    main_field: str | None


def put_field(message: collection_pb2.Field, name: str, field: Field) -> None:
    """Fill a message with a checked field."""
    message.name, message.dim = name, field.dim
    message.m, message.ef_construction = field.m, field.ef_construction
    message.metric = METRICS.number(field.metric)  # type: ignore[assignment]  # an enum is an int
    message.dtype = STORED_TYPES.number(field.dtype)  # type: ignore[assignment]  # as above
    message.builder = BUILDERS.number(field.builder)  # type: ignore[assignment]  # as above
    message.layout = LAYOUTS.number(field.layout)  # type: ignore[assignment]  # as above
    if field.model is not None:
        put_model(message.model, field.model)
    message.follows.extend(field.follows)


def read_field(message: collection_pb2.Field, where: str) -> Field:
    """The field; its numbers are left to the engine."""
    words: Any = {
        "metric": METRICS.word(message.metric, f"{where}.metric"),
        "dtype": STORED_TYPES.word(message.dtype, f"{where}.dtype"),
        "builder": BUILDERS.word(message.builder, f"{where}.builder"),
        "layout": LAYOUTS.word(message.layout, f"{where}.layout"),
    }
    return Field(
        dim=message.dim,
        m=message.m if message.HasField("m") else M_DEFAULT,
        ef_construction=message.ef_construction if message.HasField("ef_construction") else EF_CONSTRUCTION_DEFAULT,
        model=read_model(message.model, f"{where}.model") if message.HasField("model") else None,
        follows=tuple(message.follows),
        **words,
    )


def put_declaration(
    message: collection_service_pb2.CreateCollectionRequest,
    name: str,
    fields: Mapping[str, Field],
    *,
    ttl_field: object = None,
    exist_ok: bool = False,
) -> None:
    """Fill a request with a declaration; `fields` is what `declared_fields` makes of both ways to declare."""
    check_declaration(name, fields)
    path = check_ttl_field(name, ttl_field)
    message.name, message.exist_ok = name, bool(exist_ok)
    for field_name, field in fields.items():
        put_field(message.fields.add(), field_name, field)
    if path is not None:
        message.ttl_field = path


def create_arguments(message: collection_service_pb2.CreateCollectionRequest) -> Arguments:
    """Arguments of `Database.create_collection`."""
    fields: dict[str, Field] = {}
    single: Field | None = None
    for number, declared in enumerate(message.fields):
        where = f"fields[{number}]"
        field = read_field(declared, where)
        if not declared.HasField("name"):
            if len(message.fields) > 1:
                raise InvalidRequestError(f"{where} has no name; of several fields each needs one", where=where)
            single = field
        elif declared.name in fields:
            raise InvalidRequestError(f"{where} has the name of a field before it", where=f"{where}.name")
        else:
            fields[declared.name] = field
    arguments: Arguments = {
        "name": message.name,
        "ttl_field": message.ttl_field if message.HasField("ttl_field") else None,
        "exist_ok": message.exist_ok,
    }
    if single is None:
        return {**arguments, "fields": fields}
    parts = ("dim", "metric", "dtype", "m", "ef_construction", "builder", "layout", "model")
    return {**arguments, **{part: getattr(single, part) for part in parts}}


def put_collection(
    message: collection_pb2.Collection,
    name: str,
    fields: Mapping[str, Field],
    ttl_field: str | None,
    indexes: Iterable[IndexInfo],
    *,
    main_field: str | None,
) -> None:
    """Fill a message with a collection."""
    message.name = name
    if main_field is not None:
        message.main_field = main_field
    for field_name, field in fields.items():
        put_field(message.fields.add(), field_name, field)
    if ttl_field is not None:
        message.ttl_field = ttl_field
    for index in indexes:
        put_index(message.indexes.add(), index)


def read_collection(message: collection_pb2.Collection) -> Declaration:
    """A collection as it was declared."""
    return Declaration(
        name=message.name,
        fields={field.name: read_field(field, f"fields[{number}]") for number, field in enumerate(message.fields)},
        ttl_field=message.ttl_field if message.HasField("ttl_field") else None,
        indexes=tuple(map(read_index, message.indexes)),
        main_field=message.main_field if message.HasField("main_field") else None,
    )


def declared_field(declared: Declaration, name: str | None) -> Field:
    """The field of a name, None for the main one; FieldNotFoundError names those that exist."""
    wanted = declared.main_field if name is None else name
    field = None if wanted is None else declared.fields.get(wanted)
    if field is None:
        raise unknown_field(declared.name, list(declared.fields), name)
    return field


# --- fields that come, go and change places -------------------------------------------------------------------------


def put_new_field(
    message: collection_service_pb2.AddFieldRequest, name: object, field: object, *, exist_ok: object
) -> None:
    """Fill a request with what `Collection.add_field` takes."""
    check_field(name, field)
    put_field(message.field, name, field)  # type: ignore[arg-type]  # checked
    message.exist_ok = bool(exist_ok)


def new_field_arguments(message: collection_service_pb2.AddFieldRequest) -> Arguments:
    """Arguments of `Collection.add_field`."""
    return {"name": message.field.name, "field": read_field(message.field, "field"), "exist_ok": message.exist_ok}


def put_switch(
    message: collection_service_pb2.SwitchFieldRequest, name: object, to: object, *, keep_as: object, unless: object
) -> None:
    """Fill a request with what `Collection.switch_field` takes."""
    message.name, message.to = check_name("field", name), check_name("field", to)
    if keep_as is not None:
        message.keep_as = check_name("field", keep_as)
    if unless is not None:
        put_filter(message.unless, require_filter(unless))


def switch_arguments(message: collection_service_pb2.SwitchFieldRequest) -> Arguments:
    """Arguments of `Collection.switch_field`."""
    unless = read_filter_message(message.unless, "unless") if message.HasField("unless") else None
    return {"name": message.name, "to": message.to, "keep_as": message.keep_as or None, "unless": unless}


def model_arguments(message: collection_service_pb2.SetModelRequest) -> Arguments:
    """Arguments of `Collection.set_model`."""
    field = message.field if message.HasField("field") else None
    return {"model": read_model(message.model, "model"), "field": field}


# --- metadata indexes -------------------------------------------------------------------------------------------------


def put_index(message: collection_pb2.IndexInfo, index: IndexInfo) -> None:
    """Fill a message with a metadata index."""
    message.path, message.ready = index.path, index.ready
    message.kind = INDEX_KINDS.number(index.kind)  # type: ignore[assignment]  # an enum is an int


def read_index(message: collection_pb2.IndexInfo) -> IndexInfo:
    """A metadata index."""
    kind: Any = INDEX_KINDS.word(message.kind)
    return IndexInfo(path=message.path, kind=kind, ready=message.ready)


def put_index_path(
    message: collection_service_pb2.CreateIndexRequest | collection_service_pb2.DropIndexRequest,
    path: object,
    kind: object,
) -> None:
    """Fill in which index: `kind` may be None only where every kind is meant."""
    checked, _ = check_index(path, "keyword" if kind is None else kind)
    message.path = checked
    if kind is not None:
        message.kind = INDEX_KINDS.number(kind)  # type: ignore[assignment]  # an enum is an int


def create_index_arguments(message: collection_service_pb2.CreateIndexRequest) -> Arguments:
    """Arguments of `Collection.create_index`."""
    return {
        "path": message.path,
        "kind": INDEX_KINDS.word(message.kind),
        "exist_ok": message.exist_ok,
        "wait": not message.no_wait,
    }


def drop_index_arguments(message: collection_service_pb2.DropIndexRequest) -> Arguments:
    """Arguments of `Collection.drop_index`."""
    return {"path": message.path, "kind": INDEX_KINDS.word(message.kind) if message.kind else None}
