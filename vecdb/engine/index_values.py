"""Turns what a record holds at an index's path into what a column block stores: a state, keys, or neither.

Every kind but text maps values to int64 keys that keep their order, so that one kernel answers ranges of all of them.
A value that a kind cannot hold exactly (a str under "int", 1.5 under "int", a list in a list) makes its record an
exception: a filter then looks at the record itself, so an index never changes an answer.

    int       the number                        float     the float64's bits, made to sort as numbers do
    bool      0 or 1                            datetime  microseconds since 1970 UTC; ISO strs are marked as texts
    keyword   code of the str (see `terms`)     text      codes of the tokens of all strs, as a list; of several strs
    geo       two columns, latitude and             they are marked as texts: which words are together is not told
              longitude, each as float

Promises: equal numbers have equal keys, whatever type they came in. Concurrency: pure functions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vecdb.config import TERM_BYTES_MAX
from vecdb.engine.clock import micros
from vecdb.filters.geo import place_of
from vecdb.filters.predicate import instant_of
from vecdb.filters.text import tokens
from vecdb.storage.blocks import EXCEPTION, LIST, MISSING, NULL, SCALAR
from vecdb.types import IndexKind

__all__ = ["Entry", "datetime_key", "encoder", "float_key", "float_of_key", "int_key", "term_of"]

LEAST_KEY: Final = -(2**63)
GREATEST_KEY: Final = 2**63 - 1
_F64 = struct.Struct("<d")
_I64 = struct.Struct("<q")


class Entry(NamedTuple):
    """One slot of a block: `keys` is one key of a scalar, those of all elements of a list, else empty.

    Of an index of several columns there is one key for each, element by element.
    """

    state: int
    keys: tuple[int, ...] = ()
    text: bool = False


Codes = Callable[[str], int]
"""Gives the code of a term, a new one if it has none."""

Encoder = Callable[[Sequence[Any]], Entry]
"""From the values at the path (none: missing) to an entry."""

_ABSENT: Final = Entry(MISSING)
_NULL: Final = Entry(NULL)
_EXCEPTION: Final = Entry(EXCEPTION)


def encoder(kind: IndexKind, *, many: bool, codes: Codes) -> Encoder:
    """Return the function that encodes values of a path for an index; `many`: the path has a [] in it."""
    if kind == "text":
        return lambda leaves: _text_entry(leaves, codes, many=many)
    if kind == "geo":
        return lambda leaves: _geo_entry(leaves, many=many)
    key_of = _keyword_key(codes) if kind == "keyword" else _KEYS[kind]
    if many:
        return lambda leaves: _many_entry(leaves, key_of)
    return lambda leaves: _entry(leaves, key_of)


def _entry(leaves: Sequence[Any], key_of: Callable[[Any], int | None]) -> Entry:
    if not leaves:
        return _ABSENT
    value = leaves[0]
    if value is None:
        return _NULL
    if isinstance(value, list):
        return _list_entry(value, key_of)
    key = key_of(value)
    return _EXCEPTION if key is None else Entry(SCALAR, (key,), isinstance(value, str))


def _many_entry(leaves: Sequence[Any], key_of: Callable[[Any], int | None]) -> Entry:
    return _list_entry(leaves, key_of) if leaves else _ABSENT


def _list_entry(elements: Iterable[Any], key_of: Callable[[Any], int | None]) -> Entry:
    keys, text = [], False
    for element in elements:
        key = key_of(element)
        if key is None:
            return _EXCEPTION
        keys.append(key)
        text |= isinstance(element, str)
    return Entry(LIST, tuple(keys), text)


def _text_entry(leaves: Sequence[Any], codes: Codes, *, many: bool) -> Entry:
    """The words of all strs there are; what is none has no words."""
    special = _special(leaves, many=many)
    if special is not None:
        return special
    texts = [one for one in _elements(leaves) if isinstance(one, str)]
    found = dict.fromkeys(token for text in texts for token in tokens(text))
    if any(term_of(token) is None for token in found):
        return _EXCEPTION
    return Entry(LIST, tuple(codes(token) for token in found), len(texts) > 1)


def _geo_entry(leaves: Sequence[Any], *, many: bool) -> Entry:
    """Of each place its latitude's key, then its longitude's; what is no place has none."""
    special = _special(leaves, many=many)
    if special is not None:
        return special
    places = [place for one in _elements(leaves) if (place := place_of(one)) is not None]
    found = tuple(float_key(degrees) for place in places for degrees in place)
    is_one = len(places) == 1 and not many and not isinstance(leaves[0], list)
    return Entry(SCALAR if is_one else LIST, found)


def _special(leaves: Sequence[Any], *, many: bool) -> Entry | None:
    """The entry where nothing is there, or null; null among several values is for the record to tell."""
    if not leaves:
        return _ABSENT
    if many:
        return _EXCEPTION if any(leaf is None for leaf in leaves) else None
    return _NULL if leaves[0] is None else None


def _elements(leaves: Sequence[Any]) -> Iterator[Any]:
    for leaf in leaves:
        yield from leaf if isinstance(leaf, list) else (leaf,)


# --- keys -------------------------------------------------------------------------------------------------------------


def int_key(value: Any) -> int | None:
    """Key of a whole number of 64 bits, signed; None for anything else."""
    if type(value) is int:
        return value if LEAST_KEY <= value <= GREATEST_KEY else None
    if type(value) is float and value.is_integer() and LEAST_KEY <= value <= GREATEST_KEY:
        return int_key(int(value))
    return None


def float_number_key(value: Any) -> int | None:
    """Key of a number that a float64 holds exactly; None for anything else."""
    if type(value) is float:
        return float_key(value)
    if type(value) is int:
        try:
            wide = float(value)
        except OverflowError:
            return None
        return float_key(wide) if wide == value else None
    return None


def float_key(value: float) -> int:
    """The bits of a float64 as an int64 that sorts as the number does; -0.0 is 0.0."""
    bits: int = _I64.unpack(_F64.pack(value + 0.0))[0]
    return bits if bits >= 0 else bits ^ GREATEST_KEY


def float_of_key(key: int) -> float:
    """Inverse of `float_key`."""
    value: float = _F64.unpack(_I64.pack(key if key >= 0 else key ^ GREATEST_KEY))[0]
    return value


def floats_of_keys(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """`float_of_key` of many."""
    return np.where(keys >= 0, keys, keys ^ GREATEST_KEY).view(np.float64)


def bool_key(value: Any) -> int | None:
    """0 or 1; None for anything but a bool."""
    return int(value) if type(value) is bool else None


def datetime_value_key(value: Any) -> int | None:
    """Key of a datetime, or of a str in ISO format; None for anything else."""
    instant = instant_of(value)
    return None if instant is None else micros(instant)


def datetime_key(value: datetime) -> int:
    """Microseconds since 1970 in UTC; without a zone the time is taken as UTC."""
    return micros(value.replace(tzinfo=UTC) if value.tzinfo is None else value)


def term_of(text: str) -> bytes | None:
    """A str as a term of the dictionary; None when it is too long or no valid Unicode, so that it has no code."""
    try:
        term = text.encode()
    except UnicodeEncodeError:
        return None
    return term if len(term) <= TERM_BYTES_MAX else None


def _keyword_key(codes: Codes) -> Callable[[Any], int | None]:
    def key_of(value: Any) -> int | None:
        return codes(value) if isinstance(value, str) and term_of(value) is not None else None

    return key_of


_KEYS: Final[dict[str, Callable[[Any], int | None]]] = {
    "int": int_key,
    "float": float_number_key,
    "bool": bool_key,
    "datetime": datetime_value_key,
}


# --- ranges of keys that a condition stands for ----------------------------------------------------------------------


def int_bounds(op: str, value: float) -> tuple[int, int]:
    """Least and greatest int key that compares with a number; low > high for none."""
    floor, ceil = math.floor(value), math.ceil(value)
    low, high = {
        "eq": (ceil, floor),
        "lt": (LEAST_KEY, ceil - 1),
        "le": (LEAST_KEY, floor),
        "gt": (floor + 1, GREATEST_KEY),
        "ge": (ceil, GREATEST_KEY),
    }[op]
    low, high = max(low, LEAST_KEY), min(high, GREATEST_KEY)
    return (low, high) if low <= high else (1, 0)


def float_bounds(op: str, value: float) -> tuple[int, int]:
    """Least and greatest key of a float64 that compares with a number, exactly."""
    lowest, highest = float_key(-math.inf), float_key(math.inf)
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    key = float_key(near)
    # Where the number lies between two floats, `near` is one of them: below or above it.
    above, below = near > value, near < value
    low, high = {
        "eq": (key + (above or below), key),
        "lt": (lowest, key if below else key - 1),
        "le": (lowest, key - 1 if above else key),
        "gt": (key if above else key + 1, highest),
        "ge": (key + 1 if below else key, highest),
    }[op]
    return (low, high) if low <= high else (1, 0)


def datetime_bounds(op: str, value: datetime) -> tuple[int, int]:
    """Least and greatest key of an instant that compares with a datetime."""
    return int_bounds(op, datetime_key(value))
