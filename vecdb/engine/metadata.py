"""Checks that metadata is JSON-like and small, and packs it.

JSON-like: None, bool, int of 64 bits, finite float, str, datetime, lists and dicts with str keys. On the way in, numpy
numbers become Python's, tuples become lists, and a datetime without a zone is taken as UTC.
Promises: work is bounded by METADATA_BYTES_MAX whatever is handed in, cycles and shared lists included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
import numpy as np

from vecdb.config import METADATA_BYTES_MAX, METADATA_DEPTH_MAX
from vecdb.errors import InvalidMetadataError

Packed: TypeAlias = msgspec.Raw
"""Metadata that passed, as msgpack; encoders copy it as it is."""

EMPTY_METADATA = msgspec.Raw(b"\x80")
INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1

_encode = msgspec.msgpack.Encoder().encode


def encode_metadata(metadata: object, position: int) -> Packed:
    """Return metadata as msgpack. `position` is that of its record in the batch, for the message of an error."""
    if metadata is None:
        return EMPTY_METADATA
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError(
            f"metadata of record {position} is {type(metadata).__name__}; give a dict or None", position=position
        )
    if _sound_size(metadata, 1) < 0:
        metadata = _Normaliser(position).map(metadata, "", 1)
    try:
        packed = _encode(metadata)
    except UnicodeEncodeError as error:
        raise InvalidMetadataError(f"metadata of record {position} holds text that is not valid Unicode") from error
    if len(packed) > METADATA_BYTES_MAX:
        raise _too_large(position)
    return msgspec.Raw(packed)


def _sound_size(value: Any, depth: int) -> int:
    """Settle the common case without building messages: a lower bound of the packed size, -1 for "look carefully"."""
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
        size = _sound_size(item, depth + 1)
        total += size
        if size < 0 or total > METADATA_BYTES_MAX:
            return -1
    return total


class _Normaliser:
    """The careful way: converts what can be converted, and names the place of what cannot."""

    def __init__(self, position: int) -> None:
        self._position = position
        self._left = METADATA_BYTES_MAX

    def map(self, value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
        """Check a dict and everything in it."""
        self._check_depth(where, depth)
        checked = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise self._error(where, f"has a key of type {type(key).__name__}; keys must be str")
            self._spend(len(key))
            checked[str(key)] = self.value(item, f"{where}.{key:.60}" if where else f"{key:.60}", depth)
        return checked

    def value(self, value: Any, where: str, depth: int) -> Any:
        """Check one value at `where`."""
        self._spend(len(value) if isinstance(value, str) else 1)
        if value is None or isinstance(value, (bool, str, np.bool_)):
            return bool(value) if isinstance(value, np.bool_) else value
        if isinstance(value, (int, float, np.integer, np.floating)):
            return self._number(value, where)
        if isinstance(value, datetime):
            return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        if isinstance(value, (list, tuple)):
            self._check_depth(where, depth + 1)
            return [self.value(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
        if isinstance(value, Mapping):
            return self.map(value, where, depth + 1)
        raise self._error(
            where,
            f"is {type(value).__name__}; metadata may hold None, bool, int, float, str, datetime, lists and dicts",
        )

    def _number(self, value: Any, where: str) -> int | float:
        if isinstance(value, (int, np.integer)):
            if not INT64_MIN <= value <= UINT64_MAX:
                raise self._error(where, "does not fit 64 bits; store it as str or float")
            return int(value)
        if not math.isfinite(value):
            raise self._error(where, f"is {float(value)}; JSON has no such number, use None")
        return float(value)

    def _check_depth(self, where: str, depth: int) -> None:
        if depth > METADATA_DEPTH_MAX:
            raise self._error(where, f"is nested deeper than {METADATA_DEPTH_MAX} levels")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _too_large(self._position)

    def _error(self, where: str, what: str) -> InvalidMetadataError:
        place = f"metadata of record {self._position}" + (f", key {where!r:.120}" if where else "")
        return InvalidMetadataError(f"{place} {what}", position=self._position)


def _too_large(position: int) -> InvalidMetadataError:
    return InvalidMetadataError(
        f"metadata of record {position} takes more than {METADATA_BYTES_MAX} bytes; keep large texts elsewhere and "
        "store a reference",
        position=position,
    )
