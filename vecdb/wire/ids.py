"""Converts ids: ints, strs and UUIDs to a column of their type, or to a mixed one, and back.

Promises: an id comes back as the type and value that it was. No list is made longer than BATCH_RECORDS_MAX.
Concurrency: pure functions.
"""

from __future__ import annotations

import operator
import struct
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from vecdb._pb.v1 import ids_pb2
from vecdb.checks.ids import raise_wrong_id
from vecdb.config import BATCH_RECORDS_MAX, INT_ID_MAX
from vecdb.errors import InvalidIdError, LimitExceededError
from vecdb.types import RecordId
from vecdb.wire.arrays import array_head

INT_BYTES: Final = 8
UUID_BYTES: Final = 16
LITTLE_INT: Final = np.dtype("<u8")
UINT_64, STR_16, EXTENSION_16, UUID_EXTENSION = 0xCF, 0xDA, 0xD8, 3
"""Type bytes of msgpack, and the type of the extension that a UUID is."""

INT_ITEM: Final = struct.Struct(">BQ")
STR_HEAD: Final = struct.Struct(">BH")
UUID_HEAD: Final = bytes((EXTENSION_16, UUID_EXTENSION))


def plain_id(record_id: object) -> RecordId:
    """An id as one of the three plain types; InvalidIdError when it is none. Its length is the server's business."""
    if type(record_id) is str and record_id.isascii():
        return record_id  # most are, and need no closer look
    if isinstance(record_id, uuid.UUID):
        return record_id
    if isinstance(record_id, str):
        text = str.__str__(record_id)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidIdError("a str id contains a lone surrogate, which UTF-8 cannot hold") from None
        return text
    if isinstance(record_id, bool):
        raise InvalidIdError("an id is a bool; use str, int or uuid.UUID", type="bool")
    try:
        number = operator.index(record_id)  # type: ignore[arg-type]  # what is no int is refused there
    except TypeError:
        kind = type(record_id).__name__
        raise InvalidIdError(f"an id is of type {kind}; use str, int (0 to 2^64-1) or uuid.UUID", type=kind) from None
    if not 0 <= number <= INT_ID_MAX:
        raise InvalidIdError("an int id is outside 0 to 2^64-1; use a str for larger or negative numbers")
    return number


def plain_ids(ids: Sequence[Any]) -> list[RecordId]:
    """Ids as `plain_id` makes them; the error says which is none."""
    try:
        return [plain_id(record_id) for record_id in ids]
    except InvalidIdError:
        raise_wrong_id(ids, plain_id)
        raise


def put_id(message: ids_pb2.RecordId, record_id: object) -> None:
    """Fill a message with one id."""
    plain = plain_id(record_id)
    if isinstance(plain, str):
        message.text = plain
    elif isinstance(plain, uuid.UUID):
        message.uuid = plain.bytes
    else:
        message.integer = plain


def put_ids(message: ids_pb2.RecordIds, ids: Sequence[Any], *, packed: bool = True) -> None:
    """Fill a message with ids, in the form that fits their types best. InvalidIdError when one is none."""
    kinds = set(map(type, ids))
    if not kinds <= {int, str, uuid.UUID}:
        ids = plain_ids(ids)
        kinds = set(map(type, ids))
    try:
        if kinds == {int}:
            _put_ints(message, ids, packed=packed)
        elif kinds == {uuid.UUID}:
            message.packed_uuids = b"".join([record_id.bytes for record_id in ids])
        elif kinds <= {str}:
            message.texts.SetInParent()
            message.texts.values.extend(ids)
        else:
            for record_id in ids:
                put_id(message.mixed.values.add(), record_id)
    except (OverflowError, ValueError, UnicodeEncodeError):
        message.Clear()
        plain_ids(ids)
        raise


def _put_ints(message: ids_pb2.RecordIds, ids: Sequence[int], *, packed: bool) -> None:
    if packed:
        message.packed_ints = np.array(ids, dtype=np.uint64).astype(LITTLE_INT, copy=False).tobytes()
    else:
        message.ints.values.extend(ids)


