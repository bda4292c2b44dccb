"""Draws what people would rather see than read of libraries: recall over speed, build time, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.reporting.curve_plots import (
    absent_of,
    draw_curves,
    legend,
    loss_position,
    recall_axis,
    recall_start,
)
from benchmarks.reporting.database_plots import draw_databases
from benchmarks.reporting.filtered_plots import draw_filtered
from benchmarks.reporting.ingest_plots import draw_ingest
from benchmarks.reporting.libraries import FIXED_EFFORT, added_mb, build_seconds, fixed_point, least_by_engine
from benchmarks.reporting.own_plots import draw_growth, draw_kernels
from benchmarks.reporting.pareto import MODES, Curve, curves_of, points_of
from benchmarks.reporting.promise_plots import draw_recall, draw_updates
from benchmarks.reporting.serve_plots import draw_serve
from benchmarks.reporting.style import OURS, line_of, log_axis, look_of, pyplot, save, title
from benchmarks.reporting.table import is_number
from benchmarks.reporting.winners import headline

BUILD_RECALL: Final = 0.95

Report = Mapping[str, Any]


def draw_suite(report: Report, out: Path) -> list[str]:
    """Draw all plots of one raw report; returns the names of the PNGs. Raises PlotError without matplotlib."""
    drawers: dict[str, Callable[[Report, Path], list[str]]] = {
        "ann": draw_libraries,
        "db": draw_databases,
        "filtered": draw_filtered,
        "scale": draw_growth,
        "kernels": draw_kernels,
        "serve": draw_serve,
        "ingest": draw_ingest,
        "recall": draw_recall,
        "updates": draw_updates,
    }
    drawer = drawers.get(report["suite"])
    return [] if drawer is None else drawer(report, out)


def draw_libraries(report: Report, out: Path) -> list[str]:
    """Recall over speed in each mode, recall over build time, memory."""
    drawn = [_recall_speed(report, mode, out) for mode in MODES]
    return [name for name in (*drawn, _build_time(report, out), _memory(report, out)) if name is not None]


def _data(report: Report) -> str:
    data = report["dataset"]
    return f"{data['name']}: {data['rows']:,} rows, {data['dim']} dimensions, {data['metric']}, {data['k']} hits"


def _by_speed(curves: Mapping[str, Curve]) -> list[str]:
    """Fastest at recall .95 first."""
    return sorted(curves, key=lambda name: -(curves[name].qps_reaching(BUILD_RECALL) or 0.0))


def _recall_speed(report: Report, mode: str, out: Path) -> str | None:
    curves = curves_of(report["runs"], mode)
    if not curves:
        return None
    figure, axes = pyplot().subplots(figsize=(10, 6))
    draw_curves(axes, curves)
    axes.set_ylabel("queries per second → better")
    legend(figure, [axes], _by_speed(curves), absent_of(report["runs"]))
    title(figure, headline(curves), f"{_data(report)}; one thread, {MODES[mode]}; bars: range")
    return save(figure, out, f"recall-qps-{mode}")


# --- building --------------------------------------------------------------------------------------------------------


def _build_time(report: Report, out: Path) -> str | None:
    """Every setting: its build time over the recall at a fixed effort, and over the speed it buys."""
    runs = [run for run in report["runs"] if build_seconds(run) and fixed_point(run)]
    if not runs:
        return None
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(12, 5.2))
    engines = list(dict.fromkeys(run["engine"] for run in runs))
    recalls = [_fixed_recall(run) for run in runs]
    for engine in engines:
        own = [run for run in runs if run["engine"] == engine]
        _setting_line(left, engine, [(run, loss_position(_fixed_recall(run))) for run in own])
        _setting_line(right, engine, [(run, speed) for run in own if (speed := _speed(run)) is not None])
    recall_axis(left.yaxis, recall_start([min(recalls)]))
    left.set_ylabel(f"recall at effort {FIXED_EFFORT}, or in mid-sweep → better")
    right.set_ylabel(f"queries per second at recall {BUILD_RECALL} → better")
    log_axis(right.yaxis)
    if not right.has_data():
        right.text(0.5, 0.5, f"nobody reaches recall {BUILD_RECALL}", ha="center", transform=right.transAxes)
    threads = runs[0]["build"].get("threads", 1)
    for axes in (left, right):
        axes.margins(x=0.08, y=0.08)
        log_axis(axes.xaxis)
        axes.set_xlabel(f"better ← seconds to build, {threads} thread{'s' * (threads != 1)}")
    least = least_by_engine((run["engine"], build_seconds(run)) for run in runs)
    legend(figure, [left, right], sorted(engines, key=lambda name: least[name] or 0.0))
    title(figure, _rank(least, "builds in", "s"), f"{_data(report)}; a line joins the settings of an engine")
    return save(figure, out, "build-time")


def _fixed_recall(run: Mapping[str, Any]) -> float:
    point = fixed_point(run)
    return 0.0 if point is None else point.recall


def _speed(run: Mapping[str, Any]) -> float | None:
    return Curve(tuple(points_of([run], "batch") or points_of([run], "single"))).qps_at(BUILD_RECALL)


def _setting_line(axes: Any, engine: str, places: Sequence[tuple[Mapping[str, Any], float]]) -> None:
    look = line_of(engine) | {"linewidth": 1.0, "markersize": 10 if engine == OURS else 8}
    places = sorted(places, key=lambda one: build_seconds(one[0]) or 0.0)
    if places:
        axes.plot([build_seconds(run) for run, _ in places], [place for _, place in places], **look)


def _rank(figures: Mapping[str, float | None], does: str, unit: str) -> str:
    """Who has the least, and where vecdb stands: a sentence."""
    known = sorted((value, name) for name, value in figures.items() if is_number(value))
    if not known:
        return "nothing was measured"
    sentences = [f"{known[0][1]} {does} {known[0][0]:,.3g} {unit}, the least of {len(known)}"]
    place = next((number for number, (_, name) in enumerate(known, 1) if name == OURS), 0)
    if place > 1:
        sentences.append(f"{OURS} {does} {known[place - 1][0]:,.3g} {unit}, number {place}")
    return "; ".join(sentences)


# --- memory ----------------------------------------------------------------------------------------------------------


def _memory(report: Report, out: Path) -> str | None:
    """Memory of the built index without the process and the base rows it began with."""
    known = [(added, run) for run in report["runs"] if is_number(added := added_mb(run))]
    if not known:
        return None
    known.sort(key=lambda one: one[0], reverse=True)
    figure, axes = pyplot().subplots(figsize=(10, 1.6 + 0.3 * len(known)))
    labels = [f"{run['engine']} {run.get('setting', '')}" for _, run in known]
    colours = [look_of(run["engine"])[0] for _, run in known]
    bars = axes.barh(labels, [added for added, _ in known], color=colours, height=0.7)
    axes.bar_label(bars, [f"{added:,.0f}" for added, _ in known], padding=3, fontsize=8.5)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text().startswith(f"{OURS} ") else "normal")
    axes.set_xlabel("better ← MB added by the index, its copy of the vectors included")
    axes.grid(axis="y", visible=False)
    axes.margins(y=0.01)
    least = least_by_engine((run["engine"], added) for added, run in known)
    title(figure, _rank(least, "takes", "MB"), _data(report))
    return save(figure, out, "memory")
