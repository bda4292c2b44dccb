"""Tests the suite of filtered searches: its filters and queries, its sweeps, and whole runs of a database in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.databases import DATABASES
from benchmarks.databases.conditions import Condition
from benchmarks.databases.protocol import Hits, Matrix
from benchmarks.databases.records import regions_of, synthetic_records
from benchmarks.datasets import Dataset
from benchmarks.datasets.direction import along, main_direction
from benchmarks.suites.contest import Contest, Plan, effort_reaching, kept_truth
from benchmarks.suites.filtered import KINDS, PARTS, QUERIES_MIN, queries_of, run_filtered
from tests.unit.benchmarks.remembering import LocalWorker, Remembering, spec_of

ROWS, DIM, QUERIES = 600, 6, 150


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Rows that spread most along the first axis."""
    directory = tmp_path / "data"
    directory.mkdir()
    rows = np.random.default_rng(0).standard_normal((ROWS + QUERIES, DIM)).astype(np.float32)
    rows[:, 0] *= 3
    np.save(directory / "base.npy", rows[:ROWS])
    np.save(directory / "queries.npy", rows[ROWS:])
    return Dataset("small", "dot", rows[:ROWS], rows[ROWS:], directory, "small-digest")


@pytest.fixture(autouse=True)
def _workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in this process, and databases in memory."""
    monkeypatch.setattr(Contest, "start", lambda *_: LocalWorker())
    monkeypatch.setattr(Remembering, "stored", {})
    monkeypatch.setitem(DATABASES, "remembering", spec_of("remembering", checks=True))
    monkeypatch.setitem(DATABASES, "another-way", spec_of("another-way", stored_by="remembering"))
    monkeypatch.setitem(DATABASES, "hasty", spec_of("hasty", efforts=(100, 500, 960, 1_000)))


def _run(dataset: Dataset, out: Path, *engines: str, **options: Any) -> dict[str, dict[str, Any]]:
    checks = options.pop("checks", 40)
    plan = Plan(
        dataset,
        synthetic_records(ROWS),
        engines,
        out / "filtered.json",
        {"format": 1, "started": "now"},
        lambda _: None,
        cache=out / "cache",
        **({"repeats": 2} | options),
    )
    report = run_filtered(plan, checks)
    assert json.loads((out / "filtered.json").read_text(encoding="utf-8")) == report
    return {run["engine"]: run for run in report["runs"]}


def _cases(run: Mapping[str, Any]) -> dict[tuple[str, float], dict[str, Any]]:
    return {(case["kind"], case["share"]): case for case in run["filtered"]}


# --- a run ----------------------------------------------------------------------------------------------------------


def test_a_run_has_every_part(dataset: Dataset, tmp_path: Path) -> None:
    run = _run(dataset, tmp_path, "remembering")["remembering"]
    assert (run["status"], run["reason"]) == ("ok", "")
    assert all(run[part] is not None for part in PARTS)


def test_every_share_of_every_kind_is_measured(dataset: Dataset, tmp_path: Path) -> None:
    cases = _cases(_run(dataset, tmp_path, "remembering")["remembering"])
    assert {kind for kind, _ in cases} == set(KINDS)
    assert {share for kind, share in cases if kind == "correlated"} == {0.5, 0.1, 0.01, 0.001}
    for case in cases.values():
        assert not case["cut"]
        assert [(one["effort"], one["recall"], one["short"], one["passes"]) for one in case["points"]] == [
            (0, 1.0, 0, 2)
        ]


def test_the_filters_are_described(dataset: Dataset, tmp_path: Path) -> None:
    _run(dataset, tmp_path, "remembering")
    report = json.loads((tmp_path / "filtered.json").read_text(encoding="utf-8"))
    half = next(case for case in report["cases"] if case["kind"] == "anti-correlated" and case["share"] == 0.5)
    expected = {"column": "region", "below": 5_000, "matching": ROWS // 2, "queries": QUERIES // 2, "made_queries": 0}
    assert half.items() >= expected.items()
    assert 0.5 < report["direction_variance"] < 0.8


def test_a_database_that_searches_the_files_of_another_writes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    runs = _run(dataset, tmp_path, "remembering", "another-way")
    assert runs["another-way"]["ingest"] == runs["remembering"]["ingest"]
    assert runs["another-way"]["points"]
    assert len(Remembering.stored) == 1


def test_a_database_whose_files_are_not_there_writes_its_own(dataset: Dataset, tmp_path: Path) -> None:
    run = _run(dataset, tmp_path, "another-way")["another-way"]
    assert run["status"] == "ok"
    assert run["ingest"]["records_per_s"] > 0


def test_files_are_gone_after_the_run(dataset: Dataset, tmp_path: Path) -> None:
    _run(dataset, tmp_path, "remembering", "hasty", "another-way")
    assert {path.name for path in tmp_path.iterdir()} == {"filtered.json", "cache", "data"}


def test_databases_that_a_run_leaves_are_searched_as_they_are(dataset: Dataset, tmp_path: Path) -> None:
    options = {"databases": tmp_path / "databases", "checks": 0}
    first = _run(dataset, tmp_path, "remembering", **options)["remembering"]
    second = _run(dataset, tmp_path, "remembering", **options)["remembering"]
    assert second["ingest"] == first["ingest"], "another one would have taken another time"
    assert second["points"]
    assert "Written by the run" in second["tuning"]


def test_databases_of_other_data_are_not_taken_for_those_of_a_run(dataset: Dataset, tmp_path: Path) -> None:
    options = {"databases": tmp_path / "databases", "checks": 0}
    first = _run(dataset, tmp_path, "remembering", **options)["remembering"]
    second = _run(replace(dataset, digest="other"), tmp_path, "remembering", **options)["remembering"]
    assert second["ingest"] != first["ingest"]


def test_a_database_without_filters_is_listed_with_its_reason(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATABASES, "plain", spec_of("plain", filter_reason="it has none"))
    run = _run(dataset, tmp_path, "plain")["plain"]
    assert (run["status"], run["reason"], run["points"]) == ("unsupported", "it has none", None)


class Failing(Remembering):
    """Fails at filters that keep little."""

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        if below < 1_000:
            raise RuntimeError("too few")
        return super().search_filtered(query, k, column, below)


def test_what_was_measured_before_a_failure_is_kept(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATABASES, "failing", spec_of("failing", Failing))
    run = _run(dataset, tmp_path, "failing")["failing"]
    assert (run["status"], run["reason"]) == ("failed", "serve: RuntimeError: too few")
    assert {share for (_, share), case in _cases(run).items() if case["points"]} == {0.5, 0.1}


# --- sweeps ---------------------------------------------------------------------------------------------------------


def test_a_sweep_rises_until_recall_is_enough(dataset: Dataset, tmp_path: Path) -> None:
    run = _run(dataset, tmp_path, "hasty")["hasty"]
    assert [one["effort"] for one in run["points"]] == [100, 500, 960, 1_000]
    recalls = [one["recall"] for one in run["points"]]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1.0


def test_the_effort_of_unfiltered_searches_is_measured_with_every_filter(dataset: Dataset, tmp_path: Path) -> None:
    run = _run(dataset, tmp_path, "hasty")["hasty"]
    assert run["effort"] == 960
    assert all(960 in {one["effort"] for one in case["points"]} for case in run["filtered"])


def test_a_sweep_of_targets_has_them_all(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATABASES, "whole", spec_of("whole", efforts=(1_000, 1_001), all_efforts=True))
    assert [one["effort"] for one in _run(dataset, tmp_path, "whole")["whole"]["points"]] == [1_000, 1_001]


def test_efforts_take_turns(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Remembering, "efforts", [])
    _run(dataset, tmp_path, "hasty")
    assert Remembering.efforts[:8] == [100, 500, 960, 1_000] * 2


def test_a_search_with_fewer_hits_than_there_are_is_counted(dataset: Dataset, tmp_path: Path) -> None:
    points = _cases(_run(dataset, tmp_path, "hasty")["hasty"])["correlated", 0.01]["points"]
    by_effort = {one["effort"]: one for one in points}
    assert by_effort[100]["short"] == by_effort[100]["queries"]
    assert by_effort[1_000]["short"] == 0


def test_a_sweep_out_of_time_says_so_and_has_a_point(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request takes a second more."""
    ask = Contest.ask

    def slow(one: Contest[Any], *arguments: Any, **request: Any) -> dict[str, Any]:
        one.left_s -= 1.0
        return ask(one, *arguments, **request)

    monkeypatch.setattr(Contest, "ask", slow)
    run = _run(dataset, tmp_path, "hasty", cap_s=100.0)["hasty"]
    assert run["status"] == "ok"
    assert any(case["cut"] for case in run["filtered"])
    assert all(case["points"] for case in run["filtered"])


