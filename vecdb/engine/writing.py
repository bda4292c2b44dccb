"""The four ways to write records, for whoever takes operations: a collection commits them, a transaction gathers them.

Promises: every argument is checked, and metadata is packed, before `_submit` gets the operation. `_submit` decides what
a call answers.
Concurrency: as `_submit`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from vecdb.checks.metadata import encode_metadata
from vecdb.checks.options import check_version
from vecdb.checks.rows import check_delete, check_update, read_conditions
from vecdb.engine import batch
from vecdb.engine.expiry import read_expiry, read_ttl
from vecdb.engine.filtered_writes import DeleteMatching, UpdateMatching
from vecdb.engine.operations import DeleteRecords, UpdateRecord
from vecdb.engine.validate import check_lookup
from vecdb.errors import DuplicateIdError
from vecdb.filters import FilterLike, require_filter
from vecdb.storage.keys import id_key
from vecdb.types import Expiry, Metadata, Models, RecordId, VectorLike

if TYPE_CHECKING:
    from vecdb.engine.commit import RecordOperation
    from vecdb.engine.schema import CollectionSchema

Answer = TypeVar("Answer")


class RecordWrites(ABC, Generic[Answer]):
    """Upsert, insert, update and delete of records of one collection."""

    @property
    @abstractmethod
    def _schema(self) -> CollectionSchema:
        """The collection as it is declared now."""

    @abstractmethod
    def _submit(self, operation: RecordOperation) -> Answer:
        """Take a checked operation."""

    def upsert(
        self,
        ids: Sequence[RecordId | Mapping[str, Any]],
        vectors: VectorLike | Mapping[str, Any] | None = None,
        metadata: Sequence[Metadata | None] | None = None,
        *,
        if_version: int | Sequence[int | None] | None = None,
        expires_at: Expiry | Sequence[Expiry | None] | None = None,
        model: Models | None = None,
    ) -> Answer:
        """Store records, replacing those whose ids exist. All of the batch or nothing is stored.

        Columns: `upsert(ids, X, metadata)` with X (n, dim), or {field: (n, dim)} for named fields (None: no vector).
        Records: `upsert([{"id": "a", "vector": v, "metadata": {...}}])`, or "vectors": {field: v}; each may carry
        "if_version" and "expires_at".
        `if_version`, one for all or one per record: the version that must be stored, 0 for no such record, None for
        any; VersionConflictError (and nothing stored) when one differs. `expires_at`, likewise: when the record ceases
        to exist; None leaves it to the collection's ttl_field, "never" is stronger than that.
        `model`: the model that made the vectors (for several fields {field: model}); ModelMismatchError when the
        field stores another one.
        """
        options = {"if_version": if_version, "expires_at": expires_at, "model": model}
        return self._submit(batch.read_batch(self._schema, ids, vectors, metadata, "upsert", **options))

    def insert(
        self,
        ids: Sequence[RecordId | Mapping[str, Any]],
        vectors: VectorLike | Mapping[str, Any] | None = None,
        metadata: Sequence[Metadata | None] | None = None,
        *,
        expires_at: Expiry | Sequence[Expiry | None] | None = None,
        model: Models | None = None,
    ) -> Answer:
        """Like `upsert`, but RecordExistsError (and nothing stored) when any of the ids exists."""
        options = {"expires_at": expires_at, "model": model}
        return self._submit(batch.read_batch(self._schema, ids, vectors, metadata, "insert", **options))

    def set_vectors(
        self,
        ids: Sequence[RecordId],
        vectors: VectorLike | Mapping[str, Any],
        *,
        if_version: int | Sequence[int | None] | None = None,
        skip_changed: bool = False,
        model: Models | None = None,
    ) -> Answer:
        """Store vectors of records that exist: (n, dim), or {field: (n, dim)}; all else that they hold stays.

        The way to fill a field that was added to a collection, and quicker than `update` for each record. `if_version`
        and `model` as in `upsert`. RecordNotFoundError (and nothing stored) when an id does not exist; with
        `skip_changed`, such records and those of another version are passed over. `count` of the result is how many
        were stored; `seq` is their version now.
        """
        return self._submit(
            batch.read_vectors(self._schema, ids, vectors, if_version, skip_changed=skip_changed, model=model)
        )

    def update(
        self,
        id: RecordId | None = None,  # noqa: A002 - the field is called id everywhere
        *,
        filter: FilterLike | None = None,  # noqa: A002 - the word for it everywhere
        vector: VectorLike | None = None,
        vectors: Mapping[str, VectorLike] | None = None,
        metadata: Metadata | None = None,
        expires_at: Expiry | None = None,
        if_version: int | None = None,
        model: Models | None = None,
    ) -> Answer:
        """Change one record: metadata keys given replace those stored, vectors given replace those of their field.

        What is not named stays; "never" clears the expiry. Where metadata is written, a ttl_field sets the expiry
        afresh unless `expires_at` does. RecordNotFoundError when the id does not exist, VersionConflictError when it
        has another version than `if_version`. `model` as in `upsert`.
        `update(filter=..., metadata=...)` instead merges the metadata into that of every record that matches; `count`
        of the result is how many.
        """
        check_update(id, filter, vector, vectors, metadata, expires_at, if_version)
        if filter is not None and metadata is not None:
            return self._submit(UpdateMatching(self._schema, require_filter(filter), self._plain(metadata)))
        return self._submit(
            UpdateRecord(
                schema=self._schema,
                key=id_key(id),  # type: ignore[arg-type]  # None is refused there, as everything that is no id
                metadata=None if metadata is None else self._plain(metadata),
                vectors=batch.read_vector(self._schema, vector, vectors, model),
                expires=None if expires_at is None else read_expiry(expires_at, 0),
                if_version=None if if_version is None else check_version(if_version),
            )
        )

    def _plain(self, metadata: Metadata) -> dict[str, Any]:
        """Check the metadata of an update and copy it: the caller's may change before, or fail while, it is read."""
        plain: dict[str, Any] = msgspec.msgpack.decode(encode_metadata(metadata, 0))
        if self._schema.ttl_field is not None:
            read_ttl(self._schema.ttl_field, plain, 0)
        return plain

    def delete(
        self,
        ids: RecordId | Sequence[RecordId] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see update
        if_version: int | Sequence[int | None] | None = None,
    ) -> Answer:
        """Delete records by id, or (`filter=`) all that match. `count` of the result is how many there were.

        Ids that do not exist are passed over. VersionConflictError (and nothing deleted) when one has another version
        than `if_version`, see `upsert`.
        """
        check_delete(ids, filter, if_version)
        if filter is not None:
            return self._submit(DeleteMatching(self._schema, require_filter(filter)))
        keys = check_lookup(ids)
        conditions = read_conditions(if_version, len(keys))
        if conditions is None:
            return self._submit(DeleteRecords(self._schema, list(dict.fromkeys(keys))))
        wanted = dict(zip(keys, conditions, strict=True))
        if [wanted[key] for key in keys] != conditions:
            raise DuplicateIdError("an id occurs twice in ids with different if_version; keep one of them")
        return self._submit(DeleteRecords(self._schema, list(wanted), list(wanted.values())))
