"""Writes a report that a person can read: headline ratios, where peers win, every curve, and who did not take part.

Promises: deterministic for the same raw figures; engines that were missing or failed are listed with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.reporting.own import own_tables
from benchmarks.reporting.pareto import TARGETS, engines_of, front, points_of, qps_at
from benchmarks.reporting.plots import MODES, draw_suite
from benchmarks.reporting.style import OURS
from benchmarks.reporting.table import NONE, number, table

EVEN: Final = 1.05
"""Ratios up to this are called even rather than won."""


def write_report(files: Sequence[Path], out: Path) -> Path:
    """Write report.md and the plots of raw files into `out`; returns the report's path."""
    out.mkdir(parents=True, exist_ok=True)
    parts = ["# Benchmark report", ""]
    for file in files:
        report = json.loads(file.read_text(encoding="utf-8"))
        plots_of = out if len(files) == 1 else out / file.stem
        images = [(plots_of / name).relative_to(out).as_posix() for name in draw_suite(report, plots_of)]
        parts += [*_head(report), *_body(report), *(f"![{name}]({name})\n" for name in images), *_details(report)]
    path = out / "report.md"
    path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return path


def _head(report: Mapping[str, Any]) -> list[str]:
    machine = report["machine"]
    lines = [f"## Suite `{report['suite']}`", ""]
    if "dataset" in report:
        data = report["dataset"]
        lines[0] += f" on {data['name']}"
        size = f"{data['rows']:,} rows of {data['dim']} dimensions, {data['metric']}"
        lines.append(f"{size}, {data['queries']:,} held-out queries, {data['k']} hits.")
    processor = f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gb']} GB"
    lines.append(f"{processor}, Python {machine['python']}, {machine['system']}; {report['started']}.")
    return [*lines, "", f"    {report['command']}", ""]


def _body(report: Mapping[str, Any]) -> list[str]:
    if report["suite"] == "ann":
        return _ann(report)
    if report["suite"] == "db":
        return _databases(report)
    return own_tables(report)


# --- libraries -------------------------------------------------------------------------------------------------------


def _ann(report: Mapping[str, Any]) -> list[str]:
    runs = report["runs"]
    engines = [name for name in engines_of(runs) if any(run["points"] for run in runs if run["engine"] == name)]
    lines: list[str] = []
    wins: list[str] = []
    for mode, how in MODES.items():
        fronts = {name: front(points_of(runs, name, mode)) for name in engines}
        if any(fronts.values()):
            lines += [f"### Queries per second at equal recall, {how}", ""]
            lines += [
                f"One thread; the ratio is {OURS} over the engine. {NONE}: the curve does not reach the recall.",
                "",
            ]
            lines += table(["engine", *(f"recall {target:g}" for target in TARGETS)], _speed_rows(fronts))
            wins += _wins(fronts, how)
    lines += ["### Building", "", *table(["engine, setting", "seconds", "threads", "MB added"], _build_rows(runs))]
    lines += ["### Where a peer wins", "", *([f"- {win}" for win in wins] or ["Nowhere in this run."]), ""]
    return lines + _absent(runs)


def _speed_rows(fronts: Mapping[str, Any]) -> Iterable[list[str]]:
    ours = {target: qps_at(fronts.get(OURS, []), target) for target in TARGETS}
    for name, points in fronts.items():
        cells = []
        for target in TARGETS:
            speed, own = qps_at(points, target), ours[target]
            cell = NONE if speed is None else f"{speed:,.0f}"
            if speed is not None and own is not None and name != OURS:
                cell += f" ({own / speed:.2f} ×)"
            cells.append(cell)
        yield [f"**{name}**" if name == OURS else name, *cells]


def _wins(fronts: Mapping[str, Any], how: str) -> list[str]:
    found = []
    for name, points in fronts.items():
        for target in TARGETS:
            speed, own = qps_at(points, target), qps_at(fronts.get(OURS, []), target)
            if name == OURS or speed is None:
                continue
            if own is None:
                found.append(f"{name} reaches recall {target:g} ({how}), {OURS} does not")
            elif speed > own * EVEN:
                found.append(f"{name} is {speed / own:.2f} × as fast at recall {target:g}, {how}")
    return found


