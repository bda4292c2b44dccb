"""Converts writes: what a caller gives to batches, updates and deletions, and those to arguments for a collection.

A `Batch` is what an upsert or insert holds, checked as far as that needs no knowledge of the collection; a client cuts
it into parts and sends each. On the other side `upsert_arguments` and its like make keyword arguments for the methods
of `Collection`, which check the rest.
Concurrency: pure functions; a Batch is not changed once it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb._pb.v1 import ids_pb2, record_pb2, record_service_pb2
from vecdb.checks.expiries import check_expiries, check_expiry
from vecdb.checks.ids import is_single_id, listed_ids
from vecdb.checks.metadata import Packed, encode_column, encode_metadata
from vecdb.checks.options import check_version
from vecdb.checks.rows import (
    check_delete,
    check_update,
    columns_of,
    is_records,
    named_vectors,
    option_of,
    read_conditions,
)
from vecdb.errors import DuplicateIdError, FieldNotFoundError, InvalidIdError, InvalidRequestError, InvalidVectorError
from vecdb.filters import require_filter
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import Expiry, RecordId
from vecdb.wire.filters import put_filter, read_filter_message
from vecdb.wire.ids import plain_id, plain_ids, put_id, put_ids, read_id, read_ids
from vecdb.wire.instants import put_instant, read_instant
from vecdb.wire.metadata import put_sent, read_metadata
from vecdb.wire.models import models_of, put_model, read_models
from vecdb.wire.vectors import Rows, as_rows, put_field_vectors, read_field_vectors

Arguments: TypeAlias = dict[str, Any]
"""Keyword arguments of a method of `Collection`."""

ENTRY_BYTES: Final = 16
"""What an id of fixed size, or the frame of an entry, takes in a message at most."""

OPTION_BYTES: Final = 24
"""What a condition or an expiry takes in a message at most."""

UTF8_BYTES_MOST: Final = 4

# --- batches of a caller ----------------------------------------------------------------------------------------------


class Column(NamedTuple):
    """Vectors of one field: of all records, or of those at `positions`, which ascend."""

    rows: Rows
    positions: npt.NDArray[np.int64] | None

    def part(self, start: int, stop: int) -> Column:
        """The vectors of some of the records."""
        if self.positions is None:
            return Column(self.rows[start:stop], None)
        low, high = np.searchsorted(self.positions, (start, stop))
        return Column(self.rows[low:high], self.positions[low:high] - start)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to be written, as columns; of a load, `delete` names others to be deleted in the same commit."""

    ids: list[RecordId]
    vectors: Mapping[str | None, Column]
    metadata: Sequence[Packed | bytes] | None = None
    if_version: list[int | None] | None = None
    expires_at: list[Expiry | None] | None = None
    models: Mapping[str | None, ModelFingerprint] = field(default_factory=dict)
    delete: list[RecordId] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        """About the size of the message: a little more than its vectors, metadata and ids."""
        size = sum(column.rows.nbytes for column in self.vectors.values())
        if self.metadata is not None:
            size += sum(len(memoryview(item)) for item in self.metadata) + ENTRY_BYTES * len(self.metadata)
        ids = chain(self.ids, self.delete or ())
        size += sum(len(item) * UTF8_BYTES_MOST if isinstance(item, str) else ENTRY_BYTES for item in ids)
        return size + OPTION_BYTES * len(self.ids) * sum(map(bool, (self.if_version, self.expires_at)))

    def part(self, start: int, stop: int) -> Batch:
        """Some of the records, from `start` to before `stop`."""
        return Batch(
            self.ids[start:stop],
            {name: column.part(start, stop) for name, column in self.vectors.items()},
            None if self.metadata is None else self.metadata[start:stop],
            None if self.if_version is None else self.if_version[start:stop],
            None if self.expires_at is None else self.expires_at[start:stop],
            self.models,
        )


