"""Measures how recall grows with `ef` on a segment, so that searches can ask for a recall instead of an effort.

Promises: recall is deterministic for a seed; the times are not. Rows of the segment are the queries, each left out of
its own answer, so the figure estimates recall on unseen queries of the same kind.
Concurrency: pure; one thread.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vecdb.config import CURVE_SAMPLE_DEFAULT
from vecdb.index.filtered import scan_rows
from vecdb.index.measuring import best_of, least_seconds, mean_recall, until_enough
from vecdb.index.recall_curve import Points, RecallCurve
from vecdb.index.scan_depths import measure_scans
from vecdb.index.search import BatchHits, scan_segment_batch, search_segment_batch
from vecdb.index.segment import Segment
from vecdb.types import FloatArray

__all__ = ["RecallCurve", "mean_recall", "measure_curve"]

EFFORTS_10: Final = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640)
EFFORTS_100: Final = (100, 140, 200, 280, 400, 560, 800)
TRIVIAL: Final = RecallCurve(((10, 1.0),), ((100, 1.0),))
"""Of a segment in which there is nothing to miss."""

WALK_TARGETS: Final = (0.9, 0.95, 0.98)
"""Recalls at which the two ways to search packed rows are compared."""

TIMED_QUERIES: Final = 50
TIMED_ROWS: Final = 2_000
TIMED_EF: Final = 100
"""What is timed for the planner of filtered searches: about 30 ms in all at 384 dimensions."""


def measure_curve(segment: Segment, sample: int = CURVE_SAMPLE_DEFAULT, seed: int = 0, threads: int = 1) -> RecallCurve:
    """Recall@10 and @100 over ef, on `sample` rows of the segment. Cost: an exact scan of them, and the searches."""
    if segment.rows < 2:
        return TRIVIAL
    return _curve(segment, _draw(segment, sample, seed, threads), threads)


class _Sample(NamedTuple):
    """Rows of a segment (n,), their vectors, and the hits of each, itself left out."""

    rows: npt.NDArray[np.int64]
    queries: FloatArray
    truth: BatchHits


def _draw(segment: Segment, sample: int, seed: int, threads: int) -> _Sample:
    count = min(sample, segment.rows)
    rows = np.sort(np.random.default_rng(seed).choice(segment.rows, count, replace=False)).astype(np.int64)
    queries = read_rows(segment, rows)
    return _Sample(rows, queries, scan_segment_batch(segment, queries, 100, None, threads, rows))


def _curve(segment: Segment, drawn: _Sample, threads: int) -> RecallCurve:
    rows, queries, truth = drawn
    at_10 = _measure(segment, queries, rows, best_of(truth, 10), 10, EFFORTS_10, threads)
    at_100 = _measure(segment, queries, rows, truth, 100, EFFORTS_100, threads)
    curve = RecallCurve(at_10, at_100, *measure_times(segment, queries))
    return measure_scans(curve, segment, queries, rows)


def measure_walks(segment: Segment, sample: int = CURVE_SAMPLE_DEFAULT, seed: int = 0) -> tuple[RecallCurve, bool]:
    """The curve of the quicker way to search a segment, and whether that is by codes although its rows are packed.

    Signs tell less the more evenly data fill their space: 30,000 Gaussian rows of 64 independent components take more
    than twice the time by signs that they take by codes, while sentence embeddings take less than half. Where both take
    about as long, chance decides, so two builds of the same rows may differ in this; it is stored with the segment.
    """
    if segment.packed is None or segment.rows < 2:
        return measure_curve(segment, sample, seed), False
    drawn = _draw(segment, sample, seed, 1)
    curve, by_codes = _curve(segment, drawn, 1), _curve(replace(segment, by_codes=True), drawn, 1)
    if _time_for(by_codes) < _time_for(curve):
        return by_codes, True
    return curve, False


def _time_for(curve: RecallCurve) -> float:
    return sum(curve.key_ns * curve.ef_for(target, 10) for target in WALK_TARGETS)


def measure_times(segment: Segment, queries: FloatArray) -> tuple[float, float]:
    """Nanoseconds for each candidate of a search's pool, and for each given row compared by its codes.

    The least of a few passes: noise of the machine only ever adds to a time.
    """
    queries = queries[:TIMED_QUERIES]
    # Ascending, as a filter gives them: memory is then read in one direction, which costs a third less.
    rows = np.sort(np.random.default_rng(0).integers(0, segment.rows, TIMED_ROWS)).astype(np.int32)
    padded = segment.quantizer.padded
    walk = least_seconds(lambda: search_segment_batch(segment, queries, 10, TIMED_EF))
    scan = least_seconds(lambda: scan_rows(segment.plan, padded, queries, 10, rows, exact=False))
    candidates = len(queries) * min(TIMED_EF, segment.rows)
    return 1e9 * walk / candidates, 1e9 * scan / (len(queries) * TIMED_ROWS)


def _measure(
    segment: Segment,
    queries: FloatArray,
    rows: npt.NDArray[np.int64],
    truth: BatchHits,
    limit: int,
    efforts: tuple[int, ...],
    threads: int,
) -> Points:
    return until_enough(
        (ef, mean_recall(truth, search_segment_batch(segment, queries, limit, ef, None, threads, rows)))
        for ef in efforts
    )


def read_rows(segment: Segment, rows: npt.NDArray[np.int64]) -> FloatArray:
    """Copies of vectors of a segment, (len(rows), dim) float32."""
    kind: Any = np.dtype(segment.dtype)
    column = segment.vectors
    vectors = np.empty((len(rows), segment.dim), dtype=np.float32)
    for number, row in enumerate(rows):
        vectors[number] = column.read_row(int(row), kind)
    return vectors
