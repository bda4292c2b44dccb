"""Measures scans of given rows: how long one by sketches takes, and how far ahead scans best ask for rows.

Promises: what is measured changes the time of searches, and whether they walk or scan, but no result of a scan.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from vecdb.index.filtered import gather_sketches, scan_rows
from vecdb.index.measuring import least_seconds
from vecdb.index.recall_curve import RecallCurve
from vecdb.index.search import BatchHits
from vecdb.index.segment import Segment
from vecdb.types import FloatArray

SCANNED_ROWS: Final = 20_000
FEWEST_ROWS: Final = 2_000
"""Fewer rows are scanned by their codes in less time than it takes to measure anything else."""

TIMED_MARGIN: Final = 96
TIMED_QUERIES: Final = 50
AHEAD_TRIED: Final = (4, 8, 16, 32)
WORTHWHILE: Final = 0.97
"""Another distance than the usual one is taken if it takes at most this share of the time."""

Scan = Callable[[npt.NDArray[np.int32]], Callable[[], BatchHits]]


def measure_scans(curve: RecallCurve, segment: Segment, queries: FloatArray) -> RecallCurve:
    """The curve with what was measured of scans, for queries (q, dim); about 50 ms at 384 components."""
    if segment.rows < FEWEST_ROWS:
        return curve
    count = min(segment.rows, SCANNED_ROWS)
    rows = np.sort(np.random.default_rng(0).choice(segment.rows, count, replace=False)).astype(np.int32)
    queries = queries[:TIMED_QUERIES]

    def rows_seconds(ahead: int) -> float:
        return least_seconds(_scan_of(segment, replace(curve, ahead_rows=ahead), queries, 0)(rows))

    def sketches_seconds(ahead: int) -> float:
        changed = replace(curve, ahead_sketches=ahead)
        return least_seconds(_scan_of(segment, changed, queries, TIMED_MARGIN)(rows))

    ahead = _best_ahead(rows_seconds, curve.ahead_rows)
    if segment.sketches is None or segment.by_codes:
        return replace(curve, ahead_rows=ahead)
    curve = replace(curve, ahead_rows=ahead, ahead_sketches=_best_ahead(sketches_seconds, curve.ahead_sketches))
    apart, copied = (_sketch_ns(segment, curve, queries, rows, copied=copied) for copied in (False, True))
    return replace(curve, sketch_ns=apart, copied_ns=min(copied, apart))


def _sketch_ns(
    segment: Segment, curve: RecallCurve, queries: FloatArray, rows: npt.NDArray[np.int32], *, copied: bool
) -> float:
    """Time for each more row of a scan by sketches."""
    half, scan = len(rows) // 2, _scan_of(segment, curve, queries, TIMED_MARGIN, copied=copied)
    short, long = (least_seconds(scan(part)) for part in (rows[:half], rows))
    taken = 1e9 * (long - short) / (len(queries) * (len(rows) - half))
    # Noise may have made the longer scan the quicker one.
    return min(max(taken, curve.row_ns / 16), curve.row_ns)


def _scan_of(segment: Segment, curve: RecallCurve, queries: FloatArray, margin: int, *, copied: bool = False) -> Scan:
    """A function that readies a scan of rows of the segment, asking ahead as the curve says, or by copied sketches."""
    plan, padded = replace(segment, curve=curve).plan, segment.quantizer.padded

    def scan(rows: npt.NDArray[np.int32]) -> Callable[[], BatchHits]:
        blocks = gather_sketches(plan, rows) if copied else None
        return partial(scan_rows, plan, padded, queries, 10, rows, exact=False, margin=margin, blocks=blocks)

    return scan


def _best_ahead(timed: Callable[[int], float], usual: int) -> int:
    """Of AHEAD_TRIED the distance that takes least time, if that is clearly less than the usual one takes."""
    seconds = {ahead: timed(ahead) for ahead in (usual, *AHEAD_TRIED)}
    best = min(seconds, key=lambda ahead: seconds[ahead])
    return best if seconds[best] < WORTHWHILE * seconds[usual] else usual
