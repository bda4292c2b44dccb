"""Draws the `ingest` suite: the whole beside its halves, the runs after it, the ingestor's memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.reporting.ingest import targets_of
from benchmarks.reporting.style import OURS, log_axis, look_of, pyplot, save, title
from benchmarks.reporting.targets import reason_of

GREY: Final = "#7F7F7F"
RATES: Final = {
    "embedder_one_cpu": "model,\n1 CPU",
    "embedder": "model,\nall CPUs",
    "stream": "stream\nalone",
    "end_to_end": "end to\nend",
}
RUNS: Final = {"first": "first", "untouched": "again", "touched": "again,\ntouched"}


def draw_ingest(report: Mapping[str, Any], out: Path) -> list[str]:
    """Speeds, seconds of each run, and memory over time."""
    results = report["results"]
    speed = results.get("speed")
    if speed is None or reason_of(speed):
        return []
    figure, (rates, runs, memory) = pyplot().subplots(1, 3, figsize=(12, 4.2), width_ratios=(4, 3, 5))
    _bars(rates, RATES, speed["rates"], ",.0f", ours="end_to_end")
    rates.set_title("texts per second → better", fontsize=10, loc="left")
    _bars(runs, RUNS, speed["seconds"], ".2f")
    log_axis(runs.yaxis)
    runs.set_title("seconds of the process, better ↓", fontsize=10, loc="left")
    _memory(memory, speed)
    found = targets_of(results)
    met = sum(one.is_met for one in found)
    about = f"{results['texts']:,} texts, model {results['model']}; medians; lines: range"
    title(figure, f"{OURS} ingest: {met} of {len(found)} targets reached", about)
    return [save(figure, out, "ingest")]


def _bars(axes: Any, names: Mapping[str, str], figures: Mapping[str, Any], form: str, ours: str | None = None) -> None:
    for place, name in enumerate(names):
        one = figures[name]
        middle = one["median"]
        reach = [[middle - min(one["runs"])], [max(one["runs"]) - middle]]
        colour = look_of(OURS)[0] if ours in {None, name} else GREY
        axes.bar(place, middle, color=colour, width=0.7, yerr=reach, ecolor="#333333")
        axes.annotate(f"{middle:{form}}", (place, middle), ha="center", va="bottom", fontsize=9)
    axes.set_xticks(range(len(names)), list(names.values()), fontsize=9)
    axes.grid(visible=False, axis="x")


def _memory(axes: Any, speed: Mapping[str, Any]) -> None:
    for number, run in enumerate(speed["memory"]):
        times = [at for at, _, _ in run]
        axes.plot(times, [own for _, _, own in run], color=look_of(OURS)[0], label="its own" if number == 0 else None)
        axes.plot(times, [all_ for _, all_, _ in run], color=GREY, label="resident" if number == 0 else None)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.legend(frameon=False, fontsize=9)
    axes.set_title("MB of the ingestor, first runs", fontsize=10, loc="left")
