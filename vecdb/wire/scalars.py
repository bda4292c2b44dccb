"""Converts scalars, which filters compare with and which facets and aggregates return.

Promises: int and float stay apart; an int of any size comes back as it was, up to SCALAR_DIGITS_MAX digits.
Concurrency: pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from vecdb._pb.v1 import metadata_pb2
from vecdb.config import FILTER_VALUES_MAX, SCALAR_DIGITS_MAX
from vecdb.errors import InvalidFilterError, InvalidRequestError
from vecdb.wire.instants import put_instant, read_instant

Scalar: TypeAlias = bool | int | float | str | datetime

INT64_LOW: Final = -(2**63)
INT64_HIGH: Final = 2**63 - 1
DECIMAL: Final = re.compile(r"-?[0-9]+")


def put_scalar(message: metadata_pb2.Scalar, value: Scalar) -> None:
    """Fill a message with one value."""
    if isinstance(value, bool):
        message.boolean = value
    elif isinstance(value, int):
        if INT64_LOW <= value <= INT64_HIGH:
            message.integer = value
        else:
            message.big_integer = str(value)
    elif isinstance(value, float):
        message.real = value
    elif isinstance(value, str):
        message.text = value
    else:
        put_instant(message.instant, value)


def read_scalar(
    message: metadata_pb2.Scalar, where: str, error: type[InvalidRequestError] = InvalidRequestError
) -> Scalar:
    """One value; an `error` when nothing is set."""
    form = message.WhichOneof("kind")
    if form is None:
        raise error(f"{where} is not set; give boolean, integer, real, text, instant or big_integer", where=where)
    if form == "instant":
        return read_instant(message.instant, where, error)
    if form == "big_integer":
        return _big_integer(message.big_integer, where, error)
    value: Scalar = getattr(message, form)
    return value


def _big_integer(digits: str, where: str, error: type[InvalidRequestError]) -> int:
    if len(digits) > SCALAR_DIGITS_MAX or not DECIMAL.fullmatch(digits):
        raise error(
            f"{where}.big_integer is {digits!r:.60}; it must be an int of at most {SCALAR_DIGITS_MAX} characters",
            where=f"{where}.big_integer",
        )
    return int(digits)


def put_scalars(message: metadata_pb2.Scalars, values: Sequence[Scalar]) -> None:
    """Fill a message with values, in the form that fits their types best."""
    kinds = set(map(type, values))
    if kinds == {str}:
        message.texts.values.extend(values)  # type: ignore[arg-type]  # all are strs
    elif kinds == {int} and all(INT64_LOW <= value <= INT64_HIGH for value in values):  # type: ignore[operator]
        message.ints.values.extend(values)  # type: ignore[arg-type]  # all are ints
    else:
        message.mixed.SetInParent()
        for value in values:
            put_scalar(message.mixed.values.add(), value)


def read_scalars(message: metadata_pb2.Scalars, where: str) -> Sequence[Scalar]:
    """The values of a filter; InvalidFilterError when there are too many or none are set."""
    form = message.WhichOneof("values")
    if form is None:
        raise InvalidFilterError(f"{where} is not set; give mixed, ints or texts", where=where)
    values = getattr(message, form).values
    if len(values) > FILTER_VALUES_MAX:
        raise InvalidFilterError(
            f"{where} has {len(values)} values; at most {FILTER_VALUES_MAX} are possible", where=where
        )
    if form == "mixed":
        return [read_scalar(value, f"{where}[{place}]", InvalidFilterError) for place, value in enumerate(values)]
    return list(values)
