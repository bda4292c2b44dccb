"""Checks the text of reports: speeds with ratios, every win of a peer named, nobody dropped."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reporting import PlotError, markdown, write_report
from benchmarks.reporting.recall import deviation
from benchmarks.reporting.table import folded, number, table
from tests.unit.benchmarks.synthetic_runs import (
    Report,
    Run,
    absent_run,
    database_run,
    engine_run,
    own_results,
    report_of,
    stored,
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, and no plots."""
    monkeypatch.setattr(markdown, "draw_suite", lambda *_: [])
    return tmp_path


def written(place: Path, *reports: Report) -> str:
    """The text of a report."""
    files = [stored(place / f"{number}.json", report) for number, report in enumerate(reports)]
    return write_report(files, place / "out").read_text(encoding="utf-8")


def libraries(place: Path, *runs: Run) -> str:
    """The text of a report on libraries."""
    return written(place, report_of(*runs))


def databases(place: Path, *runs: Run) -> str:
    """The text of a report on databases."""
    return written(place, report_of(*runs, suite="db"))


def section(text: str, heading: str) -> list[str]:
    """The lines under a heading."""
    after = text.split(f"### {heading}\n", 1)[1]
    return [line for line in after.split("\n#", 1)[0].splitlines() if line]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_cell_cannot_end_itself_or_its_line() -> None:
    assert table(["a", "b"], [["x | y", "first\nsecond"]])[2] == "| x \\| y | first second |"


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_a_dash(value: float | None) -> None:
    assert number(value) == "–"


def test_what_is_folded_has_a_title() -> None:
    assert folded("more", ["x"]) == ["<details><summary>more</summary>", "", "x", "</details>", ""]


# --- libraries -------------------------------------------------------------------------------------------------------


def test_the_report_says_where_its_figures_come_from(place: Path) -> None:
    text = libraries(place, engine_run("vecdb"), engine_run("hnswlib"))
    assert "    python -m benchmarks run ann\n" in text
    assert "- Data: 1,000 rows of 8 dimensions, l2, digest d; 100 queries, 10 hits." in text
    assert "- Machine: CPU, 2 CPUs, 24.0 GB, Linux, Python 3.11." in text
    assert "- Versions: hnswlib 1.0, vecdb 1.0." in text


def test_the_table_gives_speeds_and_ratios_at_equal_recall(place: Path) -> None:
    text = libraries(place, engine_run("vecdb", 2.0), engine_run("hnswlib"))
    assert "| **vecdb** | 16,000 | 8,000 | 2,828 | 2,000 | 0.900–0.990 |" in text
    assert "| hnswlib | 8,000 (2.00 ×) | 4,000 (2.00 ×) | 1,414 (2.00 ×) | 1,000 (2.00 ×) | 0.900–0.990 |" in text
    assert section(text, "Where a peer wins") == ["Nowhere in this run."]


def test_a_recall_outside_a_curve_is_a_dash(place: Path) -> None:
    peer = engine_run("peer")
    peer["points"] = [one for one in peer["points"] if one["recall"] == 0.95]
    assert "| peer | – | 4,000 (2.00 ×) | – | – | 0.950–0.950 |" in libraries(place, engine_run("vecdb", 2.0), peer)


def test_every_place_where_a_peer_wins_is_named_and_flagged(place: Path) -> None:
    text = libraries(place, engine_run("vecdb"), engine_run("faster", 4.0))
    assert "| faster | 32,000 (0.25 ×, **peer wins**) | 16,000 (0.25 ×, **peer wins**) |" in text
    wins = section(text, "Where a peer wins")
    assert len(wins) == 8
    assert "- faster is 4.00 × as fast at recall 0.95, in one batch call: 16,000 against 4,000 queries/s" in wins
    assert "- faster is 4.00 × as fast at recall 0.99, one query at a time: 4,000 against 1,000 queries/s" in wins


def test_a_recall_that_only_a_peer_reaches_is_named(place: Path) -> None:
    ours = engine_run("vecdb", 9.0)
    ours["points"] = [one for one in ours["points"] if one["recall"] < 0.97]
    text = libraries(place, ours, engine_run("hnswlib"))
    assert "- hnswlib reaches recall 0.99 at 1,000 queries/s, vecdb does not (in one batch call)" in text


def test_a_peer_that_builds_faster_or_smaller_is_named(place: Path) -> None:
    build, memory = {"seconds": 4.0, "threads": 1}, {"before_mb": 100.0, "built_mb": 150.0}
    text = libraries(place, engine_run("vecdb", 2.0), engine_run("lean", build=build, memory=memory))
    assert section(text, "Where a peer wins") == [
        "- build time of the quickest setting: lean with 4, vecdb 10 s (2.50 ×)",
        "- memory of the smallest setting: lean with 50, vecdb 200 MB (4.00 ×)",
    ]


