"""Takes the figures that can be compared out of a raw report of any suite.

The noise of a speed is the range of its repetitions. What was measured once has the noise typical of its run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.reporting.databases import COSTS, cost_of, filtered_points
from benchmarks.reporting.filtered import (
    CHECKS,
    RECALL,
    UNFILTERED,
    case_curves,
    cases_of,
    kept_name,
    point_at_effort,
)
from benchmarks.reporting.libraries import added_mb, build_seconds
from benchmarks.reporting.pareto import MODES, TARGETS, curves_of
from benchmarks.reporting.recall import deviation
from benchmarks.reporting.table import is_number
from benchmarks.reporting.updates import SIZES


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `owner` is the engine (and setting) it belongs to, `noise` a share of the value.

    `more`: more is better. `step`: a difference of no more than this is none, in the figure's own unit.
    """

    value: float
    noise: float = 0.0
    more: bool = False
    owner: str = ""
    step: float = 0.0


Figures = dict[str, Figure]
SMALL_MB = 2.0
"""Sizes of a process differ by this for no reason."""

SMALL_RECALL = 0.005
SMALL_S = 0.05
"""What the scheduler alone may add to a single wait."""


def figures_of(report: Mapping[str, Any]) -> Figures:
    """Every finite figure by its name."""
    makers: dict[str, Callable[[Mapping[str, Any]], Iterator[tuple[str, Figure | None]]]] = {
        "ann": _library_figures,
        "db": _database_figures,
        "filtered": _filtered_figures,
        "scale": _scale_figures,
        "streaming": _streaming_figures,
        "coldstart": _coldstart_figures,
        "multiprocess": _multiprocess_figures,
        "kernels": _kernel_figures,
        "recall": _recall_figures,
        "updates": _updates_figures,
    }
    maker = makers.get(report["suite"])
    if maker is None:
        raise ValueError(f"there is no suite {report['suite']!r}")
    found = maker(report["runs"] if "runs" in report else report["results"])
    return {name: figure for name, figure in found if figure is not None and is_number(figure.value)}


def attempted(report: Mapping[str, Any]) -> set[str]:
    """Owners of figures that a report should have."""
    runs = report.get("runs", ())
    return {run["engine"] for run in runs} | {_setting_name(run) for run in runs}


def _setting_name(run: Mapping[str, Any]) -> str:
    return f"{run['engine']} {run.get('setting', '')}".strip()


def _figure(value: float | None, **facts: Any) -> Figure | None:
    return None if value is None else Figure(float(value), **facts)


def _speeds(runs: Any) -> Iterator[tuple[str, Figure | None]]:
    for mode in MODES:
        for engine, curve in curves_of(runs, mode).items():
            for target in TARGETS:
                speed = curve.qps_reaching(target)
                facts = {"noise": curve.noise_at(target), "more": True, "owner": engine}
                yield f"{engine}: queries/s at recall {target:.2f}, {mode}", _figure(speed, **facts)


def _typical_noise(runs: Any) -> float:
    widths = [point.noise for mode in MODES for curve in curves_of(runs, mode).values() for point in curve.points]
    return float(np.median(widths)) if widths else 0.0


def _library_figures(runs: Any) -> Iterator[tuple[str, Figure | None]]:
    yield from _speeds(runs)
    noise = _typical_noise(runs)
    for run in runs:
        name = _setting_name(run)
        threads = f"{(run.get('build') or {}).get('threads', 1)} thread(s)"
        # builds with other threads are other figures, not lost ones
        yield f"{name}: seconds to build, {threads}", _figure(build_seconds(run), noise=noise, step=SMALL_S)
        yield f"{name}: MB added", _figure(added_mb(run), owner=name, step=SMALL_MB)


def _database_figures(runs: Any) -> Iterator[tuple[str, Figure | None]]:
    yield from _speeds(runs)
    noise = _typical_noise(runs)
    for run in runs:
        owner = run["engine"]
        for name, (label, _) in COSTS.items():
            facts = {"noise": 0.0 if name.endswith("_mb") else noise, "more": name == "records_per_s"}
            step = SMALL_MB if name.endswith("_mb") else SMALL_S if name.endswith("_s") else 0.0
            yield f"{owner}: {label}", _figure(cost_of(run, name), owner=owner, step=step, **facts)
        for share, point in filtered_points(run).items():
            what = f"{owner}: filter that keeps {share:.1%}"
            yield f"{what}, queries/s", _figure(point["qps"], noise=noise, more=True, owner=owner)
            yield f"{what}, recall", _figure(point["recall"], more=True, owner=owner, step=SMALL_RECALL)
        churn = run.get("churn") or {}
        for name in ("recall", "qps"):
            facts = {"noise": noise, "more": True, "step": SMALL_RECALL if name == "recall" else 0.0}
            yield f"{owner}: after replacing a fifth, {name}", _figure(churn.get(name), owner=owner, **facts)


