"""Checks that a worker's failure is a result with its reason, whatever way it fails."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.method.machine import THREAD_VARIABLES, pinned_environment
from benchmarks.method.process import WorkerError, WorkerProcess

ECHO = "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)"


def python(code: str) -> WorkerProcess:
    """A worker that runs this code."""
    return WorkerProcess([sys.executable, "-c", code], threads=1)


def test_a_request_is_answered() -> None:
    with python(ECHO) as worker:
        assert worker.ask({"do": "echo", "text": "ü"}, 60) == {"do": "echo", "text": "ü"}
        assert worker.ask({"do": "again"}, 60) == {"do": "again"}


def test_a_worker_that_dies_says_how_and_its_last_words() -> None:
    with python("import sys; sys.exit('no such library')") as worker, pytest.raises(WorkerError) as caught:
        worker.ask({}, 60)
    assert caught.value.status == "failed"
    assert caught.value.reason == "ended with status 1 | no such library"


def test_a_worker_killed_by_a_signal_names_it() -> None:
    with python("import os; os.abort()") as worker, pytest.raises(WorkerError, match="SIGABRT"):
        worker.ask({}, 60)


def test_a_worker_that_is_too_slow_is_ended() -> None:
    with python("import time; time.sleep(600)") as worker:
        with pytest.raises(WorkerError) as caught:
            worker.ask({}, 0.2)
        assert caught.value.status == "timeout"
        assert worker._process.poll() is not None


def test_what_a_worker_started_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "print('{}', flush=True); time.sleep(600)"
    )
    with python(code) as worker:
        worker.ask({}, 60)
    pid = int(pid_file.read_text())
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} lives on")


def test_a_failure_the_worker_reports_is_its_reason() -> None:
    code = "import json; input(); print(json.dumps({'failed': 'no memory'}))"
    with python(code) as worker, pytest.raises(WorkerError) as caught:
        worker.ask({}, 60)
    assert (caught.value.status, caught.value.reason) == ("failed", "no memory")


def test_workers_may_start_only_as_many_threads_as_told() -> None:
    environment = pinned_environment(2)
    assert {environment[name] for name in THREAD_VARIABLES} == {"2"}


def test_an_engine_builds_and_searches_in_a_worker(tmp_path: Path, rng: np.random.Generator) -> None:
    base = rng.standard_normal((300, 16)).astype(np.float32)
    np.save(tmp_path / "base.npy", base)
    np.save(tmp_path / "queries.npy", base[:7])
    request = {
        "do": "build", "engine": "hnswlib", "setting": "m16-ef200", "base": str(tmp_path / "base.npy"),
        "queries": str(tmp_path / "queries.npy"), "metric": "l2", "cpus": [max(os.sched_getaffinity(0))],
    }  # fmt: skip
    with WorkerProcess([sys.executable, "-m", "benchmarks.method.worker"], threads=1) as worker:
        built = worker.ask(request, 120)
        assert built["build"]["threads"] == 1
        assert set(built["versions"]) == {"hnswlib"}
        for mode in ("batch", "single"):
            labels = tmp_path / f"{mode}.npy"
            search = {"do": "search", "mode": mode, "effort": 100, "k": 3, "labels": str(labels)}
            assert worker.ask(search, 120)["seconds"] > 0
            found = np.load(labels, allow_pickle=False)
            assert found.shape == (7, 3)
            assert found[:, 0].tolist() == list(range(7))


def test_an_unknown_setting_fails_with_a_reason(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((2, 2), dtype=np.float32))
    path = str(tmp_path / "rows.npy")
    request = {
        "do": "build", "engine": "hnswlib", "setting": "none", "base": path, "queries": path, "metric": "l2",
        "cpus": [max(os.sched_getaffinity(0))],
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.method.worker"]
    with WorkerProcess(command, threads=1) as worker, pytest.raises(WorkerError, match="KeyError: 'none'"):
        worker.ask(request, 120)
