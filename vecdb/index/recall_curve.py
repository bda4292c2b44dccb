"""Holds the measured recall of a segment over `ef`, and inverts it.

Promises: `ef_for` is monotone in the target and in the limit and never below the limit.
Concurrency: immutable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, exp, log
from typing import Any, Final

from vecdb.config import EF_MAX

EF_UNMEASURED: Final = 256
"""Effort when nothing was measured (a segment of few rows or of an older version)."""

Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class RecallCurve:
    """Measured (ef, recall) points, ef ascending: `at_10` for recall@10, `at_100` for recall@100.

    `key_ns` is the time a search takes for each candidate of its pool, `row_ns` what comparing one given row by its
    codes takes, in nanoseconds on the machine that built the segment; 0 where they were not measured.
    """

    at_10: Points
    at_100: Points
    key_ns: float = 0.0
    row_ns: float = 0.0

    def ef_for(self, target_recall: float, limit: int) -> int:
        """Smallest ef expected to reach `target_recall` at `limit`, between max(limit, 1) and EF_MAX."""
        small, large = _effort(self.at_10, target_recall), _effort(self.at_100, target_recall)
        large = max(large, small)
        if limit <= 10:
            wanted = small
        elif limit <= 100:
            share = log(limit / 10) / log(10)
            wanted = exp(log(small) * (1 - share) + log(large) * share)
        else:
            wanted = large * limit / 100
        return min(max(ceil(wanted), limit, 1), EF_MAX)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists of [ef, recall], and the times."""
        points = {"at_10": [list(point) for point in self.at_10], "at_100": [list(point) for point in self.at_100]}
        return {**points, "key_ns": self.key_ns, "row_ns": self.row_ns}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RecallCurve:
        """Inverse of `to_dict`."""
        times = (float(values.get("key_ns", 0.0)), float(values.get("row_ns", 0.0)))
        return cls(_points(values["at_10"]), _points(values["at_100"]), *times)


def _points(values: Any) -> Points:
    return tuple((int(ef), float(recall)) for ef, recall in values)


def _effort(points: Points, target: float) -> float:
    """ef at which the curve first reaches `target`, interpolated; beyond the last point it grows with the miss rate."""
    if not points:
        return float(EF_UNMEASURED)
    before_ef, before = points[0]
    if before >= target:
        return float(before_ef)
    for ef, recall in points[1:]:
        if recall >= target:
            if _misses(before) <= _misses(target):
                return float(ef)
            # Misses fall about as a power of ef.
            share = log(_misses(before) / _misses(target)) / log(_misses(before) / _misses(recall))
            return exp(log(before_ef) * (1 - share) + log(ef) * share)
        before_ef, before = ef, max(before, recall)
    missing = _misses(before) / _misses(target)
    return min(before_ef * max(missing, 1.0), float(EF_MAX))


def _misses(recall: float) -> float:
    """Share of hits missed, never so little that nothing could be told from it."""
    return max(1.0 - recall, 1e-4)
