"""Converts records as they are read: rows of the API to columns of the protocol, and back.

Promises: a record comes back as it was, whatever fields have vectors and whichever records expire.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from vecdb._pb.v1 import record_pb2, record_service_pb2
from vecdb.errors import InvalidRequestError
from vecdb.types import FloatArray, Record
from vecdb.wire.ids import put_ids, read_ids
from vecdb.wire.instants import put_instant, read_instant
from vecdb.wire.metadata import Stored, put_stored, read_metadata
from vecdb.wire.vectors import put_field_vectors, read_field_vectors


def put_records(
    message: record_pb2.Records,
    records: Sequence[Record],
    *,
    packed: bool,
    metadata: Sequence[Stored] | None = None,
) -> None:
    """Fill a message with records. `metadata` stands in for theirs, for who has it packed."""
    put_ids(message.ids, [record.id for record in records], packed=packed)
    column = [record.metadata for record in records] if metadata is None else metadata
    put_stored(message.metadata, column, packed=packed)
    message.versions.extend([record.version for record in records])
    for position, record in enumerate(records):
        if record.expires_at is not None:
            message.expiring.append(position)
            put_instant(message.expires_at.add(), record.expires_at)
    for field in dict.fromkeys(name for record in records for name in record.vectors):
        positions = [position for position, record in enumerate(records) if field in record.vectors]
        rows = np.stack([records[position].vectors[field] for position in positions])
        some = positions if len(positions) < len(records) else None
        put_field_vectors(message.vectors, field, rows, some, packed=packed)


def read_records(message: record_pb2.Records, where: str = "records") -> list[Record]:
    """The records of a message; InvalidRequestError when its columns do not fit together."""
    ids = read_ids(message.ids, f"{where}.ids")
    count = len(ids)
    metadata = read_metadata(message.metadata, count, f"{where}.metadata", is_reply=True)
    if len(message.versions) != count:
        raise InvalidRequestError(f"{where} has {len(message.versions)} versions for {count} ids", where=where)
    return [
        Record(id=record_id, metadata=item, version=version, expires_at=expires_at, vectors=vectors)
        for record_id, item, version, expires_at, vectors in zip(
            ids,
            [{} for _ in ids] if metadata is None else metadata,
            message.versions,
            _expiries(message, count, where),
            _vectors(message, count, where),
            strict=True,
        )
    ]


def _expiries(message: record_pb2.Records, count: int, where: str) -> list[datetime | None]:
    spread: list[datetime | None] = [None] * count
    if len(message.expiring) != len(message.expires_at) or any(position >= count for position in message.expiring):
        raise InvalidRequestError(f"{where}.expiring does not fit expires_at", where=f"{where}.expiring")
    for position, instant in zip(message.expiring, message.expires_at, strict=True):
        spread[position] = read_instant(instant, f"{where}.expires_at")
    return spread


def _vectors(message: record_pb2.Records, count: int, where: str) -> Iterable[Mapping[str, FloatArray]]:
    columns = read_field_vectors(message.vectors, count, f"{where}.vectors")
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, column in columns.items():
        for row, vector in zip(rows, column, strict=True):
            if vector is not None:
                row[name or ""] = vector
    return rows


def put_found(message: record_service_pb2.GetRecordsResponse, found: Sequence[Record | None], *, packed: bool) -> None:
    """Fill the reply of GetRecords: the records found, and the positions of the others."""
    put_records(message.records, [record for record in found if record is not None], packed=packed)
    message.missing.extend([position for position, record in enumerate(found) if record is None])


def read_found(message: record_service_pb2.GetRecordsResponse) -> list[Record | None]:
    """The reply of GetRecords: a record, or None, for each id asked for."""
    records = iter(read_records(message.records))
    missing = set(message.missing)
    count = len(missing) + len(message.records.versions)
    if missing and max(missing) >= count:
        raise InvalidRequestError("missing does not fit the records", where="missing")
    return [None if position in missing else next(records) for position in range(count)]
