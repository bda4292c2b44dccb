"""The `db` suite: embedded databases from end to end, each written, reopened, searched, filtered and changed.

Every database goes through the same stages, each in a process of its own, so that what is measured is what a later
process finds on the disk: ingest (all CPUs, in batches of 1,000 with metadata), serve (one CPU and one thread: opening,
a sweep over the effort, batches, filters), churn (all CPUs), serve again. Hits always carry their metadata. Recall is
computed here, from distances, by one function for all. Promises: those of `contest`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

import numpy as np

from benchmarks.databases.records import BUCKETS, metadata_of, regions_of, with_columns
from benchmarks.datasets.direction import along, main_direction
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerProcess
from benchmarks.suites.contest import (
    Contest,
    Course,
    Kept,
    Plan,
    Progress,
    Task,
    Truth,
    disk_mb,
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

TARGETS: Final = (0.95, 0.99)
"""Batches, filters and repetitions are measured at the first effort that reaches each, on unfiltered queries."""

SHARES: Final = (0.5, 0.01, 0.001)
"""What a filter keeps of all records."""

CHURN_SHARE: Final = 0.2
CHURN_SEED: Final = 11
MOVED: Final = "~"
"""Appended to the id of a record that was deleted and inserted anew."""

PARTS: Final = ("ingest", "disk_mb", "memory", "cold_open_s", "points", "filtered", "churn")


@dataclass(frozen=True, slots=True)
class DbTask(Task):
    """The task of this suite: filters, and changes."""

    filtered: Mapping[float, Truth]
    row_of_changed: Mapping[str, int]

    @property
    def changes_file(self) -> str:
        """The records to replace."""
        return str(self.directory / "changes.jsonl")


DbContest: TypeAlias = Contest[DbTask]


# --- the run ----------------------------------------------------------------------------------------------------------


def run_db(plan: Plan) -> dict[str, Any]:
    """Measure the databases of a plan one after another; returns the report that is also at its `out`."""
    report: dict[str, Any] = {**plan.head, "suite": "db", "runs": []}
    with scratch_beside(plan.out) as scratch:
        return measure_all(plan, _prepare(plan, scratch), Course((ingest, _serve, _churn), PARTS), report)


# --- stages -----------------------------------------------------------------------------------------------------------


def _serve(contest: DbContest, progress: Progress) -> None:
    """Open in fresh processes, then let the last of them answer."""
    one = [max(available_cpus())]
    seconds = []
    for turn in range(contest.task.repeats):
        begin = time.perf_counter()
        with contest.start(one) as worker:
            contest.open(worker, one)
            seconds.append(time.perf_counter() - begin)
            contest.run["cold_open_s"] = median(seconds)
            if turn == contest.task.repeats - 1:
                picks = _sweep(contest, worker)
                progress(_picked_line(contest, picks))
                _search_batches(contest, worker, picks)
                _search_filtered(contest, worker, picks)
                progress("    searched; now replacing a fifth of the records")
            contest.ask(worker, "close")


def _sweep(contest: DbContest, worker: WorkerProcess) -> list[int]:
    """Single queries at rising effort until the highest target is reached; then repeat those that count."""
    points = contest.run["points"] = []
    recalls: dict[int, float] = {}
    for effort in contest.spec.efforts:
        times, found = contest.search(worker, "single", effort)
        recalls[effort] = contest.task.truth.recall(found, contest.task.row_of)
        points.append(point_of("single", effort, recalls[effort], [times]))
        if recalls[effort] >= max(TARGETS):
            break
    memory = contest.ask(worker, "memory")
    contest.run["memory"] |= {"serve_mb": memory["resident_mb"], "serve_private_mb": memory["private_mb"]}
    picks = pick_efforts(recalls)
    _repeat(contest, worker, "single", {effort: recalls[effort] for effort in picks})
    return picks


def pick_efforts(recalls: Mapping[int, float]) -> list[int]:
    """The least effort for each target; the greatest measured for a target that none reaches."""
    return sorted({effort_reaching(recalls, target) for target in TARGETS})


def _repeat(contest: DbContest, worker: WorkerProcess, mode: str, recalls: Mapping[int, float]) -> None:
    """Measure some efforts in turns, and put their points in place of those measured once."""
    passes: dict[int, list[dict[str, Any]]] = {effort: [] for effort in recalls}
    for _ in range(contest.task.repeats):
        for effort, times in passes.items():
            times.append(contest.search(worker, mode, effort)[0])
    kept = [
        point for point in contest.run["points"] if (point["mode"], point["effort"]) not in {(mode, e) for e in passes}
    ]
    added = [point_of(mode, effort, recalls[effort], times) for effort, times in passes.items()]
    contest.run["points"] = sorted([*kept, *added], key=lambda point: (point["mode"] != "single", point["effort"]))


def _search_batches(contest: DbContest, worker: WorkerProcess, picks: Sequence[int]) -> None:
    if contest.spec.batch_reason:
        contest.run["batch_reason"] = contest.spec.batch_reason
        return
    truth, row_of = contest.task.truth, contest.task.row_of
    recalls = {effort: truth.recall(contest.search(worker, "batch", effort)[1], row_of) for effort in picks}
    _repeat(contest, worker, "batch", recalls)


def _search_filtered(contest: DbContest, worker: WorkerProcess, picks: Sequence[int]) -> None:
    if contest.spec.filter_reason:
        contest.run["filtered_reason"] = contest.spec.filter_reason
        return
    rows = contest.run["filtered"] = []
    for share, truth in contest.task.filtered.items():
        for effort in picks:
            passes = [contest.search(worker, "single", effort, _kept(share)) for _ in range(contest.task.repeats)]
            found = max((found for _, found in passes), key=len)
            point = point_of("single", effort, truth.recall(found, contest.task.row_of), [times for times, _ in passes])
            rows.append({"share": share, **point, "short_share": truth.short(found) / len(found)})


def _churn(contest: DbContest, progress: Progress) -> None:
    """Replace a fifth with all CPUs, wait until it is indexed; then search from a fresh process."""
    task, cpus, effort = contest.task, sorted(available_cpus()), _last_pick(contest)
    with contest.start(cpus) as worker:
        contest.open(worker, cpus)
        written = contest.ask(worker, "churn", base=task.base_file, changes=task.changes_file)
        churn = contest.run["churn"] = {"seconds": written["seconds"], "records": written["records"], "ready_s": None}
        churn |= {"effort": effort, "recall": None, "qps": None, "disk_mb": None}
        churn["ready_s"] = contest.ask(worker, "ready")["seconds"]
        contest.ask(worker, "close")
    churn["disk_mb"] = disk_mb(contest.path)
    one = cpus[-1:]
    with contest.start(one) as worker:
        contest.open(worker, one)
        passes = [contest.search(worker, "single", effort) for _ in range(task.repeats)]
        value = task.truth.recall(passes[0][1], task.row_of_changed)
        churn |= point_of("single", effort, value, [times for times, _ in passes])
        contest.ask(worker, "close")
    progress(f"    after churn: recall {value:.3f}, {churn['qps']:,.0f} QPS, {churn['disk_mb']:.0f} MB on disk")


def _last_pick(contest: DbContest) -> int:
    return max(int(point["effort"]) for point in contest.run["points"])


def _picked_line(contest: DbContest, picks: Sequence[int]) -> str:
    points = [point for point in contest.run["points"] if point["effort"] in picks]
    return "    " + ", ".join(f"recall {point['recall']:.3f} at {point['qps']:,.0f} QPS" for point in points)


# --- preparation ------------------------------------------------------------------------------------------------------


def _prepare(plan: Plan, directory: Path) -> DbTask:
    """Write what the workers read, and find the exact answers."""
    dataset, cache = plan.dataset, plan.cache
    assert len(plan.records) == len(dataset.base), "one record per base row"
    complete = with_columns(plan.records, regions_of(along(dataset.base, main_direction(dataset.base)[0])))
    row_of = {record["id"]: row for row, record in enumerate(complete)}
    changes = plan_churn(complete)
    buckets = np.array([record["bucket"] for record in complete])
    kept = {share: np.flatnonzero(buckets < _kept(share)[1]) for share in SHARES}
    task = DbTask(
        dataset=dataset,
        directory=directory,
        repeats=plan.repeats,
        truth=truth_of(dataset, cache),
        filtered={share: kept_truth(dataset, rows, cache) for share, rows in kept.items() if len(rows)},
        row_of=row_of,
        row_of_changed=_rows_after(row_of, changes),
    )
    write_records(Path(task.records_file), complete)
    write_lines(Path(task.changes_file), changes)
    return task


def _kept(share: float) -> Kept:
    return "bucket", round(share * BUCKETS)


def plan_churn(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A fifth of the records in random order, each with the vector of another of them; every second one changes its id.

    The vectors as a whole stay the same, and with them the exact answers.
    """
    rng = np.random.default_rng(CHURN_SEED)
    chosen = rng.permutation(len(records))[: round(len(records) * CHURN_SHARE)]
    vectors = np.roll(chosen, 1)
    return [
        {
            "was": records[row]["id"],
            "id": records[row]["id"] + MOVED * (place % 2),
            "row": int(vector),
            "metadata": metadata_of(records[row]),
        }
        for place, (row, vector) in enumerate(zip(chosen, vectors, strict=True))
    ]


def _rows_after(row_of: Mapping[str, int], changes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Which base row's vector each id has after the churn; ids that are gone have none."""
    rows = dict(row_of)
    for change in changes:
        del rows[change["was"]]
    return rows | {change["id"]: change["row"] for change in changes}
