"""The one way by which calls of every kind get to a servicer.

Order, for unary calls and all kinds of streams alike: the table of scopes (an RPC that is not in it is denied), the API
key or client certificate, admission, and only then is the body received, parsed and checked against the collections it
names. Every RPC is registered with gRPC as one that takes a stream of bytes: that keeps gRPC from receiving a body
before the handler asks for it, and from parsing it in the one thread that serves all connections.

A call has a thread as soon as it is let in, and waits there for its body; only so many work at once. So clients that
send their bodies slowly, or never, hold places but no work up, and only for a limited time.

Promises: a call that is refused costs no thread of the pools and no memory for its body: it is answered by the thread
that accepted it. A VecDBError becomes its status; any other exception becomes INTERNAL with the number of an incident
that the log explains. Whatever happens, the place of the call is given back and the call is observed once.
Concurrency: `intercept_service` runs in gRPC's serving thread, answers in the threads of the pools.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from vecdb.config import BODY_WATCH_S, READS_PER_CPU
from vecdb.errors import PermissionDeniedError, VecDBError
from vecdb.server.admission import Admission
from vecdb.server.answering import AnsweringThreads, Turns
from vecdb.server.exchange import Exchange, Observer, SingleAnswer, StreamAnswer
from vecdb.server.identity import Identity
from vecdb.server.principals import Principal
from vecdb.server.refusals import as_error, status_of
from vecdb.server.scopes import Rule
from vecdb.server.tracing import Tracer

logger = logging.getLogger(__name__)

T = TypeVar("T")


class InlineExecutor(ThreadPoolExecutor):
    """Runs what it is given at once, in the thread that gives it; for answers that never wait."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` and return its finished future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future


class Refusal:
    """Answers a call with an error, without receiving its body."""

    __slots__ = ("_error", "_exchange", "experimental_thread_pool")

    def __init__(self, exchange: Exchange, error: VecDBError, executor: InlineExecutor) -> None:
        self._exchange = exchange
        self._error = error
        self.experimental_thread_pool = executor

    def __call__(self, _bodies: object, context: grpc.ServicerContext) -> bytes:
        status = status_of(self._error)
        self._exchange.observe(context, status.code, refused=True)
        context.abort_with_status(status)
        raise AssertionError("abort_with_status returned")


class Dispatch(grpc.ServerInterceptor):
    """Lets calls in, or refuses them."""

    def __init__(
        self,
        *,
        rules: Mapping[str, Rule],
        identity: Identity,
        admission: Admission,
        observers: Sequence[Observer],
        tracer: Tracer | None,
        reply_bytes_max: int,
        workers: int,
        calls_max: int,
        streams_max: int,
        body_timeout_s: float,
    ) -> None:
        self._rules = rules
        self._identity = identity
        self._tracer = tracer
        self.admission = admission
        self.observers = tuple(observers)
        self.reply_bytes_max = reply_bytes_max
        self.draining = threading.Event()
        self.streams: set[Exchange] = set()
        # a thread for every call let in: most wait, for their body or for their turn to work
        self.call_threads = AnsweringThreads(calls_max, thread_name_prefix="vecdb-call")
        self._stream_threads = AnsweringThreads(streams_max, thread_name_prefix="vecdb-stream")
        self._inline = InlineExecutor(1)
        self.work = Turns(workers)
        self.reads = Turns(min(workers, READS_PER_CPU * len(os.sched_getaffinity(0))))
        self.receiving: set[Exchange] = set()
        self._body_timeout_s = body_timeout_s
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._watch_bodies, name="vecdb-watch", daemon=True)
        self._watch.start()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Choose what answers a call, by its name and metadata alone. Must not raise."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        exchange = Exchange(self, handler, handler_call_details)
        try:
            self._let_in(exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            exchange.leave()
            refusal = Refusal(exchange, as_error(error, exchange.method), self._inline)
            return grpc.stream_unary_rpc_method_handler(refusal)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(StreamAnswer(exchange, self._stream_threads))
        threads = self._stream_threads if handler.request_streaming else self.call_threads
        return grpc.stream_unary_rpc_method_handler(SingleAnswer(exchange, threads))

    def identify(self, exchange: Exchange, context: grpc.ServicerContext) -> None:
        """Take the principal from the client's certificate, when the metadata had no key."""
        if exchange.principal is None:
            assert exchange.rule is not None
            exchange.become(self._identity.from_connection(context))

    def renewed(self, principal: Principal) -> Principal:
        """See `Identity.renewed`."""
        return self._identity.renewed(principal)

    @property
    def is_idle(self) -> bool:
        """True when nothing is under way but streams that wait for clients with nothing to say."""
        return self.admission.under_way <= sum(exchange.is_quiet for exchange in tuple(self.streams))

    def close(self) -> None:
        """End the threads, whose calls have all ended."""
        self._closed.set()
        self._watch.join()
        for threads in (self.call_threads, self._stream_threads):
            threads.shutdown(wait=True, cancel_futures=True)

    def _watch_bodies(self) -> None:
        """Give up calls whose one message does not arrive; their clients see them as cancelled."""
        while not self._closed.wait(BODY_WATCH_S):
            for exchange in tuple(self.receiving):
                exchange.give_up_after(self._body_timeout_s)

    def _let_in(self, exchange: Exchange) -> None:
        rule = self._rules.get(exchange.method)
        if rule is None:
            logger.error("%s has no rule in vecdb.server.scopes, so it is denied to everybody", exchange.method)
            raise PermissionDeniedError(f"{exchange.method} is not allowed")
        exchange.rule = rule
        exchange.request_id = self._identity.request_id(exchange.metadata)
        exchange.was_passed_on = self._identity.is_passed_on(exchange.metadata)
        principal = (
            self._identity.from_worker(exchange.metadata)
            if exchange.was_passed_on
            else self._identity.from_metadata(exchange.metadata, is_public=rule.is_public)
        )
        exchange.principal = principal  # now, so that the log names whoever is refused from here on
        exchange.ticket = self.admission.enter("streams" if exchange.is_stream else "calls")
        if principal is not None:
            exchange.become(principal)
        exchange.trace(self._tracer)
