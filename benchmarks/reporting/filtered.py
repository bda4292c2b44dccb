"""The section of a report on filtered searches: speed at equal recall, what a known effort finds, and who wins where.

Other ways to search what vecdb stored (a target of recall, an exact scan) have rows of their own, but are no peers: the
ratios and the places where a peer wins are those of vecdb and of other databases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.reporting.libraries import engine_name, speed_and_ratio
from benchmarks.reporting.pareto import Curve, curves_of
from benchmarks.reporting.style import OURS
from benchmarks.reporting.table import NONE, folded, number, table
from benchmarks.reporting.winners import wins_at_recall, wins_of, wins_section

RECALL: Final = 0.95
SAME_RECALL: Final = 0.005
"""Recall that differs by less is the same, and so are shares of short answers."""

TARGETED: Final = f"{OURS}-target"
CHECKS: Final = {
    "wrong_counts": "wrong counts",
    "short_searches": "searches with fewer hits than min(10, matching)",
    "wrong_hits": "hits that do not match",
}

Run = Mapping[str, Any]
Case = tuple[str, float]
"""Kind and share; the share is 1 without a filter."""

UNFILTERED: Final[Case] = ("", 1.0)


# --- figures ----------------------------------------------------------------------------------------------------------


def is_peer(name: str) -> bool:
    """True for databases other than vecdb, however it is searched."""
    return name != OURS and not name.startswith(f"{OURS}-")


def cases_of(runs: Iterable[Run]) -> list[Case]:
    """All filters that were measured, as they are listed: by kind, then from many rows kept to few."""
    found = dict.fromkeys((one["kind"], one["share"]) for run in runs for one in run.get("filtered") or ())
    kinds = list(dict.fromkeys(kind for kind, _ in found))
    return sorted(found, key=lambda case: (kinds.index(case[0]), -case[1]))


def points_in(run: Run, case: Case) -> list[Mapping[str, Any]]:
    """What a run measured of a case."""
    if case == UNFILTERED:
        return list(run.get("points") or ())
    filtered = run.get("filtered") or ()
    return [point for one in filtered if (one["kind"], one["share"]) == case for point in one["points"]]


def case_curves(runs: Iterable[Run], case: Case) -> dict[str, Curve]:
    """The curve of every database that has points in a case."""
    return curves_of([{"engine": run["engine"], "points": points_in(run, case)} for run in runs], "single")


def point_at_effort(run: Run, case: Case) -> Mapping[str, Any] | None:
    """What the least effort that reaches RECALL without a filter finds with one."""
    return next((point for point in points_in(run, case) if point["effort"] == run.get("effort")), None)


def short_share(point: Mapping[str, Any]) -> float:
    """How often there were fewer hits than min(10, matching)."""
    return float(point["short"]) / float(point["queries"])


def kept_name(case: Case) -> str:
    """A filter in words."""
    kind, share = case
    return "no filter" if case == UNFILTERED else f"{kind} filter that keeps {share_name(share)}"


def share_name(share: float) -> str:
    """0.001 -> "0.1%"."""
    return f"{100 * share:g}%"


# --- the section ------------------------------------------------------------------------------------------------------


def filtered_section(report: Mapping[str, Any]) -> list[str]:
    """Tables of a report of the suite `filtered`."""
    runs = [run for run in report["runs"] if run.get("points")]
    cases = cases_of(runs)
    lines = _data(report)
    for kind in dict.fromkeys(kind for kind, _ in cases):
        shares = [UNFILTERED, *(case for case in cases if case[0] == kind)]
        lines += [f"### Queries per second at recall {RECALL:.2f} among the rows that match, {kind}", ""]
        lines += [*_speeds(runs, shares), *_at_effort(runs, shares)]
    lines += [*_targets(runs, cases), *_checks(report["runs"])]
    return [*lines, *wins_section(list(_wins(runs, [UNFILTERED, *cases])))]


def filtered_headlines(report: Mapping[str, Any]) -> list[str]:
    """Who is fastest, a sentence for each kind of filter."""
    runs = [run for run in report["runs"] if is_peer(run["engine"]) or run["engine"] == OURS]
    sentences: dict[str, list[str]] = {}
    for case in cases_of(runs):
        curves = case_curves(runs, case)
        fastest = sorted(((speed_of(curves, name) or 0.0, name) for name in curves), reverse=True)
        if fastest and fastest[0][0] > 0:
            lead = f" ({fastest[0][0] / fastest[1][0]:.1f} ×)" if len(fastest) > 1 and fastest[1][0] > 0 else ""
            sentences.setdefault(case[0], []).append(f"{share_name(case[1])} {fastest[0][1]}{lead}")
    how = f"fastest at recall {RECALL:.2f} (× the next) by what the filter keeps"
    return [f"{kind}, {how}: {', '.join(parts)}" for kind, parts in sentences.items()]


def _data(report: Mapping[str, Any]) -> list[str]:
    """What was filtered."""
    rows = [
        [
            f"{one['kind']}, {share_name(one['share'])}",
            f"{one['column']} < {one['below']:,}",
            number(one["matching"]),
            number(one["queries"]),
            number(one["made_queries"]),
        ]
        for one in report["cases"]
    ]
    lines = table(["filter", "is", "rows that match", "queries", "of them made of matching rows"], rows)
    spread = f"{report['direction_variance']:.1%} of the variance of all rows lies along the direction of the regions."
    return ["### Filters", "", *lines, spread, ""]


def _speeds(runs: Sequence[Run], cases: Sequence[Case]) -> list[str]:
    """A row for each database, and one for vecdb over the best of its peers."""
    curves = {case: case_curves(runs, case) for case in cases}
    rows = []
    for run in runs:
        name = run["engine"]
        rows.append([engine_name(name), *(_speed_cell(name, curves[case]) for case in cases)])
    rows.append([f"{OURS} over the best peer", *(_best_cell(curves[case]) for case in cases)])
    note = f"In brackets: {OURS} over the database. {NONE}: recall {RECALL:.2f} was not reached, or not measured."
    return [*table(["database", *map(_column, cases)], rows), note, ""]


def _column(case: Case) -> str:
    return "no filter" if case == UNFILTERED else f"keeps {share_name(case[1])}"


def speed_of(curves: Mapping[str, Curve], name: str) -> float | None:
    """Queries per second at RECALL; a curve that begins above it counts with its fastest point."""
    return curves[name].qps_reaching(RECALL) if name in curves else None


def _speed_cell(name: str, curves: Mapping[str, Curve]) -> str:
    own = speed_of(curves, OURS) if is_peer(name) else None
    return speed_and_ratio(speed_of(curves, name), own)


def best_peer(curves: Mapping[str, Curve]) -> tuple[str, float] | None:
    """The fastest database at RECALL that is not vecdb, and its speed."""
    speeds = {name: speed for name in curves if is_peer(name) and (speed := speed_of(curves, name)) is not None}
    return max(speeds.items(), key=lambda one: one[1], default=None)


def _best_cell(curves: Mapping[str, Curve]) -> str:
    own, best = speed_of(curves, OURS), best_peer(curves)
    return NONE if own is None or best is None else f"{own / best[1]:.2f} × ({best[0]})"


def _at_effort(runs: Sequence[Run], cases: Sequence[Case]) -> list[str]:
    rows = []
    for run in runs:
        cells = [_found_cell(point_at_effort(run, case)) for case in cases]
        rows.append([engine_name(run["engine"]), str(run.get("effort", NONE)), *cells])
    note = (
        f"Recall, and how often there were fewer hits than min(10, matching), at the effort that reaches {RECALL:.2f} "
        "without a filter (the greatest, where none does): what happens to who adds a filter and changes nothing else."
    )
    return [*table(["database", "effort", *map(_column, cases)], rows), note, ""]


def _found_cell(point: Mapping[str, Any] | None) -> str:
    return NONE if point is None else f"{point['recall']:.3f}; {short_share(point):.0%} short"


def _targets(runs: Iterable[Run], cases: Sequence[Case]) -> list[str]:
    """What a target of recall gives with each filter."""
    run = next((run for run in runs if run["engine"] == TARGETED), None)
    if run is None:
        return []
    efforts = sorted({point["effort"] for case in (UNFILTERED, *cases) for point in points_in(run, case)})
    rows = []
    for case in (UNFILTERED, *cases):
        points = {point["effort"]: point for point in points_in(run, case)}
        cells = [
            f"{points[effort]['recall']:.3f} ({number(points[effort]['qps'])})" if effort in points else NONE
            for effort in efforts
        ]
        rows.append([kept_name(case), *cells])
    columns = ["filter", *(f"asked {effort / 1000:.2f}" for effort in efforts)]
    return ["### Recall that a target gives, and queries per second", "", *table(columns, rows)]


def _checks(runs: Iterable[Run]) -> list[str]:
    """Random filters against numpy."""
    rows, examples = [], []
    for run in runs:
        checks = run.get("checks")
        if checks:
            cells = [number(checks[name]) for name in ("asked", "checked", "matching_none", "unindexed", *CHECKS)]
            rows.append([engine_name(run["engine"]), *cells])
            examples += [f"- {run['engine']}: `{one}`" for one in checks["examples"]]
    if not rows:
        return []
    columns = ["database", "asked", "checked", "that match nothing", "with unindexed columns", *CHECKS.values()]
    return ["### Random filters compared with numpy", "", *table(columns, rows), *examples, *[""] * bool(examples)]


# --- wins -------------------------------------------------------------------------------------------------------------


def _wins(runs: Sequence[Run], cases: Iterable[Case]) -> Iterator[str]:
    """Every case in which a peer is faster, more exact at the same care, or short less often."""
    known = [run for run in runs if run["engine"] == OURS or is_peer(run["engine"])]
    if all(is_peer(run["engine"]) for run in known):
        able = ", ".join(run["engine"] for run in known if run.get("filtered"))
        if able:
            yield f"filtered searches: {able} answer them; {OURS} was not measured"
        return
    for case in cases:
        yield from wins_at_recall(case_curves(known, case), kept_name(case), (RECALL,))
        points = {run["engine"]: point for run in known if (point := point_at_effort(run, case)) is not None}
        if OURS not in points:
            continue
        how = f"{kept_name(case)}, at the effort of recall {RECALL:.2f} without one"
        yield from _clear_wins(f"recall, {how}", {name: point["recall"] for name, point in points.items()})
        full = {name: 1.0 - short_share(point) for name, point in points.items()}
        yield from _clear_wins(f"searches that find all they should, {how}", full)


def _clear_wins(what: str, figures: Mapping[str, float]) -> list[str]:
    """Peers that are better by more than what is the same."""
    clear = {name: value for name, value in figures.items() if name == OURS or value > figures[OURS] + SAME_RECALL}
    return wins_of(what, clear, "of all", more=True)


# --- every point ------------------------------------------------------------------------------------------------------


def every_filtered_point(report: Mapping[str, Any]) -> list[str]:
    """All that was measured of each database, folded away."""
    lines: list[str] = []
    cases = [UNFILTERED, *cases_of(report["runs"])]
    columns = ["filter", "effort", "recall", "queries/s", "range", "p50 ms", "p99 ms", "passes", "short", "queries"]
    for run in report["runs"]:
        rows = [_point_row(case, point) for case in cases for point in points_in(run, case)]
        if rows:
            cut = [kept_name((one["kind"], one["share"])) for one in run.get("filtered") or () if one["cut"]]
            note = [f"Out of time before all passes: {', '.join(cut)}.", ""] if cut else []
            text = [f"{run.get('tuning', '')}", "", *table(columns, rows), *note]
            lines += folded(f"{run['engine']}: every point", text)
    return ["### Every measured point", "", *lines] if lines else []


def _point_row(case: Case, point: Mapping[str, Any]) -> list[str]:
    return [
        kept_name(case),
        str(point["effort"]),
        number(point["recall"], 4),
        number(point["qps"]),
        f"{number(point['qps_low'])}–{number(point['qps_high'])}",
        number(point["p50_ms"], 3),
        number(point["p99_ms"], 3),
        str(point["passes"]),
        str(point["short"]),
        str(point["queries"]),
    ]
