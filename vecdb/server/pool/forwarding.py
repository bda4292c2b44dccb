"""Passes calls on to the writer, as the bytes they came in, and its answers back.

A worker lets a call in as any server does: table, key, admission. What it then does not answer itself it does not
parse either: the writer checks the message, against the grants of the same principal, whose id goes along.
Promises: everything that needs more than a reader is passed on: each RPC whose scope is not read, and those named in
WRITER_READS. A new RPC that writes is passed on without anybody's doing. The caller gets the writer's status with all
its details; where the writer went away, UNAVAILABLE, which says nothing of whether the write was done. While the writer
restarts, calls wait for it until their deadline. No metadata of the caller goes along.
Concurrency: any thread; a stream has one thread more, which sends.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.rpc.status_pb2 import Status

from vecdb.config import RETRY_AFTER_S
from vecdb.errors import CancelledError, DeadlineExceededError, OverloadedError, UnavailableError, VecDBError
from vecdb.server.admission import refuse
from vecdb.server.app import ServiceBinding
from vecdb.server.identity import PASS, PASSED_PRINCIPAL
from vecdb.server.pool.config import OPENED_S, PASSED_SHARE, RECONNECT_MAX_MS, RECONNECT_MIN_MS
from vecdb.server.scopes import RULES, Rule
from vecdb.wire.status import error_of

if TYPE_CHECKING:
    from vecdb.server.call import Call
    from vecdb.server.settings import ServerConfig

DETAILS: Final = "grpc-status-details-bin"

WRITER_READS: Final = frozenset({"/vecdb.v1.AdminService/GetServerInfo"})
"""What reads and yet needs the writer: it alone knows the damage that the scrub has met."""


class PassedRule(Rule):
    """A rule of which a worker checks what it can without the message; the writer checks the rest."""

    @property
    def is_passed_on(self) -> bool:
        """True: the call waits for another process and does not work here."""
        return True

    def check(self, principal: object, message: object) -> None:
        """Nothing: the message was not parsed."""


def is_passed_on(method: str) -> bool:
    """True for RPCs that a worker cannot answer."""
    return RULES[method].scope != "read" or method in WRITER_READS


def worker_rules() -> Mapping[str, Rule]:
    """The table of scopes for a worker."""
    return {
        method: PassedRule(rule.scope, rule.about) if is_passed_on(method) else rule for method, rule in RULES.items()
    }


class Forwarder:
    """A worker's connection to the writer."""

    def __init__(self, address: str, secret: str, config: ServerConfig) -> None:
        self._secret = secret
        self._places = threading.Semaphore(max(1, int(config.max_concurrent_rpcs * PASSED_SHARE)))
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.initial_reconnect_backoff_ms", RECONNECT_MIN_MS),
                ("grpc.min_reconnect_backoff_ms", RECONNECT_MIN_MS),
                ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_retries", 0),
            ],
        )

    def close(self) -> None:
        """Cut the connection."""
        self._channel.close()

    def bindings(self, bindings: Sequence[ServiceBinding]) -> list[ServiceBinding]:
        """The same services, with the RPCs that need the writer passed on to it."""
        return [replace(binding, add=self._diverted(binding.add)) for binding in bindings]

    def _diverted(self, add: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        return lambda servicer, server: add(servicer, Diversion(server, self))

    def handler(self, method: str, local: Any) -> Any:
        """What answers one RPC in place of `local`."""
        if local.response_streaming:
            opener = self._channel.stream_stream if local.request_streaming else self._channel.unary_stream
            passing: Any = Streaming(self, method, opener(method), is_bidirectional=local.request_streaming)
            make = (
                grpc.stream_stream_rpc_method_handler
                if local.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(passing, _same, _same)
        return grpc.unary_unary_rpc_method_handler(
            Single(self, method, self._channel.unary_unary(method)), _same, _same
        )

    def options(self, call: Call) -> dict[str, Any]:
        """How a call is made: in the name of its principal, for as long as it may take."""
        metadata = [(PASS, self._secret), (PASSED_PRINCIPAL, call.principal.id), ("x-request-id", call.request_id)]
        return {"metadata": metadata, "timeout": call.remaining_s, "wait_for_ready": True}

    def take_place(self) -> None:
        """Count one more that waits for the writer. OverloadedError when too many do."""
        if not self._places.acquire(blocking=False):
            refuse("too many calls wait for the writer")

    def leave_place(self) -> None:
        """See `take_place`."""
        self._places.release()


class Diversion:
    """Takes the place of a server while a service is added to it, and exchanges what answers some of the RPCs."""

    def __init__(self, server: grpc.Server, forwarder: Forwarder) -> None:
        self._server: Any = server
        self._forwarder = forwarder

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: `add_registered_method_handlers` follows and has all that is needed."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Add the RPCs of one service."""
        exchanged = {}
        for name, local in handlers.items():
            method = f"/{service}/{name}"
            exchanged[name] = self._forwarder.handler(method, local) if is_passed_on(method) else local
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, exchanged),))
        self._server.add_registered_method_handlers(service, exchanged)


