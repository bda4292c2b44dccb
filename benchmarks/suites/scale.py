"""The `scale` suite: how vecdb's index grows from 10,000 rows to a million of the same kind.

Each size is generated, indexed by a worker process of its own (`benchmarks.engines.vecdb_index`, the default setting)
and swept over its efforts with all queries in one batch call, one thread; recall is computed here from distances. Of
each size: build seconds, memory (rows and index, without the Python around them), and queries per second at recall .95
and .99, interpolated between efforts. Of all sizes: the exponent e of a fit of figure = c * rows^e on logarithmic axes,
by least squares. A perfect logarithm looks like an exponent that sinks towards 0 as rows grow.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.datasets import Dataset, recall, true_distances
from benchmarks.engines.protocol import Matrix
from benchmarks.engines.vecdb_index import SPEC
from benchmarks.kernel_vs_hnswlib import qps_at
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerProcess
from benchmarks.suites.database import Progress, silent, temporary_place

TARGETS: Final = (0.95, 0.99)
RECALL_ENOUGH: Final = 0.997
WARM_UP_ROWS: Final = 500
"""Indexed before, untimed: what the library loads at its first use counts neither as time nor as memory of a size."""

SIZES: Final = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOptions:
    """`generate(rows)` makes (base, queries), float32, alike for every size, of unit length for "cosine".

    `build_threads` None: all CPUs.
    """

    generate: Callable[[int], tuple[Matrix, Matrix]]
    metric: str = "l2"
    name: str = "generated"
    sizes: Sequence[int] = SIZES
    setting: str = next(iter(SPEC.settings))
    build_threads: int | None = None
    k: int = 10
    repeats: int = 3
    cap_s: float = 3_600.0
    directory: Path | None = None
    progress: Progress = silent


def run(options: ScaleOptions) -> dict[str, Any]:
    """One entry per size, and the exponents over all."""
    sizes = [_measure(rows, options) for rows in options.sizes]
    figures = {f"qps_at_{target}": [one["qps_at"][str(target)] for one in sizes] for target in TARGETS}
    figures |= {
        "build_s": [one["build"]["seconds"] for one in sizes],
        "memory_mb": [one["memory_mb"] for one in sizes],
    }
    rows = [one["rows"] for one in sizes]
    exponents = {name: growth_exponent(rows, values) for name, values in figures.items()}
    return {"setting": options.setting, "k": options.k, "sizes": sizes, "exponents": exponents}


def _measure(rows: int, options: ScaleOptions) -> dict[str, Any]:
    options.progress(f"{rows} rows: generating, and finding the exact answers")
    with temporary_place(options.directory) as place:
        base, queries = options.generate(rows)
        np.save(place / "base.npy", base)
        np.save(place / "warm.npy", base[:WARM_UP_ROWS])
        np.save(place / "queries.npy", queries)
        name = f"{options.name}-{rows}"
        dataset = Dataset(name=name, metric=options.metric, base=base, queries=queries, directory=place, digest=name)
        bounds = true_distances(dataset, options.k, place)
        with WorkerProcess([sys.executable, "-m", "benchmarks.method.worker"], 1) as worker:
            _build(worker, place, "warm.npy", options)
            built = _build(worker, place, "base.npy", options)
            options.progress(f"{rows} rows: built in {built['build']['seconds']:.1f} s, searching")
            points = _sweep(worker, dataset, bounds, options)
    index_mb = built["memory"]["built_mb"] - built["memory"]["before_mb"]
    return {
        "rows": rows,
        **built,
        "memory_mb": base.nbytes / 1e6 + max(index_mb, 0.0),
        "points": points,
        "qps_at": {str(target): qps_reaching(points, target) for target in TARGETS},
    }


def _build(worker: WorkerProcess, place: Path, base: str, options: ScaleOptions) -> dict[str, Any]:
    cpus = sorted(available_cpus())
    request = {
        "do": "build",
        "engine": SPEC.name,
        "setting": options.setting,
        "base": str(place / base),
        "queries": str(place / "queries.npy"),
        "metric": options.metric,
        "cpus": cpus if options.build_threads is None else cpus[-options.build_threads :],
    }
    return worker.ask(request, options.cap_s)


def _sweep(worker: WorkerProcess, dataset: Dataset, bounds: Matrix, options: ScaleOptions) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    labels = dataset.directory / "labels.npy"
    for effort in SPEC.efforts:
        request = {"do": "search", "mode": "batch", "effort": effort, "k": options.k, "labels": str(labels)}
        seconds = [worker.ask(request, options.cap_s)["seconds"] for _ in range(options.repeats)]
        found = recall(dataset, bounds, np.load(labels, allow_pickle=False))
        qps = len(dataset.queries) / median(seconds)
        points.append({"effort": effort, "recall": found, "seconds": seconds, "qps": qps})
        if found >= RECALL_ENOUGH:
            break
    return points


def qps_reaching(points: Sequence[Mapping[str, Any]], target: float) -> float | None:
    """Queries per second at a recall, interpolated; None: not reached. The lowest effort stands for any below it."""
    if points[0]["recall"] >= target:
        return float(points[0]["qps"])
    qps = qps_at([{"recall": point["recall"], "qps": point["qps"]} for point in points], target)
    return None if math.isnan(qps) else qps


def growth_exponent(rows: Sequence[int], values: Sequence[float | None]) -> float | None:
    """e of values = c * rows^e by least squares of logarithms; None with fewer than two values."""
    known = [(count, value) for count, value in zip(rows, values, strict=True) if value]
    if len(known) < 2:
        return None
    counts, figures = np.log(np.array(known, dtype=np.float64)).T
    return float(np.polyfit(counts, figures, 1)[0])
