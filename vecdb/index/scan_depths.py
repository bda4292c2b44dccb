"""Measures scans of given rows: how deep one by sketches must go for a recall, how long it takes, how far ahead to ask.

Promises: recall is deterministic for a segment; times, and the distances chosen by them, are not, but change no result.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from vecdb.index.filtered import scan_rows
from vecdb.index.measuring import best_of, least_seconds, mean_recall, until_enough
from vecdb.index.recall_curve import Points, RecallCurve
from vecdb.index.search import BatchHits
from vecdb.index.segment import Segment
from vecdb.types import FloatArray

DEPTHS: Final = {
    10: (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    100: (104, 136, 176, 232, 304, 400, 528, 696, 920),
}
"""Depths that are tried, by limit."""

SKETCHED_ROWS: Final = 20_000
"""Rows among which scans by sketches are measured: among 1,166 and among 58,000 sentence embeddings the same depth gave
the same recall, within .004."""

FEWEST_ROWS: Final = 2_000
"""Fewer rows are scanned by their codes in less time than it takes to measure anything else."""

TIMED_DEPTH: Final = 64
TIMED_QUERIES: Final = 50
AHEAD_TRIED: Final = (4, 8, 16, 32)
WORTHWHILE: Final = 0.97
"""Another distance than the usual one is taken if it takes at most this share of the time."""

Scan = Callable[..., BatchHits]
Rows = npt.NDArray[np.int32]


def measure_scans(
    curve: RecallCurve, segment: Segment, queries: FloatArray, drawn: npt.NDArray[np.int64]
) -> RecallCurve:
    """The curve with what was measured of scans, for queries (q, dim) that are rows `drawn` of the segment.

    About 100 ms for 200 queries of 384 dimensions.
    """
    count = min(segment.rows, SKETCHED_ROWS)
    chosen = np.sort(np.random.default_rng(0).choice(segment.rows, count, replace=False))
    rows = np.setdiff1d(chosen, drawn, assume_unique=True).astype(np.int32)
    if len(rows) < FEWEST_ROWS:
        return curve
    few = queries[:TIMED_QUERIES]

    def rows_seconds(ahead: int) -> float:
        scan = _scan_of(segment, replace(curve, ahead_rows=ahead), few)
        return least_seconds(partial(scan, 10, rows))

    def sketches_seconds(ahead: int) -> float:
        scan = _scan_of(segment, replace(curve, ahead_sketches=ahead), few)
        return least_seconds(partial(scan, 10, rows, depth=TIMED_DEPTH))

    chosen_ahead = _best_ahead(rows_seconds, curve.ahead_rows)
    if segment.sketches is None or segment.by_codes:
        return replace(curve, ahead_rows=chosen_ahead)
    curve = replace(curve, ahead_rows=chosen_ahead, ahead_sketches=_best_ahead(sketches_seconds, curve.ahead_sketches))
    return _with_depths(curve, _scan_of(segment, curve, queries), rows, len(queries))


def _with_depths(curve: RecallCurve, scan: Scan, rows: Rows, queries: int) -> RecallCurve:
    """The curve with depths and the time that scans by sketches take for each row."""
    truth = scan(100, rows)
    at_10, at_100 = (_depths(scan, best_of(truth, limit), limit, rows, tried) for limit, tried in DEPTHS.items())
    half = len(rows) // 2
    short, long = (least_seconds(partial(scan, 10, part, depth=TIMED_DEPTH)) for part in (rows[:half], rows))
    sketch_ns = 1e9 * (long - short) / (queries * (len(rows) - half))
    # Noise may have made the longer scan the quicker one.
    sketch_ns = min(max(sketch_ns, curve.row_ns / 16), curve.row_ns)
    return replace(curve, depths_10=at_10, depths_100=at_100, sketch_ns=sketch_ns)


def _scan_of(segment: Segment, curve: RecallCurve, queries: FloatArray) -> Scan:
    """A function that scans rows of the segment by codes, or to a depth by sketches, asking ahead as the curve says."""
    plan = replace(segment, curve=curve).plan

    def scan(limit: int, rows: Rows, depth: int = 0) -> BatchHits:
        return scan_rows(plan, segment.quantizer.padded, queries, limit, rows, exact=False, depth=depth)

    return scan


def _depths(scan: Scan, truth: BatchHits, limit: int, rows: Rows, tried: tuple[int, ...]) -> Points:
    return until_enough((depth, mean_recall(truth, scan(limit, rows, depth=depth))) for depth in tried)


def _best_ahead(timed: Callable[[int], float], usual: int) -> int:
    """Of AHEAD_TRIED the distance that takes least time, if that is clearly less than the usual one takes."""
    seconds = {ahead: timed(ahead) for ahead in (usual, *AHEAD_TRIED)}
    best = min(seconds, key=lambda ahead: seconds[ahead])
    return best if seconds[best] < WORTHWHILE * seconds[usual] else usual
