"""The `filtered` suite: embedded databases searched with filters, of any share and beside or against what is asked for.

Every database stores the records as in the `db` suite, is opened in a process of its own with one CPU, and answers
single queries with metadata at rising effort: first without a filter, then with each. A filter keeps a share of all
records by `bucket`, which has nothing to do with the vectors, or by `region`, the rank along the direction in which
they spread most: rows that lie together. Queries from among them are correlated with the filter, the farthest half of
all queries anti-correlated. Random filters are also checked against numpy. Promises: those of `contest`; the efforts of
a filter take turns, so that noise hits them alike; filters share the time that is left, so that none starves others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.databases.conditions import Condition
from benchmarks.databases.protocol import Matrix
from benchmarks.databases.records import BUCKETS, regions_of, with_columns
from benchmarks.datasets import Dataset
from benchmarks.datasets.direction import along, main_direction
from benchmarks.datasets.store import as_unit_rows
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerProcess
from benchmarks.suites.contest import (
    Contest,
    Course,
    Kept,
    Labels,
    Plan,
    Progress,
    Task,
    Truth,
    effort_reaching,
    ingest,
    kept_truth,
    measure_all,
    point_of,
    scratch_beside,
    truth_of,
    write_lines,
    write_records,
)
from benchmarks.suites.filter_checks import Table, judge, random_conditions

KINDS: Final = {"independent": "bucket", "correlated": "region", "anti-correlated": "region"}
"""What a filter has to do with the queries, and the column it is about."""

SHARES: Final = (0.5, 0.1, 0.01, 0.001)
SMALLEST_SHARE: Final = 0.0001
SMALLEST_ROWS: Final = 10
"""The smallest share is asked for where it keeps so many rows."""

RECALL: Final = 0.95
"""Filtered searches are also looked at with the effort that reaches it without a filter."""

RECALL_ENOUGH: Final = 0.99
FILTER_PASS_S: Final = 2.0
QUERIES_MIN: Final = 100
"""Where fewer queries lie among the rows that a filter keeps, queries are made of these rows."""

NUDGE: Final = 0.3
"""How far a made query lies from its row, as a share of the row's length: as far as a paraphrase."""

QUERY_SEED: Final = 29
CHECKS_DEFAULT: Final = 10_000
UNINDEXED_CHECKS: Final = 300
"""Random filters over two indexed columns and some without; the others find an index of every column."""

PARTS: Final = ("ingest", "disk_mb", "memory", "points", "filtered", "checks")

Places: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """Filtered searches of one share and kind: the filter, the queries, how many of them were made, the truth."""

    kind: str
    share: float
    kept: Kept
    queries_file: str
    made: int
    truth: Truth

    def facts(self) -> dict[str, Any]:
        """The case as it is stored."""
        column, below = self.kept
        facts = {"kind": self.kind, "share": self.share, "column": column, "below": below, "made_queries": self.made}
        return facts | {"queries": len(self.truth.dataset.queries), "matching": len(self.truth.rows)}


@dataclass(frozen=True, slots=True)
class FilteredTask(Task):
    """The task of this suite: filters with their queries, and random conditions with what they keep."""

    cases: Sequence[Case]
    conditions: Sequence[Condition]
    table: Table

    @property
    def conditions_file(self) -> str:
        """The random conditions."""
        return str(self.directory / "conditions.jsonl")


FilteredContest: TypeAlias = Contest[FilteredTask]


def run_filtered(plan: Plan, checks: int = CHECKS_DEFAULT) -> dict[str, Any]:
    """Measure the databases of a plan one after another; returns the report that is also at its `out`.

    `checks` random filters are compared with numpy, of databases that answer any.
    """
    course = Course((ingest, _serve, _check), PARTS, refusal=lambda spec: spec.filter_reason)
    with scratch_beside(plan.out) as scratch:
        plan.progress("exact answers to every filter")
        direction, spread = main_direction(plan.dataset.base)
        task = _prepare(plan, direction, scratch, checks)
        report = {**plan.head, "suite": "filtered", "direction_variance": spread}
        report |= {"cases": [case.facts() for case in task.cases], "runs": []}
        return measure_all(plan, task, course, report)


