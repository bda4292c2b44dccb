"""How calls get in, how they end, and that nothing of them is left behind. Every server here is a real one."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from tests.unit.server.conftest import Serve, Served
from tests.unit.server.echo import METHODS, bindings, call_raw, code_of, message_of
from vecdb._pb.v1 import search_service_pb2
from vecdb.errors import CollectionNotFoundError, DeadlineExceededError
from vecdb.server.app import serving
from vecdb.server.call import Call
from vecdb.server.settings import ServerConfig
from vecdb.wire.status import error_of

SEARCH = "/vecdb.v1.SearchService/Search"
STREAM = "/vecdb.v1.SearchService/SearchStream"
EXPORT = "/vecdb.v1.ExportService/Export"
OF_EACH_KIND = [SEARCH, EXPORT, STREAM]
"""One RPC of each kind that the protocol has: unary, server stream, bidirectional stream."""

Code = grpc.StatusCode
WAIT_S = 20


def _settle(served: Served) -> None:
    """Wait until the server has nothing under way: a client learns of its status a little before the place is free."""
    admission = served.service.dispatch.admission
    for _ in range(1_000):
        if admission.under_way == 0:
            break
        threading.Event().wait(0.01)
    assert (admission.under_way, admission.bytes_held) == (0, 0)


def _error(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("path", sorted(METHODS))
def test_every_rpc_of_every_kind_is_answered(served: Served, path: str) -> None:
    body = message_of(METHODS[path].input_type)().SerializeToString()
    call_raw(served.channel, path, body)
    _settle(served)


def test_messages_get_through_as_they_are(serve: Serve) -> None:
    seen = []

    def search(request: Any, _call: Call) -> Any:
        seen.append(request.collection)
        return search_service_pb2.SearchResponse(hits=search_service_pb2.Hits(counts=[7]))

    body = search_service_pb2.SearchRequest(collection="docs").SerializeToString()
    replies = call_raw(serve(Search=search).channel, SEARCH, body)
    assert seen == ["docs"]
    assert search_service_pb2.SearchResponse.FromString(replies[0]).hits.counts == [7]


@pytest.mark.parametrize("path", OF_EACH_KIND)
@pytest.mark.parametrize("body", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab"], ids=["tag", "huge", "short"])
def test_a_malformed_body_is_the_callers_fault(served: Served, path: str, body: bytes) -> None:
    error: Any = _error(lambda: call_raw(served.channel, path, body))
    assert error.code() == Code.INVALID_ARGUMENT
    _settle(served)


def _enclosed(field: int, body: bytes) -> bytes:
    """A message whose `field` is the message `body`, on the wire."""
    length, size = len(body), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([field << 3 | 2, *size, length]) + body


def test_a_filter_nested_beyond_measure_is_the_callers_fault(served: Served) -> None:
    filters = b""
    for _ in range(10_000):
        filters = _enclosed(3, filters)  # Filter.negated
    body = _enclosed(3, _enclosed(6, filters))  # SearchRequest.options, SearchOptions.filter
    shallow = search_service_pb2.SearchRequest.FromString(_enclosed(3, _enclosed(6, _enclosed(3, b""))))
    assert shallow.options.filter.HasField("negated")
    assert code_of(lambda: call_raw(served.channel, SEARCH, body)) == Code.INVALID_ARGUMENT


def test_a_call_without_any_message_is_the_callers_fault(serve: Serve) -> None:
    served = serve()
    call = served.channel.stream_stream(SEARCH)
    assert code_of(lambda: list(call(iter([]), timeout=WAIT_S))) == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("path", OF_EACH_KIND)
def test_an_unexpected_exception_tells_the_client_only_an_incident(serve: Serve, path: str) -> None:
    def fail(_request: Any, _call: Call) -> Any:
        raise ValueError("canary")

    served = serve(Search=fail, Export=fail, SearchStream=fail)
    error: Any = _error(lambda: call_raw(served.channel, path, b""))
    assert error.code() == Code.INTERNAL
    assert "canary" not in error.details()
    incident = error.details().split()[-1]
    assert f"incident {incident}" in served.log_text()
    _settle(served)


def test_an_exception_in_the_middle_of_a_stream_ends_it(serve: Serve) -> None:
    def export(_request: Any, _call: Call) -> Iterator[Any]:
        yield message_of(METHODS[EXPORT].output_type)()
        raise CollectionNotFoundError("no collection 'x'", collection="x")

    served = serve(Export=export)
    replies = served.channel.unary_stream(EXPORT)(b"", timeout=WAIT_S)
    assert next(replies) == b""
    assert _error(lambda: next(replies)).code() == Code.NOT_FOUND
    _settle(served)


def test_an_error_of_vecdb_reaches_the_client_as_itself(serve: Serve) -> None:
    from grpc_status import rpc_status

    def search(_request: Any, _call: Call) -> Any:
        raise CollectionNotFoundError("no collection 'x'", collection="x")

    error: Any = _error(lambda: call_raw(serve(Search=search).channel, SEARCH, b""))
    status = rpc_status.from_call(error)
    assert status is not None
    found = error_of(status)
    assert isinstance(found, CollectionNotFoundError)
    assert (found.message, found.details["collection"]) == ("no collection 'x'", "x")


def test_an_rpc_that_does_not_exist_is_unimplemented(serve: Serve) -> None:
    call = serve().channel.unary_unary("/vecdb.v1.SearchService/Nothing")
    assert code_of(lambda: call(b"", timeout=WAIT_S)) == Code.UNIMPLEMENTED


def test_an_rpc_without_a_rule_is_denied(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("vecdb.server.scopes", fromlist=["RULES"]).RULES, SEARCH)
    assert code_of(lambda: call_raw(serve().channel, SEARCH, b"")) == Code.PERMISSION_DENIED


def test_a_message_over_the_limit_is_refused(serve: Serve) -> None:
    served = serve(max_message_bytes=64 * 1024)
    assert code_of(lambda: call_raw(served.channel, SEARCH, bytes(64 * 1024 + 1))) == Code.RESOURCE_EXHAUSTED
    _settle(served)


def test_a_message_that_inflates_over_the_limit_is_refused(serve: Serve) -> None:
    served = serve(max_message_bytes=64 * 1024)
    call = served.channel.unary_unary(SEARCH)
    bomb = code_of(lambda: call(bytes(1 << 24), timeout=WAIT_S, compression=grpc.Compression.Gzip))
    assert bomb == Code.RESOURCE_EXHAUSTED
    _settle(served)


def test_a_reply_over_the_limit_is_a_typed_error(serve: Serve) -> None:
    def search(_request: Any, _call: Call) -> Any:
        return search_service_pb2.SearchResponse(hits=search_service_pb2.Hits(counts=range(200_000)))

    served = serve(max_message_bytes=64 * 1024, Search=search)
    error: Any = _error(lambda: call_raw(served.channel, SEARCH, b""))
    assert error.code() == Code.INVALID_ARGUMENT
    assert "ask for less" in error.details()


def test_metadata_over_the_limit_is_refused(serve: Serve) -> None:
    served = serve(max_metadata_bytes=1024)
    code = code_of(lambda: call_raw(served.channel, SEARCH, b"", metadata=[("x", "y" * 10_000)]))
    assert code in {Code.RESOURCE_EXHAUSTED, Code.INTERNAL}  # gRPC's own answer to headers it does not read


# --- overload -------------------------------------------------------------------------------------------------------


class Blocking:
    """A servicer's method that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.release = threading.Event()

    def __call__(self, _request: Any, _call: Call) -> Any:
        self.entered.release()
        assert self.release.wait(WAIT_S)
        return search_service_pb2.SearchResponse()


