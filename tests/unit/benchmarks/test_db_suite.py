"""Tests the suite of embedded databases: what it computes, what its worker answers, and a whole small run of vecdb."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.databases import DATABASES
from benchmarks.databases.records import metadata_of, synthetic_records, with_columns
from benchmarks.datasets import Dataset
from benchmarks.method.answering import answer_requests
from benchmarks.method.machine import available_cpus
from benchmarks.suites import db_worker
from benchmarks.suites.contest import Plan, Truth, disk_mb
from benchmarks.suites.db import CHURN_SHARE, PARTS, pick_efforts, plan_churn, run_db
from tests.unit.benchmarks.remembering import spec_of

ROWS, DIM, QUERIES = 300, 16, 12


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    directory = tmp_path / "data"
    directory.mkdir()
    rows = np.random.default_rng(0).standard_normal((ROWS + QUERIES, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(directory / "base.npy", rows[:ROWS])
    np.save(directory / "queries.npy", rows[ROWS:])
    return Dataset("small", "cosine", rows[:ROWS], rows[ROWS:], directory, "small-digest")


def _run(dataset: Dataset, engine: str, out: Path, **options: Any) -> dict[str, Any]:
    lines: list[str] = []
    records, cache = synthetic_records(ROWS), out.parent / "cache"
    plan = Plan(dataset, records, [engine], out, {"format": 1}, lines.append, repeats=2, cache=cache, **options)
    report = run_db(plan)
    assert lines
    run: dict[str, Any] = report["runs"][0]
    return run


# --- a run ----------------------------------------------------------------------------------------------------------


def test_a_run_of_vecdb_has_every_part_or_its_reason(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out" / "db.json"
    run = _run(dataset, "vecdb", out)
    assert (run["status"], run["reason"]) == ("ok", "")
    assert all(run[part] is not None or run[f"{part}_reason"] for part in PARTS)
    assert {point["recall"] for point in run["filtered"]} == {1.0}
    assert run["versions"]["vecdb"]
    assert {point["mode"] for point in run["points"]} == {"single", "batch"}
    assert max(point["recall"] for point in run["points"]) >= 0.99
    assert run["churn"]["records"] == round(ROWS * CHURN_SHARE)
    assert run["churn"]["recall"] >= 0.99
    assert json.loads(out.read_text(encoding="utf-8"))["runs"] == [run]
    assert [path.name for path in out.parent.iterdir() if path.name != "cache"] == ["db.json"]


def test_a_database_out_of_time_is_listed_as_such(dataset: Dataset, tmp_path: Path) -> None:
    run = _run(dataset, "vecdb", tmp_path / "db.json", cap_s=0.0)
    assert run["status"] == "timeout"
    assert run["reason"] == "ingest: more than 0 s in all"
    assert run["churn_reason"] == "timeout: ingest: more than 0 s in all"


def test_a_database_that_is_not_installed_is_listed_as_missing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zvec.py").write_text("raise ModuleNotFoundError('No module named zvec')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = _run(dataset, "zvec", tmp_path / "db.json")
    assert (run["status"], run["points"]) == ("missing", None)
    assert "No module named" in run["reason"]


def test_a_metric_that_a_database_has_not_is_unsupported(dataset: Dataset, tmp_path: Path) -> None:
    dot = Dataset("small", "dot", dataset.base, dataset.queries, dataset.directory, "small-dot")
    run = _run(dot, "sqlite-vec", tmp_path / "db.json")
    assert (run["status"], run["reason"]) == ("unsupported", "sqlite-vec has no dot")


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def truth(dataset: Dataset) -> Truth:
    """Of the even rows, with the exact distances of the three nearest."""
    rows = np.arange(0, ROWS, 2)
    return Truth(dataset, rows, np.sort(1 - dataset.queries @ dataset.base[rows].T, axis=1)[:, :3])


ROW_OF = {f"row-{row}": row for row in range(ROWS)}


def _nearest(dataset: Dataset, rows: Sequence[int]) -> list[list[str]]:
    order = np.argsort(1 - dataset.queries @ dataset.base[list(rows)].T, axis=1)[:, :3]
    return [[f"row-{rows[place]}" for place in places] for places in order]


def test_recall_is_one_for_the_nearest_of_the_rows_that_match(dataset: Dataset, truth: Truth) -> None:
    assert truth.recall(_nearest(dataset, range(0, ROWS, 2)), ROW_OF) == 1.0


def test_hits_that_do_not_match_the_filter_are_misses(dataset: Dataset, truth: Truth) -> None:
    assert truth.recall(_nearest(dataset, range(1, ROWS, 2)), ROW_OF) == 0.0


def test_recall_is_of_the_queries_that_were_answered(dataset: Dataset, truth: Truth) -> None:
    assert truth.recall(_nearest(dataset, range(0, ROWS, 2))[:4], ROW_OF) == 1.0


def test_missing_hits_and_unknown_ids_are_misses(dataset: Dataset, truth: Truth) -> None:
    found = [[ids[0], "no such record"] for ids in _nearest(dataset, range(0, ROWS, 2))]
    assert truth.recall(found, ROW_OF) == pytest.approx(1 / 3)


def test_a_query_with_fewer_hits_than_records_is_short(truth: Truth) -> None:
    assert truth.short([["a", "b", "c"], ["a"], ["a", "b", "c", "d"], []]) == 2


def test_the_least_effort_that_reaches_a_target_is_picked() -> None:
    assert pick_efforts({10: 0.9, 20: 0.96, 30: 0.97, 40: 0.991}) == [20, 40]


def test_the_greatest_effort_stands_for_a_target_that_none_reaches() -> None:
    assert pick_efforts({10: 0.9, 20: 0.96, 30: 0.97}) == [20, 30]


def test_one_effort_may_serve_both_targets() -> None:
    assert pick_efforts({0: 1.0}) == [0]


def test_churn_moves_vectors_among_a_fifth_of_the_records() -> None:
    records = with_columns(synthetic_records(100), range(100))
    changes = plan_churn(records)
    rows = {record["id"]: row for row, record in enumerate(records)}
    assert len(changes) == 20
    assert {change["row"] for change in changes} == {rows[change["was"]] for change in changes}
    assert all(change["row"] != rows[change["was"]] for change in changes)


def test_churn_renames_every_second_record() -> None:
    changes = plan_churn(with_columns(synthetic_records(100), range(100)))
    assert [change["id"] != change["was"] for change in changes] == [False, True] * 10


def test_holes_in_files_take_no_disk(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 30)
    assert disk_mb(tmp_path) < 1


# --- the worker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setitem(DATABASES, "remembering", spec_of("remembering"))
    records = with_columns(synthetic_records(ROWS), range(ROWS))
    lines = [json.dumps({"id": record["id"], "metadata": metadata_of(record)}) for record in records]
    (tmp_path / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "changes.jsonl").write_text("\n".join(map(json.dumps, plan_churn(records))), encoding="utf-8")
    return {
        "base": str(dataset.directory / "base.npy"),
        "queries": str(dataset.directory / "queries.npy"),
        "records": str(tmp_path / "records.jsonl"),
        "changes": str(tmp_path / "changes.jsonl"),
        "ids": str(tmp_path / "found.json"),
        "path": str(tmp_path),
    }


def _answers(files: dict[str, str], *requests: dict[str, Any]) -> list[dict[str, Any]]:
    opening = {"do": "open", "create": True, "engine": "remembering", "metric": "cosine", "k": 3}
    opening |= {"cpus": sorted(available_cpus())}
    source = io.StringIO("\n".join(json.dumps({**files, **opening, **request}) for request in requests))
    sink = io.StringIO()
    answer_requests(db_worker.actions(), source, sink)
    return [json.loads(line) for line in sink.getvalue().splitlines()]


SEARCH = {"do": "search", "mode": "single", "effort": 0, "limit_s": 60.0}


def test_the_worker_finds_what_it_inserted(files: dict[str, str], dataset: Dataset) -> None:
    answers = _answers(files, {}, {"do": "ingest"}, {"do": "ready"}, SEARCH, {"do": "memory"}, {"do": "close"})
    assert answers[1]["records"] == ROWS
    assert answers[3]["queries"] == QUERIES
    found = json.loads(Path(files["ids"]).read_text(encoding="utf-8"))
    order = np.argsort(-(dataset.queries @ dataset.base.T), axis=1)[:, :3]
    assert found == [[f"row-{row:08d}" for row in rows] for rows in order]


def test_the_worker_searches_among_what_a_filter_keeps(files: dict[str, str]) -> None:
    _answers(files, {}, {"do": "ingest"}, SEARCH | {"kept": ["region", 2]})
    found = json.loads(Path(files["ids"]).read_text(encoding="utf-8"))
    assert {key for ids in found for key in ids} == {"row-00000000", "row-00000001"}


def test_the_worker_asks_the_queries_of_another_file(files: dict[str, str], tmp_path: Path) -> None:
    np.save(tmp_path / "three.npy", np.eye(3, DIM, dtype=np.float32))
    answers = _answers(files, {}, {"do": "ingest"}, SEARCH | {"queries": str(tmp_path / "three.npy")})
    assert answers[2]["queries"] == 3


def test_a_pass_stops_when_its_time_is_up(files: dict[str, str]) -> None:
    answers = _answers(files, {}, {"do": "ingest"}, SEARCH | {"limit_s": 0.0})
    assert answers[2]["queries"] == 1


def test_the_worker_replaces_deletes_and_inserts_what_churn_says(files: dict[str, str]) -> None:
    answers = _answers(files, {}, {"do": "ingest"}, {"do": "churn"}, SEARCH)
    assert answers[2]["records"] == round(ROWS * CHURN_SHARE)
    assert answers[3]["queries"] == QUERIES


def test_an_exception_of_the_database_is_an_answer_and_the_end(files: dict[str, str]) -> None:
    answers = _answers(files, {"create": False}, {"do": "ingest"})
    assert answers == [{"failed": "OSError: nothing here"}]


def test_memory_is_that_of_this_process() -> None:
    sizes = db_worker.memory()
    assert 0 < sizes["private_mb"] <= sizes["resident_mb"] <= sizes["peak_mb"]
