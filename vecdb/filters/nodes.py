"""Defines the nodes of a filter: one tree for all spellings (the F builder, dicts).

Promises: nodes are immutable values, hashable and equal by structure; what they mean is written down in the package.
Concurrency: share freely.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from vecdb.errors import InvalidFilterError
from vecdb.types import RecordId

Scalar: TypeAlias = bool | int | float | str | datetime
"""What a condition compares with; datetimes carry a zone."""

Comparison: TypeAlias = Literal["eq", "ne", "lt", "le", "gt", "ge"]


class Filter:
    """A condition on records: combine with `&`, `|` and `~`, each side in parentheses. Printed as it is written.

    What a filter is printed as, and that it is within the limits, are found out once: the same one is often searched
    with again and again.
    """

    __slots__ = ("_is_within_limits", "_printed")
    _printed: str
    _is_within_limits: bool

    def __and__(self, other: Filter) -> Filter:
        return And((*_parts(self, And), *_parts(_checked(other, "&"), And)))

    def __or__(self, other: Filter) -> Filter:
        return Or((*_parts(self, Or), *_parts(_checked(other, "|"), Or)))

    def __invert__(self) -> Filter:
        return Not(self)

    def __bool__(self) -> bool:
        raise TypeError(
            "a filter is neither true nor false: combine filters with &, | and ~ (not and, or, not), each in "
            "parentheses, and write a < b < c as two conditions"
        )

    def __repr__(self) -> str:
        try:
            return self._printed
        except AttributeError:
            from vecdb.filters.printing import printed  # noqa: PLC0415 - it knows every node

            text = printed(self)
            object.__setattr__(self, "_printed", text)
            return text


def _checked(other: object, sign: str) -> Filter:
    if not isinstance(other, Filter):
        raise InvalidFilterError(
            f"{sign} joins filters, and one side is {type(other).__name__}; put each condition in parentheses"
        )
    return other


def _parts(wanted: Filter, kind: type[And | Or]) -> tuple[Filter, ...]:
    return wanted.parts if isinstance(wanted, (And, Or)) and type(wanted) is kind and wanted.parts else (wanted,)


@dataclass(frozen=True, slots=True, repr=False)
class And(Filter):
    """All parts hold; without parts, everything matches."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Or(Filter):
    """At least one part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Not(Filter):
    """The part does not hold."""

    part: Filter


@dataclass(frozen=True, slots=True, repr=False)
class Compare(Filter):
    """A value at the path compares; "ne" is the negation of "eq"."""

    path: str
    op: Comparison
    value: Scalar


@dataclass(frozen=True, slots=True, repr=False)
class In(Filter):
    """A value at the path equals one of `values`; negated, none does."""

    path: str
    values: tuple[Scalar, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Exists(Filter):
    """The path leads somewhere, to null also."""

    path: str


@dataclass(frozen=True, slots=True, repr=False)
class IsNull(Filter):
    """The path leads to null."""

    path: str


@dataclass(frozen=True, slots=True, repr=False)
class Contains(Filter):
    """A list at the path has the one value, any or all of the values."""

    path: str
    values: tuple[Scalar, ...]
    mode: Literal["one", "any", "all"]


@dataclass(frozen=True, slots=True, repr=False)
class Prefix(Filter):
    """A string at the path begins with `text`."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Substring(Filter):
    """A string at the path contains `text`, whatever the case."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Match(Filter):
    """A string at the path has all or any of the tokens of `text`, or has them in a row."""

    path: str
    text: str
    mode: Literal["all", "any", "phrase"]


@dataclass(frozen=True, slots=True, repr=False)
class GeoRadius(Filter):
    """A place at the path is at most `meters` away."""

    path: str
    lat: float
    lon: float
    meters: float


@dataclass(frozen=True, slots=True, repr=False)
class GeoBox(Filter):
    """A place at the path is in the box; `west` > `east` crosses the antimeridian."""

    path: str
    south: float
    west: float
    north: float
    east: float


@dataclass(frozen=True, slots=True, repr=False)
class GeoPolygon(Filter):
    """A place at the path is inside the polygon of (lat, lon) corners."""

    path: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Size(Filter):
    """A list at the path has so many elements."""

    path: str
    op: Comparison
    count: int


@dataclass(frozen=True, slots=True, repr=False)
class HasId(Filter):
    """The record's id is one of `ids`."""

    ids: tuple[RecordId, ...]


@dataclass(frozen=True, slots=True, repr=False)
class HasVector(Filter):
    """The record has a vector in the field."""

    field: str


@dataclass(frozen=True, slots=True, repr=False)
class Slice(Filter):
    """The record belongs to part `index` of `count` parts of about equal size, by a hash of its id."""

    index: int
    count: int
