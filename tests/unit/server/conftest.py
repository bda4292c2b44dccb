"""Runs small servers inside the test's process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from tests.unit.server.echo import bindings
from vecdb.server.app import Service, serving
from vecdb.server.settings import ServerConfig


@dataclass
class Served:
    """A running server, a channel to it and what it logged."""

    service: Service
    channel: Any
    log: io.StringIO


Serve: TypeAlias = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers that end with the test: `serve(config_setting=..., Search=function)`."""
    with contextlib.ExitStack() as stack:

        def start(**given: Any) -> Served:
            behaviors = {name: given.pop(name) for name in list(given) if name[0].isupper()}
            settings = {"data": str(tmp_path), "listen": ("127.0.0.1:0",), "drain_s": 5.0, **given}
            log = io.StringIO()
            service = stack.enter_context(serving(ServerConfig(**settings), bindings(**behaviors), log_stream=log))
            channel = stack.enter_context(grpc.insecure_channel(service.address))
            return Served(service, channel, log)

        yield start
