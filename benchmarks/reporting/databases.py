"""The section of a report on embedded databases: writing, searching, filtering, changing, and where a peer wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.reporting.libraries import engine_name, speed_table
from benchmarks.reporting.pareto import MODES, curves_of
from benchmarks.reporting.style import OURS
from benchmarks.reporting.table import NONE, is_number, number, table
from benchmarks.reporting.winners import headline, wins_at_recall, wins_of, wins_section

RECALLS: Final = (0.95, 0.99)
SAME_RECALL: Final = 0.005
"""A filtered search that is less exact than another by up to this is compared with it by speed."""

Run = Mapping[str, Any]


def database_section(report: Mapping[str, Any]) -> list[str]:
    """Tables of a report of the suite `db`."""
    runs = [run for run in report["runs"] if run.get("ingest") or run.get("points")]
    lines = [*_writing(runs), *_reaching(runs)]
    wins = _cost_wins(runs)
    for mode, how in MODES.items():
        curves = curves_of(runs, mode)
        if curves:
            lines += [f"### Queries per second at equal recall, {how}", "", f"{headline(curves, RECALLS)}.", ""]
            lines += speed_table(curves, RECALLS)
            wins += wins_at_recall(curves, how, RECALLS)
    wins += [*_filter_wins(runs), *_churn_wins(runs)]
    return [*lines, *_filtered(runs), *_changed(runs), *wins_section(wins)]


# --- writing and opening ---------------------------------------------------------------------------------------------

COSTS: Final = {
    "records_per_s": ("durable ingest, records/s", 0),
    "ready_s": ("then until indexed, s", 1),
    "disk_mb": ("disk, MB", 0),
    "ingest_peak_mb": ("peak memory of ingest, MB", 0),
    "serve_mb": ("memory while serving, MB", 0),
    "cold_open_s": ("process start to first answer, s", 2),
}


def cost_of(run: Run, name: str) -> float | None:
    """One of COSTS."""
    parts = {**(run.get("ingest") or {}), **(run.get("memory") or {})}
    value = parts.get(name, run.get(name))
    return None if value is None else float(value)


def _writing(runs: Iterable[Run]) -> list[str]:
    rows = [
        [engine_name(run["engine"]), *(number(cost_of(run, name), digits) for name, (_, digits) in COSTS.items())]
        for run in runs
    ]
    return ["### Writing and opening", "", *table(["database", *(label for label, _ in COSTS.values())], rows)]


def _cost_wins(runs: Sequence[Run]) -> list[str]:
    wins = []
    for name, (label, _) in COSTS.items():
        what, _, unit = label.rpartition(", ")
        figures = {run["engine"]: cost_of(run, name) for run in runs}
        wins += wins_of(what, figures, unit, more=name == "records_per_s")
    return wins


# --- searching -------------------------------------------------------------------------------------------------------


def first_reaching(run: Run, mode: str, recall: float) -> Mapping[str, Any] | None:
    """The measured point of least recall that is enough."""
    points = [one for one in run.get("points") or () if one["mode"] == mode and is_number(one["recall"])]
    return min((one for one in points if one["recall"] >= recall), key=lambda one: one["recall"], default=None)


def _reaching(runs: Iterable[Run]) -> list[str]:
    columns = ["database"]
    for recall in RECALLS:
        columns += [f"recall ≥ {recall:.2f}", "queries/s", "p50 ms", "p99 ms", "batch queries/s"]
    rows = [
        [engine_name(run["engine"]), *(cell for recall in RECALLS for cell in _reaching_cells(run, recall))]
        for run in runs
    ]
    return ["### Searches that return metadata, at the first effort that reaches a recall", "", *table(columns, rows)]


def _reaching_cells(run: Run, recall: float) -> list[str]:
    single, batch = (first_reaching(run, mode, recall) for mode in ("single", "batch"))
    first = [NONE] * 4
    if single is not None:
        times = [number(single.get(name), 2) for name in ("p50_ms", "p99_ms")]
        first = [f"{single['recall']:.3f}", number(single["qps"]), *times]
    return [*first, NONE if batch is None else f"{batch['qps']:,.0f} (recall {batch['recall']:.3f})"]


# --- filters ---------------------------------------------------------------------------------------------------------


def filtered_points(run: Run) -> dict[float, Mapping[str, Any]]:
    """Of each share the point of the greatest effort."""
    return {one["share"]: one for one in sorted(run.get("filtered") or (), key=lambda one: one["effort"] or 0)}


def _filtered(runs: Sequence[Run]) -> list[str]:
    shares = sorted({share for run in runs for share in filtered_points(run)}, reverse=True)
    if not shares:
        return []
    rows = []
    for run in runs:
        points = filtered_points(run)
        cells = [_filtered_cell(points.get(share)) for share in shares]
        rows.append([engine_name(run["engine"]), *cells, "" if points else _reason(run, "filtered")])
    columns = ["database", *(f"keeps {share:.1%}" for share in shares), "why not"]
    note = "Queries per second (recall; share of searches with fewer hits than there are), at the greatest effort used."
    return ["### Filtered searches", "", *table(columns, rows), note, ""]


def _filtered_cell(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return NONE
    return f"{number(point['qps'])} ({number(point['recall'], 3)}; {point['short_share']:.0%} short)"


def _reason(run: Run, part: str) -> str:
    return str(run.get(f"{part}_reason") or run.get("reason") or "not measured")


def _filter_wins(runs: Sequence[Run]) -> list[str]:
    points = {run["engine"]: filtered_points(run) for run in runs}
    ours = points.pop(OURS, None)
    able = [name for name, found in points.items() if found]
    if ours is None or not able:
        return []
    if not ours:
        own = next(run for run in runs if run["engine"] == OURS)
        return [f"filtered searches: {', '.join(able)} answer them; {OURS} does not: {_reason(own, 'filtered')}"]
    wins = []
    for share, own in ours.items():
        exact = {name: found[share] for name, found in points.items() if share in found}
        known = {name: one for name, one in exact.items() if one["recall"] >= own["recall"] - SAME_RECALL}
        what = f"filter that keeps {share:.1%}"
        wins += wins_of(
            what, {OURS: own["qps"], **{name: one["qps"] for name, one in known.items()}}, "queries/s", more=True
        )
        recalls = {name: one["recall"] for name, one in exact.items() if one["recall"] > own["recall"] + SAME_RECALL}
        wins += wins_of(f"recall of a {what}", {OURS: own["recall"], **recalls}, "of the nearest", more=True)
    return wins


# --- changes ---------------------------------------------------------------------------------------------------------

CHURN: Final = {
    "seconds": (1, "s"),
    "ready_s": (1, "s"),
    "recall": (3, ""),
    "qps": (0, "queries/s"),
    "disk_mb": (0, "MB"),
}


def _changed(runs: Iterable[Run]) -> list[str]:
    rows = []
    for run in runs:
        churn = run.get("churn") or {}
        cells = [number(churn.get(name), digits) for name, (digits, _) in CHURN.items()]
        rows.append([engine_name(run["engine"]), *cells, "" if churn else _reason(run, "churn")])
    columns = ["database", "seconds", "then until indexed", "recall", "queries/s", "disk MB", "why not"]
    return ["### After replacing a fifth of the records", "", *table(columns, rows)]


def _churn_wins(runs: Iterable[Run]) -> list[str]:
    churned = {run["engine"]: run["churn"] for run in runs if run.get("churn")}
    wins = []
    for name, (_, unit) in CHURN.items():
        figures = {engine: churn.get(name) for engine, churn in churned.items()}
        what = f"after replacing a fifth, {name.removesuffix('_mb').removesuffix('_s').replace('qps', 'speed')}"
        wins += wins_of(what, figures, unit, more=name in {"recall", "qps"})
    return wins