def read_batch(
    main_field: str | None,
    ids: object,
    vectors: object,
    metadata: object,
    *,
    if_version: object = None,
    expires_at: object = None,
    model: object = None,
    delete: object = None,
) -> Batch:
    """Check a batch in either spelling (see `Collection.upsert`).

    `main_field` is that of the collection, as far as it is known here; what names mean is left to the server.
    """
    if vectors is None and is_records(ids):
        if_version = option_of(ids, "if_version", if_version)
        expires_at = option_of(ids, "expires_at", expires_at)
        ids, vectors, metadata = columns_of(ids, lambda name: main_field if name is None else name)
    listed = plain_ids(listed_ids(ids, "give a list of str, int or UUID"))
    gone = None if delete is None else read_deleted(delete)
    _check_distinct([*listed, *set(gone or ())])
    named = vectors if isinstance(vectors, Mapping) else {None: vectors}
    read = {name: _column(name, values, len(listed)) for name, values in named.items() if values is not None}
    columns = {name: column for name, column in read.items() if column is not None}
    return Batch(
        ids=listed,
        vectors=columns,
        metadata=None if metadata is None else encode_column(metadata, len(listed)),
        if_version=read_conditions(if_version, len(listed)),
        expires_at=check_expiries(expires_at, len(listed)),
        models=models_of(columns, model),
        delete=gone,
    )


def read_deleted(ids: object) -> list[RecordId]:
    """The ids to be deleted with a batch, each once."""
    return list(dict.fromkeys(plain_id(one) for one in listed_ids(ids, "give a list of str, int or UUID")))


def _check_distinct(ids: Sequence[RecordId]) -> None:
    if len(set(ids)) == len(ids):
        return
    seen: set[RecordId] = set()
    for position, record_id in enumerate(ids):
        if record_id in seen:
            raise DuplicateIdError(
                f"id {record_id!r:.80} occurs more than once in the batch (again at position {position}); "
                "keep one record per id",
                position=position,
            )
        seen.add(record_id)


def _column(name: str | None, values: Any, count: int) -> Column | None:
    """Vectors as they are given for one field; None when no record has one."""
    positions = None
    if isinstance(values, (list, tuple)) and any(value is None for value in values):
        positions = np.array([place for place, value in enumerate(values) if value is not None], dtype=np.int64)
        if not len(positions):
            return None
    rows = as_rows(values if positions is None else [values[place] for place in positions])
    given = count if positions is None else len(positions)
    if rows.ndim == 1 and given == 1:
        rows = rows.reshape(1, -1)
    if rows.size == 0 and count == 0:
        return None
    if name is not None and not isinstance(name, str):
        raise FieldNotFoundError(f"field is {name!r:.80}, which is no name of a field")
    label = "the field" if name is None else f"field {name!r}"
    if rows.ndim != 2:
        raise InvalidVectorError(f"vectors of {label} have shape {rows.shape}; give (n, dim)", field=name)
    found = len(rows) if positions is None else len(values)
    if found != count:
        raise InvalidVectorError(
            f"{label} got {found} vectors for {count} ids; give one vector (or None) per id", field=name
        )
    return Column(rows, positions)


def put_batch(message: record_pb2.RecordBatch, batch: Batch) -> None:
    """Fill a message with a batch."""
    put_ids(message.ids, batch.ids)
    _put_columns(message.vectors, batch)
    if batch.metadata is not None:
        put_sent(message.metadata, batch.metadata)
    _put_conditions(message.if_version, batch.if_version)
    for expiry in batch.expires_at or ():
        _put_expiry(message.expires_at.add(), expiry)


def put_vector_update(message: record_pb2.VectorUpdate, batch: Batch, *, skip_changed: object) -> None:
    """Fill a message with vectors of records that exist."""
    put_ids(message.ids, batch.ids)
    _put_columns(message.vectors, batch)
    _put_conditions(message.if_version, batch.if_version)
    message.skip_changed = bool(skip_changed)


def _put_columns(columns: Any, batch: Batch) -> None:
    for name, column in batch.vectors.items():
        positions = None if column.positions is None else column.positions.tolist()
        if positions is None or positions:
            put_field_vectors(columns, name, column.rows, positions)
            if name in batch.models:
                put_model(columns[-1].model, batch.models[name])