def test_a_full_server_refuses_with_the_time_to_try_again(serve: Serve) -> None:
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    block = Blocking()
    served = serve(max_concurrent_rpcs=2, max_principal_rpcs=9, threads=2, Search=block)
    search = served.channel.unary_unary(SEARCH)
    under_way = [search.future(b"", timeout=WAIT_S) for _ in range(2)]
    for _ in under_way:
        assert block.entered.acquire(timeout=WAIT_S)
    error: Any = _error(lambda: search(b"", timeout=WAIT_S))
    block.release.set()
    assert error.code() == Code.RESOURCE_EXHAUSTED
    status: Any = rpc_status.from_call(error)
    advice = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(advice) for detail in status.details)
    assert advice.retry_delay.ToTimedelta().total_seconds() > 0
    assert [call.result() for call in under_way] == [b"", b""]
    _settle(served)


def test_calls_wait_only_up_to_the_limit_and_are_then_answered(serve: Serve) -> None:
    block = Blocking()
    served = serve(max_concurrent_rpcs=3, max_principal_rpcs=9, threads=1, Search=block)
    search = served.channel.unary_unary(SEARCH)
    ended: SimpleQueue[Any] = SimpleQueue()
    for _ in range(5):
        search.future(b"", timeout=WAIT_S).add_done_callback(ended.put)
    refused = [ended.get(timeout=WAIT_S).code() for _ in range(2)]
    block.release.set()
    answered = [ended.get(timeout=WAIT_S).code() for _ in range(3)]
    assert (refused, answered) == ([Code.RESOURCE_EXHAUSTED] * 2, [Code.OK] * 3)
    _settle(served)


