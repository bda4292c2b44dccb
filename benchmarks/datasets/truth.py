"""Finds exact answers, and says how many of an engine's answers are among them.

Blocks of base rows are compared with all queries by one matrix product in float32; a margin of candidates is then
ranked in float64, so that the cancellation in |a|^2 - 2ab + |b|^2 costs no true neighbour.
Promises: ties are no misses: an answer counts when it is as near as the k-th true one (ann-benchmarks' definition,
Aumueller et al., 2020, section 2.1, its epsilon of 0.001). Exact answers are kept by the digest of the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.store import Dataset, cache_root
from benchmarks.engines.protocol import Labels, Matrix

BLOCK_ROWS: Final = 8_192
MARGIN: Final = 32
"""Candidates beyond k that are ranked in float64."""

EPSILON: Final = 1e-3


def true_distances(dataset: Dataset, k: int, cache: Path | None = None) -> Matrix:
    """Distances (q, k) of the k true neighbours of each query, ascending: 1 - cos, -<a, b>, or the rooted l2."""
    if not 0 < k <= len(dataset.base):
        raise ValueError(f"k is {k}; there are {len(dataset.base)} base rows")
    place = cache_root(cache) / "truth" / f"{dataset.digest}-{k}.npy"
    if place.exists():
        kept: Matrix = np.load(place, allow_pickle=False)
        return kept
    found = _exact(dataset, k)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.partial.npy")
    np.save(partial, found)
    partial.replace(place)
    return found


def _exact(dataset: Dataset, k: int) -> Matrix:
    """The search itself: a running list of the best candidates of each query."""
    # Near their mean, rows lose the fewest digits in |a|^2 - 2ab + |b|^2; inner products have no such freedom.
    center = np.asarray(dataset.base[:BLOCK_ROWS], dtype=np.float64).mean(axis=0).astype(np.float32)
    center *= dataset.metric == "l2"
    queries = np.ascontiguousarray(dataset.queries - center)
    wanted = min(k + MARGIN, len(dataset.base))
    rows: Labels = np.empty((len(queries), 0), dtype=np.int64)
    keys: Matrix = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(dataset.base), BLOCK_ROWS):
        block = np.asarray(dataset.base[start : start + BLOCK_ROWS]) - center
        near = _keys(dataset.metric, queries, block)
        numbers = np.broadcast_to(np.arange(start, start + len(block)), near.shape)
        rows, keys = _best(np.hstack([rows, numbers]), np.hstack([keys, near]), wanted)
    distances = np.sort(distances_to(dataset, rows), axis=1)[:, :k]
    return np.ascontiguousarray(distances.astype(np.float32))


def _keys(metric: str, queries: Matrix, block: Matrix) -> Matrix:
    """Numbers that order a block's rows as their distances to each query do."""
    keys: Matrix = -(queries @ block.T)
    if metric == "l2":
        keys *= 2
        keys += np.square(block).sum(axis=1)
    return keys


def _best(rows: Labels, keys: Matrix, wanted: int) -> tuple[Labels, Matrix]:
    if rows.shape[1] <= wanted:
        return rows, keys
    chosen = np.argpartition(keys, wanted - 1, axis=1)[:, :wanted]
    return np.take_along_axis(rows, chosen, axis=1), np.take_along_axis(keys, chosen, axis=1)


def distances_to(dataset: Dataset, labels: Labels) -> npt.NDArray[np.float64]:
    """Distances (q, k) of the rows that `labels` (q, k) name; infinity for -1 and for numbers of no row."""
    found = np.full(labels.shape, np.inf)
    for number, (query, row) in enumerate(zip(dataset.queries.astype(np.float64), labels, strict=True)):
        known = np.flatnonzero((row >= 0) & (row < len(dataset.base)))
        near = dataset.base[row[known]].astype(np.float64)
        if dataset.metric == "l2":
            found[number, known] = np.sqrt(np.square(near - query).sum(axis=1))
        else:
            found[number, known] = (1.0 if dataset.metric == "cosine" else 0.0) - near @ query
    return found


def recall(dataset: Dataset, bounds: Matrix, labels: Labels) -> float:
    """Share of the k true neighbours found: rows in `labels` (q, k) at most as far as the k-th; each counts once."""
    once = _without_repetitions(labels)
    distances = distances_to(dataset, once)
    last = bounds[:, -1:].astype(np.float64)
    hits = (distances <= last + EPSILON * np.abs(last)).sum(axis=1)
    return float(np.minimum(hits, bounds.shape[1]).mean() / bounds.shape[1])


def _without_repetitions(labels: Labels) -> Labels:
    """The labels with every repetition in a row made -1."""
    order = np.argsort(labels, axis=1, kind="stable")
    ordered = np.take_along_axis(labels, order, axis=1)
    repeated = np.zeros(labels.shape, dtype=np.bool_)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    once = labels.copy()
    np.put_along_axis(once, order, np.where(repeated, -1, ordered), axis=1)
    return once
