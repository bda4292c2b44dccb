"""Answers conditions on places from a geo index: a box of latitudes and longitudes first, then the exact test.

Promises: the exact test is the one that filters use without an index, on the same float64 numbers.
Concurrency: pure over an immutable view.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from vecdb.engine import bitmap
from vecdb.engine.index_values import float_key, float_of_key
from vecdb.engine.index_view import Answer, IndexView
from vecdb.filters.geo import EARTH_RADIUS_M
from vecdb.filters.nodes import GeoBox, GeoPolygon, GeoRadius
from vecdb.filters.predicate import metadata_predicate
from vecdb.index.columns import slots_of_bits
from vecdb.storage.blocks import EXCEPTION

Words = bitmap.Words
Box = tuple[float, float, float, float]
SLACK_DEGREES: Final = 1e-6
"""Added around the box of a circle: about 0.1 m, far more than rounding can take away."""


def geo_answer(view: IndexView, node: GeoRadius | GeoBox | GeoPolygon, candidates: Words) -> Answer:
    """Which places fulfil the condition; a microsecond for each in the box around it."""
    near = np.zeros_like(candidates)
    for south, west, north, east in boxes_of(node):
        inside = view.tables[0].match_range(float_key(south), float_key(north), candidates)
        near |= view.tables[1].match_range(float_key(west), float_key(east), inside)
    slots = slots_of_bits(near)
    holds = metadata_predicate(replace(node, path="x"))
    lats, lons = (table.gather(slots)[0].tolist() for table in view.tables)
    kept = [
        slot
        for slot, lat, lon in zip(slots.tolist(), lats, lons, strict=True)
        if holds({"x": {"lat": float_of_key(lat), "lon": float_of_key(lon)}})
    ]
    bits = bitmap.with_bits(np.zeros_like(candidates), np.array(kept, dtype=np.int64))
    return Answer(bits, view.tables[0].state_bits(EXCEPTION) & candidates)


def boxes_of(node: GeoRadius | GeoBox | GeoPolygon) -> list[Box]:
    """Boxes (south, west, north, east), none across the antimeridian, that hold every place which fulfils it."""
    if isinstance(node, GeoBox):
        return _split(node.south, node.west, node.north, node.east)
    if isinstance(node, GeoPolygon):
        lats, lons = [lat for lat, _ in node.points], [lon for _, lon in node.points]
        return [(min(lats), min(lons), max(lats), max(lons))]
    angle = math.degrees(node.meters / EARTH_RADIUS_M) + SLACK_DEGREES
    south, north = node.lat - angle, node.lat + angle
    if south <= -90 or north >= 90 or angle >= 90:  # a pole is inside, and so all longitudes
        return [(max(south, -90.0), -180.0, min(north, 90.0), 180.0)]
    # The farthest meridians that a circle touches: sin(width) = sin(angle) / cos(latitude).
    width = math.degrees(math.asin(min(1.0, math.sin(math.radians(angle)) / math.cos(math.radians(node.lat)))))
    width += SLACK_DEGREES
    if width >= 180:
        return [(south, -180.0, north, 180.0)]
    west, east = node.lon - width, node.lon + width
    return _split(south, west + 360 if west < -180 else west, north, east - 360 if east > 180 else east)


def _split(south: float, west: float, north: float, east: float) -> list[Box]:
    if west <= east:
        return [(south, west, north, east)]
    return [(south, west, north, 180.0), (south, -180.0, north, east)]