def test_the_least_effort_that_reaches_a_recall_counts() -> None:
    assert effort_reaching({10: 0.9, 20: 0.96, 30: 0.97}, 0.95) == 20
    assert effort_reaching({10: 0.9, 20: 0.94}, 0.95) == 20


# --- random filters -------------------------------------------------------------------------------------------------


def test_random_filters_are_answered_as_numpy_does(dataset: Dataset, tmp_path: Path) -> None:
    checks = _run(dataset, tmp_path, "remembering")["remembering"]["checks"]
    assert (checks["asked"], checks["checked"]) == (40, 40)
    assert (checks["wrong_counts"], checks["short_searches"], checks["wrong_hits"]) == (0, 0, 0)


class Careless(Remembering):
    """Counts one too many, and finds without a filter."""

    def count_matching(self, condition: Condition) -> int:
        return super().count_matching(condition) + 1

    def search_matching(self, query: Matrix, k: int, condition: Condition) -> Hits:
        return super().search_matching(query, k, condition if condition[0] == "lt" else ["ge", "bucket", 0])


def test_wrong_answers_to_random_filters_are_reported(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATABASES, "careless", spec_of("careless", Careless, checks=True))
    checks = _run(dataset, tmp_path, "careless")["careless"]["checks"]
    assert checks["wrong_counts"] == 40
    assert checks["wrong_hits"] > 0


