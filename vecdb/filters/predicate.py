"""Turns a filter into a function that looks at the metadata of one record: what every faster way must agree with.

Promises: the meaning written down in the package. Numbers compare exactly, whatever their types.
Concurrency: pure functions; the functions returned may be shared.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from vecdb.errors import InvalidFilterError
from vecdb.filters import geo
from vecdb.filters.nodes import (
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    GeoBox,
    GeoPolygon,
    GeoRadius,
    HasId,
    HasVector,
    In,
    IsNull,
    Match,
    Not,
    Or,
    Prefix,
    Scalar,
    Size,
    Slice,
    Substring,
)
from vecdb.filters.paths import resolver
from vecdb.filters.text import tokens

Predicate: TypeAlias = Callable[[Mapping[str, Any]], bool]
Test: TypeAlias = Callable[[Any], bool]
"""Looks at one value."""

OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
RECORD_LEAVES: Final = (HasId, HasVector, Slice)
"""Conditions that metadata cannot answer."""


def is_metadata_only(wanted: Filter) -> bool:
    """Whether every condition of a filter is about metadata."""
    if isinstance(wanted, (And, Or)):
        return all(map(is_metadata_only, wanted.parts))
    if isinstance(wanted, Not):
        return is_metadata_only(wanted.part)
    return not isinstance(wanted, RECORD_LEAVES)


def plain(wanted: Filter) -> Filter:
    """The same filter with negated conditions spelled as negations."""
    if isinstance(wanted, Compare) and wanted.op == "ne":
        return Not(Compare(wanted.path, "eq", wanted.value))
    if isinstance(wanted, In) and wanted.negated:
        return Not(In(wanted.path, wanted.values))
    if isinstance(wanted, And):
        return And(tuple(map(plain, wanted.parts)))
    if isinstance(wanted, Or):
        return Or(tuple(map(plain, wanted.parts)))
    return Not(plain(wanted.part)) if isinstance(wanted, Not) else wanted


def in_slice(wanted: Slice, id_key: bytes) -> bool:
    """Whether the record with this id key belongs to the part."""
    return zlib.crc32(id_key) % wanted.count == wanted.index


def metadata_predicate(wanted: Filter) -> Predicate:
    """The function that tells whether metadata fulfils a filter, all of whose conditions are about metadata."""
    return _predicate(plain(wanted))


def _predicate(wanted: Filter) -> Predicate:
    if isinstance(wanted, And):
        parts = list(map(_predicate, wanted.parts))
        return lambda metadata: all(holds(metadata) for holds in parts)
    if isinstance(wanted, Or):
        parts = list(map(_predicate, wanted.parts))
        return lambda metadata: any(holds(metadata) for holds in parts)
    if isinstance(wanted, Not):
        negated = _predicate(wanted.part)
        return lambda metadata: not negated(metadata)
    return _leaf(wanted)


def _leaf(leaf: Any) -> Predicate:
    if isinstance(leaf, RECORD_LEAVES):
        raise InvalidFilterError(f"{leaf} asks for more than metadata")
    resolve = resolver(leaf.path)
    if isinstance(leaf, Exists):
        return lambda metadata: bool(resolve(metadata))
    test = _test(leaf)
    return lambda metadata: any(test(value) for value in resolve(metadata))


def _test(leaf: Any) -> Test:
    """What a leaf asks of a value at its path."""
    if isinstance(leaf, IsNull):
        return lambda value: value is None
    if isinstance(leaf, Contains):
        return _contains(leaf)
    if isinstance(leaf, Size):
        compare, count = OPERATORS[leaf.op], leaf.count
        return lambda value: isinstance(value, list) and compare(len(value), count)
    return _any_element(_scalar_test(leaf))


def _any_element(test: Test) -> Test:
    """A value passes when it does, or one of its elements."""
    return lambda value: any(map(test, value)) if isinstance(value, list) else test(value)


def _scalar_test(leaf: Any) -> Test:
    if isinstance(leaf, Compare):
        return comparison(leaf.op, leaf.value)
    if isinstance(leaf, In):
        return _one_of(leaf.values)
    if isinstance(leaf, Prefix):
        start = leaf.text
        return lambda value: isinstance(value, str) and value.startswith(start)
    if isinstance(leaf, Substring):
        part = leaf.text.casefold()
        return lambda value: isinstance(value, str) and part in value.casefold()
    if isinstance(leaf, Match):
        return _match(leaf)
    return _place_test(leaf)


def comparison(op: str, wanted: Scalar) -> Test:
    """Whether a value of the same type compares: bools with bools, numbers with numbers, strs, instants."""
    compare = OPERATORS[op]
    if isinstance(wanted, bool):
        return lambda value: type(value) is bool and compare(value, wanted)
    if isinstance(wanted, (int, float)):
        return lambda value: type(value) in {int, float} and compare(value, wanted)
    if isinstance(wanted, datetime):
        return lambda value: (instant := instant_of(value)) is not None and compare(instant, wanted)
    parsed = instant_of(wanted)

    def compare_str(value: Any) -> bool:
        if type(value) is str:
            return compare(value, wanted)
        return parsed is not None and isinstance(value, datetime) and compare(instant_of(value), parsed)

    return compare_str


def instant_of(value: Any) -> datetime | None:
    """A datetime, or a str in ISO format, as an instant: without a zone it is UTC. None for anything else."""
    if type(value) is str:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _one_of(values: tuple[Scalar, ...]) -> Test:
    """Equal to one of the values. Instants are compared one by one, the others by a look-up with their types."""
    plain = {_typed(value) for value in values if not isinstance(value, datetime)}
    instants = [comparison("eq", value) for value in values if isinstance(value, (datetime, str))]

    def test(value: Any) -> bool:
        if isinstance(value, (bool, int, float, str)) and _typed(value) in plain:
            return True
        return isinstance(value, (str, datetime)) and any(holds(value) for holds in instants)

    return test


def _typed(value: Any) -> tuple[type, Any]:
    return (type(value) if isinstance(value, (bool, str)) else float, value)


def _contains(leaf: Contains) -> Test:
    tests = [comparison("eq", value) for value in leaf.values]
    combine = all if leaf.mode == "all" else any
    return lambda value: isinstance(value, list) and combine(any(map(test, value)) for test in tests)


def _match(leaf: Match) -> Test:
    wanted = tokens(leaf.text)
    if leaf.mode == "phrase":
        phrase = f" {' '.join(wanted)} "
        return lambda value: isinstance(value, str) and phrase in f" {' '.join(tokens(value))} "
    combine = all if leaf.mode == "all" else any

    def test(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        known = set(tokens(value))
        return combine(token in known for token in wanted)

    return test


def _place_test(leaf: GeoRadius | GeoBox | GeoPolygon) -> Test:
    if isinstance(leaf, GeoRadius):
        center, meters = (leaf.lat, leaf.lon), leaf.meters
        return lambda value: (place := geo.place_of(value)) is not None and geo.distance_m(place, center) <= meters
    if isinstance(leaf, GeoBox):
        box = (leaf.south, leaf.west, leaf.north, leaf.east)
        return lambda value: (place := geo.place_of(value)) is not None and geo.in_box(place, *box)
    points = leaf.points
    return lambda value: (place := geo.place_of(value)) is not None and geo.in_polygon(place, points)
