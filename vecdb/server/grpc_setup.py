"""Sets gRPC up for a process that does nothing but serve, by the environment: it has no other way to be told.

Promises: what the environment says already stays as it is. Nothing is set for releases of grpcio that would not
understand it.
Concurrency: to be called once, before grpc is imported.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib.metadata import version
from typing import Final

ONE_THREAD: Final = "-event_engine_client,-event_engine_listener"
"""Has the thread that waits for calls read the network, too, where a pool of threads does it since 1.80: a call changes
threads two times less, which is a fifth of what an empty call costs. Up to 1.79 that is so anyway."""

KNOWN_FROM: Final = (1, 80)
KNOWN_BEFORE: Final = (1, 86)
"""Releases with such a pool in which it was seen that it can be switched off; others print that they cannot."""


def set_grpc_up(environment: MutableMapping[str, str]) -> None:
    """Add what gRPC reads when it is imported."""
    # else gRPC writes lines of its own into the log, for instance whenever a stranger fails to set TLS up
    environment.setdefault("GRPC_VERBOSITY", "NONE")
    if is_known_release():
        environment.setdefault("GRPC_EXPERIMENTS", ONE_THREAD)


def is_known_release() -> bool:
    """Whether this release of grpcio is one of those in which all was tried that depends on how gRPC works inside."""
    return KNOWN_FROM <= _release(version("grpcio")) < KNOWN_BEFORE


def _release(text: str) -> tuple[int, ...]:
    """The first two numbers of a version; (0, 0) when it has none."""
    parts = text.split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else (0, 0)
