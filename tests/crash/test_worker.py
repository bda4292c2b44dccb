"""The harness itself: a process that crashed before it was to be killed is no sound one."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection

import pytest

from tests.harness.process import Worker, WorkerDiedError


def _crash(pipe: Connection) -> None:
    pipe.send(("working", None))
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_worker_that_crashed_is_told_of_when_it_is_killed() -> None:
    worker = Worker(_crash)
    worker.expect("working")
    worker.join()
    with pytest.raises(WorkerDiedError, match="SIGSEGV"):
        worker.kill()


def test_a_crash_that_is_known_is_told_once() -> None:
    with Worker(_crash) as worker:
        worker.expect("working")
        with pytest.raises(WorkerDiedError, match="SIGSEGV"):
            worker.expect("anything")
