"""Checks plots: each is drawn in both formats, engines keep their looks, and the same figures give the same drawing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.reporting.curve_plots import LOSS_FLOOR, absent_of, loss_position, recall_start
from benchmarks.reporting.plots import draw_suite
from benchmarks.reporting.style import LOOKS, OURS, line_of, look_of, plain
from tests.unit.benchmarks.synthetic_runs import (
    Report,
    Run,
    absent_run,
    database_run,
    engine_run,
    filtered_points,
    filtered_report,
    filtered_run,
    own_results,
    report_of,
)

SUITES: dict[str, tuple[Report, set[str]]] = {
    "ann": (
        report_of(engine_run("vecdb", 2.0), engine_run("hnswlib"), absent_run("ngt", "missing", "gone")),
        {"recall-qps-batch", "recall-qps-single", "build-time", "memory"},
    ),
    "db": (
        report_of(database_run("vecdb"), database_run("lancedb", 0.5, cold_open_s=None), suite="db"),
        {"db-recall-qps", "db-costs", "db-filtered"},
    ),
    "scale": (report_of(suite="scale", results=own_results("scale")), {"growth"}),
    "kernels": (report_of(suite="kernels", results=own_results("kernels")), {"kernels"}),
    "recall": (report_of(suite="recall", results=own_results("recall")), {"recall-reached"}),
    "updates": (report_of(suite="updates", results=own_results("updates")), {"updates"}),
    "filtered": (
        filtered_report(filtered_run("vecdb", 2.0), filtered_run("zvec"), absent_run("lancedb", "missing", "gone")),
        {"filtered-qps", "filtered-recall-50", "filtered-recall-1"},
    ),
    "coldstart": (report_of(suite="coldstart", results=own_results("coldstart")), set()),
}


@pytest.mark.parametrize("suite", SUITES)
def test_plots_are_drawn_as_png_and_svg(suite: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report, names = SUITES[suite]
    assert set(draw_suite(report, tmp_path)) == {f"{name}.png" for name in names}
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")


def test_the_same_figures_give_the_same_drawing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for turn in ("first", "second"):
        draw_suite(SUITES["ann"][0], tmp_path / turn)
    for drawn in (tmp_path / "first").iterdir():
        assert drawn.read_bytes() == (tmp_path / "second" / drawn.name).read_bytes()


def test_the_title_says_who_is_fastest_and_the_legend_who_is_absent(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_suite(SUITES["ann"][0], tmp_path)
    drawing = (tmp_path / "recall-qps-batch.svg").read_text(encoding="utf-8")
    assert "vecdb is fastest at recall 0.90–0.99 (2.0 × the next)" in drawing
    assert "ngt (missing)" in drawing


@pytest.mark.parametrize("engine", ["vecdb", "hnswlib"])
def test_a_lone_engine_with_one_point_can_be_drawn(engine: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = engine_run(engine)
    run["points"] = [one for one in run["points"] if one["effort"] == 10]
    assert "recall-qps-batch.png" in draw_suite(report_of(run), tmp_path)


def test_figures_that_are_not_finite_do_not_stop_a_drawing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = engine_run("vecdb", memory={"before_mb": 100.0, "built_mb": math.nan})
    run["points"][0]["recall"] = math.nan
    assert "recall-qps-batch.png" in draw_suite(report_of(run), tmp_path)


@pytest.mark.parametrize(
    ("peer", "title"),
    [
        (filtered_run("zvec"), "vecdb is faster than every other database with 6 of 6 filters, 2.0 to 2.0 × the best"),
        (filtered_run("zvec", 8.0), "vecdb is faster than every other database with 0 of 6 filters, 0.2 to 0.2 ×"),
        (filtered_run("vecdb-exact", 8.0), "Searches at recall 0.95 among the records that a filter keeps"),
    ],
)
def test_the_title_compares_vecdb_with_the_best_of_the_others(tmp_path: Path, peer: Run, title: str) -> None:
    pytest.importorskip("matplotlib")
    draw_suite(filtered_report(filtered_run("vecdb", 2.0), peer), tmp_path)
    assert title in (tmp_path / "filtered-qps.svg").read_text(encoding="utf-8")


def test_filters_at_which_nobody_reaches_the_recall_are_drawn_as_curves_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = filtered_run("vecdb", points=filtered_points()[:1])
    for case in run["filtered"]:
        case["points"] = case["points"][:1]
    assert draw_suite(filtered_report(run), tmp_path) == ["filtered-recall-50.png", "filtered-recall-1.png"]


def test_a_run_without_figures_has_no_plots(tmp_path: Path) -> None:
    assert draw_suite(filtered_report(absent_run("vecdb", "failed", "broken")), tmp_path) == []
    assert draw_suite(report_of(absent_run("vecdb", "failed", "broken")), tmp_path) == []


def test_the_recall_axis_spreads_the_nines_evenly() -> None:
    assert loss_position(0.99) - loss_position(0.9) == pytest.approx(loss_position(0.999) - loss_position(0.99))
    assert loss_position(1.0) == pytest.approx(-math.log10(LOSS_FLOOR))


def test_the_recall_axis_begins_where_every_engine_is_seen() -> None:
    assert recall_start([0.99, 0.95]) == 0.8
    assert recall_start([0.99, 0.65]) == 0.6


def test_no_two_engines_of_a_suite_look_alike() -> None:
    names = list(LOOKS)
    first_database = names.index("qdrant-edge")
    for group in (names[:first_database], [OURS, *names[first_database:]]):
        assert len({look_of(name) for name in group}) == len(group)


def test_an_unknown_engine_keeps_its_look() -> None:
    assert look_of("unheard-of") == look_of("unheard-of")


def test_vecdbs_line_is_the_heaviest() -> None:
    assert line_of(OURS)["linewidth"] > max(line_of(name)["linewidth"] for name in LOOKS if name != OURS)


def test_an_engine_with_any_point_is_not_absent() -> None:
    runs = [engine_run("vecdb"), absent_run("vecdb", "timeout", ""), absent_run("ngt", "missing", "")]
    assert absent_of(runs) == ["ngt (missing)"]


@pytest.mark.parametrize(("value", "text"), [(12_000, "12k"), (0.05, "0.05"), (2_500_000, "2.5M"), (500, "500")])
def test_ticks_are_plain_numbers(value: float, text: str) -> None:
    assert plain(value) == text
