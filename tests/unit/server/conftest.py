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

    def log_text(self) -> str:
        """What it has logged so far, of calls whose end it knows."""
        assert self.service.log.settle()
        return self.log.getvalue()


Serve: TypeAlias = Callable[..., Served]


@contextlib.contextmanager
def running(folder: Path, **given: Any) -> Iterator[Served]:
    """A server while the block lasts: `running(folder, config_setting=..., Search=function)`."""
    behaviors = {name: given.pop(name) for name in list(given) if name[0].isupper()}
    config = ServerConfig(**{"data": str(folder), "listen": ("127.0.0.1:0",), "drain_s": 5.0, **given})
    log = io.StringIO()
    with (
        serving(config, bindings(**behaviors), log_stream=log) as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        yield Served(service, channel, log)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers that end with the test: `serve(config_setting=..., Search=function)`."""
    with contextlib.ExitStack() as stack:
        yield lambda **given: stack.enter_context(running(tmp_path, **given))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server as it comes, shared by the tests of a module."""
    with running(tmp_path_factory.mktemp("served")) as one:
        yield one
