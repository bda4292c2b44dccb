"""Runs one embedded database in a process of its own: writes, searches, and says how long it took.

    python -m benchmarks.suites.db_worker

Reads one JSON request a line from stdin and answers each with one JSON line on what was stdout, so that what was
answered survives the end of the process; whatever the library prints goes to stderr. Promises: only calls of the
database are timed; the harness itself holds a batch of vectors and metadata at a time, so that memory is the
database's; ids that were found go to a file, so that recall is computed elsewhere. Concurrency: one request at a time.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from benchmarks.databases import DATABASES
from benchmarks.databases.protocol import ChecksFilters, Database, Hits, Matrix, Place
from benchmarks.method.answering import Action, serve
from benchmarks.method.machine import pin

BATCH_ROWS: Final = 1_000
WARM_UP_QUERIES: Final = 20
WARM_UP_S: Final = 1.0


class Worker:
    """The database under test and the queries."""

    def __init__(self) -> None:
        self._database: Database | None = None
        self._queries: Matrix = np.empty((0, 0), dtype=np.float32)
        self._k = 10

    @property
    def _open(self) -> Database:
        assert self._database is not None
        return self._database

    def open(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make the collection, or open it and answer one query."""
        pin(set(request["cpus"]))
        idle, spec = memory(), DATABASES[request["engine"]]
        self._queries, self._k = np.load(request["queries"], allow_pickle=False), request["k"]
        place = Place(Path(request["path"]), self._queries.shape[1], request["metric"], len(request["cpus"]))
        self._database = spec.make(place)
        if request["create"]:
            self._database.create()
        else:
            self._database.open()
            self._database.search(self._queries[0], self._k)
        versions = {name: metadata.version(name) for name in spec.distributions}
        return {"versions": versions, "idle_mb": idle["resident_mb"]}

    def ingest(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Insert every base row with its record."""
        seconds, row = 0.0, 0
        for records in batches(request["records"]):
            vectors = rows_of(request["base"], slice(row, row + len(records)))
            ids, fields = [one["id"] for one in records], [one["metadata"] for one in records]
            seconds += timed(self._open.insert, ids, vectors, fields)
            row += len(records)
        return {"seconds": seconds, "records": row}

    def churn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give records new vectors: those whose id stays are replaced, the others deleted and inserted anew."""
        seconds, changed = 0.0, 0
        for changes in batches(request["changes"]):
            kept = [one for one in changes if one["id"] == one["was"]]
            moved = [one for one in changes if one["id"] != one["was"]]
            seconds += self._write(self._open.replace, kept, request["base"])
            seconds += timed(self._open.delete, [one["was"] for one in moved])
            seconds += self._write(self._open.insert, moved, request["base"])
            changed += len(changes)
        return {"seconds": seconds, "records": changed}

    def _write(self, write: Callable[..., None], changes: list[dict[str, Any]], base: str) -> float:
        vectors = rows_of(base, [one["row"] for one in changes])
        return timed(write, [one["id"] for one in changes], vectors, [one["metadata"] for one in changes])

    def ready(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Wait until everything is indexed."""
        del request
        return {"seconds": timed(self._open.make_ready), **memory()}

    def memory(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What the process uses now and used at most."""
        del request
        return memory()

    def search(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer queries at an effort, one a call until the time is up, or all in one call."""
        self._open.set_effort(request["effort"])
        if request["mode"] == "batch":
            return self._search_batch(request["ids"])
        k, kept, database = self._k, request.get("kept"), self._open
        other = request.get("queries")
        queries = self._queries if other is None else np.load(other, allow_pickle=False)

        def answer(query: Matrix) -> Hits:
            return database.search(query, k) if kept is None else database.search_filtered(query, k, *kept)

        _answer_all(answer, queries[:WARM_UP_QUERIES], WARM_UP_S)
        found, times = _answer_all(answer, queries, request["limit_s"])
        save_ids(found, request["ids"])
        p50, p99 = np.percentile(times, [50, 99]) * 1e3
        return {"queries": len(times), "seconds": sum(times), "p50_ms": float(p50), "p99_ms": float(p99)}

    def _search_batch(self, target: str) -> dict[str, Any]:
        self._open.search_batch(self._queries[:WARM_UP_QUERIES], self._k)
        begin = time.perf_counter()
        found = self._open.search_batch(self._queries, self._k)
        seconds = time.perf_counter() - begin
        save_ids([[key for key, _ in hits] for hits in found], target)
        return {"queries": len(self._queries), "seconds": seconds, "p50_ms": None, "p99_ms": None}

    def check(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Count what conditions of a file match, and search among it, until the time is up; a line for each.

        After the first `unindexed` of them every column is indexed.
        """
        database, begin, done = cast(ChecksFilters, self._open), time.monotonic(), 0
        queries = itertools.cycle(self._queries)
        with Path(request["answers"]).open("w", encoding="utf-8") as answers:
            for condition in itertools.chain.from_iterable(batches(request["conditions"])):
                if time.monotonic() - begin >= request["limit_s"]:
                    break
                if done == request["unindexed"]:
                    database.index_everything()
                hits = database.search_matching(next(queries), self._k, condition)
                line = {"count": database.count_matching(condition), "ids": [key for key, _ in hits]}
                answers.write(json.dumps(line) + "\n")
                done += 1
        return {"checked": done, "seconds": time.monotonic() - begin}

    def close(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Leave the directory in order."""
        del request
        self._open.close()
        return {}


def _answer_all(
    answer: Callable[[Matrix], Hits], queries: Matrix, limit_s: float
) -> tuple[list[list[str]], list[float]]:
    """The ids found and seconds taken for the first queries, as many as the time allows, at least one.

    Metadata is read and dropped: with thousands of kept dicts, what would be timed is Python's garbage collector.
    """
    found, times, left = [], [], limit_s
    for query in queries:
        begin = time.perf_counter()
        hits = answer(query)
        times.append(time.perf_counter() - begin)
        found.append([key for key, _ in hits])
        left -= times[-1]
        if left <= 0:
            break
    return found, times


def batches(file: str) -> Iterator[list[Any]]:
    """The values of a file of JSON lines, 1,000 at a time."""
    with Path(file).open(encoding="utf-8") as lines:
        while batch := list(itertools.islice(lines, BATCH_ROWS)):
            yield [json.loads(line) for line in batch]


def rows_of(file: str, rows: slice | list[int]) -> Matrix:
    """A copy of some rows. The map is not kept, or its pages would count as the database's memory."""
    mapped: Matrix = np.load(file, mmap_mode="r", allow_pickle=False)
    return np.array(mapped[rows])


def timed(call: Callable[..., None], *arguments: object) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begin


def save_ids(found: list[list[str]], target: str) -> None:
    """Write the ids found for each query."""
    Path(target).write_text(json.dumps(found), encoding="utf-8")


def memory() -> dict[str, float]:
    """MB of this process: resident now, at most, and shared with nobody.

    The peak is VmHWM: ru_maxrss also counts what the parent had before this process became a program of its own.
    """
    status = _sizes_mb("/proc/self/status")
    rollup = _sizes_mb("/proc/self/smaps_rollup")
    private = rollup["Private_Clean"] + rollup["Private_Dirty"]
    return {"resident_mb": status["VmRSS"], "peak_mb": status["VmHWM"], "private_mb": private}


def _sizes_mb(file: str) -> dict[str, float]:
    fields = (line.split() for line in Path(file).read_text(encoding="ascii").splitlines())
    return {field[0].rstrip(":"): int(field[1]) * 1024 / 1e6 for field in fields if field[2:] == ["kB"]}


def actions() -> dict[str, Action]:
    """What a new worker can be asked."""
    worker = Worker()
    names = ("open", "ingest", "churn", "ready", "memory", "search", "check", "close")
    return {name: getattr(worker, name) for name in names}


if __name__ == "__main__":
    serve(actions())
