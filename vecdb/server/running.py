"""Runs a server from its configuration until the process is asked to stop: what `vecdb serve` does.

Promises: the database is closed after the last call, before the process ends. With `workers`, a pool of processes
serves (see `vecdb.server.pool`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, Protocol

from vecdb.config import EngineConfig
from vecdb.server.app import Service
from vecdb.server.drain import StopSignals
from vecdb.server.settings import ServerConfig


class Listening(Protocol):
    """What is known of a server, or a pool, that listens."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where, as clients write it."""

    @property
    def metrics_port(self) -> int | None:
        """Port of the page of metrics."""


def run_server(config: ServerConfig, announce: Callable[[Listening], None]) -> None:
    """Serve `config.data` until SIGTERM or SIGINT. `announce` is called once the server listens."""
    if config.workers:
        from vecdb.server.pool.supervisor import run_pool  # noqa: PLC0415 - only where it is asked for

        run_pool(config, announce)
        return
    from vecdb.engine.database import Database  # noqa: PLC0415 - lmdb comes with it
    from vecdb.server.services import bind_services  # noqa: PLC0415 - as above

    durability: Any = config.durability
    engine = EngineConfig()
    opened = Database.open(config.data, "rw", durability=durability, create=True, config=engine)
    with StopSignals() as signals, opened as database:
        database.warm_up()
        gc.collect()
        gc.freeze()  # the compiler's many objects stay for good; looking through them now and then stops all calls
        service = Service(config, bind_services(database, config), database=database)
        service.start()
        try:
            announce(service)
            signals.wait()
        finally:
            service.stop()
