"""Answers conditions on places from a geo index: a box of latitudes and longitudes first, then the exact test.

Promises: the exact test is the one that filters use without an index, on the same float64 numbers.
Concurrency: pure over an immutable view.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from vecdb.engine import bitmap
from vecdb.engine.index_values import float_key, floats_of_keys
from vecdb.engine.index_view import Answer, IndexView
from vecdb.filters.geo import EARTH_RADIUS_M
from vecdb.filters.nodes import GeoBox, GeoPolygon, GeoRadius
from vecdb.filters.predicate import metadata_predicate
from vecdb.index.columns import slots_of_bits
from vecdb.storage.blocks import EXCEPTION, SCALAR

if TYPE_CHECKING:
    from vecdb.engine.tail import Slots

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
    found = [slot for slot, lat, lon in _places(view, slots) if holds({"x": {"lat": lat, "lon": lon}})]
    bits = bitmap.with_bits(np.zeros_like(candidates), np.array(found, dtype=np.int64))
    return Answer(bits, view.tables[0].state_bits(EXCEPTION) & candidates)


def _places(view: IndexView, slots: Slots) -> Iterator[tuple[int, float, float]]:
    """Slot, latitude and longitude of each place at some slots; of a list there are several."""
    (lats, states), (lons, _) = (table.gather(slots) for table in view.tables)
    (more_lats, starts), (more_lons, _) = (table.lists(slots) for table in view.tables)
    owners = np.concatenate([slots[states == SCALAR], np.repeat(slots, np.diff(starts))])
    columns = (np.concatenate([lats[states == SCALAR], more_lats]), np.concatenate([lons[states == SCALAR], more_lons]))
    # Only the blocks of a damaged index differ in their lists.
    return zip(owners.tolist(), *(floats_of_keys(column).tolist() for column in columns), strict=False)


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
