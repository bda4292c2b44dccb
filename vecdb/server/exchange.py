"""Carries one call from its admission to its status.

Promises: bodies are received one at a time and only when the servicer is ready for them; the bytes held count against
the budget of the server. A stream of requests ends with UNAVAILABLE at the next message once the server drains, and
with UNAUTHENTICATED once its key has expired or was withdrawn.
Invariants: `observe` and `leave` have an effect once.
Concurrency: one thread answers a call; `is_quiet` may be asked from another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, NoReturn, Protocol, TypeAlias

import grpc

from vecdb.config import DRAIN_QUIET_S
from vecdb.errors import LimitExceededError, MalformedRequestError
from vecdb.server.answering import Turns, do_afterwards
from vecdb.server.call import Call
from vecdb.server.principals import NOBODY, Principal
from vecdb.server.refusals import as_error, discreet, status_of, stopping

if TYPE_CHECKING:
    from vecdb.server.admission import Ticket
    from vecdb.server.answering import AnsweringThreads
    from vecdb.server.dispatch import Dispatch, Route
    from vecdb.server.tracing import Span, Tracer


class Outcome(NamedTuple):
    """What there is to say of a call that ended; nothing of its contents."""

    method: str
    principal: str
    peer: str
    code: str
    seconds: float
    received_bytes: int
    sent_bytes: int
    request_id: str
    is_refused: bool


Observer: TypeAlias = Callable[[Outcome], None]


class KnownRequests(Protocol):
    """What knows the replies to requests of one RPC from their bytes."""

    is_quick: ClassVar[bool]
    body_bytes_max: ClassVar[int]

    def knows(self, body: bytes) -> bool:
        """Whether there might be an answer."""

    def answer(self, body: bytes, principal: Principal) -> bytes | None:
        """The reply that the servicer would send; None when that is not known."""

    def learn(self, body: bytes, message: Any) -> None:
        """Take notice of a request that was answered."""


OK: Final = grpc.StatusCode.OK.name
"""Spelled once: an enum takes longer to say its name than the counters take to count."""


class Exchange:
    """One call: what is known of it, what it holds, and how it ends."""

    __slots__ = (
        "_body",
        "_cancel",
        "_dispatch",
        "_is_observed",
        "_span",
        "_touched",
        "_turns",
        "_unanswered",
        "_waits",
        "metadata",
        "principal",
        "received_bytes",
        "request_id",
        "route",
        "sent_bytes",
        "started",
        "ticket",
        "was_passed_on",
    )

    def __init__(self, dispatch: Dispatch, route: Route, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        self._dispatch = dispatch
        self.started = self._touched = time.monotonic()
        self._waits = self._is_observed = self.was_passed_on = False
        self._turns: Turns | None = None
        self._cancel: Callable[[], object] | None = None
        self._body: bytes | None = None
        self._span: Span | None = None
        self.route = route
        self.metadata = metadata
        self.request_id = "-"
        self.principal: Principal | None = None
        self.ticket: Ticket | None = None
        self.received_bytes = self.sent_bytes = self._unanswered = 0

    @property
    def method(self) -> str:
        """Full name of the RPC."""
        return self.route.method

    # --- from the door to the servicer ------------------------------------------------------------------------------

    def become(self, principal: Principal) -> None:
        """Go on as `principal`, if the rule and its own limit let it."""
        assert self.ticket is not None
        self.principal = principal
        self.route.rule.admit(principal)
        self.ticket.belong(principal.id)

    def trace(self, tracer: Tracer) -> None:
        """Begin the span of the call."""
        self._span = tracer.begin(self.method, self.metadata)

    def begin(self, context: grpc.ServicerContext) -> Call:
        """Make the Call, in the thread that answers: last checks before the body is received."""
        if self.route.is_stream:
            self._dispatch.streams.add(self)
        self._cancel = context.cancel
        if self.principal is None:
            self._dispatch.identify(self, context)
        assert self.principal is not None
        return Call(context, self.method, self.principal, self.request_id, self._dispatch.draining)

    def argument(self, bodies: Iterator[bytes], call: Call) -> Any:
        """What the servicer takes: the one message, or an iterator over them."""
        if self.route.takes_stream:
            return self._messages(bodies, call)
        body, self._body = self._body, None
        if body is None:
            body = self._awaited(bodies)
        known = self.route.known
        if known is not None and len(body) <= known.body_bytes_max:
            self._body = body
        return self._message(body)

    def learn(self, message: Any) -> None:
        """Know the request, which was answered, when it comes again."""
        if self._body is not None and self.route.known is not None:
            self.route.known.learn(self._body, message)
        self._body = None

    def _awaited(self, bodies: Iterator[bytes]) -> bytes:
        """The one body, which has not been received early."""
        self._dispatch.receiving.add(self)
        try:
            body = next(bodies, None)
        finally:
            self._dispatch.receiving.discard(self)
        if body is None:
            raise MalformedRequestError(f"{self.method} takes one message, and none came")
        return body

    def expect(self, cancel: Callable[[], object]) -> None:
        """Say that the body is awaited; `cancel` gives the call up."""
        self._cancel = cancel
        self._dispatch.receiving.add(self)

    def take(self, body: bytes | None) -> None:
        """Say that the body is there; None when it will not come."""
        self._dispatch.receiving.discard(self)
        self._body = body

    @property
    def may_be_known(self) -> bool:
        """Whether the reply to the body that was taken may be known, and be given on the spot."""
        known = self.route.known
        return known is not None and known.is_quick and self._body is not None

    def known_reply(self) -> bytes | None:
        """The reply to the body that was taken, if that is known (see `known_searches`).

        In the serving thread its bytes are not counted: they are let go of before anything else is received.
        """
        known, body, principal = self.route.known, self._body, self.principal
        if known is None or body is None or principal is None:
            return None
        reply = known.answer(body, principal)
        if reply is None or len(reply) > self._dispatch.reply_bytes_max:
            return None
        self.received_bytes, self.sent_bytes = len(body), len(reply)
        return reply

    def known_reply_in_turn(self, call: Call) -> bytes | None:
        """As `known_reply`, by the thread of the call, for what takes long enough to have a turn."""
        known, body = self.route.known, self._body
        if known is None or known.is_quick or body is None or not known.knows(body):
            return None
        self._hold(len(body))
        self._take_turn_of(self._dispatch.reads, call)
        reply = self.known_reply()
        if reply is None:
            self.end_turn()
        else:
            self._body = None
        return reply

    def give_up_after(self, seconds: float) -> None:
        """Cancel the call if it is that old and its body is still not there."""
        if self._cancel is not None and time.monotonic() - self.started > seconds:
            self._cancel()

    def take_turn(self, call: Call, message: Any) -> None:
        """Wait until the call may work, at most until its deadline. Streams, and what is passed on, need not wait."""
        turns = self._dispatch.turns_for(self.route, message)
        if turns is not None:
            self._take_turn_of(turns, call)

    def _take_turn_of(self, turns: Turns, call: Call) -> None:
        is_free = turns.take_free()
        if is_free or turns.take(call.remaining_s):
            self._turns = turns
        if not (is_free and self.route.is_read):  # a read that did not wait is as quickly done as looked after
            call.check()

    def end_turn(self) -> None:
        """Let another call work."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.give_back()

    def _messages(self, bodies: Iterator[bytes], call: Call) -> Iterator[Any]:
        while True:
            self._hold(0)
            if self._dispatch.draining.is_set():
                raise stopping()
            self._waits = True
            try:
                body = next(bodies, None)
            except grpc.RpcError as error:
                raise as_error(error, self.method) from error
            finally:
                self._waits = False
                self._touched = time.monotonic()
            if body is None:
                call.check()  # a stream that was cut off looks like one that ended
                return
            assert self.principal is not None
            self.principal = call.principal = self._dispatch.renewed(self.principal)
            yield self._message(body)

    def _message(self, body: bytes) -> Any:
        self._hold(len(body))
        self.received_bytes += len(body)
        self._unanswered += 1
        try:
            message = self.route.read(body)
        except Exception as error:
            raise MalformedRequestError(
                f"the {len(body)} bytes of a request of {self.method} are not the protobuf message that it takes"
            ) from error
        assert self.principal is not None
        self.route.rule.check(self.principal, message)
        return message

    def _hold(self, count: int) -> None:
        if self.ticket is not None:
            self.ticket.hold(count)

    # --- from the servicer to the client ----------------------------------------------------------------------------

    def reply(self, message: Any) -> bytes:
        """A reply as bytes, which it may be already. LimitExceededError when no client would take it."""
        body = message if type(message) is bytes else self.route.write(message)
        if len(body) > self._dispatch.reply_bytes_max:
            raise LimitExceededError(
                f"the reply of {self.method} has {len(body)} bytes; the server sends at most "
                f"{self._dispatch.reply_bytes_max}: ask for less at a time",
                reply_bytes=len(body),
            )
        self.sent_bytes += len(body)
        self._unanswered -= 1
        self._touched = time.monotonic()
        return body

    def fail(self, context: grpc.ServicerContext, error: BaseException) -> NoReturn:
        """End the call with the status of `error`."""
        status = status_of(discreet(as_error(error, self.method), self.principal or NOBODY))
        self.observe(context, status.code)
        context.abort_with_status(status)
        raise AssertionError("abort_with_status returned")

    def observe(self, context: grpc.ServicerContext, code: grpc.StatusCode, *, refused: bool = False) -> None:
        """Tell the observers how the call ended; only the first time counts."""
        if self._is_observed:
            return
        self._is_observed = True
        name = OK if code is grpc.StatusCode.OK else code.name
        observers = () if self.was_passed_on else self._dispatch.observers  # the worker has observers of its own
        if observers:
            outcome = Outcome(
                self.route.method,
                (self.principal or NOBODY).id,
                context.peer(),
                name,
                time.monotonic() - self.started,
                self.received_bytes,
                self.sent_bytes,
                self.request_id,
                refused,
            )
            for observer in observers:
                observer(outcome)
        if self._span is not None:
            self._span.finish(name)

    def leave(self) -> None:
        """Give the place of the call back."""
        if self.route.is_stream:
            self._dispatch.streams.discard(self)
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.leave()

    @property
    def is_quiet(self) -> bool:
        """True when the call has for a while done nothing but wait for its client: all it was sent has a reply.

        A servicer may read ahead in a thread of its own, so waiting for a message alone does not tell.
        """
        return self._waits and self._unanswered <= 0 and time.monotonic() - self._touched > DRAIN_QUIET_S


