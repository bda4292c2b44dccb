"""Draws filtered searches: speed over the share of rows that a filter keeps, and recall over speed for each share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting.curve_plots import absent_of, draw_curves, legend
from benchmarks.reporting.database_plots import data_line
from benchmarks.reporting.filtered import (
    RECALL,
    UNFILTERED,
    Case,
    best_peer,
    case_curves,
    cases_of,
    share_name,
    speed_of,
)
from benchmarks.reporting.style import OURS, line_of, log_axis, pyplot, save, title


def draw_filtered(report: Mapping[str, Any], out: Path) -> list[str]:
    """All plots of a report of the suite `filtered`."""
    cases = cases_of(report["runs"])
    if not cases:
        return []
    shares = dict.fromkeys(share for _, share in cases)
    drawn = [_speeds(report, cases, out)]
    drawn += [_curves(report, [case for case in cases if case[1] == share], share, out) for share in shares]
    return [name for name in drawn if name is not None]


def _speeds(report: Mapping[str, Any], cases: Sequence[Case], out: Path) -> str | None:
    """Queries per second at one recall over the share, a panel for each kind; 100 % is no filter."""
    kinds = list(dict.fromkeys(kind for kind, _ in cases))
    figure, grid = pyplot().subplots(1, len(kinds), figsize=(3 + 4.5 * len(kinds), 5.2), squeeze=False, sharey=True)
    engines = list(dict.fromkeys(run["engine"] for run in report["runs"]))
    for axes, kind in zip(grid[0], kinds, strict=True):
        own = [UNFILTERED, *(case for case in cases if case[0] == kind)]
        curves = {case: case_curves(report["runs"], case) for case in own}
        for engine in engines:
            places = [(100 * case[1], speed) for case in own if (speed := speed_of(curves[case], engine)) is not None]
            if places:
                axes.plot(*zip(*places, strict=True), **line_of(engine))
        axes.set_title(kind, fontsize=10, loc="left")
        axes.set_xlabel("percent of all records that the filter keeps")
        log_axis(axes.xaxis)
        log_axis(axes.yaxis)
        axes.set_xticks([100 * case[1] for case in own])
    if not any(axes.has_data() for axes in grid[0]):
        pyplot().close(figure)
        return None
    grid[0][0].set_ylabel(f"queries per second at recall {RECALL:.2f} → better")
    legend(figure, list(grid[0]), engines, absent_of(report["runs"]))
    title(figure, _finding(report, cases), f"{data_line(report)}; hits carry their metadata; one thread")
    return save(figure, out, "filtered-qps")


def _finding(report: Mapping[str, Any], cases: Sequence[Case]) -> str:
    """How vecdb compares with the best of the others over all filters."""
    ratios, unmatched = [], 0
    for case in cases:
        curves = case_curves(report["runs"], case)
        own, best = speed_of(curves, OURS), best_peer(curves)
        if own is not None and best is not None:
            ratios.append(own / best[1])
        unmatched += own is not None and best is None
    if not ratios:
        return f"Searches at recall {RECALL:.2f} among the records that a filter keeps"
    won = sum(ratio > 1 for ratio in ratios)
    sentence = f"{OURS} is faster than every other database with {won} of {len(ratios)} filters"
    sentence += f", {min(ratios):.1f} to {max(ratios):.1f} × the best of them"
    return sentence + (f"; with {unmatched} more no other reaches recall {RECALL:.2f}" if unmatched else "")


def _curves(report: Mapping[str, Any], cases: Sequence[Case], share: float, out: Path) -> str | None:
    """Recall over speed with the filters of one share, a panel for each kind."""
    panels = {case: curves for case in cases if (curves := case_curves(report["runs"], case))}
    if not panels:
        return None
    figure, grid = pyplot().subplots(1, len(panels), figsize=(3 + 4.5 * len(panels), 5.2), squeeze=False)
    for axes, (case, curves) in zip(grid[0], panels.items(), strict=True):
        draw_curves(axes, curves)
        axes.set_title(case[0], fontsize=10, loc="left")
    grid[0][0].set_ylabel("queries per second → better")
    engines = list(dict.fromkeys(run["engine"] for run in report["runs"]))
    legend(figure, list(grid[0]), engines, absent_of(report["runs"]))
    finding = f"Filters that keep {share_name(share)}: recall among the records kept"
    title(figure, finding, f"{data_line(report)}; one thread; bars: range")
    return save(figure, out, f"filtered-recall-{share_name(share).rstrip('%')}")
