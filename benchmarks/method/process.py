"""Starts workers, asks them, and ends those that fail or take too long.

Promises: a worker that dies, fails or exceeds its time is a WorkerError that says so; no worker outlives its owner's
`close`. Concurrency: one thread per worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from benchmarks.method.machine import pinned_environment

STDERR_LINES = 3
"""Last lines of what a dead worker printed that its reason quotes."""


class WorkerError(Exception):
    """The worker gave no answer. `status` is "failed" or "timeout"."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class WorkerProcess:
    """A process that answers JSON lines. Use as a context manager."""

    def __init__(self, command: Sequence[str], threads: int) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=pinned_environment(threads),
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def ask(self, request: Mapping[str, Any], within_s: float) -> dict[str, Any]:
        """Send a request and return the answer. WorkerError when there is none in time, or it says that it failed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError("failed", self._last_words()) from None
        answer: dict[str, Any] = json.loads(self._line(time.monotonic() + within_s, within_s))
        if "failed" in answer:
            raise WorkerError("failed", answer["failed"])
        return answer

    def _line(self, deadline: float, within_s: float) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    self.close()
                    raise WorkerError("timeout", f"no answer within {within_s:.0f} s")
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    raise WorkerError("failed", self._last_words())
                self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _last_words(self) -> str:
        """How the process ended and the last lines it printed."""
        code = self._process.wait()
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return " | ".join([how, *(line.strip() for line in lines[-STDERR_LINES:])])

    def close(self) -> None:
        """End the process and everything it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # what the process never read is flushed on closing
                    stream.close()
