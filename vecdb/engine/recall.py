"""Measures recall of the live index against exact search.

Promises: queries are stored vectors, drawn with a seed; the record itself is left out of both answers, and its row of
the graph is not entered. With the correction for the gap that it leaves there (`index.calibrate.gap_factor`), the
figure estimates that of queries that are not in the collection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vecdb.engine.effort import SearchEffort
from vecdb.engine.interruption import pieces
from vecdb.engine.search import search_field_batch
from vecdb.index.calibrate import gap_factor
from vecdb.types import FloatArray, RecallReport

if TYPE_CHECKING:
    from vecdb.engine.search import FieldHits
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import FieldView

GAP_DOUBT = 0.4
"""Share of the correction by `gap_factor` that may be wrong: by so much it was off in the data that it was made for."""

NORMAL_95 = 1.96
"""Two-sided 95 % quantile of the normal distribution (Wilson interval)."""


def measure_field_recall(
    field: FieldView, k: int, sample: int, effort: SearchEffort, seed: int, threads: int
) -> RecallReport:
    """Search for `sample` stored vectors, approximately and exactly, and compare by distance: ties are no miss."""
    slots = _sample_slots(field, sample, seed)
    queries = field.vectors_of(slots)[1].astype(np.float32)
    thorough = SearchEffort(exact=True, ef=None, target_recall=1.0)
    truth = [hits.distances for hits in _search(field, queries, k, thorough, threads, slots)]
    found = [hits.distances for hits in _search(field, queries, k, effort, threads, slots)]
    shares, stayed = _shares(truth, found), _shares(truth, _own_struck(field, queries, k, effort, threads, slots))
    gap = gap_factor(_mean(shares), _mean(stayed))
    unseen = [1.0 - (1.0 - share) * gap for share in shares]
    recall = _mean(unseen)
    low, high = _interval(recall, unseen, doubt=GAP_DOUBT * (recall - _mean(shares)))
    return RecallReport(
        recall=recall,
        low=low,
        high=high,
        k=k,
        sample=len(slots),
        ef=effort.ef,
        target_recall=None if effort.ef is not None else effort.target_recall,
    )


def _search(
    field: FieldView, queries: FloatArray, k: int, effort: SearchEffort, threads: int, slots: Slots
) -> list[FieldHits]:
    """The hits of each query but for the record that it comes from."""
    hits: list[FieldHits] = []
    for part in pieces(queries, exact=effort.exact):
        own = slots[len(hits) : len(hits) + len(part)]
        found = search_field_batch(field, part, k, effort, threads, own)
        hits += map(found.of, range(len(part)))
    return hits


def _own_struck(
    field: FieldView, queries: FloatArray, k: int, effort: SearchEffort, threads: int, slots: Slots
) -> list[FloatArray]:
    """Distances of the hits of each query, whose record is walked through and then struck from them."""
    found: list[FloatArray] = []
    for part in pieces(queries, exact=False):
        batch = search_field_batch(field, part, k + 1, effort, threads)
        for hits in map(batch.of, range(len(part))):
            found.append(hits.distances[hits.slots != slots[len(found)]][:k])
    return found


def _shares(truth: list[FloatArray], found: list[FloatArray]) -> list[float]:
    """Share of the true hits that each query found; queries that have none are left out."""
    return [
        min(int((got <= wanted[-1] + _tolerance(wanted)).sum()), len(wanted)) / len(wanted)
        for wanted, got in zip(truth, found, strict=True)
        if len(wanted)
    ]


def _mean(shares: list[float]) -> float:
    return float(np.mean(shares)) if shares else 1.0


def _sample_slots(field: FieldView, sample: int, seed: int) -> Slots:
    live = [view.slot_map.slots[view.live_rows()] for view in field.segments]
    live.append(field.tail.all_slots()[field.tail.live_rows()])
    slots = np.concatenate(live)
    chosen = np.random.default_rng(seed).choice(len(slots), size=min(sample, len(slots)), replace=False)
    return np.sort(slots[chosen])


def _tolerance(truth: FloatArray) -> float:
    """Rounding of float32 distances: a tie broken the other way is not a miss."""
    return 1e-6 * max(1.0, abs(float(truth[-1])))


def _interval(recall: float, shares: list[float], doubt: float) -> tuple[float, float]:
    """Normal interval over queries (independent, as hits of one query are not), and what a correction adds to it.

    Never narrower than for 0 misses.
    """
    count = len(shares)
    if count == 0:
        return 0.0, 1.0
    spread = NORMAL_95 * float(np.std(shares, ddof=1 if count > 1 else 0)) / count**0.5
    floor = NORMAL_95**2 / (count * 10 + NORMAL_95**2) / 2
    half = float(np.hypot(max(spread, floor), doubt))
    return max(0.0, recall - half), min(1.0, recall + half)
