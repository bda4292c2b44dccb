"""Receives the one message of a call before the call has a thread, and answers on the spot what is known already.

gRPC has a thread begin each call, ask for its message and wait for it: the thread that serves all connections receives
it and wakes the other up. Here the serving thread asks for the message itself, as soon as the call is let in. Once it
is there, a search that is known (see `known_searches`) is answered on the spot; all else gets a thread, and its message
with it. So a call changes threads two times less, or never, and one whose message is late holds no thread.
That is what gRPC does, in another order, by parts of it that are not public. It is done with the releases in which it
was tried, if they have these parts, and left to gRPC in all others.
Promises: nothing is received of a call whose caller is not known yet. Where searches take long, because they work a lot
or wait for the disk, threads make them: the serving thread notices after a few, and tries again a second later.
Concurrency: `submit`, and all that follows a message, run in gRPC's serving thread.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

from vecdb.server.answering import AnsweringThreads, Ended
from vecdb.server.config import AT_ONCE_MOST_S, AT_ONCE_PAUSE_S, AT_ONCE_S, AT_ONCE_SAMPLES
from vecdb.server.exchange import Exchange, SingleAnswer
from vecdb.server.grpc_setup import is_known_release

logger = logging.getLogger(__name__)

T = TypeVar("T")

ARGUMENTS: Final = 7
"""What gRPC begins a call with: how, its event, its state, what answers it, where its message comes from, two more."""


MODULES: Final = "grpc._cython.cygrpc", "grpc._server"
PRIVATE: Final = "_receive_message", "_RECEIVE_MESSAGE_TOKEN", "_status", "_Context"


class Parts(NamedTuple):
    """The parts of gRPC that are used: ReceiveMessageOperation, and those of PRIVATE."""

    operation: Callable[[int], Any]
    receive_message: Callable[[Any, Any, None], Callable[[Any], Any]]
    token: Any
    send: Callable[[Any, Any, bytes], None]
    context: Callable[[Any, Any, None], Any]


def parts() -> Parts | None:
    """What there is in this release of grpcio; None when it is not as it was where this was tried."""
    if not is_known_release():
        return None
    try:
        core, server = map(importlib.import_module, MODULES)
        return Parts(core.ReceiveMessageOperation, *(getattr(server, name) for name in PRIVATE))
    except (ImportError, AttributeError):
        return None


class EarlyThreads(AnsweringThreads):
    """Threads that get calls together with their messages, where that is possible."""

    def __init__(self, max_workers: int, thread_name_prefix: str = "", *, is_early: bool = True) -> None:
        """Without `is_early` all is left to gRPC."""
        super().__init__(max_workers, thread_name_prefix)
        self.parts = parts() if is_early else None
        self._typical_s = self._waits_until = 0.0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Ask for the message of a call, or have a thread do so where the caller is known by the connection alone."""
        if self.parts is None or len(args) != ARGUMENTS:
            return super().submit(fn, *args, **kwargs)
        _, event, state, answer, _, _, _ = args
        if type(answer) is not SingleAnswer or (exchange := answer.exchange).principal is None:
            return super().submit(fn, *args, **kwargs)
        receipt = Receipt(self, self.parts, fn, args, exchange)
        exchange.expect(event.call.cancel)
        event.call.start_server_batch((self.parts.operation(0),), receipt.take)
        state.due.add(self.parts.token)
        return receipt  # type: ignore[return-value]  # see AnsweringThreads

    def at_once(self, answer: SingleAnswer) -> bytes | None:
        """The reply to a call whose message is there, if it is known and does not take long."""
        begun = time.monotonic()
        if begun < self._waits_until:
            return None
        reply = answer.at_once()
        if reply is not None:
            ended = time.monotonic()
            self._typical_s += (min(ended - begun, AT_ONCE_MOST_S) - self._typical_s) / AT_ONCE_SAMPLES
            if self._typical_s > AT_ONCE_S:
                self._waits_until, self._typical_s = ended + AT_ONCE_PAUSE_S, 0.0
        return reply


class Receipt:
    """A call whose message is on its way; as much of a future as gRPC asks for."""

    __slots__ = ("_arguments", "_ended", "_exchange", "_function", "_parts", "_receive", "_threads")

    def __init__(
        self,
        threads: EarlyThreads,
        used: Parts,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        exchange: Exchange,
    ) -> None:
        self._threads, self._parts, self._exchange = threads, used, exchange
        self._function, self._arguments = function, arguments
        self._receive = used.receive_message(arguments[2], None, None)
        self._ended: Ended | None = None

    def add_done_callback(self, callback: Ended) -> None:
        """Have `callback` called when the call was answered. gRPC says so once, before it looks for messages again."""
        self._ended = callback

    def take(self, event: Any) -> Any:
        """What gRPC calls when the message is there, or will not come. Must not raise."""
        followed = self._receive(event)
        try:
            self._go_on()
        except BaseException:
            logger.exception("a call could not be answered")
            self._exchange.leave()
            self._arguments[1].call.cancel()
            self._tell(self)
        return followed

    def _go_on(self) -> None:
        _, event, state, answer, _, _, _ = self._arguments
        body, state.request = state.request, None
        self._exchange.take(body)
        reply = self._threads.at_once(answer) if self._exchange.may_be_known else None
        if reply is None:
            answering: Any = AnsweringThreads.submit(self._threads, self._function, *self._arguments)
            answering.add_done_callback(self._tell)
            return
        self._parts.send(event, state, reply)
        answer.observe(self._parts.context(event, state, None))
        self._tell(self)

    def _tell(self, ended: Any) -> None:
        callback, self._ended = self._ended, None
        if callback is not None:
            callback(ended)
