"""Carries plans out in the calling thread.

Promises: after `close`, and in a forked child, every plan ends with ClosedError, and calls under way with it; gRPC,
which may hang after a fork, is not touched then.
Invariants: one channel for all handles of a connection.
Concurrency: any thread; each plan is run by the thread that brings it.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import grpc

from vecdb.client.failures import cut_off, failure
from vecdb.client.methods import METHODS
from vecdb.client.plans import Invoke, Open, Plan, Pull, Receive, Send, Sleep, T
from vecdb.errors import CancelledError, ClosedError, VecDBError

CLOSED: Final = "the connection is closed; open another with vecdb.connect"
FORKED: Final = "this process is a fork of the one that connected; call vecdb.connect again in it"

Metadata: TypeAlias = tuple[tuple[str, str], ...]


class Transport:
    """A channel and what runs plans over it."""

    def __init__(self, channel: grpc.Channel, address: str, metadata: Metadata) -> None:
        self.address = address
        self._channel = channel
        self._metadata = metadata
        self._pid = os.getpid()
        self._closed = threading.Event()
        self._callables: dict[Any, Callable[..., Any]] = {
            method: getattr(channel, method.kind)(
                method.path,
                # one message is made bytes by `_invoke`, two calls of Python sooner
                request_serializer=None if method.kind == "unary_unary" else serialised,
                response_deserializer=method.reply.FromString,
            )
            for method in METHODS
        }
        self._performers: dict[type, Callable[[Any], Any]] = {
            Invoke: self._invoke,
            Open: self._open,
            Send: lambda effect: effect.stream.send(effect.message),
            Receive: lambda effect: effect.stream.receive(),
            Sleep: self._sleep,
            Pull: _pull,
        }

    def run(self, plan: Plan[T]) -> T:
        """Run a plan to its end."""
        try:
            self.check_open()
            effect = next(plan)
            while True:
                try:
                    answer = self._performers[type(effect)](effect)
                except VecDBError as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            plan.close()

    def check_open(self) -> None:
        """Raise ClosedError when this connection cannot be used (any more)."""
        if os.getpid() != self._pid:
            raise ClosedError(FORKED)
        if self._closed.is_set():
            raise ClosedError(CLOSED)

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the connection; calls under way end with ClosedError. Closing twice is harmless."""
        if os.getpid() == self._pid and not self._closed.is_set():
            self._closed.set()
            self._channel.close()

    def fail(self, error: Any, method: Any) -> VecDBError:
        """What to raise for an error of gRPC."""
        found = failure(error, self.address, method.name)
        if isinstance(found, CancelledError):
            return ClosedError(CLOSED) if self._closed.is_set() else cut_off(found, self.address)
        return found

    def _invoke(self, effect: Invoke) -> Any:
        request = effect.request
        try:
            body = request if type(request) is bytes else request.SerializeToString()
            return self._callables[effect.method](body, timeout=effect.timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self.fail(error, effect.method) from None
        except ValueError:
            self.check_open()  # gRPC's error of a closed channel
            raise

    def _open(self, effect: Open) -> OpenStream:
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        argument = iter(requests.get, None) if effect.request is None else effect.request
        try:
            call = self._callables[effect.method](argument, timeout=effect.timeout_s, metadata=self._metadata)
        except ValueError:
            self.check_open()
            raise
        return OpenStream(self, effect.method, call, requests)

    def _sleep(self, effect: Sleep) -> None:
        if self._closed.wait(effect.seconds):
            raise ClosedError(CLOSED)


class OpenStream:
    """A stream under way, whose messages to send wait in a queue that a thread of gRPC reads."""

    def __init__(self, transport: Transport, method: Any, call: Any, requests: queue.SimpleQueue[Any]) -> None:
        self._transport, self._method, self._call, self._requests = transport, method, call, requests

    def send(self, message: Any) -> None:
        """Send a message; None when there are no more."""
        self._requests.put(message)

    def receive(self) -> Any:
        """The next message, None at the end."""
        try:
            return next(self._call, None)
        except grpc.RpcError as error:
            raise self._transport.fail(error, self._method) from None

    def cancel(self) -> None:
        """Give the stream up."""
        self._requests.put(None)
        self._call.cancel()


def serialised(request: Any) -> bytes:
    """A request as bytes: a message, or what is bytes already."""
    return request if type(request) is bytes else request.SerializeToString()


def _pull(effect: Pull) -> tuple[Any, ...]:
    for item in effect.source:
        return (item,)
    return ()
