"""Measures places on the earth: distances, boxes and polygons, in degrees and metres.

A place is a dict with finite numbers "lat" in -90..90 and "lon" in -180..180. Distances are on a sphere (haversine);
polygons are flat in degrees, by the even-odd rule, and may not cross the antimeridian.
Concurrency: pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

EARTH_RADIUS_M: Final = 6_371_008.8
"""Mean radius of the WGS 84 ellipsoid (IUGG)."""

POLE: Final = 90.0
DATE_LINE: Final = 180.0

Place = tuple[float, float]


def place_of(value: Any) -> Place | None:
    """Latitude and longitude of a place, None for anything else."""
    if not isinstance(value, dict):
        return None
    lat, lon = _degrees(value.get("lat"), POLE), _degrees(value.get("lon"), DATE_LINE)
    return None if lat is None or lon is None else (lat, lon)


def _degrees(value: Any, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= most:
        return None
    return float(value)


def distance_m(first: Place, second: Place) -> float:
    """Metres between two places along the sphere."""
    lat_a, lat_b = math.radians(first[0]), math.radians(second[0])
    half_lat, half_lon = (lat_b - lat_a) / 2, math.radians(second[1] - first[1]) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(chord)))


def in_box(place: Place, south: float, west: float, north: float, east: float) -> bool:
    """Whether a place is in a box; one whose west is east of its east crosses the antimeridian."""
    lat, lon = place
    if not south <= lat <= north:
        return False
    return west <= lon <= east if west <= east else lon >= west or lon <= east


def in_polygon(place: Place, points: Sequence[Place]) -> bool:
    """Whether a place is inside a polygon: a line from it to the east crosses an odd number of sides."""
    lat, lon = place
    inside = False
    for (lat_a, lon_a), (lat_b, lon_b) in zip(points, [*points[1:], points[0]], strict=True):
        if (lat_a > lat) != (lat_b > lat) and lon < (lon_b - lon_a) * (lat - lat_a) / (lat_b - lat_a) + lon_a:
            inside = not inside
    return inside
