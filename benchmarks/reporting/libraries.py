"""The section of a report on libraries: speed at equal recall, building, memory, and where a peer wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.reporting.pareto import MODES, TARGETS, Curve, Point, curves_of, points_of
from benchmarks.reporting.style import OURS
from benchmarks.reporting.table import NONE, is_number, number, table
from benchmarks.reporting.winners import headline, wins_at_recall, wins_of, wins_section

FIXED_EFFORT: Final = 64
"""Builds are compared at the effort nearest to it, or in the middle of a sweep on another scale."""


def library_section(report: Mapping[str, Any]) -> list[str]:
    """Tables of a report of the suite `ann`."""
    runs = report["runs"]
    lines: list[str] = []
    wins: list[str] = []
    for mode, how in MODES.items():
        curves = curves_of(runs, mode)
        if curves:
            lines += [f"### Queries per second at equal recall, {how}", "", f"One thread: {headline(curves)}.", ""]
            lines += speed_table(curves)
            wins += wins_at_recall(curves, how)
    return [*lines, *_building(runs), *wins_section([*wins, *_building_wins(runs)])]


def speed_table(curves: Mapping[str, Curve], targets: Sequence[float] = TARGETS) -> list[str]:
    """Speeds at each recall, the ratio of vecdb to the engine, and the range of recall that was measured."""
    lines = table(
        ["engine", *(f"recall {target:.2f}" for target in targets), "recall measured"], _speed_rows(curves, targets)
    )
    note = f"In brackets: {OURS} over the engine. {NONE}: outside the measured recall. The best setting counts."
    return [*lines, note, ""]


def _speed_rows(curves: Mapping[str, Curve], targets: Sequence[float]) -> Iterable[list[str]]:
    for name, curve in curves.items():
        cells = [_speed_cell(name, curve, curves.get(OURS), target) for target in targets]
        yield [engine_name(name), *cells, f"{curve.lowest:.3f}–{curve.highest:.3f}"]


def _speed_cell(name: str, curve: Curve, ours: Curve | None, target: float) -> str:
    speed, own = curve.qps_at(target), None if ours is None else ours.qps_at(target)
    return speed_and_ratio(speed, None if name == OURS else own)


def speed_and_ratio(speed: float | None, own: float | None) -> str:
    """A speed, and vecdb's over it where there is one to compare with."""
    if speed is None or own is None:
        return number(speed)
    flag = ", **peer wins**" if speed > own else ""
    return f"{speed:,.0f} ({own / speed:.2f} ×{flag})"


def engine_name(name: str) -> str:
    """vecdb stands out."""
    return f"**{name}**" if name == OURS else name


# --- building --------------------------------------------------------------------------------------------------------


def added_mb(run: Mapping[str, Any]) -> float | None:
    """Memory that the index added to the process and the base rows it began with."""
    memory = run.get("memory") or {}
    built, before = memory.get("built_mb"), memory.get("before_mb")
    return None if built is None or before is None else float(built - before)


def build_seconds(run: Mapping[str, Any]) -> float | None:
    """Wall time of the build."""
    seconds = (run.get("build") or {}).get("seconds")
    return None if seconds is None else float(seconds)


def _building(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    columns = ["engine, setting", "build s", "CPU s", "threads", "MB added", "peak MB", "effort", "recall", "queries/s"]
    note = (
        f"Recall and speed of one batch call at the effort nearest to {FIXED_EFFORT}, or in the middle of a sweep on "
        "another scale; an effort is not the same thing in every library. MB added: what the built index takes, its "
        "copy of the vectors included."
    )
    built = (run for run in runs if run.get("build"))
    return ["### Building, memory, and recall at a fixed effort", "", *table(columns, map(_build_row, built)), note, ""]


def _build_row(run: Mapping[str, Any]) -> list[str]:
    build, memory = run["build"], run.get("memory") or {}
    point = fixed_point(run)
    return [
        f"{engine_name(run['engine'])} {run.get('setting', '')}",
        number(build["seconds"], 1),
        number(build.get("cpu_seconds"), 1),
        str(build.get("threads", NONE)),
        number(added_mb(run)),
        number(memory.get("peak_mb")),
        *([NONE] * 3 if point is None else [str(point.effort), f"{point.recall:.4f}", f"{point.qps:,.0f}"]),
    ]


def fixed_point(run: Mapping[str, Any]) -> Point | None:
    """The point at which builds are compared."""
    points = sorted(points_of([run], "batch") or points_of([run], "single"), key=lambda one: one.effort)
    if not points:
        return None
    if points[0].effort <= FIXED_EFFORT <= points[-1].effort or len(points) == 1:
        return min(points, key=lambda one: abs(one.effort - FIXED_EFFORT))
    return points[len(points) // 2]


def _building_wins(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each engine the setting that is best at it."""
    seconds = least_by_engine((run["engine"], build_seconds(run)) for run in runs)
    added = least_by_engine((run["engine"], added_mb(run)) for run in runs)
    return [
        *wins_of("build time of the quickest setting", seconds, "s"),
        *wins_of("memory of the smallest setting", added, "MB"),
    ]


def least_by_engine(figures: Iterable[tuple[str, float | None]]) -> dict[str, float | None]:
    """The least figure of each engine."""
    least: dict[str, float | None] = {}
    for name, value in figures:
        if is_number(value):
            known = least.get(name)
            least[name] = value if known is None else min(value, known)
    return least
