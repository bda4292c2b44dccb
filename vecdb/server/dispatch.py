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
Concurrency: `service` runs in gRPC's serving thread, answers in the threads of the pools.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

import grpc

from vecdb.config import READS_PER_CPU
from vecdb.errors import PermissionDeniedError, VecDBError
from vecdb.server.admission import Admission, Lane
from vecdb.server.answering import Answering, AnsweringThreads, Turns
from vecdb.server.config import BODY_WATCH_S
from vecdb.server.early_receipt import EarlyThreads
from vecdb.server.exchange import Answer, Exchange, KnownRequests, Observer, SingleAnswer, StreamAnswer
from vecdb.server.identity import Identity
from vecdb.server.principals import Principal
from vecdb.server.refusals import as_error, status_of
from vecdb.server.scopes import DENIED, Rule
from vecdb.server.tracing import Tracer

logger = logging.getLogger(__name__)

T = TypeVar("T")


class InlineExecutor(AnsweringThreads):
    """Runs what it is given at once, in the thread that gives it; for answers that never wait."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn`."""
        assert not kwargs
        answering = Answering(fn, args)
        answering.run()
        return answering  # type: ignore[return-value]  # see AnsweringThreads


class Refusal(Answer):
    """Answers a call with an error, without receiving its body."""

    __slots__ = ("_error",)

    response_streaming = False

    def __init__(self, exchange: Exchange, error: VecDBError, executor: InlineExecutor) -> None:
        super().__init__(exchange, executor)
        self._error = error

    @property
    def stream_unary(self) -> Refusal:
        """What gRPC calls."""
        return self

    def __call__(self, _bodies: object, context: grpc.ServicerContext) -> bytes:
        status = status_of(self._error)
        self._exchange.observe(context, status.code, refused=True)
        context.abort_with_status(status)
        raise AssertionError("abort_with_status returned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """All that is the same for every call of one RPC."""

    method: str
    rule: Rule
    is_public: bool
    behavior: Callable[[Any, Any], Any]
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    takes_stream: bool
    gives_stream: bool
    is_stream: bool
    lane: Lane
    takes_turns: bool
    """Its calls work in this process, a few at a time."""
    is_read: bool
    """Its calls keep a CPU busy rather than wait for the disk."""
    known: KnownRequests | None


def route_of(method: str, handler: Any, rule: Rule, known: KnownRequests | None) -> Route:
    """The route of a handler as generated code makes it."""
    is_stream = handler.request_streaming or handler.response_streaming
    return Route(
        method=method,
        rule=rule,
        is_public=rule.is_public,
        behavior=handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream,
        read=handler.request_deserializer,
        write=handler.response_serializer,
        takes_stream=handler.request_streaming,
        gives_stream=handler.response_streaming,
        is_stream=is_stream,
        lane="streams" if is_stream else "calls",
        takes_turns=not is_stream and not rule.is_passed_on,
        is_read=rule.scope == "read",
        known=known,
    )


def seq_reader(kind: type) -> Callable[[Any], int]:
    """What finds the commit that a request waits for, 0 where it cannot name one. To ask a message for a field that it
    has not costs more than all else that is done to give a search its turn.
    """
    fields = kind.DESCRIPTOR.fields_by_name if hasattr(kind, "DESCRIPTOR") else {}
    if "min_seq" in fields:
        return attrgetter("min_seq")
    options = fields["options"].message_type if "options" in fields else None
    if options is not None and "min_seq" in options.fields_by_name:
        return attrgetter("options.min_seq")
    return lambda _message: 0


class Dispatch(grpc.GenericRpcHandler):
    """Lets calls in, or refuses them. Takes the place of a server while services are added to it."""

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
        slow_bodies_max: int,
        newest_seq: Callable[[], int] = lambda: 0,
        early_receipt: bool = True,
    ) -> None:
        """`newest_seq` tells which commit reads see; as many as `slow_bodies_max` calls may take their time to send."""
        self._rules = rules
        self._routes: dict[str, Route] = {}
        self._known: dict[str, KnownRequests] = {}
        self._identity = identity
        self._tracer = tracer
        self.admission = admission
        self.observers = tuple(observers)
        self.reply_bytes_max = reply_bytes_max
        self.draining = threading.Event()
        self.streams: set[Exchange] = set()
        # a thread for every call let in: most wait, for their body or for their turn to work
        self.call_threads = EarlyThreads(calls_max, thread_name_prefix="vecdb-call", is_early=early_receipt)
        self._stream_threads = AnsweringThreads(streams_max, thread_name_prefix="vecdb-stream")
        self._inline = InlineExecutor(1)
        self.writes, self.waits = Turns(workers), Turns(workers)
        self.reads = Turns(min(workers, READS_PER_CPU * len(os.sched_getaffinity(0))))
        self._newest_seq = newest_seq
        self._seq_readers: dict[type, Callable[[Any], int]] = {}
        self.receiving: set[Exchange] = set()
        self._body_timeout_s, self._slow_bodies_max = body_timeout_s, slow_bodies_max
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._watch_bodies, name="vecdb-watch", daemon=True)
        self._watch.start()

    def know(self, known: Mapping[str, KnownRequests]) -> None:
        """Have requests of some RPCs, which are added later, answered by what knows them."""
        self._known |= known

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: `add_registered_method_handlers` follows and has all that is needed."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Add the RPCs of one service, as generated code does."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            rule = self._rules.get(method, DENIED)
            self._routes[method] = route_of(method, handler, rule, self._known.get(method))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Choose what answers a call, by its name and metadata alone. Must not raise."""
        route = self._routes.get(handler_call_details.method)
        if route is None:
            return None
        exchange = Exchange(self, route, handler_call_details.invocation_metadata or ())
        answer: Any
        try:
            self._let_in(exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            exchange.leave()
            answer = Refusal(exchange, as_error(error, route.method), self._inline)
        else:
            threads = self._stream_threads if route.is_stream else self.call_threads
            answer = StreamAnswer(exchange, threads) if route.gives_stream else SingleAnswer(exchange, threads)
        handler: grpc.RpcMethodHandler[Any, Any] = answer  # what gRPC looks at of one
        return handler

    def identify(self, exchange: Exchange, context: grpc.ServicerContext) -> None:
        """Take the principal from the client's certificate: the metadata had no key."""
        exchange.become(self._identity.from_connection(context))

    def turns_for(self, route: Route, message: Any) -> Turns | None:
        """Which turns a call takes to work; None when it needs none.

        Reads keep a CPU busy, so few work at once. Writes mostly wait for the disk, and reads of a commit that is not
        there yet for writes: they have turns of their own, so that none of them holds up what they wait for.
        """
        if not route.takes_turns:
            return None
        if not route.is_read:
            return self.writes
        kind = type(message)
        reader = self._seq_readers.get(kind)
        if reader is None:
            reader = self._seq_readers[kind] = seq_reader(kind)
        min_seq = reader(message)
        return self.waits if min_seq and min_seq > self._newest_seq() else self.reads

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
        """Give up calls whose one message does not arrive; their clients see them as cancelled.

        What has come of a message is not counted yet. So of the calls that keep it waiting, those begun last are given
        up at once if all of them could together bring more than may be held.
        """
        while not self._closed.wait(BODY_WATCH_S):
            for place, exchange in enumerate(sorted(self.receiving, key=attrgetter("started"))):
                exchange.give_up_after(self._body_timeout_s if place < self._slow_bodies_max else BODY_WATCH_S)

    def _let_in(self, exchange: Exchange) -> None:
        route, identity, metadata = exchange.route, self._identity, exchange.metadata
        if route.rule is DENIED:
            logger.error("%s has no rule in vecdb.server.scopes, so it is denied to everybody", route.method)
            raise PermissionDeniedError(f"{route.method} is not allowed")
        exchange.request_id = identity.request_id(metadata)
        exchange.was_passed_on = identity.is_passed_on(metadata)
        principal = (
            identity.from_worker(metadata)
            if exchange.was_passed_on
            else identity.from_metadata(metadata, is_public=route.is_public)
        )
        exchange.principal = principal  # now, so that the log names whoever is refused from here on
        if principal is None:
            exchange.ticket = self.admission.enter(route.lane)
        else:
            route.rule.admit(principal)
            exchange.ticket = self.admission.enter(route.lane, principal.id)
        if self._tracer is not None:
            exchange.trace(self._tracer)
