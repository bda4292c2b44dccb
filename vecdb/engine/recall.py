"""Measures recall of the live index against exact search.

Queries are stored vectors, drawn with a seed, that neither answer may hold. Their rows are taken out of the graphs for
that, a few hundred at a time (see `index.taken_out`), so that they are what queries from outside are. Rows of upper
levels cannot be taken out; they are not drawn.

Promises: the collection is not changed. The interval is to hold, 95 times in 100, the recall of queries that come from
where the records come from; others may find less.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecdb.engine import bitmap
from vecdb.engine.effort import SearchEffort
from vecdb.engine.interruption import pieces
from vecdb.engine.search import search_field_batch
from vecdb.index.search import NO_SLOT
from vecdb.index.taken_out import draw_rows, have_twins, without_rows
from vecdb.types import FloatArray, RecallReport

if TYPE_CHECKING:
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import FieldView, SegmentView

TAKEN_TOGETHER = 256
"""Records taken out at a time: some 20 MB of rows are then copied."""

TAKEN_SHARE = 0.05
"""Most of the records, so that what is left is searched as all of them are."""

MISSES_DOUBT = 0.1
"""Share of the misses by which taking rows out is off: .1 where all of 24 dimensions are alike, .03 in other data."""

NONE_FOUND = np.zeros(0, dtype=np.float32)

NORMAL_95 = 1.96
"""Two-sided 95 % quantile of the normal distribution."""


def measure_field_recall(
    field: FieldView, k: int, sample: int, effort: SearchEffort, seed: int, threads: int
) -> RecallReport:
    """Search for `sample` stored vectors, approximately and exactly, and compare by distance: ties are no miss."""
    slots = _sample_slots(field, sample, seed)
    most = max(min(TAKEN_TOGETHER, int(TAKEN_SHARE * field.live)), 1)
    shares: list[float] = []
    for start in range(0, len(slots), most):
        shares += _shares_of(field, np.sort(slots[start : start + most]), k, effort, threads)
    recall = float(np.mean(shares)) if shares else 1.0
    low, high = _interval(recall, shares)
    return RecallReport(
        recall=recall,
        low=low,
        high=high,
        k=k,
        sample=len(slots),
        ef=effort.ef,
        target_recall=None if effort.ef is not None else effort.target_recall,
    )


def _shares_of(field: FieldView, slots: Slots, k: int, effort: SearchEffort, threads: int) -> list[float]:
    """Share of the true hits that each of these records finds, with those taken out that can be.

    Queries that have no true hit are left out.
    """
    queries = field.vectors_of(slots)[1].astype(np.float32)
    gone, segments = _taken_out(field, slots, threads)
    thorough = SearchEffort(exact=True, ef=None, target_recall=1.0)
    truth = _distances(field.killed(slots[gone]), queries, slots, k, thorough, threads, slots)
    graphs, found = replace(field, segments=segments), [NONE_FOUND] * len(slots)
    # A record with a twin is walked through, for its twin would lie there, and struck from the hits.
    for mine, skips, more in ((gone, slots, 0), (~gone, np.full_like(slots, NO_SLOT), 1)):
        hits = _distances(graphs, queries[mine], skips[mine], k + more, effort, threads, slots[mine])
        for number, distances in zip(np.flatnonzero(mine), hits, strict=True):
            found[number] = distances[:k]
    return [
        min(int((got <= wanted[-1] + _tolerance(wanted)).sum()), len(wanted)) / len(wanted)
        for wanted, got in zip(truth, found, strict=True)
        if len(wanted)
    ]


def _taken_out(field: FieldView, slots: Slots, threads: int) -> tuple[npt.NDArray[np.bool_], tuple[SegmentView, ...]]:
    """Which records are taken out, all that are in segments and have no twin there, and the segments without them."""
    gone, segments = np.zeros(len(slots), dtype=np.bool_), []
    for view in field.segments:
        rows = view.slot_map.find(slots)
        here = np.flatnonzero(rows >= 0)
        here = here[~have_twins(view.segment, rows[here])]
        gone[here] = True
        segments.append(replace(view, segment=without_rows(view.segment, rows[here], threads)))
    return gone, tuple(segments)


def _distances(
    field: FieldView, queries: FloatArray, skips: Slots, k: int, effort: SearchEffort, threads: int, own: Slots
) -> list[FloatArray]:
    """Distances of the hits of each query but for the record `own`; that of `skips` is not even walked through."""
    found: list[FloatArray] = []
    for part in pieces(queries, exact=effort.exact):
        first = len(found)
        batch = search_field_batch(field, part, k, effort, threads, skips[first : first + len(part)])
        for hits in map(batch.of, range(len(part))):
            found.append(hits.distances[hits.slots != own[len(found)]])
    return found


def _sample_slots(field: FieldView, sample: int, seed: int) -> Slots:
    """Live records in an order of chance, those of each segment as `draw_rows` draws them."""
    random = np.random.default_rng(seed)
    tail = field.tail.all_slots()[field.tail.live_rows()]
    live = np.array([*(view.live for view in field.segments), len(tail)], dtype=np.int64)
    counts = random.multivariate_hypergeometric(live, min(sample, int(live.sum())))
    drawn = [random.choice(tail, counts[-1], replace=False)]
    for view, count in zip(field.segments, counts[:-1], strict=True):
        among = None if view.dead is None else ~bitmap.test_bits(view.dead, np.arange(view.entry.rows))
        drawn.append(view.slot_map.slots[draw_rows(view.segment, int(count), random, among)])
    return random.permutation(np.concatenate(drawn))


def _tolerance(truth: FloatArray) -> float:
    """Rounding of float32 distances: a tie broken the other way is not a miss. As small as they are: were it 1e-6 for
    all, vectors a millionth long would never be missed.
    """
    return 1e-6 * abs(float(truth[-1]))


def _interval(recall: float, shares: list[float]) -> tuple[float, float]:
    """Normal interval over queries (independent, as hits of one query are not), and what the method may be off.

    One more query with nothing found is reckoned with below, and one with everything above: of what happens to one
    query in a hundred, a few hundred tell little.
    """
    doubt = MISSES_DOUBT * (1.0 - recall)
    worse, better = np.array([*shares, 0.0]), np.array([*shares, 1.0])
    low, high = float(worse.mean()) - _half(worse, doubt), float(better.mean()) + _half(better, doubt)
    return max(0.0, low), min(1.0, high)


def _half(shares: FloatArray, doubt: float) -> float:
    spread = NORMAL_95 * float(np.std(shares, ddof=1)) / len(shares) ** 0.5 if len(shares) > 1 else 1.0
    return float(np.hypot(spread, doubt))
