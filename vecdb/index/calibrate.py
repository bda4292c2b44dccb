"""Measures how recall grows with `ef` on a segment, so that searches can ask for a recall instead of an effort.

Rows of the segment are the queries, each passed over by its own search. That finds less than queries do that never were
in the graph, for a row leaves a gap where it is passed over. How much less, some of the rows tell, which are measured
once more in a graph that they are taken out of (see `taken_out`): it takes longer to make than all others to measure.

Promises: recall is deterministic for a seed; the times are not. The figure estimates recall on unseen queries of the
same kind.
Concurrency: pure; `threads` workers search, one measures times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from vecdb.config import CURVE_SAMPLE_DEFAULT
from vecdb.index.config import FURTHER_ROWS_MIN
from vecdb.index.filtered import scan_rows
from vecdb.index.measuring import best_of, least_seconds, mean_recall, until_enough, without_hits
from vecdb.index.recall_curve import RecallCurve
from vecdb.index.scan_times import measure_scans
from vecdb.index.search import BatchHits, empty_hits, scan_segment_batch, search_segment_batch
from vecdb.index.segment import Segment
from vecdb.index.taken_out import Rows, draw_rows, have_twins, without_rows
from vecdb.types import FloatArray

__all__ = ["RecallCurve", "mean_recall", "measure_curve"]

EFFORTS_10: Final = (10, 12, 14, 16, 17, 20, 24, 25, 32, 33, 40, 41, 48, 49, 56, 80, 112, 160, 224, 320, 448, 640)
"""A walk by estimates keeps a multiple of 8 of them: 25 finds .02 more than 24 where 24 finds .9."""

EFFORTS_100: Final = (100, 140, 200, 280, 400, 560, 800)
TRIVIAL: Final = RecallCurve(((10, 1.0),), ((100, 1.0),))
"""Of a segment in which there is nothing to miss."""

WALK_TARGETS: Final = (0.9, 0.95, 0.98)
"""Recalls at which the two ways to search packed rows are compared."""

FURTHER_SAMPLE: Final = 1_000
"""With 200 others: a standard error of .0035 at recall .9 instead of .008, where .01 is promised."""

FURTHER_SHARE: Final = 32
"""Of so many rows one is a further query at most: measuring takes no larger part of the time in small segments."""

TAKEN_SHARE: Final = 64
TAKEN: Final = (32, 400)
"""Of so many rows one is taken out, no fewer and no more than these. What that changes differs less from query to query
than recall does, so fewer tell it."""

DRAWN_SHARE: Final = 5
"""Of so many rows one is drawn at most: with all of them gone, what is left would be searched more easily."""

FURTHER_EF: Final = 448
"""What further queries are compared with, in place of a scan: the answers of a search with this effort. It tells
efforts up to half of its own."""

SCANNED: Final = 110
FURTHER_HITS: Final = 16
"""Hits kept of rows drawn, so that 100 and 10 are left without those that are taken out: of 64 rows one is at most."""

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


class _Pair(NamedTuple):
    """Rows that are taken out too, and others."""

    taken: _Sample
    others: _Sample


class _Draw(NamedTuple):
    """Rows drawn from a segment: those scanned for, 100 hits deep, and further ones."""

    scanned: _Pair
    further: _Pair | None

    @property
    def pairs(self) -> list[_Pair]:
        """All there are."""
        return [self.scanned] if self.further is None else [self.scanned, self.further]

    @property
    def queries(self) -> FloatArray:
        """Those scanned for."""
        return np.concatenate([one.queries for one in self.scanned])


def measure_curve(segment: Segment, sample: int = CURVE_SAMPLE_DEFAULT, seed: int = 0, threads: int = 1) -> RecallCurve:
    """Recall@10 and @100 over ef, on `sample` rows of the segment. Cost: an exact scan of them, and the searches."""
    if segment.rows < 2:
        return TRIVIAL
    draw = _draw(segment, sample, 0, seed, threads)
    return measure_scans(_unseen(segment, _curve(segment, draw, threads), draw, threads), segment, draw.queries)


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
    draw = _draw(segment, sample, further, seed, threads)
    curve, by_codes = _curve(segment, draw, threads), False
    if segment.packed is not None:
        by_signs, other = curve, _curve(replace(segment, by_codes=True), draw, threads)
        if _time_for(other) < _time_for(by_signs):
            segment, curve, by_codes = replace(segment, by_codes=True), other, True
    return measure_scans(_unseen(segment, curve, draw, threads), segment, draw.queries), by_codes


def _draw(segment: Segment, sample: int, further: int, seed: int, threads: int) -> _Draw:
    """`sample` rows that are scanned for, and `further` ones that are searched for thoroughly."""
    most = max(segment.rows // DRAWN_SHARE, 1)
    rows = draw_rows(segment, min(sample + further, most), np.random.default_rng(seed))
    count = min(sample, len(rows))
    taken, further = min(max(segment.rows // TAKEN_SHARE, TAKEN[0]), TAKEN[1]), len(rows) - count
    asked = _asked(segment, np.split(rows[:count], [taken // 2 if further else taken]))
    truth = [scan_segment_batch(segment, one.queries, SCANNED, None, threads, one.rows) for one in asked]
    pair = _Pair(*(one._replace(truth=hits) for one, hits in zip(asked, truth, strict=True)))
    if not further:
        return _Draw(pair, None)
    # How much of the truth a thorough search finds, the rows tell that were scanned for.
    known = _recall(segment, pair, 10, FURTHER_EF, threads)
    asked = _asked(segment, np.split(rows[count:], [taken // 2]))
    truth = [_search(segment, one, FURTHER_HITS, FURTHER_EF, threads) for one in asked]
    return _Draw(pair, _Pair(*(one._replace(truth=hits, known=known) for one, hits in zip(asked, truth, strict=True))))


def _asked(segment: Segment, parts: Sequence[Rows]) -> list[_Sample]:
    """Rows as queries whose hits are not known yet. A row with a twin is walked through: its twin would lie there."""
    samples = []
    for rows in map(np.sort, parts):
        skips = np.where(have_twins(segment, rows), -1, rows)
        samples.append(_Sample(rows, read_rows(segment, rows), skips, empty_hits(len(rows), 0), 1.0))
    return samples


def _search(segment: Segment, one: _Sample, limit: int, ef: int, threads: int) -> BatchHits:
    """The hits of each row but itself."""
    if (one.skips >= 0).all():
        return search_segment_batch(segment, one.queries, limit, ef, None, threads, one.skips)
    hits = search_segment_batch(segment, one.queries, limit + 1, ef, None, threads, one.skips)
    return best_of(without_hits(hits, one.rows[:, None]), limit)


def _missed(segment: Segment, one: _Sample, limit: int, ef: int, threads: int) -> float:
    """Share of the hits missed of each row, summed."""
    recall = one.known * mean_recall(best_of(one.truth, limit), _search(segment, one, limit, ef, threads))
    return len(one.rows) * (1.0 - recall)


def _recall(segment: Segment, pair: _Pair, limit: int, ef: int, threads: int) -> float:
    """Mean recall of all rows, passed over."""
    return 1.0 - sum(_missed(segment, one, limit, ef, threads) for one in pair) / sum(len(one.rows) for one in pair)


def _curve(segment: Segment, draw: _Draw, threads: int) -> RecallCurve:
    """The curve of the rows scanned for, passed over."""
    at_10, at_100 = (
        until_enough((ef, _recall(segment, draw.scanned, limit, ef, threads)) for ef in efforts)
        for limit, efforts in ((10, EFFORTS_10), (100, EFFORTS_100))
    )
    return RecallCurve(at_10, at_100, *measure_times(segment, draw.queries))


def _unseen(segment: Segment, curve: RecallCurve, draw: _Draw, threads: int) -> RecallCurve:
    """The curve as of queries that the graph never held, `at_10` by further ones where some were drawn."""
    gone = np.concatenate([pair.taken.skips for pair in draw.pairs])
    gone = gone[gone >= 0]
    without = without_rows(segment, gone, threads)
    changes = [_Change(pair, pair.taken._replace(truth=without_hits(pair.taken.truth, gone))) for pair in draw.pairs]
    at_10 = []
    for ef, recall in curve.at_10:
        telling = ef <= FURTHER_EF // 2 and FURTHER_RECALLS[0] <= recall <= FURTHER_RECALLS[1]
        at_10.append((ef, _recall_unseen(segment, without, changes if telling else changes[:1], 10, ef, threads)))
    at_100 = tuple((ef, _recall_unseen(segment, without, changes[:1], 100, ef, threads)) for ef, _ in curve.at_100)
    return replace(curve, at_10=tuple(at_10), at_100=at_100)


class _Change(NamedTuple):
    """A pair, and its first sample with what it is to find where all such rows are taken out."""

    pair: _Pair
    unseen: _Sample


def _recall_unseen(
    segment: Segment, without: Segment, changes: Sequence[_Change], limit: int, ef: int, threads: int
) -> float:
    """Recall of unseen queries: what misses shrink by when rows are taken out, some tell for all."""
    unseen = sum(_missed(without, change.unseen, limit, ef, threads) for change in changes)
    taken = sum(_missed(segment, change.pair.taken, limit, ef, threads) for change in changes)
    others = sum(_missed(segment, change.pair.others, limit, ef, threads) for change in changes)
    if taken == 0.0:
        return 1.0 - unseen / sum(len(change.unseen.rows) for change in changes)
    count = sum(len(one.rows) for change in changes for one in change.pair)
    return 1.0 - (taken + others) / count * unseen / taken


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


def read_rows(segment: Segment, rows: Rows) -> FloatArray:
    """Copies of vectors of a segment, (len(rows), dim) float32."""
    kind: Any = np.dtype(segment.dtype)
    column = segment.vectors
    vectors = np.empty((len(rows), segment.dim), dtype=np.float32)
    for number, row in enumerate(rows):
        vectors[number] = column.read_row(int(row), kind)
    return vectors
