"""Puts a server together: addresses, credentials, limits of gRPC, dispatch, services, health, logs and metrics.

Promises: every limit that gRPC has is set here, explicitly. A server listens only once everything else is ready; when
it cannot start, nothing of it is left behind. `stop` may be called twice.
Concurrency: `start` and `stop` belong to one thread; calls are answered by the threads of the pools.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

import grpc
from google.protobuf.internal import api_implementation

from vecdb import config as limits
from vecdb.checks.addresses import Address
from vecdb.errors import InvalidConfigError
from vecdb.server.access_log import AccessLog
from vecdb.server.addresses import claim_socket_path
from vecdb.server.admission import Admission
from vecdb.server.dispatch import Dispatch
from vecdb.server.drain import drain
from vecdb.server.exchange import KnownRequests, Observer
from vecdb.server.health import HEALTH, HealthService
from vecdb.server.identity import Identity
from vecdb.server.keyring import KeyRing
from vecdb.server.log_lines import LogLines
from vecdb.server.logs import logging_to
from vecdb.server.metrics import Metrics
from vecdb.server.scopes import RULES, Rule
from vecdb.server.settings import ServerConfig
from vecdb.server.tls import certificates
from vecdb.server.tracing import Tracer
from vecdb.wire.memory import keep_memory

if TYPE_CHECKING:
    from vecdb.engine.database import Database

logger = logging.getLogger(__name__)

MILLISECONDS = 1_000
BACKSTOP_RPCS = 64
"""Calls beyond all that can be under way at which gRPC refuses by itself, losing the place that admission gave: it must
not come to that. A call counts for gRPC until its line is logged, when its place may be another's already."""

SOCKET_UMASK = 0o177


@dataclass(frozen=True, slots=True)
class ServiceBinding:
    """A servicer, the generated function that adds it to a server, and the full name of its service.

    `known` has what answers requests of some of its RPCs when they come again.
    """

    name: str
    add: Callable[[Any, Any], None]
    servicer: object
    known: Mapping[str, KnownRequests] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a server is in a pool of processes (see `vecdb.server.pool`); alone, it is what the defaults say."""

    share_port: bool = False
    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)
    pass_secret: str | None = None
    metrics_page: bool = True


ALONE: Final = Role()


class Service:
    """One gRPC server over one database."""

    def __init__(
        self,
        config: ServerConfig,
        bindings: Sequence[ServiceBinding],
        *,
        database: Database | None = None,
        log_stream: TextIO | None = None,
        role: Role = ALONE,
        reads_from: Database | None = None,
    ) -> None:
        """Prepare everything but the listening. `database` is only measured here; `reads_from`, if it is another."""
        self.config = config
        self._undo = contextlib.ExitStack()
        self._addresses: list[Address] = []
        self._is_stopped = False
        self._has_page = role.metrics_page
        with contextlib.ExitStack() as undo:
            self.log = LogLines(sys.stderr if log_stream is None else log_stream)
            undo.callback(self.log.close)
            undo.enter_context(logging_to(self.log, config))
            check_protobuf()
            self._certificates = certificates(config)
            keyring = None if config.keys is None else KeyRing(config.keys)
            self._admission = Admission(
                calls=config.max_concurrent_rpcs,
                streams=config.max_streams,
                principal_calls=config.max_principal_rpcs,
                principal_streams=config.max_principal_streams,
                request_bytes=config.max_in_flight_bytes,
            )
            self.metrics = None if config.metrics_address is None else Metrics(self._admission, database)
            self.dispatch = Dispatch(
                rules=role.rules,
                identity=Identity(keyring, certificates=config.tls_client_ca is not None, pass_secret=role.pass_secret),
                admission=self._admission,
                observers=self._observers(),
                tracer=Tracer() if config.tracing else None,
                reply_bytes_max=config.max_message_bytes,
                workers=config.threads,
                calls_max=config.max_concurrent_rpcs,
                streams_max=config.max_streams,
                body_timeout_s=config.body_timeout_s,
                slow_bodies_max=max(1, config.max_in_flight_bytes // config.max_message_bytes),
                newest_seq=_newest_seq_of(reads_from or database),
                early_receipt=config.early_receipt,
            )
            self._health = HealthService([binding.name for binding in bindings])
            self._server = self._make_server(share_port=role.share_port)
            for binding in (*bindings, _health_binding(self._health)):
                self.dispatch.know(binding.known)
                binding.add(binding.servicer, self.dispatch)
            if config.reflection:
                _add_reflection([binding.name for binding in bindings], self.dispatch)
            self._undo = undo.pop_all()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the server listens, with the ports that were chosen; as clients write them."""
        return tuple(map(str, self._addresses))

    @property
    def address(self) -> str:
        """The first of `addresses`."""
        return self.addresses[0]

    @property
    def metrics_port(self) -> int | None:
        """Port of the page of metrics, once started."""
        return self._metrics_port

    _metrics_port: int | None = None

    def start(self) -> Self:
        """Listen. InvalidConfigError when an address cannot be had."""
        keep_memory()
        try:
            for address in self.config.addresses:
                self._addresses.append(self._listen(address))
            if self.metrics is not None and self.config.metrics_address is not None and self._has_page:
                self._metrics_port = self.metrics.serve(self.config.metrics_address)
                self._undo.callback(self.metrics.close)
            self._server.start()
        except BaseException:
            self.stop(drain_s=0)
            raise
        logger.info("serving %s on %s", self.config.data, ", ".join(self.addresses))
        return self

    def stop(self, drain_s: float | None = None) -> bool:
        """Drain and end; True when every call under way could finish. The database is the caller's to close."""
        if self._is_stopped:
            return True
        self._is_stopped = True
        self._health.stop()
        finished = drain(self._server, self.dispatch, self.config.drain_s if drain_s is None else drain_s)
        self.dispatch.close()
        for address in self._addresses:
            if address.path:
                Path(address.path).unlink(missing_ok=True)
        logger.info("stopped; %s", "all calls finished" if finished else "some calls were cut short")
        self._undo.close()
        return finished

    def _observers(self) -> list[Observer]:
        observers: list[Observer] = [AccessLog(self.log)] if self.config.access_log else []
        return observers if self.metrics is None else [*observers, self.metrics]

    def _make_server(self, *, share_port: bool) -> grpc.Server:
        return grpc.server(
            self.dispatch.call_threads,
            handlers=[self.dispatch],
            options=channel_options(self.config, share_port=share_port),
            maximum_concurrent_rpcs=2 * (self.config.max_concurrent_rpcs + self.config.max_streams) + BACKSTOP_RPCS,
        )

    def _listen(self, address: Address) -> Address:
        if address.path:
            claim_socket_path(address.path)
        umask = os.umask(SOCKET_UMASK)  # a socket is made with mode 0600; nothing else is created meanwhile
        try:
            if address.path or self._certificates is None:
                port = self._server.add_insecure_port(str(address))
            else:
                port = self._server.add_secure_port(str(address), self._certificates.credentials())
        except RuntimeError as error:
            raise InvalidConfigError(
                f"cannot listen on {address}: it is taken, or not an address of this machine"
            ) from error
        finally:
            os.umask(umask)
        return address if address.path else Address(host=address.host, port=port)


