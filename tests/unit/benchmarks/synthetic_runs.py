"""Raw reports with figures that are easy to check, for the tests of reporting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CURVE = ((10, 0.90, 8_000.0), (20, 0.95, 4_000.0), (40, 0.99, 1_000.0))
"""Effort, recall and queries per second of an engine with factor 1."""

Report = dict[str, Any]
Run = dict[str, Any]


def sweep(factor: float = 1.0, spread: float = 0.01, modes: tuple[str, ...] = ("batch", "single")) -> list[Run]:
    """Points of CURVE, the speeds times a factor."""
    return [
        {
            "mode": mode, "effort": effort, "recall": recall, "seconds": [1_000 / qps / factor], "qps": qps * factor,
            "qps_low": qps * factor * (1 - spread), "qps_high": qps * factor * (1 + spread),
            "p50_ms": 1_000 / qps, "p99_ms": 3_000 / qps,
        }
        for mode in modes
        for effort, recall, qps in CURVE
    ]  # fmt: skip


def engine_run(engine: str, factor: float = 1.0, spread: float = 0.01, **changes: Any) -> Run:
    """A run of a library."""
    return {
        "engine": engine, "setting": "m16", "values": {"M": 16}, "versions": {engine: "1.0"}, "tuning": "As advised.",
        "status": "ok", "reason": "", "build": {"seconds": 10.0, "cpu_seconds": 10.0, "threads": 1},
        "memory": {"before_mb": 100.0, "built_mb": 300.0, "peak_mb": 310.0}, "points": sweep(factor, spread), **changes,
    }  # fmt: skip


def absent_run(engine: str, status: str, reason: str) -> Run:
    """A run of a library that has no figures."""
    return engine_run(engine, status=status, reason=reason, build=None, memory=None, points=[])


def database_run(engine: str, factor: float = 1.0, **changes: Any) -> Run:
    """A run of a database; a greater factor is better in everything."""
    filtered = [
        {"share": share, "effort": 40, "recall": 0.99, "qps": 500.0 * factor, "short_share": 0.25}
        for share in (0.5, 0.01, 0.001)
    ]
    return {
        "engine": engine, "versions": {engine: "2.0"}, "tuning": "", "status": "ok", "reason": "",
        "ingest": {"records_per_s": 20_000.0 * factor, "seconds": 5.0 / factor, "ready_s": 3.0 / factor},
        "disk_mb": 120.0 / factor, "memory": {"ingest_peak_mb": 400.0 / factor, "serve_mb": 50.0 / factor},
        "cold_open_s": 0.25 / factor, "points": sweep(factor), "filtered": filtered,
        "churn": {"seconds": 1.0 / factor, "ready_s": 0.5 / factor, "recall": 0.97, "qps": 800.0 * factor,
                  "disk_mb": 200.0 / factor}, **changes,
    }  # fmt: skip


KINDS = ("independent", "correlated", "anti-correlated")
FILTER_SHARES = (0.5, 0.01)


def filtered_points(factor: float = 1.0, spread: float = 0.01, short: int = 0) -> list[Run]:
    """Single queries of `sweep`, `short` of 100 with fewer hits than there are."""
    return [one | {"passes": 3, "short": short, "queries": 100} for one in sweep(factor, spread, ("single",))]


def filtered_run(engine: str, factor: float = 1.0, spread: float = 0.01, short: int = 0, **changes: Any) -> Run:
    """A run of filtered searches, faster by a factor; without a filter recall .95 takes effort 20."""
    cases = [
        {"kind": kind, "share": share, "cut": False, "points": filtered_points(factor, spread, short)}
        for share in FILTER_SHARES
        for kind in KINDS
    ]
    return {
        "engine": engine, "versions": {engine: "2.0"}, "tuning": "As advised.", "status": "ok", "reason": "",
        "ingest": {"records_per_s": 20_000.0}, "disk_mb": 120.0, "memory": {"serve_mb": 50.0},
        "points": filtered_points(factor, spread), "effort": 20, "filtered": cases, "checks": None, **changes,
    }  # fmt: skip


def checks(**wrong: int) -> dict[str, Any]:
    """Random filters that were compared with numpy."""
    right = {"wrong_counts": 0, "short_searches": 0, "wrong_hits": 0}
    facts = {"asked": 10_000, "checked": 9_000, "matching_none": 100, "unindexed": 5_000, "examples": []}
    return {**facts, **right, **wrong}


def filtered_report(*runs: Run) -> Report:
    """A raw report of the suite `filtered`."""
    facts = {"column": "bucket", "below": 100, "matching": 10, "queries": 100, "made_queries": 20}
    cases = [{"kind": kind, "share": share, **facts} for share in FILTER_SHARES for kind in KINDS]
    return report_of(*runs, suite="filtered") | {"cases": cases, "direction_variance": 0.125}


def report_of(*runs: Run, suite: str = "ann", digest: str = "d", results: dict[str, Any] | None = None) -> Report:
    """A raw report; one of vecdb's own suites when there are results."""
    report: Report = {
        "format": 1, "suite": suite, "command": f"python -m benchmarks run {suite}",
        "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T01:00:00+00:00",
        "machine": {"cpu": "CPU", "cpus": 2, "memory_gb": 24.0, "system": "Linux", "python": "3.11"},
        "dataset": {"name": "set", "rows": 1_000, "dim": 8, "metric": "l2", "queries": 100, "k": 10, "digest": digest},
    }  # fmt: skip
    return {**report, "runs": list(runs)} if results is None else {**report, "results": results}


