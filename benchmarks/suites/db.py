"""The `db` suite: embedded databases from end to end, each written, reopened, searched, filtered and changed.

Every database goes through the same stages, each in a process of its own, so that what is measured is what a later
process finds on the disk: ingest (all CPUs, in batches of 1,000 with metadata), serve (one CPU and one thread: opening,
a sweep over the effort, batches, filters), churn (all CPUs), serve again. Hits always carry their metadata. Recall is
computed here, from distances, by one function for all. Promises: a database that is missing, fails or takes too long
is in the result with the reason and everything measured before; the result is written after every database.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.databases import DATABASES
from benchmarks.databases.protocol import DatabaseSpec, Matrix
from benchmarks.databases.records import BUCKETS, metadata_of, with_buckets
from benchmarks.datasets import Dataset, recall, true_distances
from benchmarks.method.environments import python_of
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerError, WorkerProcess

K: Final = 10
TARGETS: Final = (0.95, 0.99)
"""Batches, filters and repetitions are measured at the first effort that reaches each, on unfiltered queries."""

SHARES: Final = (0.5, 0.01, 0.001)
"""What a filter keeps of all records."""

CHURN_SHARE: Final = 0.2
CHURN_SEED: Final = 11
PASS_S: Final = 5.0
"""A pass of single queries stops here; a slow database answers fewer of them."""

CAP_DEFAULT_S: Final = 900.0
MOVED: Final = "~"
"""Appended to the id of a record that was deleted and inserted anew."""

NOT_INSTALLED: Final = ("ModuleNotFoundError", "PackageNotFoundError")
PARTS: Final = ("ingest", "disk_mb", "memory", "cold_open_s", "points", "filtered", "churn")

Labels: TypeAlias = npt.NDArray[np.int64]
Progress: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Truth:
    """Some rows of the data set (all, or those that a filter keeps) and the exact distances to the nearest of them."""

    dataset: Dataset
    rows: Labels
    bounds: Matrix

    def recall(self, found: Sequence[Sequence[str]], row_of: Mapping[str, int]) -> float:
        """Recall of the ids found for the first queries; an id outside these rows is a miss."""
        labels = np.full((len(found), self.bounds.shape[1]), -1, dtype=np.int64)
        for place, ids in enumerate(found):
            rows = np.array([row_of.get(key, -1) for key in ids[: labels.shape[1]]], dtype=np.int64)
            position = np.searchsorted(self.rows, rows)
            known = (position < len(self.rows)) & (self.rows[np.minimum(position, len(self.rows) - 1)] == rows)
            labels[place, : len(rows)] = np.where(known, position, -1)
        asked = dataclasses.replace(self.dataset, queries=self.dataset.queries[: len(found)])
        return recall(asked, self.bounds[: len(found)], labels)

    def short_share(self, found: Sequence[Sequence[str]]) -> float:
        """How often there were fewer hits than there are records."""
        return float(np.mean([len(ids) < self.bounds.shape[1] for ids in found]))


@dataclass(frozen=True, slots=True)
class Task:
    """What every database is asked to do: files for the workers, and the truth."""

    dataset: Dataset
    directory: Path
    repeats: int
    truth: Truth
    filtered: Mapping[float, Truth]
    row_of: Mapping[str, int]
    row_of_changed: Mapping[str, int]

    @property
    def base_file(self) -> str:
        """The vectors to insert."""
        return str(self.dataset.directory / "base.npy")

    @property
    def queries_file(self) -> str:
        """What is searched for."""
        return str(self.dataset.directory / "queries.npy")

    @property
    def records_file(self) -> str:
        """The records to insert."""
        return str(self.directory / "records.jsonl")

    @property
    def changes_file(self) -> str:
        """The records to replace."""
        return str(self.directory / "changes.jsonl")


@dataclass(slots=True)
class Contest:
    """One database: what was measured, and the time it has left."""

    spec: DatabaseSpec
    task: Task
    path: Path
    cap_s: float
    left_s: float = field(init=False)
    stage: str = ""
    run: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left_s = self.cap_s

    def start(self, cpus: Sequence[int]) -> WorkerProcess:
        """A new process whose libraries may use as many threads as there are CPUs given."""
        return WorkerProcess([python_of(self.spec.environment), "-m", "benchmarks.suites.db_worker"], len(cpus))

    def ask(self, worker: WorkerProcess, do: str, **request: object) -> dict[str, Any]:
        """Ask within the time that is left."""
        begin = time.monotonic()
        try:
            return worker.ask({"do": do, **request}, max(self.left_s, 0.0))
        finally:
            self.left_s -= time.monotonic() - begin

    def open(self, worker: WorkerProcess, cpus: Sequence[int], *, create: bool = False) -> dict[str, Any]:
        """Make the collection, or open it and get one answer."""
        dataset = self.task.dataset
        return self.ask(
            worker,
            "open",
            engine=self.spec.name,
            path=str(self.path),
            metric=dataset.metric,
            queries=self.task.queries_file,
            k=K,
            cpus=list(cpus),
            create=create,
        )

    def search(
        self, worker: WorkerProcess, mode: str, effort: int, below: int | None = None
    ) -> tuple[dict[str, Any], list[list[str]]]:
        """One pass: its times, and the ids found."""
        target = self.task.directory / "found.json"
        request = {"mode": mode, "effort": effort, "below": below, "limit_s": PASS_S, "ids": str(target)}
        times = self.ask(worker, "search", **request)
        return times, json.loads(target.read_text(encoding="utf-8"))


# --- the run ----------------------------------------------------------------------------------------------------------


def run_db(
    dataset: Dataset,
    records: Sequence[Mapping[str, Any]],
    engines: Sequence[str],
    out: Path,
    *,
    head: Mapping[str, Any],
    repeats: int = 3,
    cap_s: float = CAP_DEFAULT_S,
    cache: Path | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Measure the databases one after another; returns the report that is also at `out`.

    `records` are in the order of the base rows, each with its id and the metadata of `COLUMNS`; buckets are added.
    `cap_s` is what a database may take in all, `cache` where exact answers are kept between runs.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {**head, "suite": "db", "runs": []}
    with tempfile.TemporaryDirectory(prefix=".db-", dir=out.parent) as scratch:
        task = _prepare(dataset, records, Path(scratch).resolve(), repeats, cache)
        for number, name in enumerate(engines, 1):
            progress(f"[{number}/{len(engines)}] {name}")
            with tempfile.TemporaryDirectory(dir=scratch) as path:
                contest = Contest(DATABASES[name], task, Path(path).resolve(), cap_s)
                report["runs"].append(_measure(contest, progress))
            partial = out.with_suffix(".partial")
            partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
            partial.replace(out)
    return report


def _measure(contest: Contest, progress: Progress) -> dict[str, Any]:
    """All stages of one database; whatever ends them early is its status."""
    spec = contest.spec
    contest.run = {"engine": spec.name, "versions": {}, "tuning": spec.tuning, "status": "ok", "reason": ""}
    contest.run |= dict.fromkeys(PARTS)
    if contest.task.dataset.metric not in spec.metrics:
        return _end(contest, "unsupported", f"{spec.name} has no {contest.task.dataset.metric}")
    try:
        for stage in (_ingest, _serve, _churn):
            contest.stage = stage.__name__.strip("_")
            stage(contest, progress)
    except WorkerError as error:
        status = "missing" if error.reason.startswith(NOT_INSTALLED) else error.status
        late = f"more than {contest.cap_s:.0f} s in all"
        _end(contest, status, f"{contest.stage}: {late if status == 'timeout' else error.reason}")
        progress(f"    {contest.run['status']}: {contest.run['reason']}")
    return contest.run


def _end(contest: Contest, status: str, reason: str) -> dict[str, Any]:
    contest.run |= {"status": status, "reason": reason}
    for part in PARTS:
        if contest.run[part] is None and f"{part}_reason" not in contest.run:
            contest.run[f"{part}_reason"] = f"{status}: {reason}"
    return contest.run


# --- stages -----------------------------------------------------------------------------------------------------------


def _ingest(contest: Contest, progress: Progress) -> None:
    """Write everything with all CPUs, wait until it is indexed, close."""
    run, task, cpus = contest.run, contest.task, sorted(available_cpus())
    with contest.start(cpus) as worker:
        opened = contest.open(worker, cpus, create=True)
        run["versions"] = opened["versions"]
        written = contest.ask(worker, "ingest", base=task.base_file, records=task.records_file)
        speed = written["records"] / written["seconds"]
        run["ingest"] = {"records_per_s": speed, "seconds": written["seconds"], "ready_s": None, "threads": len(cpus)}
        progress(f"    {speed:,.0f} records/s, waiting until they are indexed")
        ready = contest.ask(worker, "ready")
        run["ingest"]["ready_s"] = ready["seconds"]
        run["memory"] = {"idle_mb": opened["idle_mb"], "ingest_peak_mb": ready["peak_mb"], "serve_mb": None}
        contest.ask(worker, "close")
    run["disk_mb"] = disk_mb(contest.path)
    progress(f"    ready after {ready['seconds']:.1f} s more, {run['disk_mb']:.0f} MB on disk")


def _serve(contest: Contest, progress: Progress) -> None:
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


def _sweep(contest: Contest, worker: WorkerProcess) -> list[int]:
    """Single queries at rising effort until the highest target is reached; then repeat those that count."""
    points = contest.run["points"] = []
    recalls: dict[int, float] = {}
    for effort in contest.spec.efforts:
        times, found = contest.search(worker, "single", effort)
        recalls[effort] = contest.task.truth.recall(found, contest.task.row_of)
        points.append(_point("single", effort, recalls[effort], [times]))
        if recalls[effort] >= max(TARGETS):
            break
    memory = contest.ask(worker, "memory")
    contest.run["memory"] |= {"serve_mb": memory["resident_mb"], "serve_private_mb": memory["private_mb"]}
    picks = pick_efforts(recalls)
    _repeat(contest, worker, "single", {effort: recalls[effort] for effort in picks})
    return picks


def pick_efforts(recalls: Mapping[int, float]) -> list[int]:
    """The least effort for each target; the greatest measured for a target that none reaches."""
    reached = ((next((e for e, value in recalls.items() if value >= target), max(recalls))) for target in TARGETS)
    return sorted(set(reached))


def _repeat(contest: Contest, worker: WorkerProcess, mode: str, recalls: Mapping[int, float]) -> None:
    """Measure some efforts in turns, and put their points in place of those measured once."""
    passes: dict[int, list[dict[str, Any]]] = {effort: [] for effort in recalls}
    for _ in range(contest.task.repeats):
        for effort, times in passes.items():
            times.append(contest.search(worker, mode, effort)[0])
    kept = [
        point for point in contest.run["points"] if (point["mode"], point["effort"]) not in {(mode, e) for e in passes}
    ]
    added = [_point(mode, effort, recalls[effort], times) for effort, times in passes.items()]
    contest.run["points"] = sorted([*kept, *added], key=lambda point: (point["mode"] != "single", point["effort"]))


def _search_batches(contest: Contest, worker: WorkerProcess, picks: Sequence[int]) -> None:
    if contest.spec.batch_reason:
        contest.run["batch_reason"] = contest.spec.batch_reason
        return
    truth, row_of = contest.task.truth, contest.task.row_of
    recalls = {effort: truth.recall(contest.search(worker, "batch", effort)[1], row_of) for effort in picks}
    _repeat(contest, worker, "batch", recalls)


def _search_filtered(contest: Contest, worker: WorkerProcess, picks: Sequence[int]) -> None:
    if contest.spec.filter_reason:
        contest.run["filtered_reason"] = contest.spec.filter_reason
        return
    rows = contest.run["filtered"] = []
    for share, truth in contest.task.filtered.items():
        for effort in picks:
            passes = [contest.search(worker, "single", effort, _below(share)) for _ in range(contest.task.repeats)]
            found = max((found for _, found in passes), key=len)
            point = _point("single", effort, truth.recall(found, contest.task.row_of), [times for times, _ in passes])
            rows.append({"share": share, **point, "short_share": truth.short_share(found)})


def _churn(contest: Contest, progress: Progress) -> None:
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
        churn |= _point("single", effort, value, [times for times, _ in passes])
        contest.ask(worker, "close")
    progress(f"    after churn: recall {value:.3f}, {churn['qps']:,.0f} QPS, {churn['disk_mb']:.0f} MB on disk")


def _last_pick(contest: Contest) -> int:
    return max(int(point["effort"]) for point in contest.run["points"])


# --- figures ----------------------------------------------------------------------------------------------------------


def _point(mode: str, effort: int, value: float, passes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A point of a curve: medians over its passes, and the slowest and the fastest of them."""
    speeds = [one["queries"] / one["seconds"] for one in passes]
    point: dict[str, Any] = {"mode": mode, "effort": effort, "recall": value, "qps": median(speeds)}
    point |= {"qps_low": min(speeds), "qps_high": max(speeds), "passes": len(passes), "queries": passes[0]["queries"]}
    for name in ("p50_ms", "p99_ms"):
        point[name] = median(one[name] for one in passes) if mode == "single" else None
    return point


