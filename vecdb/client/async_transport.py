"""Carries plans out on the event loop.

Promises: as `transport`; a task that is cancelled cancels its call.
Invariants: a transport belongs to the event loop that made it.
Concurrency: any number of tasks of that loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from vecdb.client.failures import cut_off, failure
from vecdb.client.methods import METHODS
from vecdb.client.plans import Invoke, Open, Plan, Pull, Receive, Send, Sleep, T
from vecdb.client.transport import CLOSED, FORKED, Metadata, serialised
from vecdb.errors import CancelledError, ClosedError, VecDBError


class AsyncTransport:
    """A channel and what runs plans over it."""

    def __init__(self, channel: grpc.aio.Channel, address: str, metadata: Metadata) -> None:
        self.address = address
        self._channel = channel
        self._metadata = metadata
        self._pid = os.getpid()
        self._closed = asyncio.Event()
        self._callables: dict[Any, Callable[..., Any]] = {
            method: getattr(channel, method.kind)(
                method.path,
                request_serializer=serialised,
                response_deserializer=method.reply.FromString,
            )
            for method in METHODS
        }
        self._performers: dict[type, Callable[[Any], Awaitable[Any]]] = {
            Invoke: self._invoke,
            Open: self._open,
            Send: lambda effect: effect.stream.send(effect.message),
            Receive: lambda effect: effect.stream.receive(),
            Sleep: self._sleep,
            Pull: _pull,
        }

    async def run(self, plan: Plan[T]) -> T:
        """Run a plan to its end."""
        try:
            self.check_open()
            effect = next(plan)
            while True:
                try:
                    answer = await self._performers[type(effect)](effect)
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

    async def close(self) -> None:
        """End the connection; calls under way end with ClosedError. Closing twice is harmless."""
        if os.getpid() == self._pid and not self._closed.is_set():
            self._closed.set()
            await self._channel.close()

    def fail(self, error: Any, method: Any) -> VecDBError:
        """What to raise for an error of gRPC."""
        found = failure(error, self.address, method.name)
        if isinstance(found, CancelledError):
            return ClosedError(CLOSED) if self._closed.is_set() else cut_off(found, self.address)
        return found

    async def _invoke(self, effect: Invoke) -> Any:
        try:
            call = self._callables[effect.method](effect.request, timeout=effect.timeout_s, metadata=self._metadata)
            return await call
        except grpc.RpcError as error:
            raise self.fail(error, effect.method) from None
        except asyncio.CancelledError:
            if self._closed.is_set() and not _is_cancelling():
                raise ClosedError(CLOSED) from None
            raise
        except grpc.aio.UsageError:
            self.check_open()  # gRPC's error of a closed channel
            raise

    async def _open(self, effect: Open) -> AsyncOpenStream:
        arguments = () if effect.request is None else (effect.request,)
        try:
            call = self._callables[effect.method](*arguments, timeout=effect.timeout_s, metadata=self._metadata)
        except grpc.aio.UsageError:
            self.check_open()
            raise
        return AsyncOpenStream(self, effect.method, call)

    async def _sleep(self, effect: Sleep) -> None:
        try:
            await asyncio.wait_for(self._closed.wait(), effect.seconds)
        except TimeoutError:
            return
        raise ClosedError(CLOSED)


class AsyncOpenStream:
    """A stream under way."""

    def __init__(self, transport: AsyncTransport, method: Any, call: Any) -> None:
        self._transport, self._method, self._call = transport, method, call

    async def send(self, message: Any) -> None:
        """Send a message; None when there are no more."""
        try:
            if message is None:
                await self._call.done_writing()
            else:
                await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the stream has ended; why, the next `receive` says

    async def receive(self) -> Any:
        """The next message, None at the end."""
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            raise self._transport.fail(error, self._method) from None
        except asyncio.CancelledError:
            if self._transport.is_closed and not _is_cancelling():
                raise ClosedError(CLOSED) from None
            raise
        return None if message is grpc.aio.EOF else message

    def cancel(self) -> None:
        """Give the stream up."""
        self._call.cancel()


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _pull(effect: Pull) -> tuple[Any, ...]:
    source: Any = effect.source
    if isinstance(source, AsyncIterator):
        async for item in source:
            return (item,)
        return ()
    for item in source:
        return (item,)
    return ()
