"""The `recall` suite: whether a search asked for a recall reaches it, and whether the database knows its own recall.

Of each data set some rows are held out, drawn at random, and the others are written and indexed. Searches with
`target_recall` then ask for

- `rows`: the rows held out, queries of the distribution that is indexed;
- `queries`: the queries of the data set: of the same distribution too (wordnet-minilm, clustered, sift-like), rows with
  noise (duplicates), or from elsewhere (ood);
- `between`: the middle of two rows held out, which lies where no rows are.

The truth is what numpy finds (`datasets.truth`). `least` is the recall of the least effort there is, a pool of as many
candidates as hits are asked for: no search finds less, so a target below it is passed by.
`measure_recall` is asked with SEEDS seeds; its interval holds the truth when it meets the interval of the recall of the
rows held out, which is itself only a sample of what it estimates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

import vecdb
from benchmarks.datasets import Dataset, recall, true_distances
from benchmarks.datasets.store import as_unit_rows
from benchmarks.engines.protocol import Matrix
from benchmarks.suites.database import COLLECTION, Progress, make_database, silent, temporary_place

TARGETS: Final = (0.90, 0.95, 0.99)
HELD_OUT: Final = 2_000
"""Standard error of a recall of .95 about .002."""

SEEDS: Final = 10
OUTSIDE: Final = ("ood",)
"""Data sets whose queries are not of the distribution of their rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallOptions:
    """`load(name)` opens a data set."""

    names: Sequence[str]
    load: Callable[[str], Dataset]
    k: int = 10
    held_out: int = HELD_OUT
    seeds: int = SEEDS
    directory: Path | None = None
    progress: Progress = silent


def run(options: RecallOptions) -> dict[str, Any]:
    """An entry per data set."""
    return {"k": options.k, "datasets": [_measure(options.load(name), options) for name in options.names]}


def _measure(dataset: Dataset, options: RecallOptions) -> dict[str, Any]:
    with temporary_place(options.directory) as place:
        kept, asked = split(dataset, options.held_out, place)
        options.progress(f"{dataset.name}: exact answers")
        truths = {kind: true_distances(one, options.k, place) for kind, one in asked.items()}
        options.progress(f"{dataset.name}: a database of {len(kept)} rows")
        metric: Any = dataset.metric
        make_database(place / "db", kept, metric)
        with vecdb.open(place / "db", mode="r") as db:
            collection = db.collection(COLLECTION)
            searches = list(_searches(collection, asked, truths, options))
            reports = list(_own_measurements(collection, options))
    found = {(one["kind"], one["target"]): one for one in searches}
    for one in reports:
        truth = found["rows", one["target"]]
        one["truth"] = truth["recall"]
        one["held"] = sum(low <= truth["high"] and truth["low"] <= high for low, high in one["intervals"])
    shape = {"name": dataset.name, "rows": len(kept), "dim": kept.shape[1], "metric": dataset.metric}
    return {**shape, "searches": searches, "measured": reports}


def split(dataset: Dataset, held_out: int, place: Path) -> tuple[Matrix, dict[str, Dataset]]:
    """(rows to index, data sets of these rows with each kind of queries)."""
    order = np.random.default_rng(3).permutation(len(dataset.base))
    kept = np.ascontiguousarray(dataset.base[np.sort(order[held_out:])])
    rows = np.ascontiguousarray(dataset.base[np.sort(order[:held_out])])
    middle = ((rows + np.roll(rows, 1, axis=0)) / 2).astype(np.float32)
    if dataset.metric == "cosine":
        middle = as_unit_rows(middle)
    kinds = {"rows": rows, "queries": dataset.queries, "between": middle}
    asked = {
        kind: replace(dataset, base=kept, queries=queries, directory=place, digest=kind)
        for kind, queries in kinds.items()
    }
    return kept, asked


def _searches(
    collection: vecdb.Collection, asked: dict[str, Dataset], truths: dict[str, Matrix], options: RecallOptions
) -> Iterator[dict[str, Any]]:
    for kind, dataset in asked.items():
        outside = kind == "between" or (kind == "queries" and dataset.name in OUTSIDE)
        least, *_ = _recall(collection, dataset, truths[kind], options.k, {"ef": options.k})
        for target in TARGETS:
            value, low, high = _recall(collection, dataset, truths[kind], options.k, {"target_recall": target})
            explained = collection.search(dataset.queries[0], options.k, target_recall=target, explain=True).explain
            options.progress(f"{dataset.name}, {kind}: asked for {target}, found {value:.4f}")
            yield {
                "kind": kind,
                "outside": outside,
                "target": target,
                "recall": value,
                "low": low,
                "high": high,
                "least": least,
                "ef": None if explained is None else explained.ef,
            }


def _recall(
    collection: vecdb.Collection, dataset: Dataset, truth: Matrix, k: int, effort: dict[str, Any]
) -> tuple[float, float, float]:
    """Recall of all queries, and its 95 % interval over queries."""
    found = collection.search_batch(dataset.queries, k, with_metadata=False, **effort).ids
    labels = np.where(found == None, -1, found).astype(np.int64)  # noqa: E711 - elementwise
    each = [
        recall(replace(dataset, queries=dataset.queries[at : at + 1]), truth[at : at + 1], labels[at : at + 1])
        for at in range(len(labels))
    ]
    half = 1.96 * float(np.std(each, ddof=1)) / len(each) ** 0.5
    value = fmean(each)
    return value, value - half, value + half


def _own_measurements(collection: vecdb.Collection, options: RecallOptions) -> Iterator[dict[str, Any]]:
    for target in TARGETS:
        reports = [
            collection.measure_recall(options.k, target_recall=target, seed=seed) for seed in range(options.seeds)
        ]
        intervals = [(one.low, one.high) for one in reports]
        values = [one.recall for one in reports]
        yield {"target": target, "sample": reports[0].sample, "recalls": values, "intervals": intervals}
