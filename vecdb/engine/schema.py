"""Describes collections and their fields as they are stored in the catalog.

Promises: a schema is a value: whatever changes the fields of a collection stores another one, and who holds the old one
is told by `Commit.current`. Numbers (collection, field) are never reused within a database, so the numbers of a
collection's fields have gaps where one was dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from vecdb.checks.declarations import can_pack, check_declaration, check_ttl_field, unknown_field
from vecdb.config import PACKED_DIM_AUTO, PACKED_DIM_MIN
from vecdb.errors import CollectionExistsError
from vecdb.filters.paths import resolver
from vecdb.fingerprint import ModelFingerprint, require_same_model
from vecdb.types import Builder, Field, Layout, Metadata, Metric, VectorDtype


class FieldSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One vector field: its number (part of every key), name, the parameters of its index and the model it is for.

    `added` says that the name was added after the collection was created, so it is never meant where none is said;
    `follows` has the paths of the metadata that its vectors are made of, see `Field`. Both belong to the name.
    """

    number: int
    name: str
    dim: int
    metric: Metric
    dtype: VectorDtype
    m: int
    ef_construction: int
    builder: Builder
    model: ModelFingerprint | None = None
    added: bool = False
    follows: tuple[str, ...] = ()
    layout: Layout = "auto"

    @property
    def packed(self) -> bool:
        """Whether new segments store packed rows."""
        least = PACKED_DIM_AUTO if self.layout == "auto" else PACKED_DIM_MIN
        return self.layout != "compact" and self.dim >= least and can_pack(self.dim, self.m)

    def public(self) -> Field:
        """Return the field as the caller declared it."""
        return Field(
            dim=self.dim,
            metric=self.metric,
            dtype=self.dtype,
            m=self.m,
            ef_construction=self.ef_construction,
            builder=self.builder,
            layout=self.layout,
            model=self.model,
            follows=self.follows,
        )


class CollectionSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One collection: its number (the prefix of all its keys), name and fields.

    `ttl_field` is the path in the metadata, its keys joined by dots, that says when a record expires.
    """

    number: int
    name: str
    fields: tuple[FieldSchema, ...]
    ttl_field: str | None = None

    def field(self, name: str | None) -> FieldSchema:
        """Look up a field; None means the main one."""
        if name is None and (main := self.main) is not None:
            return main
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise unknown_field(self.name, [candidate.name for candidate in self.fields], name)

    @property
    def main(self) -> FieldSchema | None:
        """The only field, or the only one that the collection was created with; None when there are several such."""
        meant = self.fields if len(self.fields) == 1 else [field for field in self.fields if not field.added]
        return meant[0] if len(meant) == 1 else None

    def numbered(self, number: int) -> FieldSchema | None:
        """The field of a number, None when it was dropped."""
        return next((field for field in self.fields if field.number == number), None)

    def outdated(self, before: Metadata, after: Metadata) -> set[int]:
        """Numbers of the fields whose vectors are made of what differs between the two."""
        return {
            field.number
            for field in self.fields
            if any(resolver(path)(before) != resolver(path)(after) for path in field.follows)
        }

    def with_fields(self, fields: tuple[FieldSchema, ...]) -> CollectionSchema:
        """The collection with other fields."""
        return msgspec.structs.replace(self, fields=fields)


def require_same(existing: CollectionSchema, wanted: CollectionSchema) -> None:
    """CollectionExistsError or ModelMismatchError unless a collection is declared as it is wanted.

    What was added to it later is no part of that, and neither is a model that nobody asks for.
    """
    there = {field.name: field for field in existing.fields if not field.added}
    for field in wanted.fields:
        stored, model = there.get(field.name), field.model
        if stored is not None and stored.model is not None and model is not None:
            require_same_model(stored.model, model, collection=wanted.name)
    asked = {field.name: field.public() for field in wanted.fields}
    declared = {
        name: field.public() if name in asked and asked[name].model else replace(field.public(), model=None)
        for name, field in there.items()
    }
    if (declared, existing.ttl_field) != (asked, wanted.ttl_field):
        raise CollectionExistsError(
            f"collection {wanted.name!r} exists with other fields or ttl_field: {declared}, "
            f"ttl_field {existing.ttl_field!r}",
            collection=wanted.name,
        )


def build_schema(number: int, name: str, fields: Mapping[str, Field], ttl_field: str | None = None) -> CollectionSchema:
    """Check the declaration of a collection and number its fields."""
    check_declaration(name, fields)
    schemas = tuple(field_schema(index, *item) for index, item in enumerate(fields.items()))
    return CollectionSchema(number=number, name=name, fields=schemas, ttl_field=check_ttl_field(name, ttl_field))


def field_schema(number: int, name: str, field: Field, *, added: bool = False) -> FieldSchema:
    """A checked declaration under its number."""
    return FieldSchema(
        number=number,
        name=name,
        dim=field.dim,
        metric=field.metric,
        dtype=field.dtype,
        m=field.m,
        ef_construction=field.ef_construction,
        builder=field.builder,
        layout=field.layout,
        model=field.model,
        added=added,
        follows=field.follows,
    )