def _build_rows(runs: Iterable[Mapping[str, Any]]) -> Iterable[list[str]]:
    for run in runs:
        if run["build"]:
            added = run["memory"]["built_mb"] - run["memory"]["before_mb"]
            name = f"{run['engine']} {run['setting']}"
            yield [name, f"{run['build']['seconds']:.1f}", str(run["build"]["threads"]), f"{added:,.0f}"]


def _absent(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [
        [f"{run['engine']} {run.get('setting', '')}".strip(), run["status"], run["reason"].replace("|", "/")[:300]]
        for run in runs
        if run["status"] != "ok"
    ]
    return ["### Not measured, or not to the end", "", *table(["engine", "status", "reason"], rows)] if rows else []


def _details(report: Mapping[str, Any]) -> list[str]:
    """Versions, tuning and every measured point, folded away."""
    runs = report.get("runs", [])
    if not runs:
        return []
    lines = ["<details><summary>Versions, settings and all measured points</summary>", ""]
    for run in runs:
        versions = ", ".join(f"{name} {version}" for name, version in (run.get("versions") or {}).items())
        values = ", ".join(f"{name}={value}" for name, value in (run.get("values") or {}).items())
        lines += [f"**{run['engine']} {run.get('setting', '')}** ({versions}) {values}. {run.get('tuning', '')}", ""]
        for mode in MODES:
            points = [one for one in run.get("points", []) if one["mode"] == mode]
            if points:
                listed = " · ".join(f"{one['effort']}: {one['recall']:.4f} @ {one['qps']:,.0f}" for one in points)
                lines += [f"{mode}: {listed}", ""]
    return [*lines, "</details>", ""]


# --- databases -------------------------------------------------------------------------------------------------------


def _databases(report: Mapping[str, Any]) -> list[str]:
    runs = report["runs"]
    columns = [
        "database",
        "records/s",
        "ready s",
        "QPS .95",
        "QPS .99",
        "batch .95",
        "disk MB",
        "serve MB",
        "cold open s",
    ]
    lines = ["### End to end", "", *table(columns, (_database_row(run) for run in runs if run["points"]))]
    filtered = ["database", "50 %", "1 %", "0.1 %"]
    lines += ["### Filtered: queries per second (recall, share of answers that came short)", ""]
    lines += table(filtered, (_filtered_row(run) for run in runs if run["points"]))
    lines += ["### After replacing 20 %", ""]
    lines += table(
        ["database", "seconds", "recall", "QPS", "disk MB"], (_churn_row(run) for run in runs if run["points"])
    )
    return lines + _absent(runs)


def _database_row(run: Mapping[str, Any]) -> list[str]:
    name = run["engine"]
    ingest, memory = run.get("ingest") or {}, run.get("memory") or {}
    single = [one for one in run["points"] if one["mode"] == "single"]
    batch = [one for one in run["points"] if one["mode"] == "batch"]
    return [
        f"**{name}**" if name == OURS else name,
        number(ingest.get("records_per_s")),
        number(ingest.get("ready_s"), 1),
        number(_cheapest(single, 0.95)),
        number(_cheapest(single, 0.99)),
        number(_cheapest(batch, 0.95)),
        number(run.get("disk_mb")),
        number(memory.get("serve_mb")),
        number(run.get("cold_open_s"), 2),
    ]


def _cheapest(points: Sequence[Mapping[str, Any]], recall: float) -> float | None:
    """Best speed measured at a recall or more."""
    reached = [one["qps"] for one in points if one["recall"] >= recall]
    return max(reached) if reached else None


def _filtered_row(run: Mapping[str, Any]) -> list[str]:
    if not run.get("filtered"):
        return [run["engine"], run.get("filtered_reason") or NONE, "", ""]
    hardest = {one["share"]: one for one in sorted(run["filtered"], key=lambda one: one["effort"] or 0)}
    cells = [f"{one['qps']:,.0f} ({one['recall']:.3f}, {one['short_share']:.0%})" for one in hardest.values()]
    return [run["engine"], *cells]


def _churn_row(run: Mapping[str, Any]) -> list[str]:
    churn = run.get("churn")
    if not churn:
        return [run["engine"], run.get("churn_reason") or NONE, "", "", ""]
    figures = (
        number(churn["seconds"], 1),
        number(churn["recall"], 3),
        number(churn["qps"]),
        number(churn["disk_mb"]),
    )
    return [run["engine"], *figures]
