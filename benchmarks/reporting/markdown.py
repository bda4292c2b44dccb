"""Writes a report that a person can read: headline ratios, where peers win, every curve, and who did not take part.

Promises: deterministic for the same raw figures; engines that were missing or failed are listed with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.reporting.databases import RECALLS, database_section
from benchmarks.reporting.filtered import every_filtered_point, filtered_headlines, filtered_section
from benchmarks.reporting.libraries import library_section
from benchmarks.reporting.own import own_tables
from benchmarks.reporting.pareto import MODES, TARGETS, curves_of
from benchmarks.reporting.plots import draw_suite
from benchmarks.reporting.style import PlotError
from benchmarks.reporting.table import folded, number, table
from benchmarks.reporting.winners import headline

REASON_CHARS: Final = 400


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write report.md and the plots of raw files into `out`; returns the report's path.

    Plots of one file lie in `out`, of several each in a folder. Without matplotlib the report is written without plots,
    and then PlotError raised.
    """
    out.mkdir(parents=True, exist_ok=True)
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in runs]
    folders = [""] if len(reports) == 1 else _folder_names(reports)
    parts = ["# Benchmark report", "", *_summary(reports)]
    missing = None
    for report, folder in zip(reports, folders, strict=True):
        try:
            plots = [f"{folder}/{name}".lstrip("/") for name in draw_suite(report, out / folder)]
        except PlotError as error:
            missing, plots = error, []
        parts += _part(report, plots)
    path = out / "report.md"
    path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    if missing is not None:
        raise PlotError(f"{path} has no plots: {missing}") from missing
    return path


def _folder_names(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """A name of its own for each report, from its suite and data."""
    names: list[str] = []
    for report in reports:
        data = report.get("dataset")
        stem = report["suite"] if data is None else f"{report['suite']}-{Path(data['name']).stem}-{data['rows']}"
        taken = sum(name == stem or name.startswith(f"{stem}.") for name in names)
        names.append(f"{stem}.{taken + 1}" if taken else stem)
    return names


def _summary(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each contest: who is fastest."""
    lines = []
    for report in reports:
        if report["suite"] == "filtered":
            lines += [f"- `filtered` on {report['dataset']['name']}, {line}." for line in filtered_headlines(report)]
            continue
        targets = RECALLS if report["suite"] == "db" else TARGETS
        for mode, how in MODES.items():
            curves = curves_of(report.get("runs", ()), mode)
            if curves:
                lines.append(
                    f"- `{report['suite']}` on {report['dataset']['name']}, {how}: {headline(curves, targets)}."
                )
    return [*lines, ""] if lines else []


def _part(report: Mapping[str, Any], plots: Iterable[str]) -> list[str]:
    """All about one raw file."""
    images = [line for name in plots for line in (f"![{Path(name).stem}]({name})", "")]
    runs = report.get("runs", [])
    return [*_head(report), *images, *_body(report), *_absent(runs), *_details(report)]


def _head(report: Mapping[str, Any]) -> list[str]:
    machine = report["machine"]
    data = report.get("dataset")
    title = f"## Suite `{report['suite']}`" + (f" on {data['name']}" if data else "")
    lines = [title, "", f"    {report['command']}", ""]
    if data:
        size = f"{data['rows']:,} rows of {data['dim']} dimensions, {data['metric']}, digest {data['digest']}"
        lines.append(f"- Data: {size}; {data['queries']:,} queries, {data['k']} hits.")
    processor = f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gb']} GB"
    lines.append(f"- Machine: {processor}, {machine['system']}, Python {machine['python']}.")
    finished = report.get("finished")
    lines.append(f"- Begun {report['started']}, " + (f"finished {finished}." if finished else "not finished."))
    versions = _versions(report.get("runs", ()))
    return [*lines, *([f"- Versions: {versions}."] if versions else []), ""]


def _versions(runs: Iterable[Mapping[str, Any]]) -> str:
    found = {f"{name} {version}" for run in runs for name, version in (run.get("versions") or {}).items()}
    return ", ".join(sorted(found, key=str.lower))


def _body(report: Mapping[str, Any]) -> list[str]:
    if report["suite"] == "ann":
        return library_section(report)
    if report["suite"] == "db":
        return database_section(report)
    if report["suite"] == "filtered":
        return filtered_section(report)
    return own_tables(report)


def _absent(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [
        [f"{run['engine']} {run.get('setting', '')}".strip(), run["status"], run["reason"][:REASON_CHARS] or "unknown"]
        for run in runs
        if run["status"] != "ok"
    ]
    lines = table(["engine", "status", "reason"], rows) if rows else ["Every engine was measured to the end.", ""]
    return ["### Not measured, or not to the end", "", *lines]


# --- every point -----------------------------------------------------------------------------------------------------


def _details(report: Mapping[str, Any]) -> list[str]:
    """Versions, tuning and every measured point of each engine, folded away."""
    if report["suite"] == "filtered":
        return every_filtered_point(report)
    lines: list[str] = []
    runs = report.get("runs", [])
    for name in dict.fromkeys(run["engine"] for run in runs):
        own = [run for run in runs if run["engine"] == name]
        lines += folded(f"{name}: versions, settings and every point", [*_settings(own), *_points(own)])
    return ["### Every measured point", "", *lines] if lines else []


def _settings(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"- {_versions(runs) or 'no version'}. {runs[0].get('tuning', '')}".rstrip()]
    for run in runs:
        if run.get("setting"):
            values = ", ".join(f"{name} {value}" for name, value in (run.get("values") or {}).items())
            lines.append(f"- {run['setting']}: {values or 'its defaults'}")
    return [*lines, ""]


def _points(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    runs = list(runs)
    best = {
        (mode, point.setting, point.effort)
        for mode in MODES
        for curve in curves_of(runs, mode).values()
        for point in curve.front
    }
    rows = [
        [
            run.get("setting", ""),
            one["mode"],
            str(one["effort"]),
            number(one["recall"], 4),
            number(one["qps"]),
            f"{number(one.get('qps_low'))}–{number(one.get('qps_high'))}",
            "yes" if (one["mode"], run.get("setting", ""), one["effort"]) in best else "",
        ]
        for run in runs
        for one in run.get("points") or ()
    ]
    return table(["setting", "mode", "effort", "recall", "queries/s", "range", "on the front"], rows) if rows else []