# --- stages -----------------------------------------------------------------------------------------------------------


def _serve(contest: FilteredContest, progress: Progress) -> None:
    """Sweep the effort without a filter, then with each, in one process."""
    one, run, task = [max(available_cpus())], contest.run, contest.task
    with contest.start(one) as worker:
        contest.open(worker, one)
        run["points"] = []
        left = len(task.cases) + 1
        _sweep(contest, worker, None, contest.left_s / (left + 1), run["points"])
        effort = run["effort"] = effort_reaching({one["effort"]: one["recall"] for one in run["points"]}, RECALL)
        run["filtered"] = []
        for case in task.cases:
            left -= 1
            progress(f"    {case.kind}, {case.share:.2%} of the records")
            points: list[dict[str, Any]] = []
            found = {"kind": case.kind, "share": case.share, "points": points, "cut": False}
            run["filtered"].append(found)
            found["cut"] = _sweep(contest, worker, case, contest.left_s / (left + 1), points, first=(effort,))
        memory = contest.ask(worker, "memory")
        run["memory"] = run["memory"] | {"serve_mb": memory["resident_mb"]}
        contest.ask(worker, "close")


def _sweep(
    contest: FilteredContest,
    worker: WorkerProcess,
    case: Case | None,
    within_s: float,
    points: list[dict[str, Any]],
    first: tuple[int, ...] = (),
) -> bool:
    """Fill points at rising effort until recall is enough, after those of `first`; repeat all of them in turns.

    Returns whether it ended early because `within_s` had passed; there is a pass at one effort at least.
    """
    rising = (*first, *(effort for effort in contest.spec.efforts if effort not in first))
    passes: dict[int, list[dict[str, Any]]] = {}
    until = contest.left_s - within_s
    for turn in range(contest.task.repeats):
        for effort in rising if turn == 0 else tuple(passes):
            if passes and contest.left_s <= until:
                return True
            passes.setdefault(effort, []).append(_pass(contest, worker, case, effort))
            points[:] = [_point(effort, times) for effort, times in sorted(passes.items())]
            enough = passes[effort][0]["recall"] >= RECALL_ENOUGH and not contest.spec.all_efforts
            if turn == 0 and effort not in first and enough:
                break
    return False


def _pass(contest: FilteredContest, worker: WorkerProcess, case: Case | None, effort: int) -> dict[str, Any]:
    """One pass at one effort: times, recall, and how many queries got fewer hits than there are."""
    task, truth = contest.task, contest.task.truth if case is None else case.truth
    kept, file = (None, task.queries_file) if case is None else (case.kept, case.queries_file)
    times, found = contest.search(worker, "single", effort, kept, queries_file=file, limit_s=FILTER_PASS_S)
    return {**times, "recall": truth.recall(found, task.row_of), "short": truth.short(found)}


