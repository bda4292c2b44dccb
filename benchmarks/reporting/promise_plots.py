"""Draws what vecdb promises of itself: the recall that was asked for, and speed after updates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.reporting.recall import WITHIN, deviation
from benchmarks.reporting.style import OURS, log_axis, look_of, pyplot, save, title
from benchmarks.reporting.updates import RECALLS

GREY: Final = "#7F7F7F"
MARKERS: Final = {0.9: "o", 0.95: "s", 0.99: "^"}
STEP: Final = 0.22


def draw_recall(report: Mapping[str, Any], out: Path) -> list[str]:
    """How far recall was from each target, for queries of the rows' distribution and for others."""
    datasets = report["results"]["datasets"]
    figure, panels = pyplot().subplots(1, 2, figsize=(12, 1.8 + 0.9 * len(datasets)), sharey=True)
    for axes, outside in zip(panels, (False, True), strict=True):
        for place, data in enumerate(datasets):
            for one in (one for one in data["searches"] if one["outside"] is outside):
                _dot(axes, place, one)
        axes.axvspan(-WITHIN, WITHIN, color=GREY, alpha=0.2, linewidth=0)
        axes.set_xlabel("recall found less recall asked for")
        axes.set_title("queries from elsewhere" if outside else "queries like the rows", fontsize=10, loc="left")
    panels[0].set_yticks(range(len(datasets)), [data["name"] for data in datasets])
    panels[0].invert_yaxis()
    handles = [
        panels[0].plot([], [], marker=marker, color=look_of(OURS)[0], linestyle="", label=f"{target:.2f}")[0]
        for target, marker in MARKERS.items()
    ]
    figure.legend(handles=handles, loc="outside right center", frameon=False, title="asked for")
    inside = [one for data in datasets for one in data["searches"] if not one["outside"]]
    met = sum(deviation(one) <= WITHIN for one in inside)
    about = f"lines: 95 % intervals; grey: within {WITHIN}; hollow: the least effort finds more than was asked for"
    title(figure, f"{met} of {len(inside)} targets are reached within {WITHIN} for queries like the rows", about)
    return [save(figure, out, "recall-reached")]


def _dot(axes: Any, place: int, one: Mapping[str, Any]) -> None:
    target, colour = one["target"], look_of(OURS)[0]
    height = place + STEP * (list(MARKERS).index(target) - 1)
    passed = one["least"] > target
    axes.plot(
        [one["low"] - target, one["high"] - target], [height, height], color=GREY if passed else colour, linewidth=1.2
    )
    axes.plot(
        one["recall"] - target,
        height,
        marker=MARKERS[target],
        color=GREY if passed else colour,
        markerfacecolor="none" if passed else colour,
    )


def draw_updates(report: Mapping[str, Any], out: Path) -> list[str]:
    """Speed over recall of the fresh database and of the one whose records were replaced, at each stage."""
    results = report["results"]
    figure, panels = pyplot().subplots(1, len(results["stages"]), figsize=(11, 4.4), sharey=True, squeeze=False)
    for axes, one in zip(panels[0], results["stages"], strict=True):
        for name, colour in (("fresh", GREY), ("replaced", look_of(OURS)[0])):
            points = one["points"][name]
            axes.plot(
                [point["recall"] for point in points],
                [point["qps"] for point in points],
                marker="o",
                color=colour,
                label=name,
            )
        axes.set_xlabel("recall")
        axes.set_title(one["stage"], fontsize=10, loc="left")
        log_axis(axes.yaxis)
        axes.legend(frameon=False)
    panels[0][0].set_ylabel("queries per second, one thread → better")
    last = results["stages"][-1]["ratios"]
    kept = ", ".join(f"{last[recall]:.2f} at recall {float(recall):.2f}" for recall in RECALLS if last.get(recall))
    data = report["dataset"]
    about = f"{data['name']}: {data['rows']:,} rows, {data['dim']} dimensions, {data['metric']}; "
    title(
        figure,
        f"Speed after replacing {results['share']:.0%} of the records, by that of a fresh database: {kept}",
        about + "sizes are in the report",
    )
    return [save(figure, out, "updates")]
