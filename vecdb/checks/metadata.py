"""Checks that metadata is JSON-like and small, and packs it.

JSON-like: None, bool, int of 64 bits, finite float, str, datetime, lists and dicts with str keys. On the way in, numpy
numbers become Python's, tuples become lists, and a datetime without a zone is taken as UTC.
Promises: work is bounded by METADATA_BYTES_MAX whatever is handed in, cycles and shared lists included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
import numpy as np

from vecdb.config import METADATA_BYTES_MAX, METADATA_DEPTH_MAX
from vecdb.errors import InvalidMetadataError

Packed: TypeAlias = msgspec.Raw
"""Metadata that passed, as msgpack; encoders copy it as it is."""

Scalar: TypeAlias = str | int | float | bool | None
"""Values that hold no others. Of floats, the finite ones."""

EMPTY_METADATA = msgspec.Raw(b"\x80")
INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1

_encode = msgspec.msgpack.Encoder().encode
_encode_sorted = msgspec.msgpack.Encoder(order="sorted").encode


def encode_metadata(metadata: object, position: int, *, by_key: bool = False) -> Packed:
    """Return metadata as msgpack. `position` is that of its record in the batch, for the message of an error.

    `by_key` puts the entries of each dict in the order of their keys, so that equal metadata has equal bytes.
    """
    if metadata is None:
        return EMPTY_METADATA
    return msgspec.Raw(encode_sound(sound_metadata(metadata, position), position, by_key=by_key))


def sound_metadata(metadata: object, position: int) -> Mapping[Any, Any]:
    """Metadata that can be packed: what is given, or where something in it had to be converted, a dict of its own."""
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        raise InvalidMetadataError(
            f"metadata of record {position} is {type(metadata).__name__}; give a dict or None", position=position
        )
    size = _sound_items(metadata, 1) if type(metadata) is dict else -1
    if size > METADATA_BYTES_MAX:
        raise _too_large(position)
    return _Normaliser(position).map(metadata, 1) if size < 0 else metadata


def encode_sound(metadata: Mapping[Any, Any], position: int, *, by_key: bool = False) -> bytes:
    """What `sound_metadata` returned as msgpack; further sound values may have been added to it."""
    try:
        packed = _encode_sorted(metadata) if by_key else _encode(metadata)
    except UnicodeEncodeError as error:
        raise InvalidMetadataError(f"metadata of record {position} holds text that is not valid Unicode") from error
    if len(packed) > METADATA_BYTES_MAX:
        raise _too_large(position)
    return packed


def encode_flat(metadata: dict[str, Scalar | list[Scalar]]) -> bytes | None:
    """What `encode_metadata` makes of it with `by_key`, quicker; None where that has to look more closely."""
    try:
        packed = _encode_sorted(metadata)
    except (OverflowError, UnicodeEncodeError):
        return None
    return packed if len(packed) <= METADATA_BYTES_MAX else None


def encode_column(metadata: object, count: int) -> list[Packed]:
    """Check and pack the metadata of `count` records, given as a list or None."""
    if metadata is None:
        return [EMPTY_METADATA] * count
    if isinstance(metadata, (Mapping, str)) or not isinstance(metadata, Sequence):
        raise InvalidMetadataError(
            f"metadata is {type(metadata).__name__}; give a list with one dict (or None) per id, or None"
        )
    if len(metadata) != count:
        raise InvalidMetadataError(f"metadata has {len(metadata)} entries for {count} ids; give one per id")
    return [encode_metadata(item, position) for position, item in enumerate(metadata)]


def plain_utc(value: datetime) -> datetime:
    """Return the same instant as a plain datetime in UTC; no zone means UTC.

    OverflowError, TypeError or ValueError when it is no instant of the years 1 to 9999.
    """
    utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)


def _sound_size(value: Any, depth: int) -> int:
    """Settle the common case without building messages: a lower bound of the packed size, -1 for "look carefully".

    Counting ends where the bound passes METADATA_BYTES_MAX.
    """
    kind = type(value)
    if kind is str:
        return len(value)
    if kind is bool or value is None:
        return 1
    if kind is int:
        return 1 if INT64_MIN <= value <= UINT64_MAX else -1
    if kind is float:
        return 1 if math.isfinite(value) else -1
    if kind is list or kind is dict:
        return _sound_items(value, depth)
    if kind is datetime:
        return 1 if value.tzinfo is UTC else -1
    return -1


def _sound_items(value: Any, depth: int) -> int:
    if depth > METADATA_DEPTH_MAX:
        return -1
    total = 1
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                return -1
        value = value.values()
    for item in value:
        # what most values are without the cost of a call
        kind = type(item)
        if kind is str:
            size = len(item)
        elif kind is int and INT64_MIN <= item <= UINT64_MAX:
            size = 1
        else:
            size = _sound_items(item, depth + 1) if kind is list else _sound_size(item, depth + 1)
            if size < 0:
                return -1
        total += size
        if total > METADATA_BYTES_MAX:
            return total
    return total


class _Normaliser:
    """The careful way: converts what can be converted, and names the place of what cannot."""

    def __init__(self, position: int) -> None:
        self._position = position
        self._left = METADATA_BYTES_MAX
        self._path: list[str | int] = []

    def map(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        """Check a dict and everything in it."""
        self._check_depth(depth)
        checked = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise self._error(f"has a key of type {type(key).__name__}; keys must be str")
            self._spend(len(key))
            self._path.append(key)
            checked[str.__str__(key)] = self.value(item, depth)
            self._path.pop()
        return checked

    def list(self, value: Sequence[Any], depth: int) -> list[Any]:
        """Check a list or tuple and everything in it."""
        self._check_depth(depth)
        checked = []
        for index, item in enumerate(value):
            self._path.append(index)
            checked.append(self.value(item, depth))
            self._path.pop()
        return checked

    def value(self, value: Any, depth: int) -> Any:
        """Check one value in a container at `depth`."""
        self._spend(len(value) if isinstance(value, str) else 1)
        if value is None or isinstance(value, (bool, np.bool_)):
            return value if value is None else bool(value)
        if isinstance(value, str):
            return str.__str__(value)  # of the plain type: numpy's and other subclasses cannot be packed
        if isinstance(value, (int, float, np.integer, np.floating)):
            return self._number(value)
        if isinstance(value, datetime):
            return self._datetime(value)
        if isinstance(value, (list, tuple)):
            return self.list(value, depth + 1)
        if isinstance(value, Mapping):
            return self.map(value, depth + 1)
        raise self._error(
            f"is {type(value).__name__}; metadata may hold None, bool, int, float, str, datetime, lists and dicts"
        )

    def _number(self, value: Any) -> int | float:
        if isinstance(value, (int, np.integer)):
            if not INT64_MIN <= value <= UINT64_MAX:
                raise self._error("does not fit 64 bits; store it as str or float")
            return int(value)
        if not math.isfinite(value):
            raise self._error(f"is {float(value)}; JSON has no such number, use None")
        return float(value)

    def _datetime(self, value: datetime) -> datetime:
        """The same instant as a plain datetime in UTC: subclasses (pandas has one) cannot be packed."""
        try:
            return plain_utc(value)
        except (OverflowError, TypeError, ValueError):
            raise self._error("is no instant of the years 1 to 9999 in UTC; store it as str") from None

    def _check_depth(self, depth: int) -> None:
        if depth > METADATA_DEPTH_MAX:
            raise self._error(f"is nested deeper than {METADATA_DEPTH_MAX} levels")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _too_large(self._position)

    def _error(self, what: str) -> InvalidMetadataError:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part:.60}" for part in self._path).lstrip(".")
        place = f"metadata of record {self._position}" + (f", key {where!r:.120}" if where else "")
        return InvalidMetadataError(f"{place} {what}", position=self._position)


def _too_large(position: int) -> InvalidMetadataError:
    return InvalidMetadataError(
        f"metadata of record {position} takes more than {METADATA_BYTES_MAX} bytes; keep large texts elsewhere and "
        "store a reference",
        position=position,
    )
