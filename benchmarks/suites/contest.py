"""What the suites of embedded databases share: a contest of databases, each in processes of its own, with a time limit.

A suite says which stages a database goes through; this module writes the files that workers read, starts workers, asks
them, computes recall from what they found, and keeps the report. Promises: a database that is missing, fails or takes
too long is in the report with the reason and everything measured before; the report is written after every database;
a database's files are deleted when no later one searches them. Concurrency: one thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.databases import DATABASES
from benchmarks.databases.protocol import DatabaseSpec, Matrix
from benchmarks.databases.records import metadata_of
from benchmarks.datasets import Dataset, recall, true_distances
from benchmarks.method.environments import python_of
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerError, WorkerProcess

K: Final = 10
PASS_S: Final = 5.0
"""A pass of single queries stops here; a slow database answers fewer of them."""

CAP_DEFAULT_S: Final = 900.0
NOT_INSTALLED: Final = ("ModuleNotFoundError", "PackageNotFoundError")
STORED: Final = ("versions", "ingest", "disk_mb", "memory")
"""What a database that only searches the files of another has in common with it."""

Labels: TypeAlias = npt.NDArray[np.int64]
Progress: TypeAlias = Callable[[str], None]
Kept: TypeAlias = tuple[str, int]
"""A filter: the column, and what its values are less than."""


# --- truth ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Truth:
    """Some rows of the data set (all, or those that a filter keeps) and the exact distances to the nearest of them.

    `rows` ascend; `bounds` (q, n) are of the data set's queries.
    """

    dataset: Dataset
    rows: Labels
    bounds: Matrix

    def recall(self, found: Sequence[Sequence[str]], row_of: Mapping[str, int]) -> float:
        """Recall of the ids found for the first queries; an id outside these rows is a miss."""
        labels = np.full((len(found), self.bounds.shape[1]), -1, dtype=np.int64)
        for place, ids in enumerate(found):
            rows = np.array([row_of.get(key, -1) for key in ids[: labels.shape[1]]], dtype=np.int64)
            position = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            labels[place, : len(rows)] = np.where(self.rows[position] == rows, rows, -1)
        asked = dataclasses.replace(self.dataset, queries=self.dataset.queries[: len(found)])
        return recall(asked, self.bounds[: len(found)], labels)

    def short(self, found: Sequence[Sequence[str]]) -> int:
        """How many queries got fewer hits than there are records."""
        return sum(len(ids) < self.bounds.shape[1] for ids in found)


def truth_of(dataset: Dataset, cache: Path | None) -> Truth:
    """Of all rows."""
    rows = len(dataset.base)
    return Truth(dataset, np.arange(rows), true_distances(dataset, min(K, rows), cache))


def kept_truth(dataset: Dataset, rows: Labels, cache: Path | None) -> Truth:
    """Of the rows that a filter keeps, for the queries of the data set. Holds a copy of the rows while it searches."""
    digest = hashlib.blake2b(dataset.digest.encode(), digest_size=12)
    digest.update(rows.data)
    digest.update(np.ascontiguousarray(dataset.queries).data)
    base = np.ascontiguousarray(dataset.base[rows])
    part = dataclasses.replace(dataset, base=base, digest=f"kept-{digest.hexdigest()}")
    return Truth(dataset, rows, true_distances(part, min(K, len(rows)), cache))


# --- one database -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """What every database is asked to do: files for the workers, and the truth."""

    dataset: Dataset
    directory: Path
    repeats: int
    truth: Truth
    row_of: Mapping[str, int]

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


AnyTask = TypeVar("AnyTask", bound=Task)


@dataclass(slots=True)
class Contest(Generic[AnyTask]):
    """One database: what was measured, and the time it has left. `stored` is the run that wrote its files, if any."""

    spec: DatabaseSpec
    task: AnyTask
    path: Path
    cap_s: float
    stored: Mapping[str, Any] | None = None
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
        self,
        worker: WorkerProcess,
        mode: str,
        effort: int,
        kept: Kept | None = None,
        *,
        queries_file: str | None = None,
        limit_s: float = PASS_S,
    ) -> tuple[dict[str, Any], list[list[str]]]:
        """One pass over the task's queries or those of a file: its times, and the ids found."""
        target = self.task.directory / "found.json"
        request = {"mode": mode, "effort": effort, "kept": kept, "limit_s": limit_s, "ids": str(target)}
        times = self.ask(worker, "search", queries=queries_file, **request)
        return times, json.loads(target.read_text(encoding="utf-8"))


def ingest(contest: Contest[Any], progress: Progress) -> None:
    """Write everything with all CPUs, wait until it is indexed, close; or take what another database has written."""
    run, task, cpus = contest.run, contest.task, sorted(available_cpus())
    if contest.stored is not None:
        run |= {part: contest.stored[part] for part in STORED}
        when = contest.stored.get("written")
        if when is not None:
            run |= {"written": when, "tuning": f"{run['tuning']} Written by the run that began at {when}."}
        progress(f"    searches what {contest.stored['engine']} wrote" + (f" at {when}" if when else ""))
        return
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