def test_open_streams_leave_room_for_calls(serve: Serve) -> None:
    served = serve(max_streams=1)
    hold = threading.Event()
    open_stream = served.channel.stream_stream(STREAM)(_one_then_wait(hold), timeout=WAIT_S)
    assert next(open_stream) == b""
    assert code_of(lambda: call_raw(served.channel, STREAM, b"")) == Code.RESOURCE_EXHAUSTED
    assert call_raw(served.channel, SEARCH, b"") == [b""]
    hold.set()
    assert list(open_stream) == []
    _settle(served)


def _one_then_wait(hold: threading.Event) -> Iterator[bytes]:
    yield b""
    hold.wait(WAIT_S)


def test_bodies_that_do_not_arrive_hold_no_work_up(serve: Serve) -> None:
    served = serve(threads=1)
    hold = threading.Event()
    waiting = [served.channel.stream_stream(SEARCH)(_nothing(hold), timeout=WAIT_S) for _ in range(5)]
    assert call_raw(served.channel, SEARCH, b"") == [b""]
    hold.set()
    assert [code_of(functools.partial(list, call)) for call in waiting] == [Code.INVALID_ARGUMENT] * 5
    _settle(served)


def test_a_body_that_does_not_arrive_in_time_ends_its_call(serve: Serve) -> None:
    served = serve(body_timeout_s=0.1)
    hold = threading.Event()
    call = served.channel.stream_stream(SEARCH)(_nothing(hold), timeout=WAIT_S)
    assert code_of(lambda: list(call)) == Code.CANCELLED
    hold.set()
    _settle(served)


def test_more_slow_bodies_than_there_are_bytes_for_are_given_up_the_last_first(serve: Serve) -> None:
    served = serve(max_message_bytes=64 * 1024, max_in_flight_bytes=128 * 1024)
    hold = threading.Event()
    calls = [served.channel.stream_stream(SEARCH)(_nothing(hold), timeout=WAIT_S) for _ in range(4)]
    ended: SimpleQueue[Any] = SimpleQueue()
    for call in calls:
        call.add_callback(functools.partial(ended.put, call))
    given_up = [ended.get(timeout=WAIT_S) for _ in range(2)]
    hold.set()
    assert [call.code() for call in given_up] == [Code.CANCELLED] * 2
    kept = [call for call in calls if call not in given_up]
    assert [code_of(functools.partial(list, call)) for call in kept] == [Code.INVALID_ARGUMENT] * 2
    _settle(served)


def test_no_more_bodies_are_on_their_way_than_calls_are_let_in(serve: Serve) -> None:
    served = serve(max_concurrent_rpcs=2, max_message_bytes=64 * 1024, max_in_flight_bytes=1024 * 1024)
    hold = threading.Event()
    calls = [served.channel.stream_stream(SEARCH)(_nothing(hold), timeout=WAIT_S) for _ in range(2)]
    receiving = served.service.dispatch.receiving
    while len(receiving) < 2:
        threading.Event().wait(0.01)
    assert code_of(lambda: call_raw(served.channel, SEARCH, b"x" * 60_000)) == Code.RESOURCE_EXHAUSTED
    assert len(receiving) == 2
    hold.set()
    assert [code_of(functools.partial(list, call)) for call in calls] == [Code.INVALID_ARGUMENT] * 2
    _settle(served)


def _nothing(hold: threading.Event) -> Iterator[bytes]:
    hold.wait(WAIT_S)
    yield from ()


# --- deadlines and cancellation -------------------------------------------------------------------------------------


