"""The `coldstart` suite: how long a program waits for vecdb before its first answer.

Every run is a new Python process, pinned to one thread. It says when it began, when numpy and vecdb were imported, when
`vecdb.open` (mode "r") and the first search returned; the clock is the system's, so that the time before its first line
counts too. The page cache is warm: one process runs untimed before. Then the same with an empty `VECDB_CACHE_DIR` each
time, which is the first start of a machine: the kernels are compiled. Medians, with every single run.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.engines.protocol import Matrix
from benchmarks.method.machine import pinned_environment
from benchmarks.suites.database import COLLECTION, Progress, silent, spread, temporary_database
from vecdb.types import Metric

PROGRAM: Final = """
import time
times = [time.monotonic()]
import numpy
times.append(time.monotonic())
import vecdb
times.append(time.monotonic())
import sys
db = vecdb.open(sys.argv[1], mode="r")
times.append(time.monotonic())
collection = db.collection(sys.argv[2])
hits = collection.search(numpy.ones(collection.fields["default"].dim, dtype="float32"))
times.append(time.monotonic())
assert len(hits) == min(10, len(collection))
print(times)
"""
STEPS: Final = ("start_python_ms", "import_numpy_ms", "import_vecdb_ms", "open_ms", "first_search_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdstartOptions:
    """`base` (n, d) is what the database holds; `cold_repeats` processes compile the kernels (about 10 s each)."""

    base: Matrix
    metric: Metric = "cosine"
    repeats: int = 7
    cold_repeats: int = 3
    directory: Path | None = None
    progress: Progress = silent


def run(options: ColdstartOptions) -> dict[str, Any]:
    """Measure on a database made for it; `cold_kernels` is None when nothing was to be compiled."""
    options.progress(f"a database of {len(options.base)} rows")
    with temporary_database(options.directory, options.base, options.metric) as (path, index_mb):
        results = measure_starts(path, COLLECTION, options.repeats, options.cold_repeats, options.progress)
    return {"rows": len(options.base), "index_mb": index_mb, **results}


def measure_starts(
    path: Path, collection: str, repeats: int, cold_repeats: int, progress: Progress = silent
) -> dict[str, Any]:
    """Measure on a database that exists."""
    warm, cold = [], []
    _start(path, collection, {})
    for number in range(repeats):
        progress(f"warm start {number + 1} of {repeats}")
        warm.append(_start(path, collection, {}))
    for number in range(cold_repeats):
        progress(f"start with no kernels {number + 1} of {cold_repeats}")
        with TemporaryDirectory(prefix="vecdb-kernels-") as empty:
            cold.append(_start(path, collection, {"VECDB_CACHE_DIR": empty}))
            if not any(Path(empty).rglob("*.kernel")):
                raise RuntimeError("a process with an empty kernel cache did not compile into it")
    return {"warm": _summary(warm), "cold_kernels": _summary(cold) if cold else None}


def _start(path: Path, collection: str, environment: Mapping[str, str]) -> list[float]:
    """Milliseconds of each step of one new process."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), collection],
        check=False,
        capture_output=True,
        text=True,
        env={**pinned_environment(1), **environment},
    )
    if done.returncode:
        raise RuntimeError(f"a starting process failed: {done.stderr.strip()}")
    times = [begin, *json.loads(done.stdout)]
    return [(after - before) * 1e3 for before, after in itertools.pairwise(times)]


def _summary(starts: list[list[float]]) -> dict[str, Any]:
    steps = {name: spread([start[place] for start in starts]) for place, name in enumerate(STEPS)}
    return {**steps, "process_to_first_answer_s": spread([sum(start) / 1e3 for start in starts])}
