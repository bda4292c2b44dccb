"""Turns what a caller hands in into checked arrays, or raises an error that names the thing, its shape and the fix.

Promises: nothing is stored or changed here; a value that passes is safe for every layer below (finite, right dimension,
contiguous, in range). Vectors that already are C-contiguous arrays of the stored dtype are not copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.checks.ids import is_single_id, listed_ids, raise_wrong_id
from vecdb.config import (
    BATCH_RECORDS_MAX,
    COSINE_NORM_MIN,
    VECTOR_ABS_MAX,
)
from vecdb.engine.schema import FieldSchema
from vecdb.errors import (
    DimensionMismatchError,
    DuplicateIdError,
    InvalidIdError,
    InvalidVectorError,
    LimitExceededError,
    NonFiniteVectorError,
)
from vecdb.storage.keys import id_key
from vecdb.types import FloatArray, RecordId

VectorArray = npt.NDArray[np.float32] | npt.NDArray[np.float16]
FLOAT32 = np.dtype(np.float32)


def check_ids(ids: object) -> tuple[list[RecordId], list[bytes]]:
    """Check a batch of ids and return them with their keys. Order kept; a repeated id is a DuplicateIdError."""
    listed: list[RecordId] = listed_ids(ids, "give a list of str, int or UUID")
    keys = _id_keys(listed)
    if len(set(keys)) != len(keys):
        seen: set[bytes] = set()
        for position, key in enumerate(keys):
            if key in seen:
                raise DuplicateIdError(
                    f"id {listed[position]!r:.80} occurs more than once in the batch (again at position {position}); "
                    "keep one record per id",
                    position=position,
                )
            seen.add(key)
    return listed, keys


def check_lookup(ids: object) -> list[bytes]:
    """Check the ids of a read or a deletion, one or many (repetitions are harmless there), and return their keys."""
    if is_single_id(ids):
        return [id_key(ids)]  # type: ignore[arg-type]  # checked there
    listed = listed_ids(ids, "give a str, int or UUID, or a list of them")
    if len(listed) > BATCH_RECORDS_MAX:
        raise LimitExceededError(f"{len(listed)} ids; one call takes at most {BATCH_RECORDS_MAX}, so split it")
    return _id_keys(listed)


def _id_keys(listed: Sequence[RecordId]) -> list[bytes]:
    try:
        return list(map(id_key, listed))
    except InvalidIdError:
        raise_wrong_id(listed, id_key)
        raise


def check_vectors(field: FieldSchema, value: object, count: int | None) -> VectorArray:
    """Check a batch of vectors for a field; returns (n, dim) in the stored dtype, C-contiguous.

    `count` is the number of rows expected, None for any.
    """
    array = _numeric_array(field, value)
    if array.ndim == 1 and count == 1:
        array = array.reshape(1, -1)
    if array.ndim == 1 and array.size == 0:
        array = array.reshape(0, field.dim)
    if array.ndim != 2:
        raise InvalidVectorError(
            f"vectors of field {field.name!r} have shape {array.shape}; give (n, {field.dim})", field=field.name
        )
    if array.shape[1] != field.dim:
        raise DimensionMismatchError(
            f"vectors of field {field.name!r} have dimension {array.shape[1]}, the field has {field.dim}",
            field=field.name,
            got=array.shape[1],
            expected=field.dim,
        )
    if count is not None and array.shape[0] != count:
        raise InvalidVectorError(
            f"field {field.name!r} got {array.shape[0]} vectors for {count} ids; give one vector per id",
            field=field.name,
        )
    return _finite(field, array)


def check_query(field: FieldSchema, value: object) -> FloatArray:
    """Check one query vector; returns (dim,) float32."""
    if (
        type(value) is np.ndarray
        and value.dtype == FLOAT32
        and value.shape == (field.dim,)
        and value.flags.c_contiguous
        # One pass settles the common case: the sum of squares is neither NaN, huge nor tiny only for a sound vector.
        # (vdot, because the other products warn when the sum overflows.)
        and COSINE_NORM_MIN < float(np.vdot(value, value)) < VECTOR_ABS_MAX
    ):
        return value
    array = _numeric_array(field, value)
    if array.ndim != 1:
        raise InvalidVectorError(
            f"the query has shape {array.shape}; give one vector of shape ({field.dim},), "
            "or use search_batch for several",
            field=field.name,
        )
    row: FloatArray = check_vectors(field_as_float32(field), array, 1)[0].astype(np.float32, copy=False)
    return row


def check_queries(field: FieldSchema, value: object) -> FloatArray:
    """Check a batch of queries; returns (n, dim) float32, C-contiguous."""
    if type(value) is np.ndarray and value.dtype == FLOAT32 and value.shape[1:] == (field.dim,) and len(value):
        # As in check_query.
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.vecdot(value, value)
        if squares.min() > COSINE_NORM_MIN and squares.max() < VECTOR_ABS_MAX:
            return np.ascontiguousarray(value)
    return check_vectors(field_as_float32(field), value, None).astype(np.float32, copy=False)


def field_as_float32(field: FieldSchema) -> FieldSchema:
    """Return the field with float32 storage: queries are not rounded to the stored dtype."""
    return field if field.dtype == "float32" else msgspec.structs.replace(field, dtype="float32")


def _numeric_array(field: FieldSchema, value: object) -> npt.NDArray[Any]:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InvalidVectorError(
            f"vectors of field {field.name!r} are not a rectangular array of numbers (ragged lists?); "
            f"give rows of {field.dim} numbers each",
            field=field.name,
        ) from error
    if array.dtype.kind not in "fiu":
        raise InvalidVectorError(
            f"vectors of field {field.name!r} have dtype {array.dtype}; give float32, float16, float64 or integers",
            field=field.name,
        )
    return array


def _finite(field: FieldSchema, array: npt.NDArray[Any]) -> VectorArray:
    """Cast to the stored dtype and check every row: finite, in range, and with a direction under cosine."""
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.ascontiguousarray(array, dtype=field.dtype)
        squares = np.einsum("ij,ij->i", stored, stored, dtype=np.float64)
    if not np.isfinite(squares).all():
        _raise_non_finite(field, array, int(np.argmin(np.isfinite(squares))))
    if stored.size and float(np.max(squares)) > VECTOR_ABS_MAX**2:
        _check_magnitude(field, stored)
    if field.metric == "cosine" and squares.size and float(np.min(squares)) < COSINE_NORM_MIN**2:
        row = int(np.argmin(squares))
        raise InvalidVectorError(
            f"vector {row} of field {field.name!r} is zero (length below {COSINE_NORM_MIN:.0e}); "
            "cosine needs a direction, so scale the vector up, leave it out or use l2",
            field=field.name,
            row=row,
        )
    return stored


def _raise_non_finite(field: FieldSchema, array: npt.NDArray[Any], row: int) -> None:
    bad = ~np.isfinite(array[row])
    if bad.any():
        column = int(np.argmax(bad))
        raise NonFiniteVectorError(
            f"vector {row} of field {field.name!r} holds {array[row, column]} at component {column}; "
            "every component must be a finite number",
            field=field.name,
            row=row,
            column=column,
        )
    raise InvalidVectorError(
        f"vector {row} of field {field.name!r} overflows {field.dtype}; scale it down or store float32",
        field=field.name,
        row=row,
    )


def _check_magnitude(field: FieldSchema, stored: VectorArray) -> None:
    largest = np.abs(stored).max(axis=1)
    row = int(np.argmax(largest))
    if largest[row] > VECTOR_ABS_MAX:
        raise LimitExceededError(
            f"vector {row} of field {field.name!r} has a component of {largest[row]:.3g}; "
            f"at most {VECTOR_ABS_MAX:.0e} is possible (scale it down)",
            field=field.name,
            row=row,
        )
