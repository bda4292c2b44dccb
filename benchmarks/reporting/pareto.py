"""Turns sweeps into fronts: what an engine reaches at a recall, with the best of its settings.

Promises: nothing is extrapolated: a recall outside the measured curve has no speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

TARGETS: Final = (0.90, 0.95, 0.98, 0.99)


@dataclass(frozen=True, slots=True)
class Point:
    """One effort of one setting: recall, queries per second, and the range over repetitions."""

    recall: float
    qps: float
    low: float
    high: float
    setting: str
    effort: int


def points_of(runs: Iterable[Mapping[str, Any]], engine: str, mode: str) -> list[Point]:
    """All measured points of an engine in one mode, over all its settings."""
    return [
        Point(one["recall"], one["qps"], one["qps_low"], one["qps_high"], run.get("setting", ""), one["effort"])
        for run in runs
        if run["engine"] == engine
        for one in run["points"]
        if one["mode"] == mode
    ]


def front(points: Iterable[Point]) -> list[Point]:
    """Points that no other beats in both recall and speed, recall ascending."""
    kept: list[Point] = []
    best = 0.0
    for point in sorted(points, key=lambda one: (-one.recall, -one.qps)):
        if point.qps > best:
            kept.append(point)
            best = point.qps
    return kept[::-1]


def qps_at(points: Sequence[Point], recall: float) -> float | None:
    """Speed of a front at a recall, its logarithm interpolated over recall; None outside the front.

    A front that begins above the recall reaches it with its first point.
    """
    if not points or recall > points[-1].recall:
        return None
    if recall <= points[0].recall:
        return points[0].qps
    recalls = [point.recall for point in points]
    return float(np.exp(np.interp(recall, recalls, np.log([point.qps for point in points]))))


def noise_of(points: Iterable[Point]) -> float:
    """Median half-width of the repetitions around their median, as a share of it."""
    widths = [(point.high - point.low) / (2 * point.qps) for point in points if point.qps]
    return float(np.median(widths)) if widths else 0.0


def engines_of(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Engine names in the order of the runs, each once."""
    return list(dict.fromkeys(run["engine"] for run in runs))