def put_joined_ids(message: ids_pb2.RecordIds, ids: Sequence[RecordId]) -> None:
    """Fill a column of a reply with ids that are stored, as kernels copy them (see `kernels.identifiers`)."""
    message.joined = b"".join((array_head(len(ids)), *map(_packed, ids)))


def _packed(record_id: RecordId) -> bytes:
    if isinstance(record_id, str):
        text = record_id.encode()
        return STR_HEAD.pack(STR_16, len(text)) + text
    if isinstance(record_id, uuid.UUID):
        return UUID_HEAD + record_id.bytes
    return INT_ITEM.pack(UINT_64, record_id)


def read_id(message: ids_pb2.RecordId, where: str) -> RecordId:
    """One id."""
    form = message.WhichOneof("id")
    if form == "integer":
        return message.integer
    if form == "text":
        return message.text
    if form == "uuid":
        return _uuid(message.uuid, where)
    raise InvalidIdError(f"{where} is not set; give integer, text or uuid", where=where)


def _uuid(raw: bytes, where: str) -> uuid.UUID:
    if len(raw) != UUID_BYTES:
        raise InvalidIdError(f"{where}.uuid has {len(raw)} bytes; a UUID has {UUID_BYTES}", where=f"{where}.uuid")
    return uuid.UUID(bytes=raw)


def read_joined_ids(message: ids_pb2.RecordIds, where: str) -> list[RecordId]:
    """A column of ids of a reply, which may be joined: then it is read in one go, and the server believed."""
    if not message.joined:
        return read_ids(message, where)
    try:
        ids: list[RecordId] = _decode(message.joined)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidIdError(f"{where}.joined is no array of ids in msgpack: {error}", where=where) from None
    return ids


def _uuid_of(kind: int, content: memoryview) -> uuid.UUID:
    if kind != UUID_EXTENSION:
        raise ValueError(f"an extension of type {kind}")
    return uuid.UUID(bytes=bytes(content))


_decode = msgspec.msgpack.Decoder(list[Any], ext_hook=_uuid_of).decode


def read_ids(message: ids_pb2.RecordIds, where: str) -> list[RecordId]:
    """A column of ids."""
    form = message.WhichOneof("ids")
    if form == "packed_ints":
        raw = _rows_of(message.packed_ints, INT_BYTES, f"{where}.packed_ints")
        return np.frombuffer(raw, LITTLE_INT).tolist()  # type: ignore[no-any-return]
    if form == "texts":
        return list(_bounded(message.texts.values, where))
    if form == "packed_uuids":
        raw = _rows_of(message.packed_uuids, UUID_BYTES, f"{where}.packed_uuids")
        starts = range(0, len(raw), UUID_BYTES)
        return [uuid.UUID(bytes=raw[start : start + UUID_BYTES]) for start in starts]
    if form == "ints":
        return list(_bounded(message.ints.values, where))
    if form == "mixed":
        values = _bounded(message.mixed.values, where)
        return [read_id(value, f"{where}.mixed[{position}]") for position, value in enumerate(values)]
    raise InvalidIdError(f"{where} has no ids; set ints, packed_ints, texts, packed_uuids or mixed", where=where)


def _rows_of(raw: bytes, size: int, where: str) -> bytes:
    if len(raw) % size:
        raise InvalidIdError(f"{where} has {len(raw)} bytes, which is no number of ids of {size} bytes", where=where)
    _check_count(len(raw) // size, where)
    return raw


def _bounded(values: Any, where: str) -> Any:
    _check_count(len(values), where)
    return values


def _check_count(count: int, where: str) -> None:
    if count > BATCH_RECORDS_MAX:
        raise LimitExceededError(
            f"{where} has {count} ids; one call takes at most {BATCH_RECORDS_MAX}, so split it", where=where
        )
