"""Checks reports: fronts and ratios are right, nothing is extrapolated, nobody is dropped, regressions are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reporting import compare, findings_table, markdown
from benchmarks.reporting.markdown import write_report
from benchmarks.reporting.pareto import Point, front, qps_at
from benchmarks.reporting.plots import loss_position
from benchmarks.reporting.style import LOOKS, look_of

CURVE = ((10, 0.90, 8_000.0), (20, 0.95, 4_000.0), (40, 0.99, 1_000.0))


def point(recall: float, qps: float) -> Point:
    """A point without noise."""
    return Point(recall, qps, qps, qps, "only", 1)


def engine_run(engine: str, factor: float = 1.0, spread: float = 0.01, **changes: Any) -> dict[str, Any]:
    """A run whose speeds are those of CURVE times a factor."""
    points = [
        {
            "mode": mode, "effort": effort, "recall": recall, "seconds": [1_000 / qps / factor], "qps": qps * factor,
            "qps_low": qps * factor * (1 - spread), "qps_high": qps * factor * (1 + spread),
        }
        for mode in ("batch", "single")
        for effort, recall, qps in CURVE
    ]  # fmt: skip
    return {
        "engine": engine, "setting": "m16", "values": {"M": 16}, "versions": {engine: "1.0"}, "tuning": "As advised.",
        "status": "ok", "reason": "", "build": {"seconds": 10.0, "cpu_seconds": 10.0, "threads": 1},
        "memory": {"before_mb": 100.0, "built_mb": 300.0, "peak_mb": 310.0}, "points": points, **changes,
    }  # fmt: skip


def report_of(*runs: dict[str, Any], digest: str = "d") -> dict[str, Any]:
    """A raw report of the ann suite."""
    return {
        "format": 1, "suite": "ann", "command": "python -m benchmarks run ann", "started": "2026-01-01T00:00:00+00:00",
        "machine": {"cpu": "CPU", "cpus": 2, "memory_gb": 24.0, "system": "Linux", "python": "3.11"},
        "dataset": {"name": "set", "rows": 1_000, "dim": 8, "metric": "l2", "queries": 100, "k": 10, "digest": digest},
        "runs": list(runs),
    }  # fmt: skip


def stored(path: Path, report: dict[str, Any]) -> Path:
    """The report as a file."""
    path.write_text(json.dumps(report))
    return path


def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *runs: dict[str, Any]) -> str:
    """The text of a report without plots."""
    monkeypatch.setattr(markdown, "draw_suite", lambda *_: [])
    return write_report([stored(tmp_path / "ann.json", report_of(*runs))], tmp_path / "out").read_text()


speeds = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=30)


@given(speeds)
def test_a_front_holds_what_no_other_point_beats(pairs: list[tuple[int, int]]) -> None:
    points = [point(recall / 20, float(qps)) for recall, qps in pairs]
    beaten = {
        one for one in points for other in points
        if (other.recall > one.recall and other.qps >= one.qps) or (other.recall >= one.recall and other.qps > one.qps)
    }  # fmt: skip
    kept = front(points)
    assert set(kept) == set(points) - beaten
    assert [one.recall for one in kept] == sorted({one.recall for one in kept})


def test_a_speed_between_two_points_is_interpolated_on_the_logarithm() -> None:
    assert qps_at([point(0.9, 400.0), point(0.98, 100.0)], 0.94) == pytest.approx(200.0)


def test_a_recall_beyond_the_front_has_no_speed() -> None:
    assert qps_at([point(0.9, 400.0), point(0.98, 100.0)], 0.99) is None
    assert qps_at([], 0.9) is None


def test_a_recall_below_the_front_has_the_speed_of_its_first_point() -> None:
    assert qps_at([point(0.97, 400.0)], 0.9) == 400.0


def test_the_table_gives_speeds_and_ratios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(tmp_path, monkeypatch, engine_run("vecdb", 2.0), engine_run("hnswlib"))
    assert "| **vecdb** | 16,000 | 8,000 |" in text
    assert "| hnswlib | 8,000 (2.00 ×) | 4,000 (2.00 ×) |" in text
    assert "Nowhere in this run." in text


def test_every_place_where_a_peer_wins_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(tmp_path, monkeypatch, engine_run("vecdb"), engine_run("faster", 3.0))
    assert "- faster is 3.00 × as fast at recall 0.95, in one batch call" in text
    assert "- faster is 3.00 × as fast at recall 0.99, one query at a time" in text


def test_a_recall_that_only_a_peer_reaches_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = engine_run("vecdb", 9.0)
    ours["points"] = [one for one in ours["points"] if one["recall"] < 0.97]
    text = written(tmp_path, monkeypatch, ours, engine_run("hnswlib"))
    assert "- hnswlib reaches recall 0.99 (in one batch call), vecdb does not" in text


def test_an_engine_without_figures_is_listed_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = engine_run("ngt", status="missing", reason="not installed: ngt", build=None, memory=None, points=[])
    text = written(tmp_path, monkeypatch, engine_run("vecdb"), absent)
    assert "| ngt m16 | missing | not installed: ngt |" in text


def test_a_run_without_vecdb_is_reported_without_ratios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(tmp_path, monkeypatch, engine_run("hnswlib"))
    assert "| hnswlib | 8,000 | 4,000 |" in text


POINT = {"second": 0, "records": 10, "tail_rows": 1, "segments": 1, "searches": 3, "p50_ms": 0.1, "p99_ms": 0.2}
NS = {name: {"median": 2.0} for name in ("kernel", "numpy_row", "numpy_batch", "limit")}
SIZE = {"rows": 5_000, "qps_at": {"0.95": 200.0, "0.99": None}, "build": {"seconds": 1.0}, "memory_mb": 4.0}
READERS = {"readers": 2, "qps": 1_000.0, "private_mb": [20.0, 30.0], "before_mb": [9.0, 9.0]}
OWN_RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "scale": ({"sizes": [SIZE], "exponents": {"build_s": 1.05}}, "| 5,000 | 200 | – | 1.0 | 4 |"),
    "streaming": (
        {
            "rows_written": 100,
            "asked_rows_per_s": 50.0,
            "total": {"p50_ms": 0.1, "p99_ms": 0.2, "recall": None},
            "seconds": [{**POINT, "recall": 1.0, "write": None}],
        },
        "| 0 | 10 | 1 | 1 | 3 | 0.10 | 0.20 | 1.000 | – |",
    ),
    "coldstart": (
        {"warm": {"open_ms": {"median": 12.0}}, "cold_kernels": None},
        "| vecdb.open with what it imports, ms | 12.0 | – |",
    ),
    "multiprocess": (
        {"index_mb": 10.0, "points": [{**READERS, "visible_ms": {"median": 1.0, "max": 2.0}}]},
        "| 2 | 1,000 | 30.0 | 9.0 | 1.00 | 2.00 |",
    ),
    "kernels": (
        {"points": [{"dtype": "int8", "dim": 64, "pattern": "cached", "ns": NS}]},
        "| int8 | 64 | cached | 2.0 | 2.0 | 2.0 | 2.0 |",
    ),
}


@pytest.mark.parametrize("suite", OWN_RESULTS)
def test_vecdbs_own_suites_have_tables(suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "draw_suite", lambda *_: [])
    results, line = OWN_RESULTS[suite]
    report = {**report_of(), "suite": suite, "results": results}
    del report["runs"]
    assert line in write_report([stored(tmp_path / "own.json", report)], tmp_path / "out").read_text()


def test_databases_have_tables_with_the_reason_where_a_part_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markdown, "draw_suite", lambda *_: [])
    single = {"mode": "single", "effort": 20, "recall": 0.96, "qps": 900.0}
    run = {
        "engine": "vecdb", "versions": {}, "tuning": "", "status": "ok", "reason": "", "points": [single],
        "ingest": {"records_per_s": 20_000.0, "ready_s": 3.0}, "disk_mb": 12.0, "memory": {"serve_mb": 50.0},
        "cold_open_s": 0.25, "filtered": None, "filtered_reason": "vecdb has no filters yet",
        "churn": {"seconds": 1.0, "recall": 0.97, "qps": 800.0, "disk_mb": 20.0},
    }  # fmt: skip
    filtered = [
        {"share": share, "effort": effort, "recall": 0.9, "qps": qps, "short_share": 0.5}
        for share in (0.5, 0.01)
        for effort, qps in ((10, 500.0), (90, 100.0))
    ]
    other = {**run, "engine": "other", "filtered": filtered, "churn": None, "churn_reason": "no deletes"}
    report = {**report_of(run, other), "suite": "db"}
    text = write_report([stored(tmp_path / "db.json", report)], tmp_path / "out").read_text()
    assert "| **vecdb** | 20,000 | 3.0 | 900 | – | – | 12 | 50 | 0.25 |" in text
    assert "| vecdb | vecdb has no filters yet |" in text
    assert "| other | 100 (0.900, 50%) | 100 (0.900, 50%) |" in text
    assert "| other | no deletes |" in text
    assert "| vecdb | 1.0 | 0.970 | 800 | 20 |" in text


def test_the_same_figures_give_the_same_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = (engine_run("vecdb", 2.0), engine_run("hnswlib"))
    assert written(tmp_path, monkeypatch, *runs) == written(tmp_path, monkeypatch, *runs)


def test_plots_are_drawn_as_png_and_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    source = stored(tmp_path / "ann.json", report_of(engine_run("vecdb", 2.0), engine_run("hnswlib")))
    text = write_report([source], tmp_path / "out").read_text()
    for name in ("recall-qps-batch", "recall-qps-single", "build-time", "memory"):
        assert f"![{name}.png]({name}.png)" in text
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5_000
        assert "<svg" in (tmp_path / "out" / f"{name}.svg").read_text()


def test_the_recall_axis_spreads_the_nines_evenly() -> None:
    assert loss_position(0.99) - loss_position(0.9) == pytest.approx(loss_position(0.999) - loss_position(0.99))
    assert loss_position(1.0) > loss_position(0.999)


def test_no_two_engines_look_alike() -> None:
    assert len(set(LOOKS.values())) == len(LOOKS)
    assert look_of("unheard-of") == look_of("unheard-of")


def findings(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Findings by what they are about."""
    files = stored(tmp_path / "a.json", report_of(before)), stored(tmp_path / "b.json", report_of(after))
    return {one.what: one for one in compare(*files)}