class Single:
    """Passes one message on, and one back."""

    def __init__(self, forwarder: Forwarder, method: str, ask: Any) -> None:
        self._forwarder = forwarder
        self._method = method
        self._ask = ask

    def __call__(self, body: bytes, call: Call) -> bytes:
        self._forwarder.take_place()
        try:
            answer = self._ask.future(body, **self._forwarder.options(call))
            call.on_end(answer.cancel)
            reply: bytes = answer.result()
        except grpc.FutureCancelledError:
            raise CancelledError(f"{self._method} was cancelled by its caller") from None
        except grpc.RpcError as error:
            raise failure(error, call) from error
        finally:
            self._forwarder.leave_place()
        return reply


class Streaming:
    """Passes a stream back, and one there when there are two."""

    def __init__(self, forwarder: Forwarder, method: str, ask: Any, *, is_bidirectional: bool) -> None:
        self._forwarder = forwarder
        self._method = method
        self._ask = ask
        self._is_bidirectional = is_bidirectional

    def __call__(self, sent: Any, call: Call) -> Iterator[bytes]:
        feed = Feed(sent) if self._is_bidirectional else None
        answers = self._ask(sent if feed is None else feed.messages(), **self._forwarder.options(call))
        if feed is not None:
            feed.opened.put(answers.cancel)
        call.on_end(answers.cancel)
        try:
            yield from answers
        except grpc.RpcError as error:
            if feed is not None and feed.error is not None:
                raise feed.error from error
            raise failure(error, call) from error
        finally:
            if feed is not None:
                feed.ended.set()
            answers.cancel()


class Feed:
    """What a caller sends, on its way to the writer."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self.ended = threading.Event()
        self.opened: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.error: VecDBError | None = None

    def messages(self) -> Iterator[bytes]:
        """The messages; in gRPC's sending thread."""
        try:
            yield from self._source
        except UnavailableError:
            # The server drains. So does the writer: it answers what it got, says so, and ends the stream.
            self.ended.wait()
        except VecDBError as error:
            # What is raised here gRPC would log with its traceback, though it is the caller's doing: the call is cut.
            self.error = error
            try:
                cut = self.opened.get(timeout=OPENED_S)
            except queue.Empty:
                raise error from None
            cut()


def failure(error: Any, call: Call) -> VecDBError:
    """The error of a call that the writer did not answer as hoped."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            return error_of(Status.FromString(value))
    code: grpc.StatusCode = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceededError(f"the deadline of {call.method} passed before the writer answered")
    if code is grpc.StatusCode.CANCELLED and call.is_cancelled:
        return CancelledError(f"{call.method} was cancelled by its caller")
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
        return UnavailableError("the writer went away during the call; try again", retry_after_s=RETRY_AFTER_S)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return OverloadedError("the writer has too much to do; try again", retry_after_s=RETRY_AFTER_S)
    return error_of(Status(code=code.value[0], message=error.details() or ""))


def _same(body: bytes) -> bytes:
    return body
