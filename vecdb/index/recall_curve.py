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

AHEAD_ROWS: Final = 8
AHEAD_SKETCHES: Final = 24
"""Where nothing was measured. Given rows are known beforehand, so more fetches can be in flight than in a walk."""

Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class RecallCurve:
    """Measured (ef, recall) points, ef ascending: `at_10` for recall@10, `at_100` for recall@100.

    `key_ns` is the time a search takes for each candidate of its pool, `row_ns` what comparing one given row by its
    codes takes, `sketch_ns` the same by its sketch and `copied_ns` by a copy of it (see `kernels.copied`), in
    nanoseconds on the machine that built the segment; 0 where they were not measured. `ahead_rows` and `ahead_sketches`
    are how many rows or sketches a scan best asks for there before it compares them. `queries` is the number of
    queries of the user's that recall was measured with, 0 where rows of the segment were.
    """

    at_10: Points
    at_100: Points
    key_ns: float = 0.0
    row_ns: float = 0.0
    sketch_ns: float = 0.0
    copied_ns: float = 0.0
    ahead_rows: int = AHEAD_ROWS
    ahead_sketches: int = AHEAD_SKETCHES
    queries: int = 0

    def ef_for(self, target_recall: float, limit: int) -> int:
        """Smallest ef expected to reach `target_recall` at `limit`, between max(limit, 1) and EF_MAX."""
        wanted = _between(_effort(self.at_10, target_recall), _effort(self.at_100, target_recall), limit)
        return min(max(ceil(wanted), limit, 1), EF_MAX)

    def recall_for(self, ef: int, limit: int) -> float:
        """Recall expected of a search with `ef` at `limit`: the inverse of `ef_for`, between the measured points."""
        points = self.at_10 if limit <= 10 else self.at_100
        reached = [recall for _, recall in points if self.ef_for(recall, limit) <= ef]
        return max(reached, default=points[0][1] if points else 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists of [ef, recall], and the times."""
        points = {name: [list(point) for point in getattr(self, name)] for name in _POINTS}
        return {**points, **{name: getattr(self, name) for name in (*_TIMES, *_AHEAD, _QUERIES)}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RecallCurve:
        """Inverse of `to_dict`."""
        at_10, at_100 = (_points(values.get(name, ())) for name in _POINTS)
        key_ns, row_ns, sketch_ns, copied_ns = (float(values.get(name, 0.0)) for name in _TIMES)
        rows, sketches = (max(int(values.get(name, usual)), 0) for name, usual in _AHEAD.items())
        queries = int(values.get(_QUERIES, 0))
        return cls(at_10, at_100, key_ns, row_ns, sketch_ns, copied_ns, rows, sketches, queries)


_POINTS: Final = ("at_10", "at_100")
_TIMES: Final = ("key_ns", "row_ns", "sketch_ns", "copied_ns")
_QUERIES: Final = "queries"
_AHEAD: Final = {"ahead_rows": AHEAD_ROWS, "ahead_sketches": AHEAD_SKETCHES}


def _between(small: float, large: float, limit: int) -> float:
    """What a limit needs of which 10 needs `small` and 100 needs `large`."""
    large = max(large, small)
    if limit <= 10:
        return small
    if limit <= 100:
        share = log(limit / 10) / log(10)
        return exp(log(small) * (1 - share) + log(large) * share)
    return large * limit / 100


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
