"""Creates and drops collections, and changes which fields one has, what they are called and whose vectors they hold.

Promises: each is one small commit, whatever is stored: searches, and readers in other processes, see all of it or none,
and a crash leaves one or the other. What is dropped is unlisted at once; its bytes are swept afterwards.
Invariants: a field keeps its number for ever, which is in all its keys; names, and what goes with them, may move.
Concurrency: run by one thread at a time, the one that holds the write lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from vecdb.config import COLLECTIONS_MAX, FIELDS_MAX, SLOTS_MAX
from vecdb.engine.filtered_writes import matching_keys
from vecdb.engine.schema import CollectionSchema, FieldSchema, field_schema
from vecdb.engine.state import CollectionState, FieldState, collection_key, queries_key
from vecdb.errors import (
    AlreadyExistsError,
    CollectionExistsError,
    ConflictError,
    InvalidRequestError,
    LimitExceededError,
)
from vecdb.fingerprint import ModelFingerprint, require_same_model
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import Field

if TYPE_CHECKING:
    from vecdb.engine.commit import Commit
    from vecdb.filters import Filter

FIELD_NUMBERS: Final = 2**16
"""Numbers that a key has room for; those of dropped fields are not used again."""


@dataclass(frozen=True, slots=True)
class CreateCollection:
    """Creation of a collection; its number was not known before the commit."""

    build: Any
    name: str

    def apply(self, commit: Commit) -> int:
        """Number the collection and enter it into the catalog; returns its number."""
        if any(schema.name == self.name for schema in commit.schemas.values()):
            raise CollectionExistsError(
                f"collection {self.name!r} exists already; use db.collection({self.name!r}) or pass exist_ok=True",
                collection=self.name,
            )
        check_room(commit)
        counters = commit.counters()
        schema: CollectionSchema = self.build(counters.next_collection)
        state = CollectionState(next_slot=0, live=0, fields=tuple(FieldState() for _ in schema.fields))
        key = keys.catalog_key(self.name)
        commit.txn.put(Table.CATALOG, key, codec.encode_struct(Table.CATALOG, key, schema))
        commit.put_counters(msgspec.structs.replace(counters, next_collection=schema.number + 1))
        commit.schemas[schema.number] = schema
        commit.states[schema.number] = state
        commit.change(schema.number)
        commit.catalog_changed = True
        return schema.number


@dataclass(frozen=True, slots=True)
class DropCollection:
    """Removal of a collection from the catalog; its bytes are swept afterwards in small transactions."""

    FREES_ROOM: ClassVar[bool] = True

    schema: CollectionSchema

    def apply(self, commit: Commit) -> int:
        """Remove it and remember its number for the sweep; returns the records dropped."""
        number = self.schema.number
        state = commit.state(number, self.schema.name)
        commit.txn.delete(Table.CATALOG, keys.catalog_key(self.schema.name))
        commit.txn.delete(Table.STATE, collection_key(number))
        for field in range(len(state.fields)):
            commit.txn.delete(Table.STATE, queries_key(number, field))
        counters = commit.counters()
        commit.put_counters(msgspec.structs.replace(counters, dropped=(*counters.dropped, number)))
        del commit.schemas[number], commit.states[number]
        commit.changes.pop(number, None)
        commit.catalog_changed = True
        return state.live


def check_room(commit: Commit) -> None:
    """LimitExceededError when the database holds as many collections as are possible."""
    if len(commit.schemas) >= COLLECTIONS_MAX:
        raise LimitExceededError(f"the database holds {COLLECTIONS_MAX} collections, the most possible")


@dataclass(frozen=True, slots=True)
class AddField:
    """Adds a field, of which no record has a vector yet."""

    schema: CollectionSchema
    name: str
    field: Field
    exist_ok: bool

    def apply(self, commit: Commit) -> int:
        """Number the field; returns 0 when it is there already and may be."""
        schema = commit.current(self.schema)
        state = commit.state(schema.number, schema.name)
        there = next((field for field in schema.fields if field.name == self.name), None)
        if there is not None:
            return self._found(there)
        if len(schema.fields) >= FIELDS_MAX or len(state.fields) >= FIELD_NUMBERS:
            raise LimitExceededError(
                f"collection {schema.name!r} has {len(schema.fields)} fields, and had {len(state.fields)} in all; "
                f"{FIELDS_MAX} at a time and {FIELD_NUMBERS} in all are possible",
                collection=schema.name,
            )
        field = field_schema(len(state.fields), self.name, self.field, added=True)
        commit.states[schema.number] = msgspec.structs.replace(state, fields=(*state.fields, FieldState(next_row=0)))
        _store(commit, schema.with_fields((*schema.fields, field)))
        return 1

    def _found(self, there: FieldSchema) -> int:
        if self.exist_ok and there.public() == self.field:
            return 0
        hint = "it is declared in another way" if self.exist_ok else "pass exist_ok=True to keep it"
        raise AlreadyExistsError(
            f"collection {self.schema.name!r} has a field {self.name!r} already; {hint}, or choose another name",
            collection=self.schema.name,
            field=self.name,
        )


@dataclass(frozen=True, slots=True)
class DropField:
    """Removes a field with all its vectors. Records stay, those without any other vector too."""

    FREES_ROOM: ClassVar[bool] = True

    schema: CollectionSchema
    name: str

    def apply(self, commit: Commit) -> int:
        """Unlist it; its rows and segments are left to the sweep."""
        schema = commit.current(self.schema)
        gone = schema.field(self.name)
        if len(schema.fields) == 1:
            raise InvalidRequestError(
                f"field {self.name!r} is the last one of collection {schema.name!r}, which needs one; "
                "add another first, or drop the collection",
                collection=schema.name,
                field=self.name,
            )
        state = commit.state(schema.number, schema.name)
        # Above every row that there can be (no field has more than there are slots), so that all of them are left over.
        commit.states[schema.number] = state.with_field(gone.number, FieldState(indexed_upto=SLOTS_MAX + 1))
        commit.txn.delete(Table.STATE, queries_key(schema.number, gone.number))
        commit.change(schema.number).appended.pop(gone.number, None)
        _store(commit, schema.with_fields(tuple(field for field in schema.fields if field != gone)))
        return 1


@dataclass(frozen=True, slots=True)
class SwitchField:
    """Gives the name of one field to another, and the first a name to be found, and switched back, under.

    Unless a record matches `unless`, as the records are when the names change: hence it needs a commit of its own.
    """

    schema: CollectionSchema
    name: str
    to: str
    keep_as: str
    unless: Filter | None = None

    def apply(self, commit: Commit) -> int:
        """Exchange the names, and what belongs to a name; vectors and models stay with their fields."""
        schema = commit.current(self.schema)
        before, after = schema.field(self.name), schema.field(self.to)
        if before == after:
            raise InvalidRequestError(f"field {self.name!r} cannot be switched to itself", field=self.name)
        if self.keep_as == self.name:
            raise InvalidRequestError(
                f"two fields would be called {self.name!r}; keep the old one as something else", field=self.name
            )
        if any(field.name == self.keep_as for field in schema.fields if field not in {before, after}):
            raise AlreadyExistsError(
                f"collection {schema.name!r} has a field {self.keep_as!r} already; choose another name to keep "
                f"{self.name!r} as",
                collection=schema.name,
                field=self.keep_as,
            )
        found = 0 if self.unless is None else len(matching_keys(commit, schema, self.unless))
        if found:
            raise ConflictError(
                f"field {self.name!r} of collection {schema.name!r} was not switched to {self.to!r}: {found} record(s) "
                "match what must not be there; see to them and try again",
                collection=schema.name,
                field=self.name,
                count=found,
            )
        moved = {
            before.number: msgspec.structs.replace(after, name=before.name, added=before.added, follows=before.follows),
            after.number: msgspec.structs.replace(before, name=self.keep_as, added=after.added, follows=after.follows),
        }
        # Each in the other's place, so that fields stay listed in the order of the names.
        _store(commit, schema.with_fields(tuple(moved.get(field.number, field) for field in schema.fields)))
        return 1


@dataclass(frozen=True, slots=True)
class SetModel:
    """Stores whose vectors a field holds."""

    schema: CollectionSchema
    name: str | None
    model: ModelFingerprint

    def apply(self, commit: Commit) -> int:
        """Store it; ModelMismatchError where vectors of another model are stored."""
        schema = commit.current(self.schema)
        field = schema.field(self.name)
        if field.model == self.model and field.model.location == self.model.location:
            return 0
        if field.model is not None and self._has_rows(commit, field):
            require_same_model(field.model, self.model, collection=schema.name)
        known = msgspec.structs.replace(field, model=self.model)
        _store(commit, schema.with_fields(tuple(known if one == field else one for one in schema.fields)))
        return 1

    def _has_rows(self, commit: Commit, field: FieldSchema) -> bool:
        view = commit.view.collections.get(self.schema.number)
        stored = None if view is None else view.numbered(field.number)
        appended = commit.change(self.schema.number).appended.get(field.number)
        return bool(appended) or (stored is not None and stored.live > 0)


def _store(commit: Commit, schema: CollectionSchema) -> None:
    """Put a changed schema in the place of the one that is stored."""
    key = keys.catalog_key(schema.name)
    commit.txn.put(Table.CATALOG, key, codec.encode_struct(Table.CATALOG, key, schema))
    commit.schemas[schema.number] = schema
    commit.change(schema.number)
    commit.catalog_changed = True
