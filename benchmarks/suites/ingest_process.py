"""Runs `vecdb ingest run` as a user would, and watches it from outside: how long, how much memory, what it prints.

Promises: time is that of the whole process, from before its start to after its end. No process outlives its block.
Concurrency: one thread per ingestor.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.method.machine import available_cpus, pinned_environment

COLLECTION: Final = "docs"
POLL_S: Final = 0.02
MEMORY_EVERY_S: Final = 0.1
LAST_CHARS: Final = 500
WITHIN_S: Final = 1_800.0
WITH_METRICS: Final = ("--metrics-listen", "127.0.0.1:0")
METRICS_PORT: Final = re.compile(r'"metrics_port":\s*(\d+)')
EMBEDDED: Final = re.compile(r"^vecdb_ingest_chunks_embedded_total\S* (\S+)$", re.MULTILINE)


class IngestorError(Exception):
    """The ingestor ended otherwise than it should, or not at all."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is read, where it goes, and where that is remembered."""

    texts: Path
    address: str
    state: Path
    model: str

    @property
    def command(self) -> list[str]:
        """As a user types it."""
        words = ["ingest", "run", str(self.texts), "--to", self.address, "--collection", COLLECTION, "--json"]
        return [sys.executable, "-m", "vecdb", *words, "--model", self.model, "--state", str(self.state)]


@dataclass
class Ingestor:
    """A process that ingests: its result goes to `output`, lines of progress and whatever else it says to `errors`.

    `memory` has (seconds since its start, MB resident, MB of its own) in order, of it and the processes that help it.
    """

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path
    started: float
    memory: list[tuple[float, float, float]] = field(default_factory=list)
    seconds: float = 0.0

    def result(self) -> dict[str, Any]:
        """The report that it has printed at its end."""
        found: dict[str, Any] = json.loads(self.output.read_text(encoding="utf-8"))
        return found

    def embedded(self) -> int:
        """Texts embedded so far, by its page of metrics; 0 as long as there is none."""
        said = self.errors.read_text(encoding="utf-8", errors="replace")
        port, count = METRICS_PORT.search(said), None
        if port is not None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics") as page:
                count = EMBEDDED.search(page.read().decode("utf-8"))
        return 0 if count is None else int(float(count[1]))

    def until(self, reached: Callable[[], bool]) -> float:
        """Wait for something; returns the seconds since the start. IngestorError if the process ended before."""
        while not reached():
            if self.is_over:
                if reached():
                    break
                raise self._failure("ended before what was waited for")
            time.sleep(POLL_S)
        return time.perf_counter() - self.started

    def finish(self) -> float:
        """Wait for a good end; returns the seconds that the whole process took."""
        while not self.is_over:
            time.sleep(POLL_S)
        if self.process.returncode != 0:
            raise self._failure(f"ended with status {self.process.returncode}")
        return self.seconds

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def is_over(self) -> bool:
        """Whether it has ended; looks at its memory as well."""
        if self.process.poll() is not None:
            self.seconds = self.seconds or time.perf_counter() - self.started
            return True
        now = time.perf_counter() - self.started
        if now > WITHIN_S:
            raise self._failure(f"took more than {WITHIN_S:.0f} s")
        if not self.memory or now - self.memory[-1][0] >= MEMORY_EVERY_S:
            found = [_memory_mb(pid) for pid in (self.process.pid, *_children(self.process.pid))]
            resident, own = (round(sum(column), 1) for column in zip(*found, strict=True))
            self.memory.append((round(now, 2), resident, own))
        return False

    def _failure(self, what: str) -> IngestorError:
        said = self.errors.read_text(encoding="utf-8", errors="replace")[-LAST_CHARS:]
        told = self.output.read_text(encoding="utf-8", errors="replace")[-LAST_CHARS:]
        return IngestorError(f"the ingestor {what}: {said or told}")


@contextmanager
def ingestor(pipeline: Pipeline, *flags: str) -> Iterator[Ingestor]:
    """A process that ingests; ended with the block."""
    output, errors = pipeline.state.with_suffix(".out"), pipeline.state.with_suffix(".log")
    root = Path(__file__).resolve().parents[2]
    environment = pinned_environment(len(available_cpus()))
    with output.open("wb") as out, errors.open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*pipeline.command, *flags], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=root
        )
    try:
        yield Ingestor(process, output, errors, started)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _children(pid: int) -> list[int]:
    """The processes that a process has started, by any of its threads, and that still run."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    except OSError:
        pass  # it, or that thread, has just ended
    return found


def _memory_mb(pid: int) -> tuple[float, float]:
    """What is resident, and what of it is the process's own and no file's, in MB (10^6 bytes)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0, 0.0
    found = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    resident, own = (int(found[name][0]) * 1024 / 1e6 if name in found else 0.0 for name in ("VmRSS", "RssAnon"))
    return resident, own
