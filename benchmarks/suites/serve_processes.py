"""Starts the servers that the `serve` and `ingest` suites measure, and says what they use.

Promises: a server is ready when `started` returns; none outlives its block. What it prints goes to a file, so that a
full pipe never holds it up.
Concurrency: one thread per server.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.method.machine import available_cpus, pinned_environment
from benchmarks.suites import serve_floor

READY_WITHIN_S: Final = 120.0
POLL_S: Final = 0.02
LAST_CHARS: Final = 500
USER_TICKS: Final = 11
"""Place of the CPU time among what /proc/PID/stat has behind the name."""

REST_WITHIN_S: Final = 900.0
REST_S: Final = 3.0
REST_POLL_S: Final = 0.5
REST_SHARE: Final = 0.1
"""Of a CPU: what a server that has nothing to do takes at most."""


class ServerError(Exception):
    """A server did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens."""

    process: subprocess.Popen[bytes]
    address: str

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, within_s: float = READY_WITHIN_S) -> int:
        """Wait for the end; returns the exit status."""
        return self.process.wait(within_s)

    def memory_mb(self) -> float:
        """What is resident now, in MB (10^6 bytes)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def cpu_s(self) -> float:
        """CPU time that the process has taken so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[USER_TICKS : USER_TICKS + 2])) / os.sysconf("SC_CLK_TCK")

    def rest(self, within_s: float = REST_WITHIN_S) -> float:
        """Wait until it has next to nothing to do, such as building what it has not said it still builds.

        Returns the seconds until then.
        """
        begin = since = time.monotonic()
        while since - begin < within_s and time.monotonic() - since < REST_S:
            before = self.cpu_s()
            time.sleep(REST_POLL_S)
            if self.cpu_s() - before > REST_SHARE * REST_POLL_S:
                since = time.monotonic()
        return since - begin


@contextlib.contextmanager
def floor_server(cpu: int, scratch: Path, threads: int) -> Iterator[Server]:
    """A server whose only method does nothing."""
    with _announced([sys.executable, "-m", serve_floor.__name__, str(threads)], cpu, scratch / "floor.log") as server:
        yield server


@contextlib.contextmanager
def vecdb_server(cpu: int | None, data: Path, *flags: str) -> Iterator[Server]:
    """`vecdb serve` with its defaults, on one CPU or (None) on all; its log lies beside the data."""
    command = [sys.executable, "-m", "vecdb", "serve", "--json", "--data", str(data), "--listen", "127.0.0.1:0", *flags]
    with _announced(command, cpu, data.with_name(f"{data.name}.log")) as server:
        yield server


@contextlib.contextmanager
def milvus_server(cpu: int, data: Path) -> Iterator[Server]:
    """milvus-lite's server with its defaults."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["server", "--data-dir", str(data), "--host", "127.0.0.1", "--port", str(port)]
    log = data.with_name(f"{data.name}.log")
    with _running([sys.executable, "-m", "milvus_lite", *words], cpu, log) as process:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _accepts(port):
            _check(process, log, deadline)
        yield Server(process, f"127.0.0.1:{port}")


def _accepts(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(POLL_S)
        return connection.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _announced(command: Sequence[str], cpu: int | None, log: Path) -> Iterator[Server]:
    """A server that prints a line of JSON once it listens."""
    with _running(command, cpu, log) as process:
        deadline = time.monotonic() + READY_WITHIN_S
        output = log.with_suffix(".out")
        while not (line := output.read_text(encoding="utf-8")).endswith("\n"):
            _check(process, log, deadline)
        yield Server(process, json.loads(line)["listen"][0])


@contextlib.contextmanager
def _running(command: Sequence[str], cpu: int | None, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, on one CPU unless that is None, whose output goes to files, ended with the block."""
    root = Path(__file__).resolve().parents[2]
    environment = pinned_environment(len(available_cpus()) if cpu is None else 1)
    with log.with_suffix(".out").open("wb") as output, log.open("wb") as errors:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, cwd=root
        )
    try:
        if cpu is not None:
            os.sched_setaffinity(process.pid, {cpu})
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _check(process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    """Wait a little. ServerError when there is nothing to wait for."""
    if process.poll() is not None or time.monotonic() > deadline:
        words = log.read_text(encoding="utf-8", errors="replace")[-LAST_CHARS:]
        raise ServerError(f"a server did not start (status {process.poll()}): {words}")
    time.sleep(POLL_S)
