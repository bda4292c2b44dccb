"""What the supervisor knows of one process of its pool: how to start it, whether it lives, when to start it again.

Concurrency: the supervisor's main thread; `control.send` from any.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from vecdb.server.pool.config import END_S, EXIT_POLL_S, HEALTHY_S, RESTART_MAX_S, RESTART_MIN_S, STARTUP_S, STUCK_S
from vecdb.server.pool.control import Control

logger = logging.getLogger(__name__)

MEMBER = "vecdb.server.pool.member"


@dataclass(slots=True)
class Member:
    """One process, and those that take its place."""

    name: str
    plan: dict[str, Any]
    pid: int = 0
    control: Control | None = None
    is_ready: bool = False
    starts: int = 0
    failures: int = 0
    next_start: float = 0.0
    status: str | None = None
    _started: float = field(default=0.0)
    _heard: float = field(default=0.0)

    @property
    def is_running(self) -> bool:
        """True from the start of a process until its end was seen."""
        return self.control is not None

    def start(self) -> Control:
        """Spawn a process. It inherits one descriptor, and the paths of modules of this one."""
        control, theirs = Control.pair()
        paths = os.pathsep.join(entry for entry in sys.path if entry)
        signals = {signal.SIGINT, signal.SIGTERM}  # until the process ignores them by itself
        try:
            self.pid = os.posix_spawn(  # this interpreter, a fixed module and a number
                sys.executable,
                [sys.executable, "-P", "-m", MEMBER, str(theirs)],
                {**os.environ, "PYTHONPATH": paths},
                setsigmask=signals,
            )
        finally:
            os.close(theirs)
        self.control, self.is_ready, self.status = control, False, None
        self.starts += 1
        self._started = self._heard = time.monotonic()
        control.send("plan", plan=self.plan)
        return control

    def hear(self) -> None:
        """The process gave a sign of life."""
        self._heard = time.monotonic()

    def excuse(self, seconds: float) -> None:
        """Nobody could listen for so long."""
        self._heard += seconds

    def become_ready(self) -> None:
        """The process serves."""
        self.is_ready = True
        logger.info(
            "%s (process %d) serves, %.1f s after its start", self.name, self.pid, time.monotonic() - self._started
        )

    def check(self) -> None:
        """Kill a process that hangs; its end is then seen like any other."""
        silent = time.monotonic() - self._heard
        if self.is_running and silent > (STUCK_S if self.is_ready else STARTUP_S):
            logger.error(
                "%s (process %d) has given no sign of life for %.0f s; killing it", self.name, self.pid, silent
            )
            self.kill()
            self.hear()

    def kill(self) -> None:
        """SIGKILL."""
        if self.is_running:
            os.kill(self.pid, signal.SIGKILL)

    def bury(self) -> str:
        """Wait for the end of a process that has hung up; returns how it ended, and plans its successor."""
        assert self.control is not None
        self.control.close()
        self.control = None
        deadline = time.monotonic() + END_S
        done, code = os.waitpid(self.pid, os.WNOHANG)
        while not done and time.monotonic() < deadline:
            time.sleep(EXIT_POLL_S)
            done, code = os.waitpid(self.pid, os.WNOHANG)
        if not done:
            os.kill(self.pid, signal.SIGKILL)
            _, code = os.waitpid(self.pid, 0)
        now = time.monotonic()
        self.failures = 1 if self.is_ready and now - self._started > HEALTHY_S else self.failures + 1
        self.is_ready = False
        self.next_start = now + min(RESTART_MAX_S, RESTART_MIN_S * 2 ** (self.failures - 1))
        status = os.waitstatus_to_exitcode(code)
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