def stored(path: Path, report: Report) -> Path:
    """The report as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


def _times(median: float, width: float = 0.02) -> dict[str, Any]:
    return {"median": median, "runs": [median * (1 - width), median, median * (1 + width)]}


def _size(rows: int) -> dict[str, Any]:
    points = [{"effort": 10, "recall": 0.96, "seconds": [0.01, 0.0101], "qps": 1e9 / rows}]
    return {
        "rows": rows, "build": {"seconds": rows / 5_000}, "memory_mb": rows / 1_000, "points": points,
        "qps_at": {"0.95": 1e9 / rows, "0.99": None},
    }  # fmt: skip


def _kernel(pattern: str, dim: int, factor: float) -> dict[str, Any]:
    medians = {"kernel": 4.0 * factor, "limit": 2.0, "numpy_row": 900.0, "numpy_batch": 8.0, "numpy_many": 3.0}
    ns = {name: _times(median * dim / 64) for name, median in medians.items()}
    facts = {"share_of_limit": 0.5 / factor, "times_numpy_batch": 2.0 / factor}
    return {"dtype": "int8", "dim": dim, "pattern": pattern, "ns": ns, **facts}


def own_results(suite: str, factor: float = 1.0) -> dict[str, Any]:
    """Results of one of vecdb's own suites; a greater factor is slower."""
    second = {
        "second": 0, "records": None, "tail_rows": None, "segments": None, "searches": 3, "p50_ms": 0.1, "p99_ms": 0.2,
        "recall": 1.0, "write": None,
    }  # fmt: skip
    readers = {"readers": 2, "qps": 1_000.0 / factor, "private_mb": [20.0, 30.0], "before_mb": [9.0, 9.0]}
    results: dict[str, dict[str, Any]] = {
        "scale": {"sizes": [_size(5_000), _size(50_000)], "exponents": {"build_s": 1.0, "qps_at_0.95": -1.0}},
        "streaming": {
            "rows_written": 100, "asked_rows_per_s": 50.0, "seconds": [second],
            "total": {"p50_ms": 0.1 * factor, "p99_ms": 0.2 * factor, "recall": None},
        },
        "coldstart": {"warm": {"open_ms": _times(12.0 * factor)}, "cold_kernels": None},
        "multiprocess": {"index_mb": 10.0, "points": [{**readers, "visible_ms": {"median": 1.0, "max": 2.0}}]},
        "kernels": {"points": [_kernel(where, dim, factor) for where in ("cached", "streamed") for dim in (64, 128)]},
        "updates": _updates(factor),
        "recall": {"datasets": [_recall("near", 0.004), _recall("far", 0.02 * factor)]},
    }  # fmt: skip
    return results[suite]


def _updates(factor: float) -> dict[str, Any]:
    names = ("fresh", "largest", "indexed", "optimized", "fresh_backup", "optimized_backup")
    sizes = dict(zip(names, (100.0, 200.0, 120.0, 110.0, 90.0, 90.0), strict=True))
    point = {"effort": 10, "recall": 0.96, "seconds": [0.01, 0.0101], "qps": 1e5}
    points = {"fresh": [point], "replaced": [point | {"qps": 1e5 / factor}]}
    ratios = {"0.9": None, "0.95": 0.95 / factor, "0.98": None, "0.99": 0.8 / factor}
    stages = [
        {"stage": name, "segments": 1, "tail_rows": 0, "ratios": ratios, "points": points}
        for name in ("indexed", "optimized")
    ]
    sizes_mb = {f"{name}_mb": size for name, size in sizes.items()}
    return {"share": 0.5, "k": 10, "raw_mb": 40.0, "replace_s": 60.0, "sizes": sizes_mb, "stages": stages}


def _recall(name: str, off: float) -> dict[str, Any]:
    searches = [
        {
            "kind": kind, "outside": kind == "between", "target": target, "recall": target + off, "low": target,
            "high": target + 2 * off, "least": least, "ef": 32,
        }
        for kind in ("rows", "between")
        for target, least in ((0.9, 0.8), (0.95, 0.8), (0.99, 0.8))
    ]  # fmt: skip
    measured = [
        {
            "target": 0.9,
            "truth": 0.904,
            "held": 1,
            "sample": 200,
            "recalls": [0.9, 0.85],
            "intervals": [(0.88, 0.92)] * 2,
        }
    ]
    return {"name": name, "rows": 1_000, "dim": 8, "metric": "l2", "searches": searches, "measured": measured}