def test_work_stops_at_the_deadline(serve: Serve) -> None:
    stopped: list[Exception] = []
    begun, done = threading.Event(), threading.Event()

    def search(_request: Any, call: Call) -> Any:
        begun.set()
        try:
            while not done.wait(0.005):
                call.check()
        except Exception as error:
            stopped.append(error)
            done.set()
            raise

    served = serve(Search=search)
    for timeout in (0.1, 1.0, 10.0):  # on a busy machine a short one may pass before the call is there
        call = functools.partial(call_raw, served.channel, SEARCH, b"", timeout=timeout)
        assert code_of(call) == Code.DEADLINE_EXCEEDED
        if begun.is_set():
            break
    assert done.wait(WAIT_S)
    assert isinstance(stopped[0], DeadlineExceededError)
    _settle(served)


def test_a_call_knows_how_long_it_has(serve: Serve) -> None:
    seen: list[float | None] = []

    def search(_request: Any, call: Call) -> Any:
        seen.append(call.remaining_s)
        return search_service_pb2.SearchResponse()

    served = serve(Search=search)
    call_raw(served.channel, SEARCH, b"", timeout=15)
    call_raw(served.channel, SEARCH, b"", timeout=None)
    assert seen[0] is not None
    assert 0 < seen[0] < 20  # gRPC rounds a deadline up on its way
    assert seen[1] is None


def test_a_call_whose_deadline_passed_in_the_queue_is_never_begun(serve: Serve) -> None:
    block = Blocking()
    served = serve(threads=1, Search=block)
    search = served.channel.unary_unary(SEARCH)
    first = search.future(b"", timeout=WAIT_S)
    assert block.entered.acquire(timeout=WAIT_S)
    assert code_of(lambda: search(b"", timeout=0.05)) == Code.DEADLINE_EXCEEDED
    block.release.set()
    assert first.result() == b""
    _settle(served)
    assert not block.entered.acquire(blocking=False)


@pytest.mark.parametrize("path", [EXPORT, STREAM])
def test_a_stream_that_its_client_leaves_is_cleaned_up(serve: Serve, path: str) -> None:
    closed = threading.Event()
    reply = message_of(METHODS[path].output_type)

    def endless(_request: Any, _call: Call) -> Iterator[Any]:
        try:
            while True:
                yield reply()
        finally:
            closed.set()

    served = serve(Export=endless, SearchStream=endless)
    replies = served.channel.stream_stream(path)(iter([b""]), timeout=WAIT_S)
    next(replies)
    replies.cancel()
    assert closed.wait(WAIT_S)
    _settle(served)
    assert '"code":"CANCELLED"' in served.log_text()


def test_a_client_that_goes_away_between_messages_is_noticed(serve: Serve) -> None:
    served = serve()
    hold = threading.Event()
    replies = served.channel.stream_stream(STREAM)(_one_then_wait(hold), timeout=WAIT_S)
    next(replies)
    replies.cancel()
    _settle(served)
    hold.set()


class LateLog(io.StringIO):
    """A log in which lines of calls wait to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()

    def write(self, text: str) -> int:
        if '"rpc"' in text:
            self.may_write.wait(WAIT_S)
        return super().write(text)


def test_no_place_is_lost_while_the_log_lines_of_answered_calls_wait(tmp_path: Path) -> None:
    """A call leaves before its line is written. gRPC, which counts it until then, must not refuse others by itself."""
    calls, log = 70, LateLog()
    limits: dict[str, Any] = {
        "max_concurrent_rpcs": calls,
        "max_principal_rpcs": calls,
        "max_streams": 1,
        "max_connection_rpcs": 1_000,
    }
    config = ServerConfig(data=str(tmp_path), listen=("127.0.0.1:0",), **limits)
    with serving(config, bindings(), log_stream=log) as service, grpc.insecure_channel(service.address) as channel:
        ask: Any = channel.unary_unary(SEARCH)
        for _ in range(calls):
            ask(b"", timeout=WAIT_S)  # answered; then their threads wait
        waiting = [ask.future(b"", timeout=WAIT_S) for _ in range(calls)]
        while service.dispatch.admission.under_way < calls and not any(call.done() for call in waiting):
            threading.Event().wait(0.01)
        log.may_write.set()
        assert {call.code() for call in waiting} == {Code.OK}
        _settle(Served(service, channel, log))
