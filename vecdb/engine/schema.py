"""Describes collections and their fields as they are stored in the catalog.

Promises: a schema is immutable once created; numbers (collection, field) are never reused within a database.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vecdb.config import (
    DIM_MAX,
    EF_CONSTRUCTION_MAX,
    FIELDS_MAX,
    M_MAX,
    M_MIN,
    METADATA_DEPTH_MAX,
    NAME_PATTERN,
    TTL_FIELD_BYTES_MAX,
)
from vecdb.errors import FieldNotFoundError, InvalidNameError, InvalidRequestError, LimitExceededError
from vecdb.types import DEFAULT_FIELD, Builder, Field, Metric, VectorDtype

METRICS = ("cosine", "dot", "l2")
DTYPES = ("float32", "float16")
BUILDERS = ("vecdb", "hnswlib")


class FieldSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One vector field: its number (part of every key), name and the parameters of its index."""

    number: int
    name: str
    dim: int
    metric: Metric
    dtype: VectorDtype
    m: int
    ef_construction: int
    builder: Builder

    def public(self) -> Field:
        """Return the field as the caller declared it."""
        return Field(
            dim=self.dim,
            metric=self.metric,
            dtype=self.dtype,
            m=self.m,
            ef_construction=self.ef_construction,
            builder=self.builder,
        )


class CollectionSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One collection: its number (the prefix of all its keys), name and fields.

    `ttl_field` is the path in the metadata, its keys joined by dots, that says when a record expires.
    """

    number: int
    name: str
    fields: tuple[FieldSchema, ...]
    ttl_field: str | None = None

    def field(self, name: str | None) -> FieldSchema:
        """Look up a field; None means the only one."""
        if name is None and len(self.fields) == 1:
            return self.fields[0]
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        names = ", ".join(repr(candidate.name) for candidate in self.fields)
        if name is None:
            raise FieldNotFoundError(
                f"collection {self.name!r} has several fields; say which with field=, one of {names}",
                collection=self.name,
            )
        raise FieldNotFoundError(
            f"collection {self.name!r} has no field {name!r}; it has {names}", collection=self.name, field=name
        )


def check_name(kind: str, name: object) -> str:
    """Return `name` if it keeps the name rule, else raise InvalidNameError."""
    if isinstance(name, str) and NAME_PATTERN.fullmatch(name):
        return name
    raise InvalidNameError(
        f"{kind} name {name!r:.80} is not allowed: use 1 to 63 of a-z, 0-9, '-' and '_', "
        "starting with a letter or a digit",
        kind=kind,
    )


def build_schema(number: int, name: str, fields: Mapping[str, Field], ttl_field: str | None = None) -> CollectionSchema:
    """Check the declaration of a collection and number its fields."""
    check_name("collection", name)
    if not 1 <= len(fields) <= FIELDS_MAX:
        raise LimitExceededError(
            f"collection {name!r} declares {len(fields)} fields; between 1 and {FIELDS_MAX} are possible",
            collection=name,
        )
    schemas = tuple(_field_schema(index, *item) for index, item in enumerate(fields.items()))
    return CollectionSchema(number=number, name=name, fields=schemas, ttl_field=_check_ttl_field(name, ttl_field))


def declared_fields(fields: Mapping[str, Field] | None, single: Field | None) -> dict[str, Field]:
    """Combine the two ways to declare: `fields={...}` or the arguments of one unnamed field."""
    if fields is not None and single is not None:
        raise InvalidRequestError("give either dim= for one unnamed field or fields={name: Field(...)}, not both")
    if single is not None:
        return {DEFAULT_FIELD: single}
    if fields is not None and not isinstance(fields, Mapping):
        raise InvalidRequestError(
            f"fields is {type(fields).__name__}; give a dict of field name to vecdb.Field(dim=...)"
        )
    if not fields:
        raise InvalidRequestError("a collection needs dim= (one unnamed field) or fields={name: Field(dim=...)}")
    return dict(fields)


def _check_ttl_field(collection: str, path: object) -> str | None:
    if path is None:
        return None
    if not isinstance(path, str) or not path or not all(path.split(".")):
        raise InvalidRequestError(
            f"ttl_field of collection {collection!r} is {path!r:.80}; "
            "give a key of the metadata, 'a.b' for a nested one",
            collection=collection,
        )
    plain = str.__str__(path)
    if len(plain.encode(errors="replace")) > TTL_FIELD_BYTES_MAX or plain.count(".") >= METADATA_DEPTH_MAX:
        raise LimitExceededError(
            f"ttl_field of collection {collection!r} has {len(plain)} characters and {plain.count('.') + 1} keys; at "
            f"most {TTL_FIELD_BYTES_MAX} bytes and {METADATA_DEPTH_MAX} keys are possible",
            collection=collection,
        )
    if not plain.isprintable():
        raise InvalidRequestError(
            f"ttl_field of collection {collection!r} holds unprintable characters; name a key of the metadata",
            collection=collection,
        )
    return plain


def _field_schema(number: int, name: str, field: Field) -> FieldSchema:
    check_name("field", name)
    if not isinstance(field, Field):
        raise InvalidRequestError(f"field {name!r} is {type(field).__name__}; declare it with vecdb.Field(dim=...)")
    _check_range(name, "dim", field.dim, 1, DIM_MAX)
    _check_range(name, "m", field.m, M_MIN, M_MAX)
    _check_range(name, "ef_construction", field.ef_construction, field.m, EF_CONSTRUCTION_MAX)
    _check_choice(name, "metric", field.metric, METRICS)
    _check_choice(name, "dtype", field.dtype, DTYPES)
    _check_choice(name, "builder", field.builder, BUILDERS)
    return FieldSchema(
        number=number,
        name=name,
        dim=field.dim,
        metric=field.metric,
        dtype=field.dtype,
        m=field.m,
        ef_construction=field.ef_construction,
        builder=field.builder,
    )


def _check_range(field: str, option: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(
            f"{option} of field {field!r} is {type(value).__name__}; it must be an int", field=field
        )
    if not low <= value <= high:
        raise LimitExceededError(f"{option} of field {field!r} is {value}; it must be in {low}..{high}", field=field)


def _check_choice(field: str, option: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidRequestError(
            f"{option} of field {field!r} is {value!r:.40}; it must be one of {', '.join(map(repr, choices))}",
            field=field,
        )
