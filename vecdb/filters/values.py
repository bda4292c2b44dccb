"""Checks what a filter compares with: plain, finite values, texts of bounded length, places on the earth, ids.

Promises: what passes is of a plain type (numpy's numbers become Python's) and safe for every layer below.
Concurrency: pure functions.
"""

from __future__ import annotations

import math
import operator
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from vecdb.config import (
    FILTER_INT_BITS_MAX,
    FILTER_POLYGON_POINTS_MIN,
    FILTER_TEXT_BYTES_MAX,
    FILTER_VALUES_MAX,
    ID_BYTES_MAX,
    INT_ID_MAX,
)
from vecdb.errors import InvalidFilterError
from vecdb.filters.geo import DATE_LINE, POLE
from vecdb.filters.nodes import Scalar
from vecdb.filters.text import tokens
from vecdb.types import RecordId


def check_scalar(value: Any, where: str) -> Scalar:
    """A value to compare with: bool, number, str or datetime."""
    kind = type(value)
    if kind is bool or kind.__name__ in {"bool_", "bool"}:  # numpy's is a float, too, to those who ask
        return bool(value)
    if isinstance(value, str):
        return check_text(value, where)
    if isinstance(value, datetime):
        return _instant(value, where)
    if isinstance(value, float) or (hasattr(value, "__float__") and not hasattr(value, "__index__")):
        return _finite(value, where)
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidFilterError(
            f"{where} is {kind.__name__}; compare with a bool, int, float, str or datetime"
            + ("; for one of several values use in_ ($in)" if isinstance(value, (list, tuple, set)) else "")
            + ("; for null use is_null() ($null)" if value is None else "")
            + ("; for a day compare with the datetime it begins at" if isinstance(value, date) else ""),
        ) from None
    if number.bit_length() > FILTER_INT_BITS_MAX:
        raise InvalidFilterError(
            f"{where} is an int of {number.bit_length()} bits; at most {FILTER_INT_BITS_MAX} are possible"
        )
    return number


def _finite(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidFilterError(f"{where} is {type(value).__name__}, which is no number") from None
    if not math.isfinite(number):
        raise InvalidFilterError(f"{where} is {number}; no record holds such a number, so compare with a finite one")
    return number


def _instant(value: datetime, where: str) -> datetime:
    try:
        utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (OverflowError, TypeError, ValueError):
        raise InvalidFilterError(f"{where} is no instant of the years 1 to 9999 in UTC") from None
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)


def check_ordered(value: Any, where: str) -> Scalar:
    """A value that others can be less than: not a bool."""
    checked = check_scalar(value, where)
    if isinstance(checked, bool):
        raise InvalidFilterError(f"{where} is a bool, and bools have no order; compare with == or !=")
    return checked


def check_scalars(values: Any, where: str) -> tuple[Scalar, ...]:
    """Some values to compare with, in the order given."""
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        raise InvalidFilterError(f"{where} is {type(values).__name__}; give a list of values")
    listed = list(values)
    if len(listed) > FILTER_VALUES_MAX:
        raise InvalidFilterError(f"{where} has {len(listed)} values; at most {FILTER_VALUES_MAX} are possible")
    return tuple(check_scalar(value, f"{where}[{position}]") for position, value in enumerate(listed))


def check_text(value: Any, where: str) -> str:
    """A str of bounded length that is valid Unicode."""
    if not isinstance(value, str):
        raise InvalidFilterError(f"{where} is {type(value).__name__}; give a str")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidFilterError(f"{where} is a str with a lone surrogate, which no record holds") from None
    if size > FILTER_TEXT_BYTES_MAX:
        raise InvalidFilterError(f"{where} takes {size} bytes in UTF-8; at most {FILTER_TEXT_BYTES_MAX} are possible")
    return str.__str__(value)


def check_words(value: Any, where: str) -> str:
    """A text with at least one token."""
    text = check_text(value, where)
    if not tokens(text):
        raise InvalidFilterError(f"{where} is {text!r:.40}, which has no word to look for")
    return text


def check_count(value: Any, where: str, what: str = "a size") -> int:
    """A number of elements, or `what` else is counted."""
    try:
        count = operator.index(value)
    except TypeError:
        count = -1
    if isinstance(value, bool) or not 0 <= count < 1 << 63:
        raise InvalidFilterError(f"{where} is {value!r:.40}; {what} is an int from 0 on")
    return count


def check_slice(index: Any, count: Any, where: str) -> tuple[int, int]:
    """Part `index` of `count`."""
    part, parts = check_count(index, f"{where} index", "an index"), check_count(count, f"{where} count", "a count")
    if part >= parts:
        raise InvalidFilterError(f"{where} is ({part}, {parts}); parts are numbered from 0 to count - 1")
    return part, parts


def check_degrees(value: Any, most: float, where: str) -> float:
    """A latitude or longitude."""
    number = check_scalar(value, where)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= most:
        raise InvalidFilterError(f"{where} is {value!r:.40}; it is in degrees, from -{most:.0f} to {most:.0f}")
    return float(number)


def check_latitude(value: Any, where: str) -> float:
    """A latitude in degrees."""
    return check_degrees(value, POLE, where)


def check_longitude(value: Any, where: str) -> float:
    """A longitude in degrees."""
    return check_degrees(value, DATE_LINE, where)


def check_meters(value: Any, where: str) -> float:
    """A distance in metres."""
    number = check_scalar(value, where)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number < 0:
        raise InvalidFilterError(f"{where} is {value!r:.40}; a distance is a number of metres, from 0 on")
    return float(number)


def check_points(points: Any, where: str) -> tuple[tuple[float, float], ...]:
    """Corners of a polygon, (lat, lon) each."""
    if isinstance(points, (str, bytes, dict)) or not isinstance(points, Iterable):
        raise InvalidFilterError(f"{where} is {type(points).__name__}; give a list of (lat, lon)")
    listed = list(points)
    if not FILTER_POLYGON_POINTS_MIN <= len(listed) <= FILTER_VALUES_MAX:
        raise InvalidFilterError(
            f"{where} has {len(listed)} corners; a polygon has at least {FILTER_POLYGON_POINTS_MIN}"
        )
    return tuple(_point(point, f"{where}[{position}]") for position, point in enumerate(listed))


def _point(point: Any, where: str) -> tuple[float, float]:
    if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
        raise InvalidFilterError(f"{where} is {type(point).__name__}; a corner is (lat, lon)")
    return check_latitude(point[0], where), check_longitude(point[1], where)


def check_ids(values: Any, where: str) -> tuple[RecordId, ...]:
    """Some ids, in the order given."""
    if isinstance(values, (str, bytes, int, uuid.UUID, dict)) or not isinstance(values, Iterable):
        raise InvalidFilterError(f"{where} is {type(values).__name__}; give a list of ids")
    listed = list(values)
    if len(listed) > FILTER_VALUES_MAX:
        raise InvalidFilterError(f"{where} has {len(listed)} ids; at most {FILTER_VALUES_MAX} are possible")
    return tuple(check_id(value, f"{where}[{position}]") for position, value in enumerate(listed))


def check_id(value: Any, where: str) -> RecordId:
    """An id that a record may have."""
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, str):
        text = check_text(value, where)
        if not text or len(text.encode()) > ID_BYTES_MAX:
            raise InvalidFilterError(f"{where} is a str that no record can have as its id")
        return text
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if isinstance(value, bool) or not 0 <= number <= INT_ID_MAX:
        raise InvalidFilterError(f"{where} is {type(value).__name__}; ids are str, int (0 to 2^64-1) or uuid.UUID")
    return number