class Answer:
    """What gRPC takes as the handler of one call: one that takes a stream of bodies, and is called with them."""

    __slots__ = ("_exchange", "experimental_thread_pool")

    request_streaming: ClassVar = True
    request_deserializer: ClassVar = None
    response_serializer: ClassVar = None

    def __init__(self, exchange: Exchange, threads: AnsweringThreads) -> None:
        self._exchange = exchange
        self.experimental_thread_pool = threads


class SingleAnswer(Answer):
    """Answers a call with one message, and observes a call that went well once its reply is on its way."""

    __slots__ = ("_argument", "_context")

    response_streaming: ClassVar = False

    @property
    def stream_unary(self) -> SingleAnswer:
        """What gRPC calls."""
        return self

    # --- by whoever receives the message early (see `early_receipt`) --------------------------------------------------

    @property
    def exchange(self) -> Exchange:
        """The call."""
        return self._exchange

    def at_once(self) -> bytes | None:
        """The reply if it is known; the call's place is free then."""
        reply = self._exchange.known_reply()
        if reply is not None:
            self._exchange.leave()
        return reply

    def observe(self, context: grpc.ServicerContext) -> None:
        """Say that the call went well."""
        self._exchange.observe(context, grpc.StatusCode.OK)

    # --- by gRPC ----------------------------------------------------------------------------------------------------

    def __call__(self, bodies: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        exchange, self._context, self._argument = self._exchange, context, None
        try:
            call = exchange.begin(context)
            body = exchange.known_reply_in_turn(call)
            if body is None:
                argument = self._argument = exchange.argument(bodies, call)
                exchange.take_turn(call, argument)
                body = exchange.reply(exchange.route.behavior(argument, call))
            do_afterwards(self._observe)
        except Exception as error:  # noqa: BLE001 - the one place where every failure becomes a status
            exchange.fail(context, error)
        finally:
            exchange.end_turn()
            exchange.leave()
        return body

    def _observe(self) -> None:
        self.observe(self._context)
        self._exchange.learn(self._argument)  # nothing where the reply was known


class StreamAnswer(Answer):
    """Answers a call with a stream of messages."""

    __slots__ = ()

    response_streaming: ClassVar = True

    @property
    def stream_stream(self) -> StreamAnswer:
        """What gRPC calls."""
        return self

    def __call__(self, bodies: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        exchange = self._exchange
        code = grpc.StatusCode.CANCELLED  # of a stream that its client leaves: gRPC drops this generator
        try:
            call = exchange.begin(context)
            call.check()
            replies = exchange.route.behavior(exchange.argument(bodies, call), call)
            for message in replies:
                yield exchange.reply(message)
            code = grpc.StatusCode.OK
        except Exception as error:  # noqa: BLE001 - as in SingleAnswer
            exchange.fail(context, error)
        finally:
            exchange.observe(context, code)
            exchange.leave()
