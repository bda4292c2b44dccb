"""Draws the `serve` suite: what calls cost beside calls that do nothing, and beside the embedded engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.reporting.serve import targets_of
from benchmarks.reporting.style import OURS, look_of, pyplot, save, title

GREY: Final = "#7F7F7F"
UNARY: Final = {
    "floor": "empty call,\nplain grpcio",
    "info": "GetServerInfo",
    "ids": "search",
    "metadata": "search,\nmetadata",
}
BATCHES: Final = {
    "embedded_batch": "embedded",
    "batch": "batches",
    "stream": "stream",
    "embedded_batch_metadata": "embedded,\nmetadata",
    "batch_metadata": "batches,\nmetadata",
    "stream_metadata": "stream,\nmetadata",
}
INGEST: Final = {"embedded": "embedded", "stream": "stream"}


def draw_serve(report: Mapping[str, Any], out: Path) -> list[str]:
    """A panel for each of the parts that compare speeds."""
    results = report["results"]
    unary, batch = (_first_rates(results.get(part)) for part in ("unary", "batch"))
    panels = [
        ("calls per second, one caller", UNARY, unary),
        ("queries per second, 100 a call, one caller", BATCHES, batch),
        ("records per second", INGEST, results.get("ingest")),
    ]
    drawn = [(label, names, rates) for label, names, rates in panels if rates is not None and set(names) <= set(rates)]
    if not drawn:
        return []
    widths = [len(names) + 1 for _, names, _ in drawn]
    figure, grid = pyplot().subplots(
        1, len(drawn), figsize=(1.0 * sum(widths) + 1, 4.2), squeeze=False, width_ratios=widths
    )
    for axes, (label, names, rates) in zip(grid[0], drawn, strict=True):
        _bars(axes, names, rates)
        axes.set_title(label, fontsize=10, loc="left")
    found = targets_of(results)
    met = sum(one.is_met for one in found)
    data = report.get("dataset") or {}
    about = f"{data['name']}: {data['rows']:,} rows, {data['dim']} dimensions; " if data else ""
    title(figure, f"{OURS} over gRPC: {met} of {len(found)} targets reached", f"{about}medians; lines: range")
    return [save(figure, out, "serve")]


def _first_rates(points: Any) -> Mapping[str, Any] | None:
    """The rates with the fewest callers."""
    return next((one["rates"] for one in points or () if isinstance(one, Mapping)), None)


def _bars(axes: Any, names: Mapping[str, str], rates: Mapping[str, Any]) -> None:
    plain: Sequence[str] = ("floor", "info", "embedded", "embedded_batch", "embedded_batch_metadata")
    for place, name in enumerate(names):
        rate = rates[name]
        middle = rate["median"]
        reach = [[middle - min(rate["runs"])], [max(rate["runs"]) - middle]]
        colour = GREY if name in plain else look_of(OURS)[0]
        axes.bar(place, middle, color=colour, width=0.7, yerr=reach, ecolor="#333333")
        axes.annotate(f"{middle:,.0f}", (place, middle / 2), ha="center", color="white", fontsize=8)
    axes.set_xticks(range(len(names)), list(names.values()), fontsize=8)
    axes.grid(visible=False, axis="x")
