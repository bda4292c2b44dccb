"""Describes collections and their fields as they are stored in the catalog.

Promises: a schema is immutable once created; numbers (collection, field) are never reused within a database.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vecdb.checks.declarations import check_declaration, check_ttl_field, unknown_field
from vecdb.config import PACKED_DIM_MIN
from vecdb.kernels.layout import SIGN_BLOCK
from vecdb.types import Builder, Field, Metric, VectorDtype


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

    @property
    def packed(self) -> bool:
        """Whether segments store packed rows."""
        return self.dim >= PACKED_DIM_MIN and 2 * self.m % SIGN_BLOCK == 0

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
        raise unknown_field(self.name, [candidate.name for candidate in self.fields], name)


def build_schema(number: int, name: str, fields: Mapping[str, Field], ttl_field: str | None = None) -> CollectionSchema:
    """Check the declaration of a collection and number its fields."""
    check_declaration(name, fields)
    schemas = tuple(_field_schema(index, *item) for index, item in enumerate(fields.items()))
    return CollectionSchema(number=number, name=name, fields=schemas, ttl_field=check_ttl_field(name, ttl_field))


def _field_schema(number: int, name: str, field: Field) -> FieldSchema:
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
