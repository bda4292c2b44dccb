"""Starts the processes of a pool, keeps them running, and ends them; see `vecdb.server.pool` for the whole.

Promises: `run_pool` returns after all processes have ended. When the pool cannot start, the error is that of the
process that could not.
Concurrency: one thread, and those of the page of metrics.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import secrets
import selectors
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Self

from google.rpc.status_pb2 import Status

from vecdb.config import EngineConfig
from vecdb.errors import StorageError
from vecdb.server.drain import StopSignals
from vecdb.server.logs import logging_to
from vecdb.server.pool.config import END_S, LATE_S, TICK_S, WRITER_DRAIN_MIN_S, WRITER_FAILURES_MAX
from vecdb.server.pool.members import Member
from vecdb.server.pool.metrics import PoolMetrics
from vecdb.server.pool.plan import Plan
from vecdb.server.pool.reservation import Reservation
from vecdb.server.settings import ServerConfig
from vecdb.wire.status import error_of

logger = logging.getLogger(__name__)

SECRET_BYTES = 32


def run_pool(config: ServerConfig, announce: Callable[[Supervisor], None], engine: EngineConfig | None = None) -> None:
    """Serve `config.data` from `config.workers` and one writer until SIGTERM or SIGINT."""
    with logging_to(sys.stderr, config), contextlib.ExitStack() as undo:
        listen = [address for address in config.addresses if not address.path]
        reservation = undo.enter_context(Reservation(listen))
        folder = tempfile.mkdtemp(prefix="vecdb-")  # mode 0700
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        shared = iter(map(str, reservation.addresses))
        config = replace(
            config, listen=tuple(str(address) if address.path else next(shared) for address in config.addresses)
        )
        supervisor = undo.enter_context(Supervisor(config, engine or EngineConfig(), folder))
        supervisor.run(announce)


class Supervisor:
    """The parent of all processes of a pool. A context manager: none of them outlives it."""

    def __init__(self, config: ServerConfig, engine: EngineConfig, folder: str) -> None:
        self._config = config
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        secret = secrets.token_hex(SECRET_BYTES)
        self._writer = Member("writer", Plan("writer", config, engine, folder, secret).facts())
        worker = Plan("worker", config, engine, folder, secret).facts()
        self._workers = [Member(f"worker-{number}", worker) for number in range(config.workers)]
        self.members: Sequence[Member] = (self._writer, *self._workers)
        self._metrics = None if config.metrics_address is None else PoolMetrics(self.members)
        self._is_stopping = False
        self.metrics_port: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.kill()
            if member.is_running:
                member.bury()
        if self._metrics is not None:
            self._metrics.close()
        self._selector.close()
        os.close(self._woken)
        os.close(self._wake)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the pool serves, as clients write it."""
        return self._config.listen

    def run(self, announce: Callable[[Supervisor], None]) -> None:
        """Start all, keep them running until asked to stop, then drain."""
        with StopSignals(self._stop):
            self._start(self._writer)
            self._attend(lambda: self._writer.is_ready)
            for worker in self._workers:
                self._start(worker)
            self._attend(lambda: all(worker.is_ready for worker in self._workers))
            if not self._is_stopping:
                if self._metrics is not None and self._config.metrics_address is not None:
                    self.metrics_port = self._metrics.serve(self._config.metrics_address)
                logger.info("serving %s on %s", self._config.data, ", ".join(self.addresses))
                announce(self)
            self._attend(lambda: False)
            self._drain()

    def _stop(self) -> None:
        self._is_stopping = True
        os.write(self._wake, b".")

    # --- while it serves -------------------------------------------------------------------------------------------

    def _attend(self, is_done: Callable[[], bool]) -> None:
        """See to the processes until `is_done`, or until asked to stop."""
        looked = time.monotonic()
        while not self._is_stopping and not is_done():
            self._take_messages(TICK_S)
            now = time.monotonic()
            late, looked = now - looked - TICK_S, now
            for member in self.members:
                if late > LATE_S:
                    member.excuse(late)
                member.check()
                if member.starts and not member.is_running and now >= member.next_start:
                    self._start(member)

    def _start(self, member: Member) -> None:
        control = member.start()
        self._selector.register(control, selectors.EVENT_READ, member)

    def _take_messages(self, wait_s: float) -> None:
        for key, _ in self._selector.select(max(0.0, wait_s)):
            member: Member | None = key.data
            if member is None:
                os.read(self._woken, 1)
            elif member.is_running:
                self._take_message(member)

    def _take_message(self, member: Member) -> None:
        assert member.control is not None
        message = member.control.receive()
        if message is None:
            self._selector.unregister(member.control)
            self._lose(member)
            return
        member.hear()
        match message["event"]:
            case "ready":
                member.become_ready()
            case "failed":
                member.status = message["status"]
            case "metrics" if self._metrics is not None:
                self._metrics.take(member, message)

    def _lose(self, member: Member) -> None:
        """A process has ended."""
        was_ready, ended = member.is_ready, member.bury()
        if self._is_stopping:
            return
        is_new = member.starts == 1 and not was_ready
        is_hopeless = member is self._writer and member.failures > WRITER_FAILURES_MAX
        if is_new or is_hopeless:
            _give_up(member, ended)
        logger.error("%s (process %d) ended with %s; starting it again", member.name, member.pid, ended)

    # --- the end ---------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Workers first: what they have let in may still need the writer."""
        drain_s = self._config.drain_s
        deadline = time.monotonic() + drain_s
        if self._writer.control is not None:
            self._writer.control.send("announce")
        self._end(self._workers, drain_s)
        self._end([self._writer], max(WRITER_DRAIN_MIN_S, deadline - time.monotonic()))
        logger.info("all processes have ended")

    def _end(self, members: Sequence[Member], drain_s: float) -> None:
        for member in members:
            if member.control is not None:
                member.control.send("stop", drain_s=drain_s)
        deadline = time.monotonic() + drain_s + END_S
        while any(member.is_running for member in members):
            left = deadline - time.monotonic()
            self._take_messages(min(left, TICK_S))
            if left <= 0:
                for member in members:
                    logger.error("%s (process %d) has not ended in time; killing it", member.name, member.pid)
                    member.kill()
                deadline += END_S


def _give_up(member: Member, ended: str) -> NoReturn:
    """Raise what ended a process that the pool cannot do without."""
    if member.status is not None:
        status: Any = Status.FromString(base64.b64decode(member.status))
        raise error_of(status)
    raise StorageError(f"the {member.name} process of the server ended with {ended}; its log says why")
