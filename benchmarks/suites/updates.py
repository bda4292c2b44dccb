"""The `updates` suite: what is left of speed and of the disk's room after half of the records were replaced.

Two databases end with the same records. `fresh` got them once. In `replaced`, the half that is to be replaced began
with each other's vectors, so that nothing but history tells the two apart; then its records are upserted with vectors
of their own, in random order. Both are searched in turns, effort by effort and repetition by repetition, with all
queries in one call and one thread: once as the index is left by `wait_indexed`, and once after `optimize`.
The disk's room is that of all files, holes left out: of `fresh` after `optimize`; of `replaced` at its largest (looked
at after every batch), when it is indexed, and optimized; and of a compact backup of either. Databases are closed when
they are looked at, but for the largest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

import vecdb
from benchmarks.datasets import Dataset, recall
from benchmarks.engines.protocol import Matrix
from benchmarks.method.machine import available_cpus, pin
from benchmarks.suites.contest import disk_mb
from benchmarks.suites.database import (
    COLLECTION,
    Progress,
    make_database,
    rows_as_batch,
    silent,
    temporary_place,
)
from benchmarks.suites.scale import qps_reaching
from vecdb.types import Metric

TARGETS: Final = (0.90, 0.95, 0.98, 0.99)
EFFORTS: Final = (10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 384, 512)
RECALL_ENOUGH: Final = 0.995
SHARE: Final = 0.5
BATCH_ROWS: Final = 1_000
FRESH: Final = "fresh"
REPLACED: Final = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatesOptions:
    """`bounds` are the exact distances of the queries of `dataset`, as `true_distances` finds them."""

    dataset: Dataset
    bounds: Matrix
    k: int = 10
    repeats: int = 3
    efforts: Sequence[int] = EFFORTS
    directory: Path | None = None
    progress: Progress = silent


def run(options: UpdatesOptions) -> dict[str, Any]:
    """Sizes and speeds of both databases, at each stage."""
    with temporary_place(options.directory) as place:
        options.progress("a database that gets its records once")
        make_database(place / FRESH, options.dataset.base, _metric(options))
        sizes: dict[str, Any] = {"fresh_mb": disk_mb(place / FRESH)}
        sizes["fresh_backup_mb"] = _backup_mb(place, FRESH)
        largest, seconds = _replace(place / REPLACED, options)
        sizes |= {"largest_mb": largest, "indexed_mb": disk_mb(place / REPLACED)}
        stages = [_stage("indexed", place, options)]
        options.progress("optimize")
        with vecdb.open(place / REPLACED) as db:
            db.optimize()
        sizes["optimized_mb"] = disk_mb(place / REPLACED)
        sizes["optimized_backup_mb"] = _backup_mb(place, REPLACED)
        stages.append(_stage("optimized", place, options))
    raw_mb = options.dataset.base.nbytes / 1e6
    return {"share": SHARE, "k": options.k, "raw_mb": raw_mb, "replace_s": seconds, "sizes": sizes, "stages": stages}


def first_vectors(base: Matrix, order: npt.NDArray[np.int64]) -> Matrix:
    """The rows as they are before those of `order` are replaced: each of these has the vector of the one after it."""
    rows = np.array(base, dtype=np.float32)
    rows[order] = base[np.roll(order, 1)]
    return rows


def _replace(path: Path, options: UpdatesOptions) -> tuple[float, float]:
    """Make a database and replace a part of it; returns the most MB it took meanwhile, and the seconds."""
    base = options.dataset.base
    order = np.random.default_rng(2).permutation(len(base))[: round(SHARE * len(base))]
    options.progress(f"a database of which {len(order)} records will be replaced")
    make_database(path, first_vectors(base, order), _metric(options))
    largest, begin = disk_mb(path), time.perf_counter()
    with vecdb.open(path) as db:
        collection = db.collection(COLLECTION)
        for start in range(0, len(order), BATCH_ROWS):
            ids = order[start : start + BATCH_ROWS].tolist()
            # the metadata that `make_database` gave these records
            metadata = [rows_as_batch(base, one, 1)[2][0] for one in ids]
            collection.upsert(ids, np.ascontiguousarray(base[ids]), metadata)
            largest = max(largest, disk_mb(path))
        collection.wait_indexed()
        largest = max(largest, disk_mb(path))
    return largest, time.perf_counter() - begin


def _backup_mb(place: Path, name: str) -> float:
    with vecdb.open(place / name, mode="r") as db:
        db.backup(place / f"{name}-backup", compact=True)
    return disk_mb(place / f"{name}-backup")


def _stage(name: str, place: Path, options: UpdatesOptions) -> dict[str, Any]:
    """Search both databases in turns."""
    options.progress(f"searching, {name}")
    with ExitStack() as stack:
        config = vecdb.EngineConfig(threads=1)
        opened = [stack.enter_context(vecdb.open(place / one, "r", config=config)) for one in (FRESH, REPLACED)]
        cpus = available_cpus()
        pin({max(cpus)})
        stack.callback(pin, cpus)
        collections = [db.collection(COLLECTION) for db in opened]
        field = collections[1].stats().fields["default"]
        shape = {"segments": field.segments, "tail_rows": field.tail_rows}
        fresh, replaced = _sweeps(collections, options)
    speeds = {str(target): (qps_reaching(fresh, target), qps_reaching(replaced, target)) for target in TARGETS}
    ratios = {target: after / before if before and after else None for target, (before, after) in speeds.items()}
    return {"stage": name, **shape, "ratios": ratios, "points": {FRESH: fresh, REPLACED: replaced}}


def _sweeps(collections: Sequence[vecdb.Collection], options: UpdatesOptions) -> list[list[dict[str, Any]]]:
    sweeps: list[list[dict[str, Any]]] = [[] for _ in collections]
    for effort in options.efforts:
        seconds: list[list[float]] = [[] for _ in collections]
        found: list[npt.NDArray[np.int64]] = [np.empty((0, 0), np.int64) for _ in collections]
        for turn in range(options.repeats + 1):
            for number, collection in enumerate(collections):
                begin = time.perf_counter()
                result = collection.search_batch(options.dataset.queries, options.k, ef=effort, with_metadata=False)
                if turn:  # the first only warms up
                    seconds[number].append(time.perf_counter() - begin)
                found[number] = result.ids.astype(np.int64)
        for number, sweep in enumerate(sweeps):
            value = recall(options.dataset, options.bounds, found[number])
            qps = len(options.dataset.queries) / median(seconds[number])
            sweep.append({"effort": effort, "recall": value, "seconds": seconds[number], "qps": qps})
        if all(sweep[-1]["recall"] >= RECALL_ENOUGH for sweep in sweeps):
            break
    return sweeps


def _metric(options: UpdatesOptions) -> Metric:
    return cast(Metric, options.dataset.metric)