def test_builds_are_compared_with_the_recall_at_one_effort(place: Path) -> None:
    assert "| **vecdb** m16 | 10.0 | 10.0 | 1 | 200 | 310 | 20 | 0.9500 | 4,000 |" in libraries(
        place, engine_run("vecdb")
    )


@pytest.mark.parametrize("status", ["missing", "failed", "timeout", "unsupported"])
def test_an_engine_without_figures_is_listed_with_its_reason(place: Path, status: str) -> None:
    text = libraries(place, engine_run("vecdb"), absent_run("ngt", status, "why | not"))
    assert f"| ngt m16 | {status} | why \\| not |" in section(text, "Not measured, or not to the end")


def test_an_engine_that_failed_half_way_keeps_its_figures_and_its_reason(place: Path) -> None:
    text = libraries(place, engine_run("vecdb"), engine_run("ngt", status="timeout", reason="too slow"))
    assert "| ngt | 8,000 (1.00 ×) |" in text
    assert "| ngt m16 | timeout | too slow |" in text


def test_a_run_without_vecdb_is_reported_without_ratios(place: Path) -> None:
    text = libraries(place, engine_run("hnswlib"))
    assert "| hnswlib | 8,000 | 4,000 | 1,414 | 1,000 | 0.900–0.990 |" in text
    assert "peer wins**" not in text


def test_a_run_in_which_all_failed_is_reported(place: Path) -> None:
    text = libraries(place, absent_run("vecdb", "failed", "broken"), absent_run("ngt", "missing", "gone"))
    assert "| vecdb m16 | failed | broken |" in text
    assert "| ngt m16 | missing | gone |" in text


def test_every_measured_point_is_listed_even_one_that_is_not_finite(place: Path) -> None:
    run = engine_run("vecdb")
    run["points"][1]["qps"] = math.nan
    text = libraries(place, run)
    assert "| m16 | batch | 10 | 0.9000 | 8,000 | 7,920–8,080 | yes |" in text
    assert "| m16 | batch | 20 | 0.9500 | – | 3,960–4,040 |  |" in text


# --- databases -------------------------------------------------------------------------------------------------------


def test_databases_are_reported_with_the_recall_beside_the_speed(place: Path) -> None:
    text = databases(place, database_run("vecdb"))
    assert "| **vecdb** | 20,000 | 3.0 | 120 | 400 | 50 | 0.25 |" in text
    assert "| **vecdb** | 0.950 | 4,000 | 0.25 | 0.75 | 4,000 (recall 0.950) | 0.990 | 1,000 |" in text
    assert "| **vecdb** | 500 (0.990; 25% short) | 500 (0.990; 25% short) | 500 (0.990; 25% short) |" in text
    assert "| **vecdb** | 1.0 | 0.5 | 0.970 | 800 | 200 |" in text


def test_what_a_database_cannot_do_is_listed_with_the_reason(place: Path) -> None:
    other = database_run("other", filtered=None, filtered_reason="no filters", churn=None, churn_reason="no deletes")
    text = databases(place, database_run("vecdb"), other)
    assert "| other | – | – | – | no filters |" in text
    assert "| other | – | – | – | – | – | no deletes |" in text


def test_a_database_that_is_missing_is_listed_with_the_reason(place: Path) -> None:
    parts: dict[str, Any] = dict.fromkeys(("ingest", "disk_mb", "memory", "cold_open_s", "points", "filtered", "churn"))
    gone = database_run("gone", status="missing", reason="not installed", **parts)
    assert "| gone | missing | not installed |" in databases(place, database_run("vecdb"), gone)


def test_every_place_where_a_database_wins_is_named(place: Path) -> None:
    wins = section(databases(place, database_run("vecdb"), database_run("peer", 2.0)), "Where a peer wins")
    assert "- durable ingest: peer with 40,000, vecdb 20,000 records/s (2.00 ×)" in wins
    assert "- disk: peer with 60, vecdb 120 MB (2.00 ×)" in wins
    assert "- peer is 2.00 × as fast at recall 0.99, one query at a time: 2,000 against 1,000 queries/s" in wins
    assert "- filter that keeps 1.0%: peer with 1,000, vecdb 500 queries/s (2.00 ×)" in wins
    assert "- after replacing a fifth, speed: peer with 1,600, vecdb 800 queries/s (2.00 ×)" in wins


def test_that_vecdb_cannot_filter_is_named(place: Path) -> None:
    ours = database_run("vecdb", 9.0, filtered=None, filtered_reason="not yet")
    wins = section(databases(place, ours, database_run("peer")), "Where a peer wins")
    assert wins == ["- filtered searches: peer answer them; vecdb does not: not yet"]