def _filtered_figures(runs: Any) -> Iterator[tuple[str, Figure | None]]:
    for case in (UNFILTERED, *cases_of(runs)):
        for engine, curve in case_curves(runs, case).items():
            facts = {"noise": curve.noise_at(RECALL), "more": True, "owner": engine}
            what = f"{engine}: queries/s at recall {RECALL:.2f}, {kept_name(case)}"
            yield what, _figure(curve.qps_reaching(RECALL), **facts)
        for run in runs:
            point, owner = point_at_effort(run, case), run["engine"]
            what = f"{owner}: recall at the effort of {RECALL:.2f} without a filter, {kept_name(case)}"
            # that effort may be another one in another run, so a difference as small as between two efforts is none
            yield what, None if point is None else _figure(point["recall"], more=True, owner=owner, step=SMALL_RECALL)
    for run in runs:
        checks, owner = run.get("checks"), run["engine"]
        if checks:
            right = float(not any(checks[name] for name in CHECKS))
            yield (
                f"{owner}: every random filter answered as numpy does (1: yes)",
                _figure(right, more=True, owner=owner),
            )


# --- vecdb's own suites ----------------------------------------------------------------------------------------------


def _scale_figures(results: Any) -> Iterator[tuple[str, Figure | None]]:
    for one in results["sizes"]:
        size = f"{one['rows']:,} rows"
        noise = spread(run for point in one["points"] for run in _relative(point["seconds"]))
        for target, speed in one["qps_at"].items():
            yield f"{size}: queries/s at recall {float(target):.2f}", _figure(speed, noise=noise, more=True)
        yield f"{size}: seconds to build", _figure(one["build"]["seconds"], noise=noise, step=SMALL_S)
        yield f"{size}: MB", _figure(one["memory_mb"], step=SMALL_MB)


def _streaming_figures(results: Any) -> Iterator[tuple[str, Figure | None]]:
    for name in ("p50_ms", "p99_ms"):
        noise = spread(_relative([one[name] for one in results["seconds"]]))
        yield f"search {name} while writing", _figure(results["total"][name], noise=noise)
    yield "recall while writing", _figure(results["total"]["recall"], more=True, step=SMALL_RECALL)


def _coldstart_figures(results: Any) -> Iterator[tuple[str, Figure | None]]:
    for part in ("warm", "cold_kernels"):
        for step, times in (results.get(part) or {}).items():
            yield f"{part}: {step}", _figure(times["median"], noise=spread(_relative(times["runs"])))


def _multiprocess_figures(results: Any) -> Iterator[tuple[str, Figure | None]]:
    for one in results["points"]:
        readers = f"{one['readers']} readers"
        yield f"{readers}: queries/s together", _figure(one["qps"], more=True)
        yield f"{readers}: private MB each", _figure(max(one["private_mb"]), step=SMALL_MB)
        yield f"{readers}: ms until visible", _figure(one["visible_ms"]["median"], step=1.0)


def _kernel_figures(results: Any) -> Iterator[tuple[str, Figure | None]]:
    for one in results["points"]:
        times = one["ns"]["kernel"]
        name = f"{one['dtype']}, {one['dim']} dimensions, {one['pattern']}: ns per distance"
        yield name, _figure(times["median"], noise=spread(_relative(times["runs"])))


def _recall_figures(results: Any) -> Iterator[tuple[str, Figure | None]]:
    for data in results["datasets"]:
        for one in data["searches"]:
            what = f"{data['name']}, {one['kind']}: 1 less the distance from recall {one['target']:.2f}"
            yield what, _figure(1.0 - deviation(one), more=True, step=SMALL_RECALL)


def _updates_figures(results: Any) -> Iterator[tuple[str, Figure | None]]:
    for name, label in SIZES.items():
        yield f"{label}: MB on the disk", _figure(results["sizes"][name], step=SMALL_MB)
    for one in results["stages"]:
        noise = spread(run for point in one["points"]["replaced"] for run in _relative(point["seconds"]))
        for target, ratio in one["ratios"].items():
            what = f"{one['stage']}: queries/s by a fresh database's at recall {float(target):.2f}"
            yield what, _figure(ratio, noise=noise, more=True)


def _relative(values: Iterable[float | None]) -> list[float]:
    """Values over their median."""
    known = [float(value) for value in values if is_number(value)]
    middle = float(np.median(known)) if known else 0.0
    return [value / middle for value in known] if middle > 0 else []


def spread(relative: Iterable[float]) -> float:
    """Half the range of values over their medians."""
    known = list(relative)
    return (max(known) - min(known)) / 2 if known else 0.0
