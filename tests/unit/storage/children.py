"""Runs a function in a forked child and reports how that ended; a signal is an answer, not the end of the tests."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_child(function: Callable[..., None], *arguments: Any) -> int:
    """Return the child's exit code: 0 when `function` returned, 1 when it raised, -N when signal N ended it."""
    pid = os.fork()
    if pid == 0:
        _run(function, arguments)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start_child(function: Callable[..., None], *arguments: Any) -> int:
    """Start a child and return its process id; the caller waits for it with `wait_child` or kills it."""
    pid = os.fork()
    if pid == 0:
        _run(function, arguments)
    return pid


def wait_child(pid: int) -> int:
    """Exit code of a started child."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_child(pid: int) -> None:
    """SIGKILL a child started here, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def wait_for_file(path: Path, tries: int = 2_000) -> None:
    """Wait until a child has made a file, up to about ten seconds."""
    for _ in range(tries):
        if path.exists():
            return
        signal.sigtimedwait([], 0.005)
    raise AssertionError(f"{path} did not appear")


def _run(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    status = 1
    try:
        function(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
