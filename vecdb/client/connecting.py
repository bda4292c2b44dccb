"""Opens connections: checks the arguments of `connect`, makes the channel, and asks the server once.

Promises: what is wrong with an argument is said before anything is sent; a connection that is returned was answered.
Concurrency: any thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc

from vecdb.checks.addresses import Address, parse_address
from vecdb.client import upkeep
from vecdb.client.credentials import TLSLike, channel_credentials, check_key, tls_of
from vecdb.client.database import RemoteDatabase
from vecdb.client.session import Caller, Session, checked_timeout
from vecdb.client.transport import Metadata, Transport
from vecdb.config import (
    CLIENT_KEEPALIVE_S,
    CLIENT_LONG_TIMEOUT_S,
    CLIENT_RETRIES_MAX,
    CONNECT_TIMEOUT_S,
    KEEPALIVE_TIMEOUT_S,
    MESSAGE_BYTES_MAX,
    RECONNECT_PAUSE_MAX_S,
    RETRY_PAUSE_S,
)
from vecdb.errors import ClosedError, InvalidRequestError
from vecdb.types import TLSConfig
from vecdb.wire.memory import keep_memory

if TYPE_CHECKING:
    from vecdb.client.async_database import AsyncDatabase

MILLISECONDS: Final = 1_000
AGENT: Final = "vecdb-client"
FORK_SUPPORT: Final = "GRPC_ENABLE_FORK_SUPPORT"
NO: Final = frozenset({"0", "false", "no", "off"})

_first_pid: int | None = None
"""The process that made the first channel: gRPC's threads live there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """The checked arguments of `connect`."""

    address: Address
    tls: TLSConfig | None
    metadata: Metadata
    caller: Caller

    @property
    def target(self) -> str:
        """The address in gRPC's words."""
        return str(self.address)

    @property
    def options(self) -> list[tuple[str, Any]]:
        """The options of the channel."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", -1),  # cut to what the server takes, see session.room_bytes
            ("grpc.enable_retries", 0),  # see retrying
            ("grpc.keepalive_time_ms", int(CLIENT_KEEPALIVE_S * MILLISECONDS)),
            ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_S * MILLISECONDS)),
            ("grpc.initial_reconnect_backoff_ms", int(RETRY_PAUSE_S * MILLISECONDS)),
            ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * MILLISECONDS)),  # of an attempt
            ("grpc.max_reconnect_backoff_ms", int(RECONNECT_PAUSE_MAX_S * MILLISECONDS)),
            ("grpc.use_local_subchannel_pool", 1),  # a connection is its handle's own: closing it closes it
            ("grpc.primary_user_agent", AGENT),
        ]
        if self.address.is_local:
            options.append(("grpc.enable_http_proxy", 0))
        if self.tls is not None and self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def read_arguments(
    address: object,
    *,
    api_key: str | None,
    tls: TLSLike,
    timeout_s: float,
    retries: object,
    read_your_writes: bool,
    insecure: bool,
) -> Connecting:
    """Check the arguments of `connect`."""
    if not isinstance(address, str):
        raise InvalidRequestError(f"address is {type(address).__name__}; give HOST:PORT or unix:/PATH")
    place = parse_address(address, "address", InvalidRequestError)
    if not place.path and place.port == 0:
        raise InvalidRequestError(f"address is {address!r:.200}: port 0 is no port to connect to")
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= CLIENT_RETRIES_MAX:
        raise InvalidRequestError(f"retries is {retries!r:.40}; give an int in 0..{CLIENT_RETRIES_MAX}")
    trust = tls_of(tls)
    key = check_key(api_key, place, trust, insecure=bool(insecure))
    seconds = checked_timeout(timeout_s)
    return Connecting(
        address=place,
        tls=trust,
        metadata=() if key is None else (("authorization", f"Bearer {key}"),),
        caller=Caller(
            Session(retries=retries, reads_own_writes=bool(read_your_writes)),
            timeout_s=seconds,
            long_timeout_s=max(seconds, CLIENT_LONG_TIMEOUT_S),
        ),
    )


def open_database(arguments: Connecting) -> RemoteDatabase:
    """See `vecdb.connect`."""
    _check_process()
    keep_memory()
    if arguments.tls is None:
        channel = grpc.insecure_channel(arguments.target, arguments.options)
    else:
        channel = grpc.secure_channel(arguments.target, channel_credentials(arguments.tls), arguments.options)
    transport = Transport(channel, str(arguments.address), arguments.metadata)
    try:
        transport.run(upkeep.info(arguments.caller, timeout_s=min(arguments.caller.timeout_s, CONNECT_TIMEOUT_S)))
    except BaseException:
        transport.close()
        raise
    return RemoteDatabase(transport, arguments.caller)


async def open_async_database(arguments: Connecting) -> AsyncDatabase:
    """See `vecdb.connect_async`."""
    import grpc.aio  # noqa: PLC0415 - most connections are none of asyncio's

    from vecdb.client.async_database import AsyncDatabase  # noqa: PLC0415 - as above
    from vecdb.client.async_transport import AsyncTransport  # noqa: PLC0415 - as above

    _check_process()
    keep_memory()
    if arguments.tls is None:
        channel = grpc.aio.insecure_channel(arguments.target, arguments.options)
    else:
        channel = grpc.aio.secure_channel(arguments.target, channel_credentials(arguments.tls), arguments.options)
    transport = AsyncTransport(channel, str(arguments.address), arguments.metadata)
    try:
        limit = min(arguments.caller.timeout_s, CONNECT_TIMEOUT_S)
        await transport.run(upkeep.info(arguments.caller, timeout_s=limit))
    except BaseException:
        await transport.close()
        raise
    return AsyncDatabase(transport, arguments.caller)


def _check_process() -> None:
    """Refuse to use gRPC in a fork of a process that used it, where its support for that is switched off: it hangs."""
    global _first_pid
    if _first_pid is None:
        _first_pid = os.getpid()
    if _first_pid != os.getpid() and os.environ.get(FORK_SUPPORT, "").lower() in NO:
        raise ClosedError(
            f"this process is a fork of one that used gRPC, and {FORK_SUPPORT} switches off what that needs; "
            "start processes with multiprocessing's 'spawn' or 'forkserver', or unset it"
        )
