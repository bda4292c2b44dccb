"""Runs one engine with one setting in a process of its own: builds, searches, and says how long it took.

    python -m benchmarks.method.worker

Reads one JSON request a line from stdin and answers each with one JSON line on what was stdout; whatever the library
prints goes to stderr. Requests: `build`, `search`, and the end of the input. Promises: only calls of the engine are
timed; labels go to a file, so that recall is computed elsewhere. Concurrency: one request at a time.
"""

from __future__ import annotations

import contextlib
import gc
import resource
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines import ENGINES
from benchmarks.engines.protocol import Engine, Labels, Matrix
from benchmarks.method.answering import serve
from benchmarks.method.machine import pin

WARM_UP_QUERIES = 100
WARM_UP_S = 0.3
WARM_UP_ROWS = 2_000


def resident_mb() -> float:
    """Memory of this process that is in use now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_mb() -> float:
    """The most memory this process ever had in use, in MB. (getrusage would count its parent's, before exec.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024 / 1e6


def versions_of(distributions: tuple[str, ...]) -> dict[str, str]:
    """Installed versions by distribution."""
    return {name: metadata.version(name) for name in distributions}


class Worker:
    """The engine under test and its data."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._queries: Matrix = np.empty((0, 0), dtype=np.float32)

    def build(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make the engine and index the base rows, on `cpus`; afterwards stay on the last of them."""
        spec = ENGINES[request["engine"]]
        base = np.ascontiguousarray(np.load(request["base"], allow_pickle=False))
        self._queries = np.ascontiguousarray(np.load(request["queries"], allow_pickle=False))
        pin(set(request["cpus"]))
        setting = spec.settings[request["setting"]]
        with contextlib.suppress(Exception):  # too few rows for some: then nothing is warmed up
            # What is loaded or compiled at the first use is no part of building.
            spec.make(setting).build(base[:WARM_UP_ROWS], request["metric"], len(request["cpus"]))
        engine = spec.make(setting)
        # Without the rows of the harness: an engine that keeps them instead of a copy must not look smaller.
        before = resident_mb() - base.nbytes / 1e6
        wall, cpu = time.perf_counter(), time.process_time()
        engine.build(base, request["metric"], len(request["cpus"]))
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        del base
        gc.collect()
        built = resident_mb()
        self._engine = engine
        pin({max(request["cpus"])})
        return {
            "build": {"seconds": seconds, "cpu_seconds": cpu_seconds, "threads": len(request["cpus"])},
            "memory": {"before_mb": before, "built_mb": built, "peak_mb": peak_mb()},
            "versions": versions_of(spec.distributions),
        }

    def search(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer all queries once at an effort; labels go to the file named, if one is."""
        assert self._engine is not None
        k, single = request["k"], request["mode"] == "single"
        self._engine.set_effort(request["effort"])
        self._warm_up(k, single=single)
        begin = time.perf_counter()
        labels = self._answer(self._queries, k, single=single)
        seconds = time.perf_counter() - begin
        if request.get("labels"):
            np.save(request["labels"], labels)
        return {"seconds": seconds}

    def _warm_up(self, k: int, *, single: bool) -> None:
        """Search untimed for a while: the processes whose turn it was before have emptied the caches."""
        until = time.perf_counter() + WARM_UP_S
        for start in range(0, len(self._queries), WARM_UP_QUERIES):
            self._answer(self._queries[start : start + WARM_UP_QUERIES], k, single=single)
            if time.perf_counter() > until:
                return

    def _answer(self, queries: Matrix, k: int, *, single: bool) -> Labels:
        assert self._engine is not None
        if single:
            return np.stack([self._engine.search_one(query, k) for query in queries])
        return self._engine.search(queries, k)


def main() -> None:
    """Serve one engine."""
    worker = Worker()
    serve({"build": worker.build, "search": worker.search})


if __name__ == "__main__":
    main()