def _put_conditions(conditions: Any, versions: Sequence[int | None] | None) -> None:
    for version in versions or ():
        condition = conditions.add()
        if version is not None:
            condition.version = version


def _put_expiry(message: record_pb2.Expiry, expires_at: Expiry | None) -> None:
    if expires_at == "never":
        message.never = True
    elif expires_at is not None:
        put_instant(message.at, expires_at)


# --- updates and deletions of a caller --------------------------------------------------------------------------------


def put_update(
    message: record_pb2.RecordUpdate,
    record_id: object,
    *,
    filter: object = None,  # noqa: A002 - the word for it everywhere
    vector: object = None,
    vectors: object = None,
    metadata: object = None,
    expires_at: object = None,
    if_version: object = None,
    model: object = None,
) -> None:
    """Fill a message with what `Collection.update` takes."""
    check_update(record_id, filter, vector, vectors, metadata, expires_at, if_version)
    if filter is not None:
        put_filter(message.filter, require_filter(filter))
    else:
        put_id(message.id, record_id)
    if metadata is not None:
        message.metadata.packed.append(bytes(encode_metadata(metadata, 0)))
    given = {name: value for name, value in named_vectors(vector, vectors).items() if value is not None}
    read = {name: _column(name, value, 1) for name, value in given.items()}
    columns = {name: column for name, column in read.items() if column is not None}
    _put_columns(message.vectors, Batch([], columns, models=models_of(columns, model)))
    if expires_at is not None:
        _put_expiry(message.expires_at, check_expiry(expires_at, 0))
    if if_version is not None:
        message.if_version.version = check_version(if_version)


def put_deletion(
    message: record_pb2.RecordDeletion,
    ids: object = None,
    *,
    filter: object = None,  # noqa: A002 - the word for it everywhere
    if_version: object = None,
) -> None:
    """Fill a message with what `Collection.delete` takes."""
    check_delete(ids, filter, if_version)
    if filter is not None:
        put_filter(message.filter, require_filter(filter))
        return
    listed = put_lookup(message.ids, ids)
    _put_conditions(message.if_version, read_conditions(if_version, listed))


def put_lookup(message: ids_pb2.RecordIds, ids: object) -> int:
    """Fill a message with the ids of a read or a deletion, one or many; returns how many."""
    listed = [ids] if is_single_id(ids) else listed_ids(ids, "give a str, int or UUID, or a list of them")
    put_ids(message, listed)
    return len(listed)


# --- arguments for a collection ---------------------------------------------------------------------------------------


def upsert_arguments(message: record_pb2.RecordBatch, where: str = "records") -> Arguments:
    """Arguments of `Collection.upsert`."""
    ids = read_ids(message.ids, f"{where}.ids")
    count = len(ids)
    columns = read_field_vectors(message.vectors, count, f"{where}.vectors")
    # Without any column the engine says what is missing; a batch of nothing needs none.
    vectors = columns.get(None, columns) if columns or not count else None
    return {
        "ids": ids,
        "vectors": vectors,
        "metadata": read_metadata(message.metadata, count, f"{where}.metadata"),
        "if_version": _one_or_each(_read_conditions(message.if_version), count),
        "expires_at": _one_or_each(
            [_read_expiry(one, f"{where}.expires_at[{place}]") for place, one in enumerate(message.expires_at)], count
        ),
        "model": read_models(message.vectors, f"{where}.vectors"),
    }


def insert_arguments(message: record_pb2.RecordBatch, where: str = "records") -> Arguments:
    """Arguments of `Collection.insert`."""
    if message.if_version:
        raise InvalidRequestError(
            "insert takes no if_version, as it only stores ids that are new; use upsert", where=f"{where}.if_version"
        )
    arguments = upsert_arguments(message, where)
    del arguments["if_version"]
    return arguments


