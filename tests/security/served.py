"""A server over a small database, and what a refused request must leave behind: a typed error and nothing else."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import vecdb
from tests.fuzz.target import ENGINE, restore
from tests.fuzz.valid_requests import valid_requests
from tests.security.unchanged import contents
from tests.unit.server.echo import METHODS, message_of
from vecdb.server.app import Service, serving
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig

CALL_S = 20
PATHS = {path.rpartition("/")[2]: path for path in METHODS}
VALID = {path.rpartition("/")[2]: conversations for path, conversations in valid_requests().items()}
"""Conversations that are answered well, by the name of the RPC."""


@dataclass
class Served:
    """The server, a channel to it, and the database behind it."""

    db: Any
    service: Service
    channel: Any
    log: io.StringIO

    def call(self, name: str, *bodies: bytes, **options: Any) -> list[bytes]:
        """Send bodies as they are to an RPC of whatever kind, and return those of the replies."""
        path = PATHS.get(name, name)
        options.setdefault("timeout", CALL_S)
        return list(self.channel.stream_stream(path)(iter(bodies), **options))

    def ask(self, name: str, *messages: Any, **options: Any) -> Any:
        """The last reply to requests."""
        replies = self.call(name, *[message.SerializeToString() for message in messages], **options)
        return message_of(METHODS[PATHS[name]].output_type).FromString(replies[-1])

    def outcome(self, name: str, *bodies: bytes, **options: Any) -> str:
        """How a call ends: "OK", or its code and the reason in its ErrorInfo ("-" without one)."""
        try:
            self.call(name, *bodies, **options)
        except grpc.RpcError as error:
            return outcome_of(error)
        return "OK"

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """See that nothing was written, and that a good request is answered afterwards."""
        seq, before = self.db.seq, contents(self.db)
        yield
        assert (self.db.seq, contents(self.db)) == (seq, before)
        assert self.ask("Search", *VALID["Search"][1]).hits.counts == [5]

    def refuses(self, name: str, *messages: Any, **options: Any) -> str:
        """How a wrong request ends; nothing is written, and the server goes on."""
        with self.unchanged():
            return self.outcome(name, *[message.SerializeToString() for message in messages], **options)


def outcome_of(error: Any) -> str:
    """Code and reason of a failed call."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    reasons = [info.reason for detail in (status.details if status is not None else ()) if detail.Unpack(info)]
    return f"{error.code().name} {'-'.join(reasons) or '-'}"


def request_of(name: str, number: int = 0) -> Any:
    """A copy of a valid request, to be changed."""
    valid = VALID[name][number][-1]
    copy = type(valid)()
    copy.CopyFrom(valid)
    return copy


@contextlib.contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Served]:
    """Serve a small database in memory while the block lasts."""
    listening = {"data": ":memory:", "listen": ("127.0.0.1:0",), "backups": str(folder / "backups"), "drain_s": 5.0}
    config = ServerConfig(**{**listening, **settings})
    log = io.StringIO()
    with (
        vecdb.open(":memory:", config=ENGINE) as database,
        serving(config, bind_services(database, config), database=database, log_stream=log) as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        restore(database)
        yield Served(database, service, channel, log)
