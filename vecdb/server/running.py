"""Runs a server from its configuration until the process is asked to stop: what `vecdb serve` does.

Promises: the database is closed after the last call, before the process ends.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from vecdb.config import EngineConfig
from vecdb.server.app import Service
from vecdb.server.drain import StopSignals
from vecdb.server.settings import ServerConfig


def run_server(config: ServerConfig, announce: Callable[[Service], None]) -> None:
    """Serve `config.data` until SIGTERM or SIGINT. `announce` is called once the server listens."""
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
