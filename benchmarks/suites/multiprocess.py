"""The `multiprocess` suite: one database, one writer and 1, 2 and 4 reader processes.

Each reader searches one query after another, on one thread, all of them at once: their queries per second are added up.
Its private memory is what the kernel calls Private_Clean and Private_Dirty (`/proc/self/smaps_rollup`): what another
reader would cost. Then the writer writes single records durably, a pause between, and each reader notes when it first
sees each: the delay is counted from the moment the write was acknowledged, on the system's one clock, and includes the
up to 1 ms that a reader sleeps between two looks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

import vecdb
from benchmarks.engines.protocol import Matrix
from benchmarks.method.process import WorkerProcess
from benchmarks.suites.database import COLLECTION, Progress, silent, temporary_database, temporary_place
from vecdb.types import Metric

ANSWER_WITHIN_S: Final = 600.0
PAUSE_S: Final = 0.02
"""Between two writes: longer than a reader takes to see one."""

BEFORE_WRITES_S: Final = 0.2
"""Until all readers wait for the first write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiprocessOptions:
    """`base` (n, d) is what the database holds; `effort` is passed to `Collection.search`."""

    base: Matrix
    queries: Matrix
    metric: Metric = "cosine"
    readers: Sequence[int] = (1, 2, 4)
    seconds: float = 5.0
    writes: int = 50
    k: int = 10
    effort: Mapping[str, Any] = field(default_factory=lambda: {"target_recall": 0.95})
    directory: Path | None = None
    progress: Progress = silent


def run(options: MultiprocessOptions) -> dict[str, Any]:
    """Measure on a database made for it: one point per number of readers."""
    options.progress(f"a database of {len(options.base)} rows")
    points = []
    with temporary_database(options.directory, options.base, options.metric) as (path, index_mb):
        for count in options.readers:
            options.progress(f"{count} reader(s)")
            points.append(measure_readers(path, COLLECTION, count, options))
    return {"rows": len(options.base), "index_mb": index_mb, "effort": dict(options.effort), "points": points}


def measure_readers(path: Path, collection: str, count: int, options: MultiprocessOptions) -> dict[str, Any]:
    """Measure on a database that exists: searches, memory and visibility of `count` readers at once."""
    with ExitStack() as stack:
        place = stack.enter_context(temporary_place(options.directory))
        np.save(place / "queries.npy", options.queries)
        command = [sys.executable, "-m", "benchmarks.suites.reader"]
        # The threads end last: when something fails, they wait for processes, which end first.
        pool = stack.enter_context(ThreadPoolExecutor(count))
        readers = _Readers(pool, [stack.enter_context(WorkerProcess(command, 1)) for _ in range(count)])
        opened = {"path": str(path), "collection": collection, "queries": str(place / "queries.npy")}
        readers.ask(opened | {"do": "open", "k": options.k, "effort": dict(options.effort)})
        searched = readers.ask({"do": "search", "seconds": options.seconds, "k": options.k})
        memory = readers.ask({"do": "memory"})
        return {
            "readers": count,
            "qps": sum(one["searches"] / one["seconds"] for one in searched),
            "private_mb": [one["private_mb"] for one in memory],
            "before_mb": [one["before_mb"] for one in memory],
            "visible_ms": _visibility(path, collection, readers, options.writes),
        }


class _Readers:
    """The reader processes, all asked at once."""

    def __init__(self, pool: ThreadPoolExecutor, processes: list[WorkerProcess]) -> None:
        self._pool, self._processes = pool, processes

    def ask(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        return list(self.asking(request))

    def asking(self, request: Mapping[str, Any]) -> Any:
        """The answers as they come, in the order of the processes."""
        return self._pool.map(lambda process: process.ask(request, ANSWER_WITHIN_S), self._processes)


def _visibility(path: Path, collection: str, readers: _Readers, writes: int) -> dict[str, Any]:
    """Milliseconds from acknowledgement to sight, over all writes and readers; the records written go again."""
    if writes == 0:
        return {"median": None, "max": None, "runs": []}
    with vecdb.open(path) as db:
        written = db.collection(collection)
        vector = np.ones((1, written.fields["default"].dim), dtype=np.float32)
        answers = readers.asking({"do": "watch", "records": written.count(), "writes": writes})
        time.sleep(BEFORE_WRITES_S)
        acknowledged = []
        for number in range(writes):
            time.sleep(PAUSE_S)
            written.upsert([f"fresh-{number}"], vector)
            acknowledged.append(time.monotonic())
        seen = np.array([answer["seen"] for answer in answers])
        written.delete([f"fresh-{number}" for number in range(writes)])
    delays = ((seen - np.array(acknowledged)) * 1e3).ravel().tolist()
    return {"median": median(delays), "max": max(delays), "runs": delays}
