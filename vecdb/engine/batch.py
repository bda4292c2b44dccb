"""Reads the two spellings of a batch, columns and records, into one PutRecords operation.

Columns: `upsert(ids, vectors, metadata)`, vectors being (n, dim) or {field: (n, dim)}, None where a record has none.
Records: `upsert([{"id": ..., "vector" or "vectors": ..., "metadata": ..., "expires_at": ..., "if_version": ...}])`.
Promises: every id, vector and metadata is checked before anything is returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vecdb.checks.metadata import encode_column
from vecdb.checks.models import model_of, named_models, require_model
from vecdb.checks.rows import columns_of, is_records, named_vectors, option_of, read_conditions
from vecdb.config import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from vecdb.engine.bulk_operations import SetVectors
from vecdb.engine.expiry import batch_expiries, read_expiries
from vecdb.engine.operations import FieldVectors, PutRecords
from vecdb.engine.schema import CollectionSchema, FieldSchema
from vecdb.engine.validate import check_ids, check_vectors
from vecdb.errors import InvalidRequestError, InvalidVectorError, LimitExceededError

WriteMode = Literal["upsert", "insert"]


def read_batch(
    schema: CollectionSchema,
    ids: object,
    vectors: object,
    metadata: object,
    mode: WriteMode,
    *,
    if_version: object = None,
    expires_at: object = None,
    model: object = None,
) -> PutRecords:
    """Check a batch in either spelling and return the operation that stores it."""
    if vectors is None and is_records(ids):
        if_version = option_of(ids, "if_version", if_version)
        expires_at = option_of(ids, "expires_at", expires_at)
        ids, vectors, metadata = columns_of(ids, lambda name: schema.field(name).name)
    _check_count(schema, ids)
    listed, keys = check_ids(ids)
    if mode == "insert" and if_version is not None:
        raise InvalidRequestError("insert takes no if_version, as it only stores ids that are new; use upsert")
    packed = encode_column(metadata, len(listed))
    return PutRecords(
        schema=schema,
        keys=keys,
        metadata=packed,
        vectors=_read_vectors(schema, vectors, len(listed), model),
        mode=mode,
        expires=batch_expiries(schema, read_expiries(expires_at, len(listed)), packed),
        if_version=read_conditions(if_version, len(listed)),
    )


def read_vectors(
    schema: CollectionSchema, ids: object, vectors: object, if_version: object, *, skip_changed: object, model: object
) -> SetVectors:
    """Check vectors of records that exist and return the operation that stores them."""
    _check_count(schema, ids)
    listed, keys = check_ids(ids)
    return SetVectors(
        schema=schema,
        keys=keys,
        vectors=_read_vectors(schema, vectors, len(listed), model),
        if_version=read_conditions(if_version, len(listed)),
        skip_changed=bool(skip_changed),
    )


def read_vector(schema: CollectionSchema, vector: object, vectors: object, model: object = None) -> dict[int, Any]:
    """Check the vectors of one record: `vector` for the only field or `vectors={field: vector}`."""
    named = {schema.field(name): value for name, value in named_vectors(vector, vectors).items() if value is not None}
    _check_models(schema, named, model)
    return {field.number: check_vectors(field, value, 1) for field, value in named.items()}


def _check_models(schema: CollectionSchema, fields: Iterable[FieldSchema], model: object) -> None:
    """Refuse vectors for `fields` that are not of the models stored."""
    if model is None:
        return
    named = named_models(model)
    models = {None if name is None else schema.field(name).name: one for name, one in named.items()}
    given = [field.name for field in fields]
    for field in schema.fields:
        if field.name in given:
            require_model(schema.name, field.model, model_of(field.name, models, given))


def _check_count(schema: CollectionSchema, ids: object) -> None:
    count = len(ids) if isinstance(ids, Sequence) else ids.size if isinstance(ids, np.ndarray) else 0
    if count > BATCH_RECORDS_MAX:
        raise LimitExceededError(
            f"the batch has {count} records; one write takes at most {BATCH_RECORDS_MAX}, so split it",
            collection=schema.name,
        )


def _read_vectors(schema: CollectionSchema, vectors: object, count: int, model: object) -> dict[int, FieldVectors]:
    if vectors is None:
        names = ", ".join(repr(field.name) for field in schema.fields)
        raise InvalidVectorError(f"the batch has no vectors; give one per id for a field of {names}")
    named = vectors if isinstance(vectors, Mapping) else {schema.field(None).name: vectors}
    fields = {schema.field(name): values for name, values in named.items()}
    _check_models(schema, [field for field, values in fields.items() if values is not None], model)
    read = {field.number: _read_column(field, values, count) for field, values in fields.items() if values is not None}
    _check_bytes(read)
    _check_covered(schema, read, count)
    return {number: rows for number, rows in read.items() if len(rows.vectors)}


def _read_column(field: FieldSchema, values: Any, count: int) -> FieldVectors:
    if isinstance(values, (list, tuple)) and any(value is None for value in values):
        if len(values) != count:
            raise InvalidVectorError(
                f"field {field.name!r} got {len(values)} vectors for {count} ids; give one (or None) per id",
                field=field.name,
            )
        positions = [position for position, value in enumerate(values) if value is not None]
        present = [values[position] for position in positions]
        rows = check_vectors(field, present, len(present)) if present else np.empty((0, field.dim), field.dtype)
        return FieldVectors(np.array(positions, dtype=np.int64), rows)
    return FieldVectors(None, check_vectors(field, values, count))


def _check_bytes(read: Mapping[int, FieldVectors]) -> None:
    size = sum(rows.vectors.nbytes for rows in read.values())
    if size > BATCH_BYTES_MAX:
        raise LimitExceededError(
            f"the batch has {size} bytes of vectors; one write takes {BATCH_BYTES_MAX}, so split it"
        )


def _check_covered(schema: CollectionSchema, read: Mapping[int, FieldVectors], count: int) -> None:
    """Every record needs a vector in at least one field, or no search would ever find it."""
    covered = np.zeros(count, dtype=np.bool_)
    for rows in read.values():
        covered[slice(None) if rows.positions is None else rows.positions] = True
    if not covered.all():
        position = int(np.argmin(covered))
        raise InvalidVectorError(
            f"record {position} has no vector in any field of {schema.name!r}; give at least one", position=position
        )