# --- vecdb's own suites ----------------------------------------------------------------------------------------------

OWN_LINES = {
    "scale": "| 5,000 | 200,000 | – | 1.0 | 5 |",
    "streaming": "| 0 | – | – | – | 3 | 0.10 | 0.20 | 1.000 | – |",
    "coldstart": "| vecdb.open with what it imports, ms | 12.0 | – |",
    "multiprocess": "| 2 | 1,000 | 30.0 | 9.0 | 1.00 | 2.00 |",
    "kernels": "| int8 | 64 | cached | 4.0 | 2.0 | 900.0 | 8.0 | 3.0 |",
    "updates": "| replaced, at its largest | 200 | 5.00 | 2.00 |",
    "recall": "| far | rows | 0.95 | 0.9700 | 0.950–0.990 | +0.0200 | 32 | 0.800 |",
}


@pytest.mark.parametrize("suite", OWN_LINES)
def test_vecdbs_own_suites_have_tables(suite: str, place: Path) -> None:
    assert OWN_LINES[suite] in written(place, report_of(suite=suite, results=own_results(suite)))


def test_where_numpy_is_faster_than_a_kernel_is_named(place: Path) -> None:
    text = written(place, report_of(suite="kernels", results=own_results("kernels")))
    assert "- int8, 64 dimensions, cached: numpy many takes 3.0 ns, the kernel 4.0 ns" in text


def test_speed_lost_by_updates_is_a_target_missed(place: Path) -> None:
    text = written(place, report_of(suite="updates", results=own_results("updates")))
    assert "| queries/s by fresh, recall 0.95, optimized | ≥ 0.90 | 0.95 | yes |" in text
    assert "| queries/s by fresh, recall 0.99, optimized | ≥ 0.90 | 0.80 | **no** |" in text
    assert "| compact backup by fresh | ≤ 1.05 | 1.00 | yes |" in text


def test_the_farthest_recall_of_each_data_set_is_held_against_its_target(place: Path) -> None:
    text = written(place, report_of(suite="recall", results=own_results("recall")))
    assert "| near: farthest from a target | ≤ 0.010 | 0.004 | yes |" in text
    assert "| far: farthest from a target | ≤ 0.010 | 0.020 | **no** |" in text
    assert "| intervals of `measure_recall` that hold the truth | ≥ 0.95 | 0.50 | **no** |" in text


@pytest.mark.parametrize(("least", "expected"), [(0.8, 0.02), (0.915, 0.005), (0.92, 0.0), (0.95, 0.0)])
def test_a_target_below_the_least_effort_cannot_be_missed_by_more_than_that(least: float, expected: float) -> None:
    assert deviation({"target": 0.9, "recall": 0.92, "least": least}) == pytest.approx(expected)


def test_growth_is_held_against_the_slowest(place: Path) -> None:
    text = written(place, report_of(suite="scale", results=own_results("scale")))
    assert "| queries/s at recall .95 grow with rows to the power of | ≥ -0.25 | -1.00 | **no** |" in text


def test_an_unknown_suite_is_an_error(place: Path) -> None:
    with pytest.raises(ValueError, match="no suite 'other'"):
        written(place, report_of(suite="other", results={}))


# --- the whole -------------------------------------------------------------------------------------------------------


def test_the_same_figures_give_the_same_report(place: Path) -> None:
    reports = (report_of(engine_run("vecdb", 2.0), engine_run("hnswlib")), report_of(database_run("vecdb"), suite="db"))
    assert written(place, *reports) == written(place, *reports)


def test_several_files_give_one_report_with_a_summary(place: Path) -> None:
    text = written(place, report_of(engine_run("vecdb")), report_of(database_run("vecdb"), suite="db"))
    assert "- `ann` on set, in one batch call: vecdb is fastest at recall 0.90–0.99." in text
    assert "- `db` on set, one query at a time: vecdb is fastest at recall 0.95–0.99." in text
    assert text.index("## Suite `ann` on set") < text.index("## Suite `db` on set")


def test_plots_of_several_files_do_not_overwrite_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "draw_suite", lambda *_: ["memory.png"])
    report = report_of(engine_run("vecdb"))
    text = written(tmp_path, report, report)
    assert "(ann-set-1000/memory.png)" in text
    assert "(ann-set-1000.2/memory.png)" in text


def test_without_matplotlib_the_report_is_written_and_the_remedy_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    file = stored(tmp_path / "ann.json", report_of(engine_run("vecdb")))
    with pytest.raises(PlotError, match=r"pip install 'vecdb\[bench\]'"):
        write_report([file], tmp_path / "out")
    assert "| **vecdb** | 8,000 |" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
