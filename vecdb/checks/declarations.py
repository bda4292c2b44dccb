"""Checks what collections, fields and metadata indexes are declared to be.

Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, get_args

from vecdb.checks.models import check_declared_model
from vecdb.config import (
    DIM_MAX,
    EF_CONSTRUCTION_MAX,
    FIELDS_MAX,
    FOLLOWS_MAX,
    M_MAX,
    M_MIN,
    METADATA_DEPTH_MAX,
    NAME_PATTERN,
    PACKED_DIM_MIN,
    SIGN_BLOCK,
    TTL_FIELD_BYTES_MAX,
)
from vecdb.errors import FieldNotFoundError, InvalidNameError, InvalidRequestError, LimitExceededError
from vecdb.filters.paths import parse_path
from vecdb.types import DEFAULT_FIELD, Builder, Field, IndexKind, Layout, Metric, VectorDtype

METRICS: Final = get_args(Metric)
DTYPES: Final = get_args(VectorDtype)
BUILDERS: Final = get_args(Builder)
LAYOUTS: Final = get_args(Layout)
KINDS: Final = get_args(IndexKind)


def check_name(kind: str, name: object) -> str:
    """Return `name` if it keeps the name rule, else raise InvalidNameError."""
    if isinstance(name, str) and NAME_PATTERN.fullmatch(name):
        return name
    raise InvalidNameError(
        f"{kind} name {name!r:.80} is not allowed: use 1 to 63 of a-z, 0-9, '-' and '_', "
        "starting with a letter or a digit",
        kind=kind,
    )


def declared_fields(fields: Mapping[str, Field] | None, single: Field | None) -> dict[str, Field]:
    """Combine the two ways to declare: `fields={...}` or the arguments of one unnamed field."""
    if fields is not None and single is not None:
        raise InvalidRequestError(
            "give either dim= or model= for one unnamed field or fields={name: Field(...)}, not both"
        )
    if single is not None:
        return {DEFAULT_FIELD: single}
    if fields is not None and not isinstance(fields, Mapping):
        raise InvalidRequestError(
            f"fields is {type(fields).__name__}; give a dict of field name to vecdb.Field(dim=...)"
        )
    if not fields:
        raise InvalidRequestError("a collection needs dim= (one unnamed field) or fields={name: Field(dim=...)}")
    return dict(fields)


def unknown_field(collection: str, names: Sequence[str], name: object) -> FieldNotFoundError:
    """The error for a field that is not there; None stands for the only one, where there are several."""
    listed = ", ".join(map(repr, names))
    if name is None:
        return FieldNotFoundError(
            f"collection {collection!r} has several fields; say which with field=, one of {listed}",
            collection=collection,
        )
    return FieldNotFoundError(
        f"collection {collection!r} has no field {name!r:.80}; it has {listed}",
        collection=collection,
        field=name[:80] if isinstance(name, str) else name,
    )


def check_declaration(name: str, fields: Mapping[str, Field]) -> None:
    """Check the name and the fields of a collection."""
    check_name("collection", name)
    if not 1 <= len(fields) <= FIELDS_MAX:
        raise LimitExceededError(
            f"collection {name!r} declares {len(fields)} fields; between 1 and {FIELDS_MAX} are possible",
            collection=name,
        )
    for field_name, field in fields.items():
        check_field(field_name, field)


def check_field(name: object, field: object) -> None:
    """Check the name and the declaration of a field."""
    name = check_name("field", name)
    if not isinstance(field, Field):
        raise InvalidRequestError(f"field {name!r} is {type(field).__name__}; declare it with vecdb.Field(dim=...)")
    _check_range(name, "dim", field.dim, 1, DIM_MAX)
    _check_range(name, "m", field.m, M_MIN, M_MAX)
    _check_range(name, "ef_construction", field.ef_construction, field.m, EF_CONSTRUCTION_MAX)
    _check_choice(name, "metric", field.metric, METRICS)
    _check_choice(name, "dtype", field.dtype, DTYPES)
    _check_choice(name, "builder", field.builder, BUILDERS)
    _check_layout(name, field)
    check_declared_model(name, field)
    _check_follows(name, field.follows)


def can_pack(dim: int, m: int) -> bool:
    """Whether rows of that shape can be packed: signs lie in blocks of neighbours, of which a row has 2 m."""
    return dim >= PACKED_DIM_MIN and 2 * m % SIGN_BLOCK == 0


def _check_layout(name: str, field: Field) -> None:
    _check_choice(name, "layout", field.layout, LAYOUTS)
    if field.layout == "packed" and not can_pack(field.dim, field.m):
        raise InvalidRequestError(
            f"layout of field {name!r} is 'packed', which needs dim of at least {PACKED_DIM_MIN} and m a multiple of "
            f"{SIGN_BLOCK // 2}; it has dim={field.dim} and m={field.m}. Use 'auto' or 'compact'",
            field=name,
        )


def _check_follows(field: str, paths: object) -> None:
    if not isinstance(paths, tuple) or len(paths) > FOLLOWS_MAX:
        raise InvalidRequestError(
            f"field {field!r}: follows is {type(paths).__name__}; give a tuple of at most {FOLLOWS_MAX} paths",
            field=field,
        )
    for path in paths:
        parse_path(path)


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


def check_ttl_field(collection: str, path: object) -> str | None:
    """The path of a ttl_field as a plain str."""
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


def check_index(path: object, kind: object) -> tuple[str, IndexKind]:
    """Return path and kind when there can be such an index; InvalidRequestError and InvalidFilterError otherwise."""
    if kind not in KINDS:
        raise InvalidRequestError(
            f"kind of the index is {kind!r:.40}; it must be one of {', '.join(map(repr, KINDS))}", kind=repr(kind)[:40]
        )
    if not isinstance(path, str):
        raise InvalidRequestError(f"path of the index is {type(path).__name__}; give a str such as 'year' or 'a.b'")
    parse_path(path)
    return path, kind  # type: ignore[return-value]  # checked above
