"""Turns sweeps into curves: what an engine reaches at a recall, with the best of its settings.

Promises: nothing is extrapolated: a recall outside the measured range has no speed. Points that are not finite are not
points of a curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

TARGETS: Final = (0.90, 0.95, 0.98, 0.99)
MODES: Final = {"batch": "in one batch call", "single": "one query at a time"}


@dataclass(frozen=True, slots=True)
class Point:
    """One effort of one setting: recall, queries per second, and the range over repetitions."""

    recall: float
    qps: float
    low: float
    high: float
    setting: str
    effort: int

    @property
    def noise(self) -> float:
        """Half the range of the repetitions, as a share of the median."""
        return (self.high - self.low) / (2 * self.qps)


@dataclass(frozen=True)
class Curve:
    """Everything measured of one engine in one mode."""

    points: tuple[Point, ...]

    @cached_property
    def front(self) -> tuple[Point, ...]:
        """Points that no other beats in both recall and speed, recall ascending."""
        kept: list[Point] = []
        for point in sorted(self.points, key=lambda one: (-one.recall, -one.qps)):
            if not kept or point.qps > kept[-1].qps:
                kept.append(point)
        return tuple(reversed(kept))

    @property
    def lowest(self) -> float:
        """The least recall measured."""
        return min(point.recall for point in self.points)

    @property
    def highest(self) -> float:
        """The greatest recall measured."""
        return self.front[-1].recall

    def qps_at(self, recall: float) -> float | None:
        """Speed at a recall, its logarithm interpolated over recall along the front; None outside what was measured.

        Below the front but above the lowest measured point, the front's first point is both more exact and faster.
        """
        if not self.points or recall < self.lowest:
            return None
        return self.qps_reaching(recall)

    def qps_reaching(self, recall: float) -> float | None:
        """As `qps_at`, but a curve that begins above the recall counts with its fastest point: at least so fast."""
        if not self.points or recall > self.highest:
            return None
        recalls = [point.recall for point in self.front]
        # beyond its ends np.interp repeats them; only the lower one can be met here
        return float(np.exp(np.interp(recall, recalls, np.log([point.qps for point in self.front]))))

    def noise_at(self, recall: float) -> float:
        """The noise typical of the curve, or that of the points around a recall where it is greater."""
        above = [point for point in self.front if point.recall >= recall][:1]
        below = [point for point in self.front if point.recall < recall][-1:]
        typical = float(np.median([point.noise for point in self.points])) if self.points else 0.0
        return max([typical, *(point.noise for point in (*below, *above))])


def points_of(runs: Iterable[Mapping[str, Any]], mode: str) -> list[Point]:
    """The finite points of runs in one mode."""
    points = [
        Point(
            recall=number_of(one["recall"]),
            qps=number_of(one["qps"]),
            low=number_of(one.get("qps_low", one["qps"])),
            high=number_of(one.get("qps_high", one["qps"])),
            setting=run.get("setting", ""),
            effort=one["effort"],
        )
        for run in runs
        for one in run.get("points") or ()
        if one["mode"] == mode
    ]
    return [one for one in points if one.qps > 0 and all(map(math.isfinite, (one.recall, one.qps, one.low, one.high)))]


def number_of(value: float | None) -> float:
    """A stored figure; NaN for none."""
    return math.nan if value is None else float(value)


def curves_of(runs: Iterable[Mapping[str, Any]], mode: str) -> dict[str, Curve]:
    """The curve of every engine that has points in a mode, over all its settings, in the order of the runs."""
    runs = list(runs)
    names = dict.fromkeys(run["engine"] for run in runs)
    curves = {name: Curve(tuple(points_of((run for run in runs if run["engine"] == name), mode))) for name in names}
    return {name: curve for name, curve in curves.items() if curve.points}
