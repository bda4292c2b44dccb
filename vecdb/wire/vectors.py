"""Converts vectors: arrays to columns of bytes (or of numbers) and back.

Promises: what is read from bytes is a read-only view of them; nothing is allocated by a length that a message claims,
only by what it holds. Values (NaN, ranges, the dimension of the field) are left to the engine, which knows the field.
Concurrency: pure functions.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from vecdb._pb.v1 import vectors_pb2
from vecdb.config import SEARCH_BATCH_MAX
from vecdb.errors import DimensionMismatchError, InvalidRequestError, InvalidVectorError, LimitExceededError
from vecdb.types import FloatArray
from vecdb.wire.choices import VECTOR_TYPES

Rows = npt.NDArray[Any]
"""Vectors (n, dim) of float32 or float16."""

Columns = dict[str | None, Rows | list[Rows | None]]
"""Vectors by field (None: the only one): (n, dim), or a list with None for records without one."""

FLOAT32: Final[np.dtype[Any]] = np.dtype(np.float32)
FLOAT16: Final[np.dtype[Any]] = np.dtype(np.float16)
LITTLE: Final[dict[str, np.dtype[Any]]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
"""What bytes hold, whatever machine this is."""
IS_LITTLE: Final = sys.byteorder == "little"
"""Whether arrays of this machine are what bytes hold."""

PACKED: Final = {
    FLOAT32: (vectors_pb2.VECTOR_TYPE_FLOAT32, LITTLE["float32"]),
    FLOAT16: (vectors_pb2.VECTOR_TYPE_FLOAT16, LITTLE["float16"]),
}

# --- writing ----------------------------------------------------------------------------------------------------------


def as_rows(value: object) -> Rows:
    """An array of numbers as float32 (or float16, as it is); InvalidVectorError when it is none or overflows."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InvalidVectorError(
            "vectors are not a rectangular array of numbers (ragged lists?); give rows of as many numbers each"
        ) from error
    if array.ndim == 0:
        raise InvalidVectorError(f"vectors are one {type(value).__name__}; give an array of numbers")
    if array.ndim == 2 and array.shape[1] == 0:
        raise DimensionMismatchError("vectors have dimension 0; give as many components as the field has", got=0)
    if array.dtype == FLOAT32 or array.dtype == FLOAT16:  # noqa: PLR1714 - a set would hash the dtypes, which is slow
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "fiu":
        raise InvalidVectorError(f"vectors have dtype {array.dtype}; give float32, float16, float64 or integers")
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.ascontiguousarray(array, dtype=FLOAT32)
    if not np.isfinite(rows).all() and np.isfinite(array).all():
        raise InvalidVectorError("a vector overflows float32; scale it down")
    return rows


def as_queries(value: object) -> Rows:
    """Vectors to search for, (n, dim)."""
    rows = as_rows(value)
    if rows.ndim != 2 and rows.size:
        raise InvalidVectorError(f"the queries have shape {rows.shape}; give (n, dim)")
    return rows


def as_query(value: object) -> Rows:
    """One vector to search for, as `as_rows` makes it."""
    if type(value) is np.ndarray and value.dtype == FLOAT32 and value.ndim == 1 and value.flags.c_contiguous:
        return value  # what nearly all of them are
    row = as_rows(value)
    if row.ndim != 1:
        raise InvalidVectorError(
            f"the query has shape {row.shape}; give one vector of shape (dim,), or use search_batch for several"
        )
    return row


def put_vectors(message: vectors_pb2.Vectors, rows: Rows, *, packed: bool = True) -> None:
    """Fill a message with vectors (n, dim), or one vector (dim,)."""
    message.dim = rows.shape[-1]
    if packed:
        message.type, little = PACKED[rows.dtype]  # the name of a dtype takes numpy 10 µs to spell
        message.data = rows.astype(little, copy=False).tobytes()
    else:
        message.type = vectors_pb2.VECTOR_TYPE_FLOAT32
        message.floats.SetInParent()
        message.floats.values.extend(rows.ravel().tolist())


def put_query(message: vectors_pb2.Vectors, query: object) -> None:
    """Fill a message with one vector to search for."""
    put_vectors(message, as_query(query))


def put_queries(message: vectors_pb2.Vectors, queries: object) -> None:
    """Fill a message with vectors (n, dim) to search for."""
    put_vectors(message, as_queries(queries))


def put_field_vectors(
    fields: RepeatedCompositeFieldContainer[vectors_pb2.FieldVectors],
    field: str | None,
    rows: Rows,
    positions: Sequence[int] | None = None,
    *,
    packed: bool = True,
) -> None:
    """Add the vectors of one field: one for each record, or for the records at `positions`."""
    message = fields.add()
    if field is not None:
        message.field = field
    put_vectors(message.vectors, rows, packed=packed)
    if positions is not None:
        message.positions.extend(positions)


def put_numbers(message: vectors_pb2.FloatColumn, numbers: FloatArray, *, packed: bool) -> None:
    """Fill a column of numbers."""
    if packed:
        message.data = (numbers if IS_LITTLE else numbers.astype(LITTLE["float32"])).tobytes()
    else:
        message.values.extend(numbers.tolist())


