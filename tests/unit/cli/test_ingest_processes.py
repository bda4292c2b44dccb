"""`vecdb ingest` as a process: signals, pipes, logs, metrics, and two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

import vecdb

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 60
ROWS = 40
POLL_S = 0.01
MODEL = """
import hashlib, os, pathlib, time
dim, batch_texts = 8, 4
def embed(texts):
    folder = pathlib.Path(os.environ["GATES"])
    (folder / "asked").touch()
    while not (folder / "open").exists():
        time.sleep(0.005)
    return [[byte + 1.0 for byte in hashlib.sha256(text.encode()).digest()[:dim]] for text in texts]
embed.dim, embed.batch_texts = dim, batch_texts
"""
"""A model that answers once a file called `open` is there; `asked` tells that it was asked."""


class Desk:
    """Rows, a model that waits, and ingestors that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = folder / "rows.jsonl"
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "waiting_model.py").write_text(MODEL)
        self.write(ROWS)

    def write(self, rows: int, text: str = "text") -> None:
        changed = self.rows.with_suffix(".new")
        changed.write_text("".join(json.dumps({"id": n, "text": f"{text} {n}"}) + "\n" for n in range(rows)))
        os.utime(changed, (1, 1_000_000 + len(text)))  # long ago, so that the change is believed at once
        changed.replace(self.rows)

    def start(self, action: str, *words: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "vecdb", "ingest", action, str(self.rows), "--to", str(self.folder / "data")]
        command += ["--collection", "c", "--state", str(self.folder / "state"), "--embedders", "1"]
        command += ["--model", "callable:waiting_model:embed", *words]
        paths = os.pathsep.join([str(ROOT), str(self.folder)])
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": paths, "GATES": str(self.folder)},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def open(self) -> None:
        """Let the model answer."""
        (self.folder / "open").touch()

    def wait_until_asked(self, process: subprocess.Popen[str]) -> None:
        """Wait until the model was asked for something."""
        while not (self.folder / "asked").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(POLL_S)

    def ids(self) -> list[Any]:
        with vecdb.open(self.folder / "data", mode="r") as db:
            return sorted(record.id for record in db.collection("c").iterate())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def _events(stderr: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]


def _event(stream: IO[str] | None, name: str) -> dict[str, Any]:
    """The next event of that name."""
    assert stream is not None
    while True:
        line = stream.readline()
        assert line, f"no {name}"
        if line.startswith("{") and json.loads(line)["event"] == name:
            found: dict[str, Any] = json.loads(line)
            return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_what_is_under_way_finish_and_the_next_run_does_the_rest(
    desk: Desk, number: signal.Signals, code: int
) -> None:
    process = desk.start("run", "--json")
    desk.wait_until_asked(process)
    process.send_signal(number)
    _event(process.stderr, "stopping")
    desk.open()
    out, _ = process.communicate(timeout=TIMEOUT_S)
    report = json.loads(out)
    assert (process.returncode, report["stopped"]) == (code, True)
    assert report["counts"]["embedded"] < ROWS
    again = desk.start("run", "--json")
    counts = json.loads(again.communicate(timeout=TIMEOUT_S)[0])["counts"]
    assert again.returncode == 0
    assert counts["embedded"] == ROWS - report["counts"]["embedded"]
    assert desk.ids() == list(range(ROWS))


def test_a_second_signal_ends_the_process_at_once(desk: Desk) -> None:
    process = desk.start("run")
    desk.wait_until_asked(process)
    process.send_signal(signal.SIGINT)
    _event(process.stderr, "stopping")
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_S) == 130


def test_a_second_run_of_the_same_pipeline_is_told_who_is_at_work(desk: Desk) -> None:
    first = desk.start("run")
    desk.wait_until_asked(first)
    second = desk.start("run", "--json")
    out, _ = second.communicate(timeout=TIMEOUT_S)
    error = json.loads(out)["error"]
    assert (second.returncode, error["reason"]) == (3, "DATABASE_LOCKED")
    assert str(first.pid) in error["message"]
    desk.open()
    first.communicate(timeout=TIMEOUT_S)
    assert first.returncode == 0


def test_status_tells_of_a_run_that_is_under_way(desk: Desk) -> None:
    process = desk.start("run")
    desk.wait_until_asked(process)
    (pipeline,) = vecdb.ingest.status(state=str(desk.folder / "state"))
    assert pipeline.summary.writer is not None
    assert pipeline.summary.writer["pid"] == process.pid
    assert pipeline.runs[0].state == "running"


def test_a_reader_of_stdout_that_is_gone_does_not_end_the_run(desk: Desk) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    desk.open()
    process = desk.start("run", stdout=writing)
    os.close(writing)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 141
    assert desk.ids() == list(range(ROWS))


def test_a_reader_of_stderr_that_does_not_read_holds_nothing_up(desk: Desk) -> None:
    desk.rows.write_text("".join(f'{{"id": {n}}}\n' for n in range(5_000)) + '{"id": "a", "text": "a"}\n')
    desk.open()
    process = desk.start("run", stdout=subprocess.DEVNULL)
    assert process.wait(TIMEOUT_S) == 4
    assert desk.ids() == ["a"]


def test_metrics_are_served_while_a_run_goes_on(desk: Desk) -> None:
    process = desk.start("run", "--metrics-listen", "127.0.0.1:0")
    port = _event(process.stderr, "started")["metrics_port"]
    desk.wait_until_asked(process)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as page:
        text = page.read().decode()
    assert 'vecdb_ingest_items_total{collection="c",outcome="stored"} 0.0' in text
    desk.open()
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0


def test_a_watch_follows_its_sources_until_it_is_stopped(desk: Desk) -> None:
    desk.open()
    process = desk.start("watch", "--json", "--interval-s", "0.05", "--debounce-s", "0.05")
    assert process.stdout is not None
    errors: list[str] = []
    drain = threading.Thread(target=lambda: errors.extend(process.stderr or []), daemon=True)
    drain.start()
    assert json.loads(process.stdout.readline())["counts"]["stored"] == ROWS
    desk.write(3, "changed")
    counts = json.loads(process.stdout.readline())["counts"]
    assert (counts["stored"], counts["deleted"]) == (3, ROWS - 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 0
    drain.join(TIMEOUT_S)
    assert [event["outcome"] for event in _events("".join(errors)) if event["event"] == "ended"][:2] == ["done"] * 2


def test_rows_come_through_a_pipe(desk: Desk) -> None:
    desk.open()
    command = [sys.executable, "-m", "vecdb", "ingest", "run", "-", "--to", str(desk.folder / "data")]
    command += ["--collection", "c", "--state", str(desk.folder / "state")]
    done = subprocess.run(
        command,
        input=desk.rows.read_text(),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert desk.ids() == list(range(ROWS))