def test_a_drop_beyond_the_noise_is_worse(tmp_path: Path) -> None:
    found = findings(tmp_path, engine_run("vecdb"), engine_run("vecdb", 0.8))
    one = found["vecdb: queries/s at recall 0.95, batch"]
    assert one.worse
    assert one.change == pytest.approx(-0.2)
    assert "WORSE" in findings_table([one])


def test_a_drop_within_the_spread_is_not(tmp_path: Path) -> None:
    found = findings(tmp_path, engine_run("vecdb", spread=0.15), engine_run("vecdb", 0.8, spread=0.15))
    assert not found["vecdb: queries/s at recall 0.95, batch"].worse


def test_a_gain_is_better_and_a_longer_build_worse(tmp_path: Path) -> None:
    build = {"seconds": 20.0, "cpu_seconds": 20.0, "threads": 1}
    found = findings(tmp_path, engine_run("vecdb"), engine_run("vecdb", 1.5, build=build))
    assert found["vecdb: queries/s at recall 0.9, single"].better
    assert found["vecdb m16: seconds to build"].worse


def test_reports_on_different_data_are_not_compared(tmp_path: Path) -> None:
    one = stored(tmp_path / "a.json", report_of(engine_run("vecdb")))
    other = stored(tmp_path / "b.json", report_of(engine_run("vecdb"), digest="e"))
    with pytest.raises(ValueError, match="different data"):
        compare(one, other)