def _point(effort: int, passes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Recall and short answers are those of the pass that answered most queries."""
    longest = max(passes, key=lambda one: int(one["queries"]))
    point = point_of("single", effort, longest["recall"], passes)
    return point | {"queries": longest["queries"], "short": longest["short"]}


def _check(contest: FilteredContest, progress: Progress) -> None:
    """Compare random filters with numpy, as many as the time allows."""
    run, task, one = contest.run, contest.task, [max(available_cpus())]
    if not (contest.spec.checks and task.conditions):
        run["checks_reason"] = "not asked for" if contest.spec.checks else "its adapter knows only the filters above"
        return
    answers = task.directory / "answers.jsonl"
    with contest.start(one) as worker:
        contest.open(worker, one)
        limit_s = contest.left_s * 0.9  # the last check may take long, and closing takes time
        request = {"conditions": task.conditions_file, "answers": str(answers), "limit_s": limit_s}
        request |= {"unindexed": UNINDEXED_CHECKS}
        seconds = contest.ask(worker, "check", **request)["seconds"]
        contest.ask(worker, "close")
    given = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    checks = judge(task.table, task.row_of, task.conditions, given, UNINDEXED_CHECKS)
    run["checks"] = {"asked": len(task.conditions), "seconds": seconds, **checks}
    wrong = {name: checks[name] for name in ("wrong_counts", "short_searches", "wrong_hits")}
    progress(f"    {checks['checked']:,} random filters checked: {wrong}")


# --- preparation ------------------------------------------------------------------------------------------------------


def _prepare(plan: Plan, direction: Places, directory: Path, checks: int) -> FilteredTask:
    """Write what the workers read, and find the exact answers to every filter."""
    dataset, cache = plan.dataset, plan.cache
    assert len(plan.records) == len(dataset.base), "one record per base row"
    places = along(dataset.base, direction)
    complete = with_columns(plan.records, regions_of(places))
    task = FilteredTask(
        dataset=dataset,
        directory=directory,
        repeats=plan.repeats,
        truth=truth_of(dataset, cache),
        row_of={record["id"]: row for row, record in enumerate(complete)},
        cases=list(_cases(dataset, complete, places, direction, directory, cache)),
        conditions=list(random_conditions(complete, checks)),
        table=Table(complete),
    )
    write_records(Path(task.records_file), complete)
    write_lines(Path(task.conditions_file), task.conditions)
    return task


def _cases(
    dataset: Dataset,
    records: Sequence[Mapping[str, Any]],
    places: Places,
    direction: Places,
    directory: Path,
    cache: Path | None,
) -> Iterator[Case]:
    """Every share of every kind that keeps any row."""
    columns = {column: np.array([record[column] for record in records]) for column in KINDS.values()}
    for share in (*SHARES, SMALLEST_SHARE):
        below = round(share * BUCKETS)
        for kind, column in KINDS.items():
            rows = np.flatnonzero(columns[column] < below)
            if len(rows) < (SMALLEST_ROWS if share == SMALLEST_SHARE else 1):
                continue
            queries, made = queries_of(kind, dataset, rows, places, direction)
            file = directory / f"queries-{kind}-{below}.npy"
            np.save(file, queries)
            truth = kept_truth(replace(dataset, queries=queries), rows, cache)
            yield Case(kind, share, (column, below), str(file), made, truth)


def queries_of(kind: str, dataset: Dataset, rows: Labels, places: Places, direction: Places) -> tuple[Matrix, int]:
    """(queries, how many of them were made) for a filter that keeps `rows`, which begin the order along the direction.

    Correlated: those no farther along it than the last of the rows. Anti-correlated: the farther half of all.
    """
    if kind == "independent":
        return dataset.queries, 0
    own = along(dataset.queries, direction)
    if kind == "anti-correlated":
        far = np.sort(np.argsort(own, kind="stable")[len(own) // 2 :])
        return np.ascontiguousarray(dataset.queries[far]), 0
    inside = dataset.queries[own <= places[rows].max()]
    made = max(min(QUERIES_MIN, len(own)) - len(inside), 0)
    return np.ascontiguousarray(np.vstack([inside, _made_queries(dataset, rows, made)])), made


def _made_queries(dataset: Dataset, rows: Labels, count: int) -> Matrix:
    """Queries near rows drawn at random, each NUDGE of its row's length away from it in any direction."""
    rng = np.random.default_rng(QUERY_SEED)
    near = np.asarray(dataset.base[np.sort(rng.choice(rows, count))], dtype=np.float32)
    steps = as_unit_rows(rng.standard_normal(near.shape)) * np.linalg.norm(near, axis=1, keepdims=True)
    moved: Matrix = near + np.float32(NUDGE) * steps
    return as_unit_rows(moved) if dataset.metric == "cosine" else moved
