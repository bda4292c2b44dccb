"""Builds filters in Python: `(F("year") >= 2020) & ~F("tags").contains("draft")`.

Promises: what is wrong with a value is said where the condition is written. Nothing is evaluated.
Concurrency: immutable values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, NoReturn

from vecdb.errors import InvalidFilterError
from vecdb.filters import nodes, values
from vecdb.filters.nodes import Filter
from vecdb.filters.paths import parse_path
from vecdb.types import RecordId

PLAIN_BITS: Final = 63
"""An int of so many bits needs no closer look, which takes as long as a small search."""


class SizeOf:
    """The number of elements of a list, to be compared: `F("tags").size() >= 2`."""

    __hash__ = None  # type: ignore[assignment]  # == builds a filter

    def __init__(self, path: str) -> None:
        self._path = path

    def _compared(self, op: nodes.Comparison, count: Any) -> Filter:
        return nodes.Size(self._path, op, values.check_count(count, f"size of {self._path!r}"))

    def __eq__(self, count: object) -> Filter:  # type: ignore[override]
        return self._compared("eq", count)

    def __ne__(self, count: object) -> Filter:  # type: ignore[override]
        return self._compared("ne", count)

    def __lt__(self, count: int) -> Filter:
        return self._compared("lt", count)

    def __le__(self, count: int) -> Filter:
        return self._compared("le", count)

    def __gt__(self, count: int) -> Filter:
        return self._compared("gt", count)

    def __ge__(self, count: int) -> Filter:
        return self._compared("ge", count)


class IdOf:
    """The id of a record, to be compared: `F.id == "a"`, `F.id.in_(["a", "b"])`."""

    __hash__ = None  # type: ignore[assignment]  # == builds a filter

    def __eq__(self, record_id: object) -> Filter:  # type: ignore[override]
        return nodes.HasId((values.check_id(record_id, "F.id =="),))

    def __ne__(self, record_id: object) -> Filter:  # type: ignore[override]
        return nodes.Not(nodes.HasId((values.check_id(record_id, "F.id !="),)))

    def in_(self, ids: Iterable[RecordId]) -> Filter:
        """The id is one of these."""
        return nodes.HasId(values.check_ids(ids, "F.id.in_"))


class F:
    """A path into metadata, to be compared: `F("a.b") == 1`. What the conditions mean: see `vecdb.filters`."""

    __hash__ = None  # type: ignore[assignment]  # == builds a filter
    id: Final = IdOf()

    def __init__(self, path: str) -> None:
        if not isinstance(path, str):
            raise InvalidFilterError(f"the path of F is {type(path).__name__}; give a str such as 'year' or 'a.b'")
        parse_path(path)
        self._path = path

    def __repr__(self) -> str:
        return f"F({self._path!r})"

    def _where(self, operation: str) -> str:
        return f"{self!r} {operation}"

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        if value is None:
            return nodes.IsNull(self._path)
        return nodes.Compare(self._path, "eq", values.check_scalar(value, self._where("==")))

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        if value is None:
            return nodes.Not(nodes.IsNull(self._path))
        return nodes.Compare(self._path, "ne", values.check_scalar(value, self._where("!=")))

    def _ordered(self, op: nodes.Comparison, sign: str, value: Any) -> Filter:
        if type(value) is not int or value.bit_length() > PLAIN_BITS:
            value = values.check_ordered(value, self._where(sign))
        return nodes.Compare(self._path, op, value)

    def _joined(self, _other: object) -> NoReturn:
        raise InvalidFilterError(
            f"& or | stands next to {self!r} alone: they bind closer than comparisons, so put each condition in "
            f"parentheses: ({self!r} == 1) & (F('other') > 2)"
        )

    __and__ = __rand__ = __or__ = __ror__ = _joined

    def __lt__(self, value: Any) -> Filter:
        return self._ordered("lt", "<", value)

    def __le__(self, value: Any) -> Filter:
        return self._ordered("le", "<=", value)

    def __gt__(self, value: Any) -> Filter:
        return self._ordered("gt", ">", value)

    def __ge__(self, value: Any) -> Filter:
        return self._ordered("ge", ">=", value)

    def in_(self, choices: Iterable[Any]) -> Filter:
        """A value equals one of these."""
        return nodes.In(self._path, values.check_scalars(choices, self._where("in_")))

    def not_in(self, choices: Iterable[Any]) -> Filter:
        """No value equals one of these; holds where the path is missing, too."""
        return nodes.In(self._path, values.check_scalars(choices, self._where("not_in")), negated=True)

    def exists(self) -> Filter:
        """The path leads to a value; null is one."""
        return nodes.Exists(self._path)

    def is_null(self) -> Filter:
        """The path leads to null."""
        return nodes.IsNull(self._path)

    def contains(self, value: Any) -> Filter:
        """A list at the path has this element."""
        return nodes.Contains(self._path, (values.check_scalar(value, self._where("contains")),), "one")

    def contains_any(self, choices: Iterable[Any]) -> Filter:
        """A list at the path has one of these elements."""
        return nodes.Contains(self._path, values.check_scalars(choices, self._where("contains_any")), "any")

    def contains_all(self, choices: Iterable[Any]) -> Filter:
        """A list at the path has all of these elements."""
        return nodes.Contains(self._path, values.check_scalars(choices, self._where("contains_all")), "all")

    def prefix(self, text: str) -> Filter:
        """A str begins with this."""
        return nodes.Prefix(self._path, values.check_text(text, self._where("prefix")))

    def icontains(self, text: str) -> Filter:
        """A str contains this, whatever the case."""
        return nodes.Substring(self._path, values.check_text(text, self._where("icontains")))

    def match(self, text: str, mode: Literal["all", "any", "phrase"] = "all") -> Filter:
        """A str has all (any) of the words of a text, or has them in a row ("phrase")."""
        if mode not in {"all", "any", "phrase"}:
            raise InvalidFilterError(f"mode of {self!r}.match is {mode!r:.40}; use 'all', 'any' or 'phrase'")
        return nodes.Match(self._path, values.check_words(text, self._where("match")), mode)

    def geo_radius(self, lat: float, lon: float, meters: float) -> Filter:
        """A place is at most so many metres away, along the earth's surface."""
        where = self._where("geo_radius")
        center = values.check_latitude(lat, f"{where} lat"), values.check_longitude(lon, f"{where} lon")
        return nodes.GeoRadius(self._path, *center, values.check_meters(meters, f"{where} meters"))

    def geo_box(self, south: float, west: float, north: float, east: float) -> Filter:
        """A place is in a box; with west > east, one across the antimeridian."""
        where = self._where("geo_box")
        lats = values.check_latitude(south, f"{where} south"), values.check_latitude(north, f"{where} north")
        if lats[0] > lats[1]:
            raise InvalidFilterError(f"{where} has south {lats[0]} above north {lats[1]}; exchange them")
        lons = values.check_longitude(west, f"{where} west"), values.check_longitude(east, f"{where} east")
        return nodes.GeoBox(self._path, lats[0], lons[0], lats[1], lons[1])

    def geo_polygon(self, points: Iterable[tuple[float, float]]) -> Filter:
        """A place is inside the polygon of (lat, lon) corners."""
        return nodes.GeoPolygon(self._path, values.check_points(points, self._where("geo_polygon")))

    def size(self) -> SizeOf:
        """The number of elements of a list, to be compared."""
        return SizeOf(self._path)

    @staticmethod
    def has_vector(field: str) -> Filter:
        """The record has a vector in this field."""
        return nodes.HasVector(values.check_text(field, "F.has_vector"))

    @staticmethod
    def slice(index: int, count: int) -> Filter:
        """The record belongs to part `index` of `count`; it stays there, so that parts can be read in parallel."""
        return nodes.Slice(*values.check_slice(index, count, "F.slice"))