def set_vectors_arguments(message: record_pb2.VectorUpdate, where: str = "update") -> Arguments:
    """Arguments of `Collection.set_vectors`."""
    ids = read_ids(message.ids, f"{where}.ids")
    columns = read_field_vectors(message.vectors, len(ids), f"{where}.vectors")
    return {
        "ids": ids,
        "vectors": columns.get(None, columns) if columns or not ids else None,
        "if_version": _one_or_each(_read_conditions(message.if_version), len(ids)),
        "skip_changed": message.skip_changed,
        "model": read_models(message.vectors, f"{where}.vectors"),
    }


def update_arguments(message: record_pb2.RecordUpdate, where: str = "update") -> Arguments:
    """Arguments of `Collection.update`, all of them by name."""
    arguments: Arguments = {}
    target = message.WhichOneof("target")
    if target == "filter":
        arguments["filter"] = read_filter_message(message.filter, f"{where}.filter")
    elif target == "id":
        arguments["id"] = read_id(message.id, f"{where}.id")
    else:
        raise InvalidIdError(f"{where} names neither an id nor a filter", where=where)
    columns = {name: rows[0] for name, rows in read_field_vectors(message.vectors, 1, f"{where}.vectors").items()}
    if None in columns:
        arguments["vector"] = columns[None]
    elif columns:
        arguments["vectors"] = columns
    models = read_models(message.vectors, f"{where}.vectors")
    if models is not None:
        arguments["model"] = models
    if message.HasField("metadata"):
        arguments["metadata"] = (read_metadata(message.metadata, 1, f"{where}.metadata") or [{}])[0]
    if message.HasField("expires_at"):
        arguments["expires_at"] = _read_expiry(message.expires_at, f"{where}.expires_at")
    if message.if_version.HasField("version"):
        arguments["if_version"] = message.if_version.version
    return arguments


def delete_arguments(message: record_pb2.RecordDeletion, where: str = "deletion") -> Arguments:
    """Arguments of `Collection.delete`."""
    target = message.WhichOneof("target")
    conditions = _read_conditions(message.if_version)
    if target == "filter":
        wanted = read_filter_message(message.filter, f"{where}.filter")
        return {"filter": wanted, "if_version": conditions or None}
    if target == "ids":
        ids = read_ids(message.ids, f"{where}.ids")
        return {"ids": ids, "if_version": _one_or_each(conditions, len(ids))}
    raise InvalidIdError(f"{where} names neither ids nor a filter", where=where)


class Operation(NamedTuple):
    """A write of a transaction: call `method` of the collection with `arguments`."""

    collection: str
    method: str
    arguments: Arguments


def read_operation(message: record_service_pb2.WriteOperation, where: str) -> Operation:
    """One write of a transaction."""
    method = message.WhichOneof("write")
    if method is None:
        raise InvalidRequestError(
            f"{where} is no write; set upsert, insert, update, set_vectors or delete", where=where
        )
    arguments = _ARGUMENTS[method](getattr(message, method), f"{where}.{method}")
    return Operation(message.collection, method, arguments)


_ARGUMENTS: Final[dict[str, Callable[[Any, str], Arguments]]] = {
    "upsert": upsert_arguments,
    "insert": insert_arguments,
    "update": update_arguments,
    "delete": delete_arguments,
    "set_vectors": set_vectors_arguments,
}


def _read_conditions(conditions: Sequence[record_pb2.VersionCondition]) -> list[int | None]:
    return [condition.version if condition.HasField("version") else None for condition in conditions]


def _read_expiry(message: record_pb2.Expiry, where: str) -> Expiry | None:
    form = message.WhichOneof("expiry")
    if form == "never" and not message.never:
        raise InvalidRequestError(f"{where}.never is false; leave it out, or give an instant", where=f"{where}.never")
    if form == "never":
        return "never"
    return None if form is None else read_instant(message.at, f"{where}.at")


def _one_or_each(values: list[Any], count: int) -> Any:
    """What the engine takes: nothing, one for all, or one for each (how many, it checks itself)."""
    if len(values) == 1 and count != 1:
        return values[0]
    return values or None