# --- reading ----------------------------------------------------------------------------------------------------------


def read_vectors(message: vectors_pb2.Vectors, where: str) -> Rows:
    """The vectors of a message, (n, dim); InvalidVectorError when its length is no number of vectors."""
    form, dim = message.WhichOneof("components"), message.dim
    if form == "data":
        kind = LITTLE[VECTOR_TYPES.word(message.type, f"{where}.type")]
        numbers = _bytes_as(message.data, kind, where)
    elif form == "floats":
        values = message.floats.values
        numbers = np.fromiter(values, FLOAT32, len(values))
    else:
        raise InvalidVectorError(f"{where} has neither data nor floats; set one of them", where=where)
    if dim == 0 and numbers.size == 0:
        return numbers
    if dim == 0:
        raise DimensionMismatchError(f"{where}.dim is 0; say how many components a vector has", where=f"{where}.dim")
    if numbers.size % dim:
        raise InvalidVectorError(
            f"{where} has {numbers.size} components, which is no number of vectors of dimension {dim}", where=where
        )
    return numbers.reshape(-1, dim)


def _bytes_as(data: bytes, kind: np.dtype[Any], where: str) -> Rows:
    if len(data) % kind.itemsize:
        raise InvalidVectorError(
            f"{where} has {len(data)} bytes, which is no number of components of {kind.itemsize} bytes", where=where
        )
    return np.frombuffer(data, kind)


def read_query(message: vectors_pb2.Vectors, where: str) -> Rows:
    """The only vector of a message, (dim,)."""
    data = message.data
    if message.type == vectors_pb2.VECTOR_TYPE_FLOAT32 and len(data) == FLOAT32.itemsize * message.dim != 0:
        return np.frombuffer(data, LITTLE["float32"])  # what nearly all of them are
    rows = read_vectors(message, where)
    if rows.ndim == 2 and len(rows) != 1:
        raise InvalidVectorError(
            f"{where} holds {len(rows)} vectors; give one, or use SearchBatch for several", where=where
        )
    return rows[0] if rows.ndim == 2 else rows


def read_queries(message: vectors_pb2.Vectors, where: str) -> Rows:
    """The vectors of a message to search for, (n, dim). LimitExceededError for more than a batch takes."""
    queries = read_vectors(message, where)
    if len(queries) > SEARCH_BATCH_MAX:
        raise LimitExceededError(
            f"{where} has {len(queries)} vectors; one batch takes at most {SEARCH_BATCH_MAX}, so split it", where=where
        )
    return queries


def read_field_vectors(fields: Sequence[vectors_pb2.FieldVectors], count: int, where: str) -> Columns:
    """The vectors of `count` records by field."""
    columns: Columns = {}
    for number, message in enumerate(fields):
        place = f"{where}[{number}]"
        name = message.field if message.HasField("field") else None
        if name in columns or (columns and (name is None or None in columns)):
            raise InvalidRequestError(
                f"{place} is a second column for one field; give each field once, by its name if there are several",
                where=f"{place}.field",
            )
        rows = read_vectors(message.vectors, f"{place}.vectors")
        columns[name] = _spread(message, rows, count, place) if message.positions else _whole(rows, count, place)
    return columns


def _whole(rows: Rows, count: int, place: str) -> Rows:
    if len(rows) != count:
        raise InvalidVectorError(
            f"{place} has {len(rows)} vectors for {count} ids; give one vector per id, or positions", where=place
        )
    return rows


def _spread(message: vectors_pb2.FieldVectors, rows: Rows, count: int, place: str) -> list[Rows | None]:
    """One entry for each record, None where there is no vector."""
    positions = list(message.positions)
    if len(positions) != len(rows):
        raise InvalidVectorError(
            f"{place} has {len(rows)} vectors for {len(positions)} positions; give one for each",
            where=f"{place}.positions",
        )
    if positions[-1] >= count or any(low >= high for low, high in itertools.pairwise(positions)):
        raise InvalidRequestError(
            f"{place}.positions do not ascend from 0 to at most {count - 1}", where=f"{place}.positions"
        )
    spread: list[Rows | None] = [None] * count
    for position, row in zip(positions, rows, strict=True):
        spread[position] = row
    return spread


def read_numbers(message: vectors_pb2.FloatColumn, count: int, where: str) -> FloatArray:
    """A column of `count` numbers, in either form."""
    data = message.data
    if len(data) == FLOAT32.itemsize * count != 0:
        numbers = np.frombuffer(data, LITTLE["float32"])
    elif data or not message.values:
        numbers = _bytes_as(data, LITTLE["float32"], where)
    else:
        numbers = np.fromiter(message.values, FLOAT32, len(message.values))
    if len(numbers) != count:
        raise InvalidRequestError(f"{where} has {len(numbers)} numbers; {count} belong there", where=where)
    return numbers if IS_LITTLE else numbers.astype(FLOAT32, copy=False)
