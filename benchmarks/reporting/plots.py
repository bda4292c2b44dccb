"""Draws what people would rather see than read: recall over speed, build time, memory, growth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.reporting.pareto import Point, engines_of, front, points_of, qps_at
from benchmarks.reporting.style import OURS, look_of, pyplot, save

MODES: Final = {"batch": "in one batch call", "single": "one query at a time"}
TICKS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
LOSS_FLOOR: Final = 5e-4
"""Recall beyond 0.9995 is drawn there: with 1,000 queries it cannot be told from 1."""


def draw_suite(report: Mapping[str, Any], out: Path) -> list[str]:
    """Draw all plots of one raw report; returns the names of the PNGs."""
    drawers: dict[str, Callable[[Mapping[str, Any], Path], list[str]]] = {"ann": draw_ann, "scale": draw_scale}
    drawer = drawers.get(report["suite"])
    return [] if drawer is None else drawer(report, out)


def draw_ann(report: Mapping[str, Any], out: Path) -> list[str]:
    """Recall over speed in each mode, recall over build time, memory."""
    names = [name for mode in MODES if (name := _recall_speed(report, mode, out))]
    return [*names, _build(report, out), _memory(report, out)]


def loss_position(recall: float) -> float:
    """Place of a recall on an axis that spreads .9, .99 and .999 evenly: the logarithm of what is missed."""
    return float(-np.log10(max(1.0 - recall, LOSS_FLOOR)))


def _title(report: Mapping[str, Any]) -> str:
    data = report["dataset"]
    return f"{data['name']}: {data['rows']:,} rows, {data['dim']} dimensions, {data['metric']}, {data['k']} hits"


def _recall_axis(axes: Any, low: float) -> None:
    ticks = [tick for tick in TICKS if tick >= low]
    axes.set_xticks([loss_position(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("recall (better to the right)")


def _recall_speed(report: Mapping[str, Any], mode: str, out: Path) -> str | None:
    runs = report["runs"]
    fronts = {engine: front(points_of(runs, engine, mode)) for engine in engines_of(runs)}
    fronts = {engine: points for engine, points in fronts.items() if points}
    if not fronts:
        return None
    figure, axes = pyplot().subplots(figsize=(9, 5.6))
    for engine, points in sorted(fronts.items(), key=lambda item: item[0] == OURS):
        _line(axes, engine, points)
    axes.set_yscale("log")
    axes.set_ylabel("queries per second, one thread (better upwards)")
    low = 0.8
    axes.set_xlim(loss_position(low), loss_position(1.0) + 0.05)
    _recall_axis(axes, low)
    axes.set_title(f"Recall and speed, {MODES[mode]}\n{_title(report)}", loc="left", fontsize=11)
    _ordered_legend(axes, fronts)
    return save(figure, out, f"recall-qps-{mode}")


def _line(axes: Any, engine: str, points: Sequence[Point]) -> None:
    colour, marker = look_of(engine)
    axes.plot(
        [loss_position(point.recall) for point in points],
        [point.qps for point in points],
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=2.8 if engine == OURS else 1.4,
        label=engine,
    )


def _ordered_legend(axes: Any, fronts: Mapping[str, Sequence[Point]]) -> None:
    """Beside the plot, fastest at recall .95 first."""
    handles = dict(zip(axes.get_legend_handles_labels()[1], axes.get_legend_handles_labels()[0], strict=True))
    names = sorted(fronts, key=lambda engine: -(qps_at(fronts[engine], 0.95) or 0.0))
    axes.legend([handles[name] for name in names], names, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _build(report: Mapping[str, Any], out: Path) -> str:
    """Every setting: its build time, and the speed it buys at recall .95."""
    figure, axes = pyplot().subplots(figsize=(9, 5))
    for run in report["runs"]:
        points = front(points_of([run], run["engine"], "batch"))
        speed = qps_at(points, 0.95)
        if run["build"] is None or speed is None:
            continue
        colour, marker = look_of(run["engine"])
        axes.plot(run["build"]["seconds"], speed, color=colour, marker=marker, markersize=9, linestyle="none")
        label = f"{run['engine']} {run['setting']}"
        axes.annotate(label, (run["build"]["seconds"], speed), xytext=(6, 4), textcoords="offset points", fontsize=7.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.2, y=0.1)
    threads = next((run["build"]["threads"] for run in report["runs"] if run["build"]), 1)
    axes.set_xlabel(f"seconds to build, {threads} thread(s) (better to the left)")
    axes.set_ylabel("queries per second at recall .95 (better upwards)")
    axes.set_title(f"What building buys\n{_title(report)}", loc="left", fontsize=11)
    return save(figure, out, "build-time")


def _memory(report: Mapping[str, Any], out: Path) -> str:
    """Memory of the built index without the process and the base rows it began with."""
    runs = [run for run in report["runs"] if run["memory"]]
    labels = [f"{run['engine']} {run['setting']}" for run in runs]
    sizes = [run["memory"]["built_mb"] - run["memory"]["before_mb"] for run in runs]
    figure, axes = pyplot().subplots(figsize=(9, 1.4 + 0.32 * len(runs)))
    order = np.argsort(sizes)
    colours = [look_of(runs[place]["engine"])[0] for place in order]
    axes.barh([labels[place] for place in order], [sizes[place] for place in order], color=colours)
    axes.set_xlabel("MB added by the index, its copy of the vectors included (better to the left)")
    axes.set_title(f"Memory\n{_title(report)}", loc="left", fontsize=11)
    axes.grid(axis="y", visible=False)
    return save(figure, out, "memory")


def draw_scale(report: Mapping[str, Any], out: Path) -> list[str]:
    """How speed, build time and memory grow with rows, and the fitted exponents."""
    results = report["results"]
    rows = [one["rows"] for one in results["sizes"]]
    parts = {
        "queries per second at recall .95": ("qps_at_0.95", [one["qps_at"]["0.95"] for one in results["sizes"]]),
        "seconds to build": ("build_s", [one["build"]["seconds"] for one in results["sizes"]]),
        "MB of memory": ("memory_mb", [one["memory_mb"] for one in results["sizes"]]),
    }
    figure, all_axes = pyplot().subplots(1, 3, figsize=(12, 4))
    for axes, (label, (name, values)) in zip(all_axes, parts.items(), strict=True):
        axes.loglog(rows, [np.nan if value is None else value for value in values], color=look_of(OURS)[0], marker="o")
        exponent = results["exponents"].get(name)
        axes.set_title(label if exponent is None else f"{label}: rows^{exponent:.2f}", fontsize=10)
        axes.set_xlabel("rows")
    figure.suptitle("Growth", x=0.01, ha="left", fontsize=12)
    return [save(figure, out, "growth")]
