"""Finds exact answers, and says how many of an engine's answers are among them.

Blocks of base rows are compared with blocks of queries by one matrix product in float32; a margin of candidates is then
ranked in float64. Queries whose margin is narrower than what float32 may have lost, as the cancellation in
|a|^2 - 2ab + |b|^2 does to rows far from the others, are searched again in float64.
Promises: ties are no misses: an answer counts when it is as near as the k-th true one (ann-benchmarks' definition,
Aumueller et al., 2020, section 2.1, its epsilon of 0.001). Exact answers are kept by the digest of the data.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.store import Dataset, cache_root
from benchmarks.engines.protocol import Labels, Matrix

BLOCK_ROWS: Final = 8_192
BLOCK_QUERIES: Final = 1_000
"""With BLOCK_ROWS, what bounds memory: about 100 MB, by any number of queries."""

MARGIN: Final = 32
"""Candidates beyond k that are ranked in float64."""

EPSILON: Final = 1e-3


def true_distances(dataset: Dataset, k: int, cache: Path | None = None) -> Matrix:
    """Distances (q, k) of the k true neighbours of each query, ascending: 1 - cos, -<a, b>, or the rooted l2."""
    if not 0 < k <= len(dataset.base):
        raise ValueError(f"k is {k}; there are {len(dataset.base)} base rows")
    place = cache_root(cache) / "truth" / f"{dataset.digest}-{k}.npy"
    kept = _kept(place, (len(dataset.queries), k))
    if kept is not None:
        return kept
    found = _exact(dataset, k)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.stem}-{os.getpid()}.npy")
    try:
        np.save(partial, found)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
    return found


def _kept(place: Path, shape: tuple[int, int]) -> Matrix | None:
    """Exact answers of an earlier run; None when there are none, or a crash of the machine left half of them."""
    try:
        kept: Matrix = np.load(place, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return kept if kept.shape == shape else None


def _exact(dataset: Dataset, k: int) -> Matrix:
    """The k smallest distances of each query."""
    blocks = range(0, len(dataset.queries), BLOCK_QUERIES)
    found = [_exact_block(dataset, dataset.queries[start : start + BLOCK_QUERIES], k) for start in blocks]
    return np.vstack(found)


def _exact_block(dataset: Dataset, queries: Matrix, k: int) -> Matrix:
    rows, safe = _candidates(dataset, queries, k, np.dtype(np.float32))
    if not safe.all():
        rows[~safe] = _candidates(dataset, queries[~safe], k, np.dtype(np.float64))[0]
    distances = np.sort(_distances(dataset, queries, rows), axis=1)[:, :k]
    return np.ascontiguousarray(distances.astype(np.float32))


def _candidates(dataset: Dataset, queries: Matrix, k: int, kind: np.dtype[Any]) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """(rows (q, k + margin) nearest as `kind` sees it, whether the k nearest of each query are surely among them)."""
    # Near their mean, rows lose the fewest digits in |a|^2 - 2ab + |b|^2; inner products have no such freedom.
    center = np.asarray(dataset.base[:BLOCK_ROWS], dtype=np.float64).mean(axis=0) * (dataset.metric == "l2")
    near = np.ascontiguousarray((queries - center).astype(kind))
    wanted = min(k + MARGIN, len(dataset.base))
    rows: Labels = np.empty((len(near), 0), dtype=np.int64)
    keys: npt.NDArray[Any] = np.empty((len(near), 0), dtype=kind)
    longest = 0.0
    for start in range(0, len(dataset.base), BLOCK_ROWS):
        block = (dataset.base[start : start + BLOCK_ROWS] - center).astype(kind)
        squares = np.square(block).sum(axis=1)
        longest = max(longest, float(squares.max()) ** 0.5)
        of_block = _keys(dataset.metric, near, block, squares)
        chosen = _smallest(of_block, wanted)
        rows = np.hstack([rows, chosen + start])
        keys = np.hstack([keys, np.take_along_axis(of_block, chosen, axis=1)])
        best = _smallest(keys, wanted)
        rows, keys = np.take_along_axis(rows, best, axis=1), np.take_along_axis(keys, best, axis=1)
    if wanted == len(dataset.base):
        return rows, np.ones(len(rows), dtype=np.bool_)
    ordered = np.sort(keys, axis=1)
    lengths = np.linalg.norm(near, axis=1)
    # What d rounded products and sums may be off by (Higham 2002, section 3.1), and the rounding of center and inputs.
    lost = (near.shape[1] + 4) * float(np.finfo(kind).eps) / 2 * (2 * lengths + longest) * longest
    return rows, ordered[:, -1] - ordered[:, k - 1] > 2 * lost


def _keys(
    metric: str, queries: npt.NDArray[Any], block: npt.NDArray[Any], squares: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Numbers that order a block's rows as their distances to each query do."""
    keys: npt.NDArray[Any] = -(queries @ block.T)
    if metric == "l2":
        keys *= 2
        keys += squares
    return keys


def _smallest(keys: npt.NDArray[Any], wanted: int) -> Labels:
    """Where the `wanted` smallest keys of each row are, in no order."""
    if keys.shape[1] <= wanted:
        return np.broadcast_to(np.arange(keys.shape[1]), keys.shape)
    return np.argpartition(keys, wanted - 1, axis=1)[:, :wanted]


def distances_to(dataset: Dataset, labels: Labels) -> npt.NDArray[np.float64]:
    """Distances (q, k) of the rows that `labels` (q, k) name; infinity for -1 and for numbers of no row."""
    return _distances(dataset, dataset.queries, labels)


def _distances(dataset: Dataset, queries: Matrix, labels: Labels) -> npt.NDArray[np.float64]:
    found = np.full(labels.shape, np.inf)
    for number, (query, row) in enumerate(zip(queries.astype(np.float64), labels, strict=True)):
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
