"""Measures how recall grows with `ef` on a segment, so that searches can ask for a recall instead of an effort.

Promises: recall is deterministic for a seed; the times are not. Rows of the segment are the queries, each left out of
its own answer and of the graph, so the figure estimates recall on unseen queries of the same kind, once it is corrected
for the gap that a row leaves (`gap_factor`).
Concurrency: pure; one thread.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vecdb.config import CURVE_SAMPLE_DEFAULT
from vecdb.index.config import FURTHER_ROWS_MIN
from vecdb.index.filtered import scan_rows
from vecdb.index.measuring import best_of, least_seconds, mean_recall, until_enough
from vecdb.index.recall_curve import Points, RecallCurve
from vecdb.index.scan_times import measure_scans
from vecdb.index.search import BatchHits, scan_segment_batch, search_segment_batch
from vecdb.index.segment import Segment
from vecdb.types import FloatArray

__all__ = ["RecallCurve", "mean_recall", "measure_curve"]

EFFORTS_10: Final = (10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 80, 112, 160, 224, 320, 448, 640)
EFFORTS_100: Final = (100, 140, 200, 280, 400, 560, 800)
TRIVIAL: Final = RecallCurve(((10, 1.0),), ((100, 1.0),))
"""Of a segment in which there is nothing to miss."""

WALK_TARGETS: Final = (0.9, 0.95, 0.98)
"""Recalls at which the two ways to search packed rows are compared."""

GAP_WEIGHT: Final = 0.08
"""Of `gap_factor`. With rows held out of four kinds of data (50,000 each) it was .07 to .1 at recalls near .9."""

GAP_LEAST: Final = 0.05
"""Least ratio of misses believed, of a sample in which rows that stay miss nothing."""

GAP_RECALL: Final = 0.9
"""Where the two are compared."""

FURTHER_SAMPLE: Final = 1_000
"""With 200 others: a standard error of .0035 at recall .9 instead of .008, where .01 is promised."""

FURTHER_EF: Final = 448
"""What further queries are compared with, in place of a scan: the answers of a search with this effort."""

FURTHER_RECALLS: Final = (0.8, 0.998)
"""Where a curve is measured further."""

TIMED_QUERIES: Final = 50
TIMED_ROWS: Final = 2_000
TIMED_EF: Final = 100
"""What is timed for the planner of filtered searches: about 30 ms in all at 384 dimensions."""


def measure_curve(segment: Segment, sample: int = CURVE_SAMPLE_DEFAULT, seed: int = 0, threads: int = 1) -> RecallCurve:
    """Recall@10 and @100 over ef, on `sample` rows of the segment. Cost: an exact scan of them, and the searches."""
    if segment.rows < 2:
        return TRIVIAL
    drawn = _draw(segment, sample, seed, threads)
    return measure_scans(_curve(segment, drawn, threads)[0], segment, drawn.queries)


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


def _curve(segment: Segment, drawn: _Sample, threads: int) -> tuple[RecallCurve, float]:
    """A curve and the `gap_factor` in it."""
    rows, queries, truth = drawn
    at_10 = _measure(segment, queries, rows, best_of(truth, 10), 10, EFFORTS_10, threads)
    at_100 = _measure(segment, queries, rows, truth, 100, EFFORTS_100, threads)
    gap = _gap(segment, drawn, at_10)
    return RecallCurve(_unseen(at_10, gap), _unseen(at_100, gap), *measure_times(segment, queries)), gap


def gap_factor(left_out: float, stayed: float) -> float:
    """What share of the misses of rows left out of a graph queries have that never were in it.

    A row that is left out leaves a gap: its neighbours had linked to it instead of to each other, so it is harder to
    find than a query around which the graph is whole. How much harder, the same rows tell when they stay in the graph
    and are only struck from the answers, which makes them as much easier as they matter there: `left_out` and `stayed`
    are the recalls both ways at one effort.
    """
    missed, easy = 1.0 - left_out, 1.0 - stayed
    return 1.0 if easy >= missed else exp(-GAP_WEIGHT * log(max(easy / missed, GAP_LEAST)) ** 2)


def _gap(segment: Segment, drawn: _Sample, at_10: Points) -> float:
    """`gap_factor` of a segment, at the effort where its recall is near GAP_RECALL."""
    rows, queries, truth = drawn
    ef, left_out = next((point for point in at_10 if point[1] >= GAP_RECALL), at_10[-1])
    hits = _without_own(search_segment_batch(segment, queries, 11, ef), rows)
    return gap_factor(left_out, mean_recall(best_of(truth, 10), hits))


def _unseen(points: Points, gap: float) -> Points:
    return tuple((ef, 1.0 - (1.0 - recall) * gap) for ef, recall in points)


def _without_own(hits: BatchHits, rows: npt.NDArray[np.int64]) -> BatchHits:
    """The hits of queries that are rows, without themselves."""
    distances = np.where(hits.rows == rows[:, None], np.inf, hits.distances).astype(np.float32)
    order = np.argsort(distances, axis=1, kind="stable")
    return BatchHits(
        np.take_along_axis(hits.slots, order, axis=1),
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(hits.rows, order, axis=1),
        np.isfinite(distances).sum(axis=1).astype(np.int32),
    )


def measure_walks(segment: Segment, sample: int = CURVE_SAMPLE_DEFAULT, seed: int = 0) -> tuple[RecallCurve, bool]:
    """The curve of the quicker way to search a segment, and whether that is by codes although its rows are packed.

    Signs tell less the more evenly data fill their space: Gaussian rows of 150 independent components or more, which
    are not checked by their codes, take longer by signs, while sentence embeddings take less than half. Where both take
    about as long, chance decides, so two builds of the same rows may differ in this; it is stored with the segment.
    """
    if segment.rows < 2:
        return TRIVIAL, False
    drawn = _draw(segment, sample, seed, 1)
    if segment.packed is None:
        return _refined(segment, *_curve(segment, drawn, 1), drawn, seed), False
    by_signs, other = _curve(segment, drawn, 1), _curve(replace(segment, by_codes=True), drawn, 1)
    if _time_for(other[0]) < _time_for(by_signs[0]):
        return _refined(replace(segment, by_codes=True), *other, drawn, seed), True
    return _refined(segment, *by_signs, drawn, seed), False


def _refined(segment: Segment, curve: RecallCurve, gap: float, drawn: _Sample, seed: int) -> RecallCurve:
    """The curve with what scans take, and, in a large segment, with `at_10` measured by FURTHER_SAMPLE more rows.

    They are compared with a thorough search; how much of the truth that finds, the rows tell that were scanned for.
    """
    curve = measure_scans(curve, segment, drawn.queries)
    if segment.rows < FURTHER_ROWS_MIN:
        return curve
    head, counted = best_of(drawn.truth, 10), len(drawn.rows)
    rows = np.random.default_rng((seed, 1)).choice(segment.rows, FURTHER_SAMPLE, replace=False).astype(np.int64)
    rows = np.sort(np.setdiff1d(rows, drawn.rows))
    queries = read_rows(segment, rows)
    thorough = search_segment_batch(segment, queries, 10, FURTHER_EF, None, 1, rows)
    found = mean_recall(head, search_segment_batch(segment, drawn.queries, 10, FURTHER_EF, None, 1, drawn.rows))
    points = []
    for ef, recall in curve.at_10:
        if FURTHER_RECALLS[0] <= recall <= FURTHER_RECALLS[1]:
            agreed = mean_recall(thorough, search_segment_batch(segment, queries, 10, ef, None, 1, rows))
            more = 1.0 - (1.0 - agreed * found) * gap
            recall = (counted * recall + len(rows) * more) / (counted + len(rows))  # noqa: PLW2901 - the mean of both
        points.append((ef, recall))
    return replace(curve, at_10=tuple(points))


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