@pytest.mark.parametrize(("engine", "checks"), [("hasty", 40), ("remembering", 0)])
def test_a_database_that_is_not_checked_says_why(dataset: Dataset, tmp_path: Path, engine: str, checks: int) -> None:
    run = _run(dataset, tmp_path, engine, checks=checks)[engine]
    assert run["checks"] is None
    assert run["checks_reason"]


# --- filters and their queries --------------------------------------------------------------------------------------


def test_the_main_direction_is_that_of_the_greatest_spread(dataset: Dataset) -> None:
    direction, share = main_direction(dataset.base)
    assert direction[0] == pytest.approx(1.0, abs=0.02)
    assert share == pytest.approx(9 / 14, abs=0.05)


def test_rows_far_from_the_origin_have_the_same_direction(dataset: Dataset) -> None:
    assert main_direction(dataset.base + np.float32(100))[0] == pytest.approx(main_direction(dataset.base)[0], abs=1e-4)


def test_blocks_of_rows_give_the_direction_of_all(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = main_direction(dataset.base)[0]
    monkeypatch.setattr("benchmarks.datasets.direction.BLOCK_ROWS", 64)
    assert main_direction(dataset.base)[0] == pytest.approx(whole, abs=1e-5)


def test_rows_that_are_all_alike_have_a_direction() -> None:
    direction, share = main_direction(np.ones((50, 4), dtype=np.float32))
    assert np.linalg.norm(direction) == pytest.approx(1.0)
    assert share == 0.0


def _queries(dataset: Dataset, kind: str, below: int) -> tuple[Matrix, int, float]:
    """(queries, how many were made, the place of the last row that the filter keeps)."""
    direction = main_direction(dataset.base)[0]
    places = along(dataset.base, direction)
    rows = np.flatnonzero(np.array(regions_of(places)) < below)
    queries, made = queries_of(kind, dataset, rows, places, direction)
    return queries, made, float(places[rows].max())


def test_correlated_queries_lie_among_the_rows_that_match(dataset: Dataset) -> None:
    queries, made, last = _queries(dataset, "correlated", 8_000)
    assert made == 0
    assert QUERIES_MIN <= len(queries) < QUERIES
    assert (along(queries, main_direction(dataset.base)[0]) <= last).all()


def test_queries_are_made_of_matching_rows_where_too_few_lie_among_them(dataset: Dataset) -> None:
    queries, made, last = _queries(dataset, "correlated", 100)
    assert len(queries) == QUERIES_MIN
    assert QUERIES_MIN - 20 < made <= QUERIES_MIN
    assert np.median(along(queries[-made:], main_direction(dataset.base)[0])) < 0.8 * last


def test_anti_correlated_queries_are_the_farther_half(dataset: Dataset) -> None:
    queries, made, last = _queries(dataset, "anti-correlated", 1_000)
    places = along(dataset.queries, main_direction(dataset.base)[0])
    assert (len(queries), made) == (QUERIES // 2, 0)
    assert along(queries, main_direction(dataset.base)[0]).min() >= np.median(places) > last


def test_exact_answers_of_one_filter_are_not_taken_for_those_of_another(dataset: Dataset, tmp_path: Path) -> None:
    first, second = (kept_truth(dataset, np.arange(start, ROWS, 2), tmp_path) for start in (0, 1))
    assert not np.array_equal(first.bounds, second.bounds)
    found = [[str(row) for row in np.argsort(-(dataset.base[::2] @ query))[:10] * 2] for query in dataset.queries]
    row_of = {str(row): row for row in range(ROWS)}
    assert first.recall(found, row_of) == 1.0
    assert second.recall(found, row_of) == 0.0
