"""Draws embedded databases: recall over speed, what writing and keeping costs, and filtered searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting.curve_plots import absent_of, draw_curves, legend, loss_position, recall_axis, recall_start
from benchmarks.reporting.databases import COSTS, RECALLS, cost_of, filtered_points
from benchmarks.reporting.pareto import MODES, curves_of
from benchmarks.reporting.style import OURS, line_of, log_axis, look_of, plain, pyplot, save, title
from benchmarks.reporting.table import is_number
from benchmarks.reporting.winners import headline

Run = Mapping[str, Any]


def draw_databases(report: Mapping[str, Any], out: Path) -> list[str]:
    """All plots of a report of the suite `db`."""
    drawn = (_recall_speed(report, out), _costs(report, out), _filtered(report, out))
    return [name for name in drawn if name is not None]


def data_line(report: Mapping[str, Any]) -> str:
    """What a report is about."""
    data = report["dataset"]
    return f"{data['name']}: {data['rows']:,} records, {data['dim']} dimensions, {data['metric']}, {data['k']} hits"


def _recall_speed(report: Mapping[str, Any], out: Path) -> str | None:
    both = {mode: curves for mode in MODES if (curves := curves_of(report["runs"], mode))}
    if not both:
        return None
    figure, grid = pyplot().subplots(1, len(both), figsize=(3 + 5 * len(both), 5.4), squeeze=False)
    for axes, (mode, curves) in zip(grid[0], both.items(), strict=True):
        draw_curves(axes, curves)
        axes.set_ylabel("queries per second → better")
        axes.set_title(MODES[mode], fontsize=10, loc="left")
    engines = dict.fromkeys(run["engine"] for run in report["runs"])
    legend(figure, list(grid[0]), list(engines), absent_of(report["runs"]))
    mode = "single" if "single" in both else next(iter(both))
    sentence = f"{MODES[mode]}: {headline(both[mode], RECALLS)}"
    title(figure, sentence, f"{data_line(report)}; hits carry their metadata; one thread")
    return save(figure, out, "db-recall-qps")


def _costs(report: Mapping[str, Any], out: Path) -> str | None:
    """One panel for each cost, one row for each database."""
    runs = [run for run in report["runs"] if run.get("ingest")]
    if not runs:
        return None
    runs.sort(key=lambda run: cost_of(run, "records_per_s") or 0.0)
    figure, grid = pyplot().subplots(2, 3, figsize=(13, 2.4 + 0.5 * len(runs)), sharey=True)
    for axes, (name, (label, _)) in zip(grid.flat, COSTS.items(), strict=True):
        _cost_panel(axes, runs, name)
        better = "→ better" if name == "records_per_s" else "better ←"
        axes.set_title(f"{label} ({better})", fontsize=9.5, loc="left")
    speeds = {run["engine"]: cost_of(run, "records_per_s") or 0.0 for run in runs}
    best = max(speeds, key=lambda name: speeds[name])
    place = sorted(speeds.values(), reverse=True).index(speeds[OURS]) + 1 if OURS in speeds else 0
    sentence = f"{best} ingests fastest, {speeds[best]:,.0f} records a second"
    sentence += f"; {OURS} is number {place} of {len(speeds)}, {speeds[OURS]:,.0f}" if place > 1 else ""
    title(figure, sentence, data_line(report))
    return save(figure, out, "db-costs")


def _cost_panel(axes: Any, runs: Sequence[Run], name: str) -> None:
    """Dots, because the lengths of bars mean nothing on a logarithmic axis."""
    for row, run in enumerate(runs):
        value = cost_of(run, name)
        if not is_number(value) or value <= 0:
            axes.text(0.02, row, "not measured", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
            continue
        colour, marker = look_of(run["engine"])
        axes.plot([value], [row], color=colour, marker=marker, markersize=9 if run["engine"] == OURS else 7)
        axes.annotate(plain(value), (value, row), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_yticks(range(len(runs)), labels=[run["engine"] for run in runs])
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == OURS else "normal")
    axes.set_ylim(-0.6, len(runs) - 0.4)
    axes.margins(x=0.2)
    log_axis(axes.xaxis)


def _filtered(report: Mapping[str, Any], out: Path) -> str | None:
    """Speed and recall over the share of records that a filter keeps."""
    kept = {run["engine"]: points for run in report["runs"] if (points := filtered_points(run))}
    if not kept:
        return None
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(12, 5))
    for engine, points in kept.items():
        shares = [100 * share for share in points]
        left.plot(shares, [one["qps"] for one in points.values()], **line_of(engine))
        right.plot(shares, [loss_position(one["recall"]) for one in points.values()], **line_of(engine))
    recall_axis(right.yaxis, recall_start([one["recall"] for points in kept.values() for one in points.values()]))
    left.set_ylabel("queries per second → better")
    right.set_ylabel("recall among the records kept → better")
    log_axis(left.yaxis)
    for axes in (left, right):
        log_axis(axes.xaxis)
        axes.set_xticks(sorted({100 * share for points in kept.values() for share in points}))
        axes.set_xlabel("percent of all records that the filter keeps")
    legend(figure, [left], list(kept))
    hardest = min(share for points in kept.values() for share in points)
    speeds = {engine: points[hardest] for engine, points in kept.items() if hardest in points}
    best = max(speeds, key=lambda engine: speeds[engine]["qps"])
    figures = f"{speeds[best]['qps']:,.0f} queries/s, recall {speeds[best]['recall']:.3f}"
    title(figure, f"With a filter that keeps {hardest:.1%}, {best} is fastest: {figures}", data_line(report))
    return save(figure, out, "db-filtered")