def _picked_line(contest: Contest, picks: Sequence[int]) -> str:
    points = [point for point in contest.run["points"] if point["effort"] in picks]
    return "    " + ", ".join(f"recall {point['recall']:.3f} at {point['qps']:,.0f} QPS" for point in points)


def disk_mb(path: Path) -> float:
    """What a directory takes on the disk; holes in files take nothing."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file()) / 1e6


# --- preparation ------------------------------------------------------------------------------------------------------


def _prepare(
    dataset: Dataset, records: Sequence[Mapping[str, Any]], directory: Path, repeats: int, cache: Path | None
) -> Task:
    """Write what the workers read, and find the exact answers."""
    assert len(records) == len(dataset.base), "one record per base row"
    complete = with_buckets(records)
    row_of = {record["id"]: row for row, record in enumerate(complete)}
    lines = ({"id": record["id"], "metadata": metadata_of(record)} for record in complete)
    _write_lines(directory / "records.jsonl", lines)
    changes = plan_churn(complete)
    _write_lines(directory / "changes.jsonl", changes)
    buckets = np.array([record["bucket"] for record in complete])
    kept = {share: np.flatnonzero(buckets < _below(share)) for share in SHARES}
    return Task(
        dataset=dataset,
        directory=directory,
        repeats=repeats,
        truth=Truth(dataset, np.arange(len(complete)), true_distances(dataset, min(K, len(complete)), cache)),
        filtered={share: _filtered_truth(dataset, rows, share, cache) for share, rows in kept.items() if len(rows)},
        row_of=row_of,
        row_of_changed=_rows_after(row_of, changes),
    )


def _write_lines(file: Path, values: Any) -> None:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(value) + "\n" for value in values)


def _below(share: float) -> int:
    return round(share * BUCKETS)


def _filtered_truth(dataset: Dataset, rows: Labels, share: float, cache: Path | None) -> Truth:
    part = dataclasses.replace(
        dataset, base=np.ascontiguousarray(dataset.base[rows]), digest=f"{dataset.digest}-bucket-{_below(share)}"
    )
    return Truth(part, rows, true_distances(part, min(K, len(rows)), cache))


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
