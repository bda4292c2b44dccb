"""Measures how recall grows with `ef` on a segment, so that searches can ask for a recall instead of an effort.

Rows of the segment are the queries, taken out of its graph (see `taken_out`): passed over only, they leave gaps, and
would find less than queries do that never were in it.

Promises: recall is deterministic for a seed; the times are not. The figure estimates recall on unseen queries of the
same kind.
Concurrency: pure; `threads` workers search, one measures times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from vecdb.config import CURVE_SAMPLE_DEFAULT
from vecdb.index.config import FURTHER_ROWS_MIN
from vecdb.index.filtered import scan_rows
from vecdb.index.measuring import best_of, least_seconds, mean_recall, until_enough, without_hits
from vecdb.index.recall_curve import Points, RecallCurve
from vecdb.index.scan_times import measure_scans
from vecdb.index.search import BatchHits, empty_hits, scan_segment_batch, search_segment_batch
from vecdb.index.segment import Segment
from vecdb.index.taken_out import Rows, draw_rows, have_twins, without_rows
from vecdb.types import FloatArray

__all__ = ["RecallCurve", "mean_recall", "measure_curve"]

EFFORTS_10: Final = (
    *(10, 12, 14, 16, 17, 20, 24, 25, 32, 33, 40, 41, 48, 49),
    *(56, 80, 112, 128, 144, 160, 224, 320, 448, 640),
)
"""A walk by estimates keeps a multiple of 8 of them: 25 finds .02 more than 24 where 24 finds .9. From 108 on more
candidates are ranked (`scratch.GREAT_EFFORT`), and recall among nearly equal rows rises steeply."""

EFFORTS_100: Final = (100, 140, 200, 280, 400, 560, 800)
EFFORTS_ASKED: Final = (*EFFORTS_10, 900, 1_280, 1_800, 2_560)
"""Queries unlike the rows may need several times the effort."""

ENOUGH_ASKED: Final = 0.995
"""Recall up to which such queries are measured: with the largest efforts they take most of the time."""

TRIVIAL: Final = RecallCurve(((10, 1.0),), ((100, 1.0),))
"""Of a segment in which there is nothing to miss."""

WALK_TARGETS: Final = (0.9, 0.95, 0.98)
"""Recalls at which the two ways to search packed rows are compared."""

FURTHER_SAMPLE: Final = 1_000
"""With 200 others: a standard error of .0035 at recall .9 instead of .008, where .01 is promised."""

FURTHER_SHARE: Final = 32
"""Of so many rows one is a further query at most: measuring takes no larger part of the time in small segments."""

DRAWN_SHARE: Final = 10
"""Of so many rows one is drawn at most: with all of them gone, what is left would be searched more easily."""

FURTHER_EF: Final = 448
"""What further queries are compared with, in place of a scan: the answers of a search with this effort. It tells
efforts up to half of its own."""

SCANNED: Final = 115
"""Hits scanned for, of which about 100 are left without the rows that are taken out."""

FURTHER_RECALLS: Final = (0.8, 0.998)
"""Where a curve is measured further."""

TIMED_QUERIES: Final = 50
TIMED_ROWS: Final = 2_000
TIMED_EF: Final = 100
"""What is timed for the planner of filtered searches: about 30 ms in all at 384 dimensions."""


class _Sample(NamedTuple):
    """Rows of a segment (n,), as queries: their vectors, the row that each passes over (-1: none), and their hits.

    Only the share `known` of the true hits is among these.
    """

    rows: Rows
    queries: FloatArray
    skips: Rows
    truth: BatchHits
    known: float


def measure_curve(segment: Segment, sample: int = CURVE_SAMPLE_DEFAULT, seed: int = 0, threads: int = 1) -> RecallCurve:
    """Recall@10 and @100 over ef, on `sample` rows of the segment. Cost: an exact scan of them, and the searches."""
    if segment.rows < 2:
        return TRIVIAL
    scanned = _draw(segment, sample, 0, seed, threads)[0]
    return _measured(segment, scanned, None, measure_times(segment, scanned.queries), threads)


def measure_walks(
    segment: Segment, sample: int = CURVE_SAMPLE_DEFAULT, seed: int = 0, threads: int = 1
) -> tuple[RecallCurve, bool]:
    """The curve of the quicker way to search a segment, and whether that is by codes although its rows are packed.

    Signs tell less the more evenly data fill their space: Gaussian rows of 150 independent components or more, which
    are not checked by their codes, take longer by signs, while sentence embeddings take less than half. Where both take
    about as long, chance decides, so two builds of the same rows may differ in this; it is stored with the segment.
    """
    if segment.rows < 2:
        return TRIVIAL, False
    further = min(FURTHER_SAMPLE, segment.rows // FURTHER_SHARE) if segment.rows >= FURTHER_ROWS_MIN else 0
    scanned, others = _draw(segment, sample, further, seed, threads)
    times, by_codes = measure_times(segment, scanned.queries), False
    if segment.packed is not None:
        coded = replace(segment, by_codes=True)
        its_times = measure_times(coded, scanned.queries)
        by_codes = _time_for(coded, scanned, its_times, threads) < _time_for(segment, scanned, times, threads)
        segment, times = (coded, its_times) if by_codes else (segment, times)
    return _measured(segment, scanned, others, times, threads), by_codes


def measure_asked(segment: Segment, curve: RecallCurve, queries: FloatArray, threads: int = 1) -> RecallCurve:
    """`curve` with the recall of these queries (n, dim) in place of rows. Cost: an exact scan, and the searches."""
    if segment.rows < 2:
        return replace(curve, queries=len(queries))
    few = queries[:: -(-len(queries) // CURVE_SAMPLE_DEFAULT)]  # of 100 hits each, which tell as much

    def points(asked: FloatArray, limit: int, efforts: tuple[int, ...]) -> Points:
        truth = scan_segment_batch(segment, asked, limit, None, threads)
        found = ((ef, search_segment_batch(segment, asked, limit, ef, None, threads)) for ef in efforts)
        return until_enough(((ef, mean_recall(truth, hits)) for ef, hits in found), ENOUGH_ASKED)

    at_10, at_100 = points(queries, 10, EFFORTS_ASKED), points(few, 100, EFFORTS_100)
    return replace(curve, at_10=at_10, at_100=at_100, queries=len(queries))


def _draw(segment: Segment, sample: int, further: int, seed: int, threads: int) -> tuple[_Sample, _Sample | None]:
    """`sample` rows that are scanned for, SCANNED hits deep, and `further` ones whose hits are not known yet."""
    most = max(segment.rows // DRAWN_SHARE, 1)
    rows = draw_rows(segment, min(sample + further, most), np.random.default_rng(seed))
    scanned = _asked(segment, rows[:sample])
    hits = scan_segment_batch(segment, scanned.queries, SCANNED, None, threads, scanned.rows)
    return scanned._replace(truth=hits), _asked(segment, rows[sample:]) if len(rows) > sample else None


def _asked(segment: Segment, rows: Rows) -> _Sample:
    """Rows as queries whose hits are not known yet. A row with a twin is walked through: its twin would lie there."""
    rows = np.sort(rows)
    skips = np.where(have_twins(segment, rows), -1, rows)
    return _Sample(rows, read_rows(segment, rows), skips, empty_hits(len(rows), 0), 1.0)


def _search(segment: Segment, one: _Sample, limit: int, ef: int, threads: int) -> BatchHits:
    """The hits of each row but itself."""
    if (one.skips >= 0).all():
        return search_segment_batch(segment, one.queries, limit, ef, None, threads, one.skips)
    hits = search_segment_batch(segment, one.queries, limit + 1, ef, None, threads, one.skips)
    return best_of(without_hits(hits, one.rows[:, None]), limit)


def _recall(segment: Segment, one: _Sample, limit: int, ef: int, threads: int) -> float:
    return one.known * mean_recall(best_of(one.truth, limit), _search(segment, one, limit, ef, threads))


def _measured(
    segment: Segment, scanned: _Sample, others: _Sample | None, times: tuple[float, float], threads: int
) -> RecallCurve:
    """The curve of a segment that the rows drawn were taken out of, and what scans take."""
    drawn = [scanned] if others is None else [scanned, others]
    gone = np.concatenate([one.skips for one in drawn])
    gone = gone[gone >= 0]
    without = without_rows(segment, gone, threads)
    scanned = scanned._replace(truth=without_hits(scanned.truth, gone))
    if others is not None:
        # How much of the truth a thorough search finds, the rows tell that were scanned for.
        known = _recall(without, scanned, 10, FURTHER_EF, threads)
        others = others._replace(truth=_search(without, others, 10, FURTHER_EF, threads), known=known)

    def at_10(ef: int) -> float:
        recall = _recall(without, scanned, 10, ef, threads)
        if others is None or ef > FURTHER_EF // 2 or not FURTHER_RECALLS[0] <= recall <= FURTHER_RECALLS[1]:
            return recall
        more = _recall(without, others, 10, ef, threads)
        return (len(scanned.rows) * recall + len(others.rows) * more) / (len(scanned.rows) + len(others.rows))

    curve = RecallCurve(
        until_enough((ef, at_10(ef)) for ef in EFFORTS_10),
        until_enough((ef, _recall(without, scanned, 100, ef, threads)) for ef in EFFORTS_100),
        *times,
    )
    return measure_scans(curve, segment, scanned.queries)


def _time_for(segment: Segment, scanned: _Sample, times: tuple[float, float], threads: int) -> float:
    """What searches for WALK_TARGETS take, as far as rows tell it that are passed over."""
    points = []
    for ef in EFFORTS_10:
        points.append((ef, _recall(segment, scanned, 10, ef, threads)))
        if points[-1][1] >= WALK_TARGETS[-1]:
            break
    curve = RecallCurve(tuple(points), ())
    return sum(times[0] * curve.ef_for(target, 10) for target in WALK_TARGETS)


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


def read_rows(segment: Segment, rows: Rows) -> FloatArray:
    """Copies of vectors of a segment, (len(rows), dim) float32."""
    kind: Any = np.dtype(segment.dtype)
    column = segment.vectors
    vectors = np.empty((len(rows), segment.dim), dtype=np.float32)
    for number, row in enumerate(rows):
        vectors[number] = column.read_row(int(row), kind)
    return vectors