@contextlib.contextmanager
def serving(
    config: ServerConfig,
    bindings: Sequence[ServiceBinding],
    *,
    database: Database | None = None,
    log_stream: TextIO | None = None,
) -> Iterator[Service]:
    """Run a server in this process while the block lasts."""
    service = Service(config, bindings, database=database, log_stream=log_stream)
    try:
        yield service.start()
    finally:
        service.stop()


def channel_options(config: ServerConfig, *, share_port: bool = False) -> list[tuple[str, int]]:
    """Every limit that gRPC keeps by itself. Times are in milliseconds."""
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_metadata_size", config.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", 2 * config.max_metadata_bytes),
        ("grpc.max_concurrent_streams", config.max_connection_rpcs),
        ("grpc.server_handshake_timeout_ms", _ms(config.handshake_timeout_s)),
        ("grpc.max_connection_idle_ms", _ms(config.connection_idle_s)),
        ("grpc.max_connection_age_ms", _ms(config.connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _ms(max(config.drain_s, 1.0))),
        ("grpc.keepalive_time_ms", _ms(config.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(config.keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(limits.PING_INTERVAL_MIN_S)),
        ("grpc.http2.max_ping_strikes", limits.PING_STRIKES_MAX),
        ("grpc.server_max_unrequested_time_in_server", int(limits.UNREQUESTED_S)),
        ("grpc.so_reuseport", int(share_port)),
        ("grpc.enable_channelz", 0),
    ]


def check_protobuf() -> None:
    """InvalidConfigError when protobuf would parse requests in Python: slowly, and as deeply nested as they come."""
    if api_implementation.Type() == "python":
        raise InvalidConfigError("protobuf runs without its compiled parser; reinstall it for this platform")


def _newest_seq_of(database: Database | None) -> Callable[[], int]:
    return (lambda: 0) if database is None else (lambda: database.seq)


def _ms(seconds: float) -> int:
    return int(seconds * MILLISECONDS)


def _health_binding(servicer: HealthService) -> ServiceBinding:
    from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server  # noqa: PLC0415 - beside its servicer

    return ServiceBinding(HEALTH, add_HealthServicer_to_server, servicer)


def _add_reflection(names: Sequence[str], dispatch: Dispatch) -> None:
    try:
        from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - only where it is asked for
    except ImportError as error:
        raise InvalidConfigError("reflection needs grpcio-reflection; run: pip install 'vecdb[server]'") from error

    server: Any = dispatch  # takes its place while services are added
    reflection.enable_server_reflection([*names, HEALTH, reflection.SERVICE_NAME], server)
