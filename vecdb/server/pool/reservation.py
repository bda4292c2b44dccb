"""Reserves the addresses of a pool, so that its own workers can share them and nobody else can.

A socket is bound to each address as any server would, which fails while somebody has it; only then is it marked as one
that may be shared. It never listens. So workers, which ask to share, can bind the address beside it, while a server on
its own and a second pool, which both begin by binding without sharing, are refused for as long as this one lives.
Promises: between two workers' lives the address stays taken.
Concurrency: one thread.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Sequence
from typing import Self

from vecdb.checks.addresses import Address
from vecdb.errors import InvalidConfigError


class Reservation:
    """The sockets that hold a pool's addresses. A context manager."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        """Reserve. InvalidConfigError when an address is taken or is none of this machine."""
        self._sockets = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            self._sockets = undo
            self.addresses = tuple(self._reserve(address) for address in addresses)
            self._sockets = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the addresses back."""
        self._sockets.close()

    def _reserve(self, address: Address) -> Address:
        """The address with the port it got."""
        problem: OSError | None = None
        port, is_held = address.port, False
        try:
            found = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise _taken(address, error) from error
        for family, kind, _, _, place in found:
            try:
                port = self._bind(family, kind, (place[0], port, *place[2:])) or port
                is_held = True
            except OSError as error:
                problem = error
                if error.errno == errno.EADDRINUSE:
                    break
        if problem is not None and (not is_held or problem.errno == errno.EADDRINUSE):
            raise _taken(address, problem) from problem
        return Address(host=address.host, port=port)

    def _bind(self, family: int, kind: int, place: tuple[object, ...]) -> int:
        held = socket.socket(family, kind)
        try:
            if family == socket.AF_INET6:
                held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # what a dead server's connections leave behind for a minute must not be in the way ...
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(place)
            # ... but from here on no other server may do the same with us; only those that share come in
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except BaseException:
            held.close()
            raise
        self._sockets.enter_context(held)
        port: int = held.getsockname()[1]
        return port


def _taken(address: Address, error: OSError) -> InvalidConfigError:
    return InvalidConfigError(f"cannot listen on {address}: {error.strerror}; stop who does, or choose another address")
