"""Says what a filter matches, value by value, from the meaning written down in `vecdb.filters`."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any


def path_values(metadata: Any, path: str) -> list[Any]:
    """Values at a path without escapes."""
    values = [metadata]
    for part in path.split("."):
        key, each = (part[:-2], True) if part.endswith("[]") else (part, False)
        values = [value[key] for value in values if isinstance(value, dict) and key in value]
        if each:
            values = [element for value in values if isinstance(value, list) for element in value]
    return values


def filter_matches(node: Any, metadata: dict[str, Any]) -> bool:
    """Whether metadata fulfils a filter all of whose conditions are about metadata."""
    kind = type(node).__name__
    if kind == "And":
        return all(filter_matches(part, metadata) for part in node.parts)
    if kind == "Or":
        return any(filter_matches(part, metadata) for part in node.parts)
    if kind == "Not":
        return not filter_matches(node.part, metadata)
    if kind == "Compare" and node.op == "ne":
        return not filter_matches(dataclasses.replace(node, op="eq"), metadata)
    if kind == "In" and node.negated:
        return not filter_matches(dataclasses.replace(node, negated=False), metadata)
    values = path_values(metadata, node.path)
    if kind == "Exists":
        return len(values) > 0
    if kind == "IsNull":
        return None in [value for value in values if value is None]
    if kind in {"Contains", "Size"}:
        return any(_list_passes(node, value) for value in values if isinstance(value, list))
    elements = [element for value in values for element in (value if isinstance(value, list) else [value])]
    return any(_scalar_passes(node, element) for element in elements)


def _list_passes(node: Any, value: list[Any]) -> bool:
    if type(node).__name__ == "Size":
        return _ordered(node.op, len(value), node.count)
    found = [any(_compares("eq", element, wanted) for element in value) for wanted in node.values]
    return all(found) if node.mode == "all" else any(found)


def _scalar_passes(node: Any, value: Any) -> bool:
    kind = type(node).__name__
    if kind == "Compare":
        return _compares(node.op, value, node.value)
    if kind == "In":
        return any(_compares("eq", value, wanted) for wanted in node.values)
    if kind == "Prefix":
        return isinstance(value, str) and value[: len(node.text)] == node.text
    if kind == "Substring":
        return isinstance(value, str) and node.text.casefold() in value.casefold()
    if kind == "Match":
        return isinstance(value, str) and _words_match(_words(value), _words(node.text), node.mode)
    return _place_passes(node, value)


def _compares(op: str, value: Any, wanted: Any) -> bool:
    number = (int, float)
    if isinstance(value, bool) or isinstance(wanted, bool):
        return isinstance(value, bool) and isinstance(wanted, bool) and _ordered(op, value, wanted)
    if isinstance(value, number) and isinstance(wanted, number):
        return _ordered(op, Fraction(value), Fraction(wanted))
    if isinstance(value, str) and isinstance(wanted, str):
        return _ordered(op, [ord(letter) for letter in value], [ord(letter) for letter in wanted])
    if isinstance(value, (str, datetime)) and isinstance(wanted, (str, datetime)):
        left, right = _instant(value), _instant(wanted)
        return left is not None and right is not None and _ordered(op, left, right)
    return False


def _ordered(op: str, left: Any, right: Any) -> bool:
    sign = (left > right) - (left < right)
    return sign in {"eq": [0], "ne": [-1, 1], "lt": [-1], "le": [-1, 0], "gt": [1], "ge": [0, 1]}[op]


def _instant(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    return float((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def _words(text: str) -> list[str]:
    spaced = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text.casefold())
    return spaced.split()


def _words_match(known: list[str], wanted: list[str], mode: str) -> bool:
    if mode == "phrase":
        return any(known[at : at + len(wanted)] == wanted for at in range(len(known)))
    found = [word in known for word in wanted]
    return all(found) if mode == "all" else any(found)


def _place_passes(node: Any, value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    lat: Any = value.get("lat")
    lon: Any = value.get("lon")
    for degrees, most in ((lat, 90), (lon, 180)):
        if isinstance(degrees, bool) or not isinstance(degrees, (int, float)) or not -most <= degrees <= most:
            return False
    if type(node).__name__ == "GeoBox":
        inside = node.west <= lon <= node.east if node.west <= node.east else lon >= node.west or lon <= node.east
        return bool(node.south <= lat <= node.north and inside)
    if type(node).__name__ == "GeoPolygon":
        return _inside(float(lat), float(lon), node.points)
    # The angle between two directions from the earth's centre, by their chord.
    first, second = _direction(lat, lon), _direction(node.lat, node.lon)
    chord = math.dist(first, second)
    return bool(6_371_008.8 * 2 * math.asin(min(1.0, chord / 2)) <= node.meters)


def _direction(lat: float, lon: float) -> tuple[float, float, float]:
    up, east = math.radians(lat), math.radians(lon)
    return math.cos(up) * math.cos(east), math.cos(up) * math.sin(east), math.sin(up)


def _inside(lat: float, lon: float, points: Any) -> bool:
    crossings = 0
    for index, (lat_a, lon_a) in enumerate(points):
        lat_b, lon_b = points[(index + 1) % len(points)]
        if min(lat_a, lat_b) <= lat < max(lat_a, lat_b):
            crossings += lon_a + (lat - lat_a) / (lat_b - lat_a) * (lon_b - lon_a) > lon
    return crossings % 2 == 1