# --- all databases ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and where the report goes: begun with `head`, then written to `out` after each database.

    `records` are in the order of the base rows, each with its id and the metadata of `COLUMNS`; bucket and region are
    added. `cap_s` is what a database may take in all, `cache` where exact answers are kept between runs, `databases`
    where databases are left for later runs, and searched as they are: some take an hour to write a million rows.
    """

    dataset: Dataset
    records: Sequence[Mapping[str, Any]]
    engines: Sequence[str]
    out: Path
    head: Mapping[str, Any]
    progress: Progress
    repeats: int = 3
    cap_s: float = CAP_DEFAULT_S
    cache: Path | None = None
    databases: Path | None = None


@dataclass(frozen=True, slots=True)
class Course(Generic[AnyTask]):
    """The stages that every database goes through, and the parts of a run that they fill.

    `refusal` says why a database is not asked at all, empty when it is.
    """

    stages: tuple[Callable[[Contest[AnyTask], Progress], None], ...]
    parts: tuple[str, ...]
    refusal: Callable[[DatabaseSpec], str] = lambda _: ""


@contextlib.contextmanager
def scratch_beside(out: Path) -> Iterator[Path]:
    """A directory on the same disk as `out`, for as long as the block lasts."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as scratch:
        yield Path(scratch).resolve()


def measure_all(plan: Plan, task: AnyTask, course: Course[AnyTask], report: dict[str, Any]) -> dict[str, Any]:
    """Measure the databases one after another; adds their runs to the report, which is also at the plan's `out`."""
    owners = [DATABASES[name].stored_by or name for name in plan.engines]
    stored = _left_by_earlier_runs(plan, owners)
    for place, (name, owner) in enumerate(zip(plan.engines, owners, strict=True)):
        plan.progress(f"[{place + 1}/{len(plan.engines)}] {name}")
        path = (plan.databases or task.directory) / owner
        path.mkdir(parents=True, exist_ok=True)
        run = _measure(Contest(DATABASES[name], task, path, plan.cap_s, stored.get(owner)), course, plan.progress)
        report["runs"].append(run)
        if run["disk_mb"] is not None:
            stored.setdefault(owner, run)
        if owner not in stored or (plan.databases is None and owner not in owners[place + 1 :]):
            shutil.rmtree(path)
        elif plan.databases is not None:
            _leave(plan, plan.databases, owner, stored[owner])
        write_report_file(report, plan.out)
    return report


def _left_by_earlier_runs(plan: Plan, owners: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What there is to know of the databases that earlier runs have left, if they hold the same data."""
    files = {} if plan.databases is None else {owner: _facts_file(plan.databases, owner) for owner in owners}
    left = {owner: json.loads(file.read_text(encoding="utf-8")) for owner, file in files.items() if file.exists()}
    return {owner: facts for owner, facts in left.items() if facts["digest"] == plan.dataset.digest}


def _leave(plan: Plan, databases: Path, owner: str, run: Mapping[str, Any]) -> None:
    facts = {"engine": owner, "digest": plan.dataset.digest, "written": run.get("written", plan.head.get("started"))}
    write_report_file(facts | {part: run[part] for part in STORED}, _facts_file(databases, owner))


def _facts_file(databases: Path, owner: str) -> Path:
    return databases / f"{owner}.json"


def _measure(contest: Contest[AnyTask], course: Course[AnyTask], progress: Progress) -> dict[str, Any]:
    """All stages of one database; whatever ends them early is its status."""
    spec = contest.spec
    contest.run = {"engine": spec.name, "versions": {}, "tuning": spec.tuning, "status": "ok", "reason": ""}
    contest.run |= dict.fromkeys(course.parts)
    metric = contest.task.dataset.metric
    refusal = course.refusal(spec) if metric in spec.metrics else f"{spec.name} has no {metric}"
    if refusal:
        return _end(contest, course, "unsupported", refusal)
    try:
        for stage in course.stages:
            contest.stage = stage.__name__.strip("_")
            stage(contest, progress)
    except WorkerError as error:
        status = "missing" if error.reason.startswith(NOT_INSTALLED) else error.status
        late = f"more than {contest.cap_s:.0f} s in all"
        _end(contest, course, status, f"{contest.stage}: {late if status == 'timeout' else error.reason}")
        progress(f"    {contest.run['status']}: {contest.run['reason']}")
    return contest.run


def _end(contest: Contest[AnyTask], course: Course[AnyTask], status: str, reason: str) -> dict[str, Any]:
    contest.run |= {"status": status, "reason": reason}
    for part in course.parts:
        if contest.run[part] is None and f"{part}_reason" not in contest.run:
            contest.run[f"{part}_reason"] = f"{status}: {reason}"
    return contest.run


def write_report_file(report: Mapping[str, Any], out: Path) -> None:
    """Replace the report at `out` by one that is whole."""
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
    partial.replace(out)


# --- figures and files ------------------------------------------------------------------------------------------------


def point_of(mode: str, effort: int, value: float, passes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A point of a curve: medians over its passes, and the slowest and the fastest of them."""
    speeds = [one["queries"] / one["seconds"] for one in passes]
    point: dict[str, Any] = {"mode": mode, "effort": effort, "recall": value, "qps": median(speeds)}
    point |= {"qps_low": min(speeds), "qps_high": max(speeds), "passes": len(passes), "queries": passes[0]["queries"]}
    for name in ("p50_ms", "p99_ms"):
        point[name] = median(one[name] for one in passes) if mode == "single" else None
    return point


def effort_reaching(recalls: Mapping[int, float], target: float) -> int:
    """The least effort that reaches a recall; the greatest measured when none does."""
    return min((effort for effort, value in recalls.items() if value >= target), default=max(recalls))


def disk_mb(path: Path) -> float:
    """What a directory takes on the disk; holes in files take nothing."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file()) / 1e6


def write_records(file: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write what workers insert."""
    write_lines(file, ({"id": record["id"], "metadata": metadata_of(record)} for record in records))


def write_lines(file: Path, values: Any) -> None:
    """Write values as JSON lines."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(value) + "\n" for value in values)
