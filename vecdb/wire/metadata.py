"""Converts metadata: dicts to structured messages or to msgpack, and back.

The packed form is what the engine stores, so that a server passes it on and only the last reader takes it apart.
Promises: int and float stay apart, and datetimes are instants in UTC. What is read is of bounded size and depth;
whether it is metadata at all (keys, NaN, 64 bits) is checked by `vecdb.checks.metadata`, as for every other front.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from vecdb._pb.v1 import metadata_pb2
from vecdb.config import METADATA_BYTES_MAX, METADATA_DEPTH_MAX
from vecdb.errors import InvalidMetadataError
from vecdb.types import Metadata
from vecdb.wire.arrays import array_head
from vecdb.wire.instants import put_instant, read_instant

Stored: TypeAlias = Metadata | bytes | msgspec.Raw
"""Metadata that was checked before it was stored: as a dict, or as the msgpack that is stored."""

EMPTY = b"\x80"
INT64_HIGH = 2**63 - 1
SCALARS: Final = frozenset({"text", "integer", "real", "boolean", "unsigned"})
"""Kinds of a Value whose field is the value."""

_encode = msgspec.msgpack.Encoder().encode
_decode_all = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode

# --- writing ----------------------------------------------------------------------------------------------------------


def put_stored(message: metadata_pb2.MetadataColumn, column: Sequence[Stored], *, packed: bool) -> None:
    """Fill a column of a reply with metadata that is known to be sound; nothing when all of it is empty."""
    if packed:
        parts = _as_bytes(column)
        if parts.count(EMPTY) < len(parts):
            message.joined = b"".join((array_head(len(parts)), *parts))
        return
    dicts = [item if isinstance(item, dict) else _decode(item) for item in column]
    if any(dicts):
        for item in dicts:
            put_dict(message.plain.add(), item)


def put_sent(message: metadata_pb2.MetadataColumn, column: Sequence[Stored]) -> None:
    """Fill a column of a request with metadata that is known to be sound; nothing when all of it is empty."""
    parts = _as_bytes(column)
    if parts.count(EMPTY) < len(parts):
        message.packed.extend(parts)


def _as_bytes(column: Sequence[Stored]) -> Sequence[bytes]:
    if all(type(item) is bytes for item in column):
        return column  # type: ignore[return-value]  # as was just seen
    return [_encode(item) if type(item) is dict else bytes(item) for item in column]  # type: ignore[arg-type]


def put_dict(message: metadata_pb2.Metadata, metadata: Mapping[str, Any]) -> None:
    """Fill a structured message with a sound dict."""
    message.SetInParent()
    values = message.values
    for key, value in metadata.items():
        put_value(values[key], value)


def put_value(message: metadata_pb2.Value, value: Any) -> None:
    """Fill a structured message with a sound value."""
    kind = type(value)
    if kind is str:
        message.text = value
    elif kind is bool:
        message.boolean = value
    elif kind is int:
        if value <= INT64_HIGH:
            message.integer = value
        else:
            message.unsigned = value
    elif kind is float:
        message.real = value
    elif value is None:
        message.null = metadata_pb2.NULL_UNSPECIFIED
    elif kind is dict:
        put_dict(message.dict, value)
    elif kind is list:
        message.list.SetInParent()
        for item in value:
            put_value(message.list.values.add(), item)
    else:
        put_instant(message.instant, value)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_metadata(
    message: metadata_pb2.MetadataColumn, count: int, where: str, *, is_reply: bool = False
) -> list[Metadata] | None:
    """The metadata of `count` records; None when all of it is empty.

    That of a reply may be joined, which takes two thirds of the time, and believes the server where one entry ends.
    """
    if message.joined:
        return _read_joined(message, count, f"{where}.joined", is_reply=is_reply)
    size = len(message.plain) + len(message.packed)
    if size == 0:
        return None
    if message.plain and message.packed:
        raise InvalidMetadataError(f"{where} has both plain and packed metadata; give one of them", where=where)
    if size != count:
        raise InvalidMetadataError(
            f"{where} has {size} entries for {count} ids; give one per id, or none at all", where=where
        )
    if message.packed:
        return _read_packed(message.packed, where)
    return [read_dict(item, f"{where}.plain[{place}]", METADATA_DEPTH_MAX) for place, item in enumerate(message.plain)]


def _read_joined(message: metadata_pb2.MetadataColumn, count: int, where: str, *, is_reply: bool) -> list[Metadata]:
    if not is_reply or message.plain or message.packed:
        advice = "give one of the forms" if is_reply else "a request has one entry for each record, plain or packed"
        raise InvalidMetadataError(f"{where} is set; {advice}", where=where)
    try:
        found: list[Metadata] = _decode_all(message.joined)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidMetadataError(f"{where} is no array of maps in msgpack: {error}", where=where) from None
    if len(found) != count:
        raise InvalidMetadataError(f"{where} has {len(found)} entries for {count} ids", where=where)
    return found


def _read_packed(column: Sequence[bytes], where: str) -> list[Metadata]:
    if max(map(len, column)) <= METADATA_BYTES_MAX:
        try:
            return [_decode(item) if item else {} for item in column]
        except (ValueError, RecursionError, msgspec.MsgspecError):
            pass  # again, one by one, to say which it is
    return [_unpacked(item, f"{where}.packed[{position}]") for position, item in enumerate(column)]


def _unpacked(item: bytes, where: str) -> Metadata:
    if len(item) > METADATA_BYTES_MAX:
        raise InvalidMetadataError(
            f"{where} takes {len(item)} bytes; at most {METADATA_BYTES_MAX} are possible; keep large texts elsewhere",
            where=where,
        )
    try:
        return _decode(item) if item else {}
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidMetadataError(f"{where} is no map with str keys in msgpack: {error}", where=where) from None


def read_dict(message: metadata_pb2.Metadata, where: str, left: int) -> Metadata:
    """A dict of at most `left` levels."""
    if left == 0:
        raise InvalidMetadataError(f"{where} is nested deeper than {METADATA_DEPTH_MAX} levels", where=where)
    return {key: read_value(value, where, left) for key, value in message.values.items()}


def read_value(message: metadata_pb2.Value, where: str, left: int) -> Any:
    """A value in a container that has `left` levels, its own included."""
    form = message.WhichOneof("kind")
    if form in SCALARS:
        return getattr(message, form)
    if form == "null":
        return _null(message, where)
    if form == "instant":
        return read_instant(message.instant, where, InvalidMetadataError)
    if form == "dict":
        return read_dict(message.dict, where, left - 1)
    if form == "list":
        if left == 1:
            raise InvalidMetadataError(f"{where} is nested deeper than {METADATA_DEPTH_MAX} levels", where=where)
        return [read_value(item, where, left - 1) for item in message.list.values]
    raise InvalidMetadataError(f"{where} has a value that is not set; for null set `null`", where=where)


def _null(message: metadata_pb2.Value, where: str) -> None:
    if message.null != metadata_pb2.NULL_UNSPECIFIED:
        raise InvalidMetadataError(f"{where} has null = {message.null}; there is only 0, NULL_UNSPECIFIED", where=where)
