"""Measures recall and time of searches: what calibration is made of.

Promises: recall is deterministic, times are not; the least of a few passes is taken, for noise of the machine only ever
adds to a time. Concurrency: pure functions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from vecdb.index.recall_curve import Points
from vecdb.index.search import BatchHits

RECALL_ENOUGH: Final = 0.9995
"""Efforts beyond this recall are not measured."""

TIMED_PASSES: Final = 3


def until_enough(measured: Iterable[tuple[int, float]], enough: float = RECALL_ENOUGH) -> Points:
    """Points up to the first whose recall is enough."""
    points: list[tuple[int, float]] = []
    for point in measured:
        points.append(point)
        if point[1] >= enough:
            break
    return tuple(points)


def least_seconds(call: Callable[[], object]) -> float:
    """Seconds that a call takes: the least of TIMED_PASSES."""
    times = []
    for _ in range(TIMED_PASSES):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def mean_recall(truth: BatchHits, found: BatchHits) -> float:
    """Mean share of the true hits found, a hit as near as the farthest true one counting as true (ties)."""
    total = 0.0
    for index, count in enumerate(truth.counts):
        if count == 0:
            total += 1.0
            continue
        bound = truth.distances[index, count - 1]
        bound = bound + 1e-6 * abs(bound)
        total += min(float((found.of(index).distances <= bound).sum()) / float(count), 1.0)
    return total / max(len(truth.counts), 1)


def best_of(hits: BatchHits, limit: int) -> BatchHits:
    """The hits with at most `limit` of each query."""
    counts = np.minimum(hits.counts, limit).astype(np.int32)
    return BatchHits(hits.slots[:, :limit], hits.distances[:, :limit], hits.rows[:, :limit], counts)


def without_hits(hits: BatchHits, gone: npt.NDArray[np.int64]) -> BatchHits:
    """The hits without those that are rows of `gone`: (n,) for all queries, or (q, n)."""
    struck = np.isin(hits.rows, gone) if gone.ndim == 1 else (hits.rows[:, :, None] == gone[:, None, :]).any(axis=2)
    order = np.argsort(struck | (hits.rows < 0), axis=1, kind="stable")
    return BatchHits(
        np.take_along_axis(hits.slots, order, axis=1),
        np.take_along_axis(hits.distances, order, axis=1),
        np.take_along_axis(hits.rows, order, axis=1),
        hits.counts - struck.sum(axis=1, dtype=np.int32),
    )
