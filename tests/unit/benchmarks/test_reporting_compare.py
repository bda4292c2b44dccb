"""Checks comparisons: what is worse beyond the noise is found, what the noise explains is not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.databases import DATABASES
from benchmarks.engines import ENGINES
from benchmarks.reporting import Finding, compare, findings_table
from benchmarks.reporting.compare import NOISE_FLOOR
from benchmarks.reporting.style import LOOKS
from tests.unit.benchmarks.synthetic_runs import (
    Report,
    Run,
    absent_run,
    checks,
    database_run,
    engine_run,
    filtered_report,
    filtered_run,
    own_results,
    report_of,
    stored,
)

SPEED = "vecdb: queries/s at recall 0.95, batch"


def compared(place: Path, before: Report, after: Report) -> dict[str, Finding]:
    """Findings by what they are about."""
    files = stored(place / "a.json", before), stored(place / "b.json", after)
    return {one.what: one for one in compare(*files)}


def libraries(place: Path, before: Run, after: Run) -> dict[str, Finding]:
    """Findings about a library."""
    return compared(place, report_of(before), report_of(after))


def test_nothing_is_worse_or_better_than_itself(tmp_path: Path) -> None:
    found = libraries(tmp_path, engine_run("vecdb"), engine_run("vecdb"))
    assert found
    assert not [one for one in found.values() if one.worse or one.better]


@pytest.mark.parametrize("mode", ["batch", "single"])
def test_a_drop_of_a_fifth_is_worse_in_either_mode(tmp_path: Path, mode: str) -> None:
    found = libraries(tmp_path, engine_run("vecdb"), engine_run("vecdb", 0.8))
    one = found[f"vecdb: queries/s at recall 0.95, {mode}"]
    assert one.worse
    assert one.change == pytest.approx(-0.2)


def test_a_drop_within_the_spread_of_both_runs_is_not_worse(tmp_path: Path) -> None:
    found = libraries(tmp_path, engine_run("vecdb", spread=0.15), engine_run("vecdb", 0.8, spread=0.15))
    assert not found[SPEED].worse
    assert found[SPEED].noise == pytest.approx(0.3)


def test_a_drop_within_the_floor_is_not_worse(tmp_path: Path) -> None:
    found = libraries(tmp_path, engine_run("vecdb", spread=0.0), engine_run("vecdb", 0.96, spread=0.0))
    assert not found[SPEED].worse
    assert found[SPEED].noise == NOISE_FLOOR


def test_a_gain_is_better_and_not_worse(tmp_path: Path) -> None:
    one = libraries(tmp_path, engine_run("vecdb"), engine_run("vecdb", 1.5))[SPEED]
    assert one.better
    assert not one.worse


def test_a_longer_build_is_worse(tmp_path: Path) -> None:
    build = {"seconds": 20.0, "cpu_seconds": 20.0, "threads": 1}
    assert libraries(tmp_path, engine_run("vecdb"), engine_run("vecdb", build=build))[
        "vecdb m16: seconds to build, 1 thread(s)"
    ].worse


def test_a_build_with_more_threads_is_not_compared(tmp_path: Path) -> None:
    build = {"seconds": 5.0, "cpu_seconds": 10.0, "threads": 2}
    found = libraries(tmp_path, engine_run("vecdb"), engine_run("vecdb", build=build))
    assert not [what for what in found if "seconds to build" in what]


def test_more_memory_is_worse(tmp_path: Path) -> None:
    memory = {"before_mb": 100.0, "built_mb": 350.0}
    assert libraries(tmp_path, engine_run("vecdb"), engine_run("vecdb", memory=memory))["vecdb m16: MB added"].worse


def test_a_megabyte_is_not_worse_however_small_the_index(tmp_path: Path) -> None:
    small, larger = ({"before_mb": 100.0, "built_mb": built} for built in (101.0, 102.0))
    found = libraries(tmp_path, engine_run("vecdb", memory=small), engine_run("vecdb", memory=larger))
    assert not found["vecdb m16: MB added"].worse


def test_a_recall_that_is_not_reached_any_more_is_worse(tmp_path: Path) -> None:
    after = engine_run("vecdb")
    after["points"] = [one for one in after["points"] if one["recall"] < 0.99]
    lost = libraries(tmp_path, engine_run("vecdb"), after)["vecdb: queries/s at recall 0.99, batch"]
    assert lost.worse
    assert math.isnan(lost.after)


def test_an_engine_that_fails_now_is_worse(tmp_path: Path) -> None:
    assert libraries(tmp_path, engine_run("vecdb"), absent_run("vecdb", "failed", "broken"))[SPEED].worse


def test_an_engine_that_was_not_asked_for_again_is_no_finding(tmp_path: Path) -> None:
    before = report_of(engine_run("vecdb"), engine_run("hnswlib"))
    assert not [what for what in compared(tmp_path, before, report_of(engine_run("vecdb"))) if "hnswlib" in what]


def test_a_database_that_became_worse_is_found_in_every_part(tmp_path: Path) -> None:
    before, after = (report_of(database_run("vecdb", factor), suite="db") for factor in (1.0, 0.5))
    worse = {what for what, one in compared(tmp_path, before, after).items() if one.worse}
    assert {
        "vecdb: durable ingest, records/s",
        "vecdb: disk, MB",
        "vecdb: process start to first answer, s",
        "vecdb: filter that keeps 0.1%, queries/s",
        "vecdb: after replacing a fifth, qps",
    } <= worse


def test_a_filter_that_became_slower_is_found(tmp_path: Path) -> None:
    before, after = (filtered_report(filtered_run("vecdb", factor)) for factor in (1.0, 0.5))
    found = compared(tmp_path, before, after)
    assert found["vecdb: queries/s at recall 0.95, correlated filter that keeps 1%"].worse
    assert found["vecdb: queries/s at recall 0.95, no filter"].worse
    assert not any(one.worse for one in compared(tmp_path, before, before).values())


def test_a_filter_that_finds_less_at_the_same_care_is_found(tmp_path: Path) -> None:
    before, after = filtered_run("vecdb"), filtered_run("vecdb")
    after["filtered"][0]["points"][1]["recall"] = 0.85
    found = compared(tmp_path, filtered_report(before), filtered_report(after))
    what = "recall at the effort of 0.95 without a filter, independent filter that keeps 50%"
    assert [name for name, one in found.items() if one.worse and "recall at" in name and "queries" not in name] == [
        f"vecdb: {what}"
    ]


def test_one_wrong_answer_to_a_random_filter_is_worse(tmp_path: Path) -> None:
    before, after = (filtered_report(filtered_run("vecdb", checks=checks(wrong_hits=hits))) for hits in (0, 1))
    assert compared(tmp_path, before, after)["vecdb: every random filter answered as numpy does (1: yes)"].worse


@pytest.mark.parametrize(
    ("suite", "what"),
    [
        ("streaming", "search p50_ms while writing"),
        ("coldstart", "warm: open_ms"),
        ("multiprocess", "2 readers: queries/s together"),
        ("kernels", "int8, 64 dimensions, cached: ns per distance"),
        ("updates", "optimized: queries/s by a fresh database's at recall 0.95"),
    ],
)
def test_vecdbs_own_suites_are_compared(tmp_path: Path, suite: str, what: str) -> None:
    before, after = (report_of(suite=suite, results=own_results(suite, factor)) for factor in (1.0, 1.5))
    assert compared(tmp_path, before, after)[what].worse
    assert not compared(tmp_path, before, before)[what].worse


def test_sizes_are_compared_by_their_rows(tmp_path: Path) -> None:
    report = report_of(suite="scale", results=own_results("scale"))
    assert "50,000 rows: queries/s at recall 0.95" in compared(tmp_path, report, report)


def test_reports_on_different_data_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different data"):
        compared(tmp_path, report_of(engine_run("vecdb")), report_of(engine_run("vecdb"), digest="e"))


def test_reports_of_different_suites_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="suite"):
        compared(tmp_path, report_of(engine_run("vecdb")), report_of(database_run("vecdb"), suite="db"))


def test_the_table_names_the_worse_first_and_counts_them(tmp_path: Path) -> None:
    after = engine_run("vecdb", 0.8)
    after["points"] = [one for one in after["points"] if one["recall"] < 0.99]
    lines = findings_table(list(libraries(tmp_path, engine_run("vecdb"), after).values())).splitlines()
    assert lines[0].startswith("WORSE")
    assert any("lost" in line for line in lines)
    assert lines[-1] == "8 of 10 figures became worse beyond the noise"


def test_every_engine_and_database_has_a_look_of_its_own() -> None:
    assert {*ENGINES, *DATABASES} <= set(LOOKS)
