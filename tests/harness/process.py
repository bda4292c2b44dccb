"""Starts, kills and talks to worker processes: real processes, forked from a server that has loaded the kernels.

Promises: a worker never shares a database with its parent (nothing is open in the fork server); it is killed by its
own pid only; what it raises arrives as `WorkerFailedError` with its traceback; its output goes to a file when asked.
That it had crashed is told by whatever comes first, even by the attempt to kill it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
ANSWER_TIMEOUT_S = 120.0
"""Longest wait for a worker's message; long because the first start of all compiles the kernels."""

CRASHES = {-number for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)}

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.harness.preload"])


class WorkerFailedError(Exception):
    """The worker raised; the text is its traceback."""


class WorkerDiedError(Exception):
    """The worker ended without an answer."""

    def __init__(self, exitcode: int | None) -> None:
        super().__init__(f"the worker ended with {describe_exit(exitcode)}")
        self.exitcode = exitcode


def describe_exit(exitcode: int | None) -> str:
    """An exit status in words: the name of the signal where there was one."""
    if exitcode is not None and exitcode < 0:
        return f"signal {signal.Signals(-exitcode).name}"
    return f"exit status {exitcode}"


class Worker:
    """A process running `target(pipe, *args)`; messages are (kind, payload) pairs. Use as a context manager."""

    def __init__(self, target: Callable[..., None], *args: Any, log: Path | None = None) -> None:
        """Start the process. `log` receives its stdout and stderr."""
        paths = os.environ.get("PYTHONPATH", "")
        if str(ROOT) not in paths.split(os.pathsep):  # the fork server imports the preload module by this path
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), paths]))
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_run, args=(target, theirs, log, args), daemon=True)
        self._process.start()
        self._crash_is_told = False
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        """As `multiprocessing.Process.exitcode`: negative for a signal, None while it runs."""
        return self._process.exitcode

    def send(self, message: Any) -> None:
        """Send anything picklable to the worker."""
        with contextlib.suppress(BrokenPipeError):  # a dead worker is noticed at the next `expect`
            self._pipe.send(message)

    def expect(self, kind: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        """The payload of the next message, which must be of `kind`."""
        try:
            if not self._pipe.poll(timeout_s):
                raise TimeoutError(f"no {kind!r} from the worker within {timeout_s} s")
            got, payload = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(timeout_s)
            self._crash_is_told = True
            raise WorkerDiedError(self.exitcode) from None
        if got == "failed":
            raise WorkerFailedError(payload)
        assert got == kind, f"expected {kind!r} from the worker, got {got!r}: {payload!r}"
        return payload

    def failure(self) -> str | None:
        """The traceback of a worker that has failed by now, else None. Other messages are dropped."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while self._pipe.poll(0):
                kind, payload = self._pipe.recv()
                if kind == "failed":
                    return str(payload)
        return None

    def kill(self) -> None:
        """SIGKILL the process, if it still runs, and wait for its end. WorkerDiedError if it had crashed before."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        if self.exitcode in CRASHES and not self._crash_is_told:
            self._crash_is_told = True
            raise WorkerDiedError(self.exitcode)

    def join(self, timeout_s: float = ANSWER_TIMEOUT_S) -> int | None:
        """Wait for the process to end by itself; returns its exit code."""
        self._process.join(timeout_s)
        return self.exitcode


def _run(target: Callable[..., None], pipe: Connection, log: Path | None, args: tuple[Any, ...]) -> None:
    if log is not None:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
    try:
        target(pipe, *args)
    except BaseException:
        with contextlib.suppress(BrokenPipeError):
            pipe.send(("failed", traceback.format_exc()))
        raise
