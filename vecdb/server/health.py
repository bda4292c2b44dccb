"""Answers the standard health checks (grpc.health.v1): of the server as a whole ("") and of each service.

Promises: everything is SERVING from the start until the drain begins, then NOT_SERVING for good; who watches is told at
once, and the watch ends when the server stops. A service that is not served is NOT_FOUND (a watch: SERVICE_UNKNOWN).
Concurrency: any thread. A watch occupies a thread of the streams.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from grpc_health.v1 import health_pb2, health_pb2_grpc

from vecdb.config import DRAIN_QUIET_S
from vecdb.errors import NotFoundError
from vecdb.server.call import Call

HEALTH: Final = "grpc.health.v1.Health"
OVERALL: Final = ""
WATCH_POLL_S: Final = DRAIN_QUIET_S
"""How often a watch looks whether its client is still there."""


class HealthService(health_pb2_grpc.HealthServicer):
    """The servicer of grpc.health.v1.Health."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset({OVERALL, HEALTH, *services})
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Report NOT_SERVING from now on."""
        self._stopping.set()

    def Check(self, request: Any, call: Call) -> Any:  # noqa: N802, ARG002 - gRPC's names
        """The status of one service."""
        if request.service not in self._services:
            raise NotFoundError(f"this server has no service {request.service!r:.100}")
        return self._status(request.service)

    def List(self, request: Any, call: Call) -> Any:  # noqa: N802, ARG002 - gRPC's names
        """The status of all services."""
        statuses = {name: self._status(name) for name in sorted(self._services)}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # newer than its types

    def Watch(self, request: Any, call: Call) -> Iterator[Any]:  # noqa: N802 - gRPC's name
        """The status of one service, and again when it changes."""
        yield self._status(request.service)
        while not self._stopping.wait(WATCH_POLL_S):
            call.check()
        yield self._status(request.service)

    def _status(self, service: str) -> Any:
        statuses = health_pb2.HealthCheckResponse
        if service not in self._services:
            return statuses(status=statuses.SERVICE_UNKNOWN)
        return statuses(status=statuses.NOT_SERVING if self._stopping.is_set() else statuses.SERVING)
