"""What becomes of calls when a server stops."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.unit.server.conftest import Serve
from tests.unit.server.echo import call_raw, code_of
from tests.unit.server.test_dispatch import SEARCH, STREAM, WAIT_S, Blocking
from vecdb._pb.v1 import search_service_pb2
from vecdb.errors import VecDBError
from vecdb.server.call import Call
from vecdb.server.drain import StopSignals

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _stop(service: Any, drain_s: float | None = None) -> threading.Thread:
    thread = threading.Thread(target=service.stop, args=(drain_s,))
    thread.start()
    return thread


def test_a_call_under_way_is_answered(serve: Serve) -> None:
    block = Blocking()
    served = serve(Search=block)
    call = served.channel.unary_unary(SEARCH).future(b"", timeout=WAIT_S)
    assert block.entered.acquire(timeout=WAIT_S)
    stopping = _stop(served.service)
    assert served.service.dispatch.draining.wait(WAIT_S)
    block.release.set()
    assert call.result() == b""
    stopping.join()


def test_a_new_call_is_told_to_go_elsewhere(serve: Serve) -> None:
    served = serve()
    assert call_raw(served.channel, SEARCH, b"") == [b""]
    served.service.stop()
    assert code_of(lambda: call_raw(served.channel, SEARCH, b"")) == grpc.StatusCode.UNAVAILABLE


def test_a_call_that_takes_too_long_is_cut_off(serve: Serve) -> None:
    begun, ended = threading.Event(), threading.Event()

    def search(_request: Any, call: Call) -> Any:
        begun.set()
        try:
            while True:
                ended.wait(0.005)
                call.check()
        finally:
            ended.set()

    served = serve(Search=search)
    call = served.channel.unary_unary(SEARCH).future(b"", timeout=WAIT_S)
    assert begun.wait(WAIT_S)
    assert served.service.stop(0.05) is False
    assert call.code() == grpc.StatusCode.UNAVAILABLE
    assert ended.wait(WAIT_S)


def test_a_stream_that_waits_for_its_client_holds_nothing_up(serve: Serve) -> None:
    served = serve(drain_s=600)
    hold = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b""
        hold.wait(WAIT_S)

    replies = served.channel.stream_stream(STREAM)(requests(), timeout=WAIT_S)
    assert next(replies) == b""
    assert served.service.stop() is True
    assert code_of(lambda: next(replies)) == grpc.StatusCode.UNAVAILABLE
    hold.set()


def test_a_busy_stream_ends_with_its_next_message(serve: Serve) -> None:
    block = Blocking()

    def search(requests: Iterator[Any], call: Call) -> Iterator[Any]:
        for request in requests:
            block(request, call)
            yield search_service_pb2.SearchStreamResponse(number=request.number)

    served = serve(SearchStream=search)
    bodies = [search_service_pb2.SearchStreamRequest(number=n).SerializeToString() for n in (1, 2, 3)]
    replies = served.channel.stream_stream(STREAM)(iter(bodies), timeout=WAIT_S)
    assert block.entered.acquire(timeout=WAIT_S)
    stopping = _stop(served.service)
    assert served.service.dispatch.draining.wait(WAIT_S)
    block.release.set()
    assert search_service_pb2.SearchStreamResponse.FromString(next(replies)).number == 1
    with pytest.raises(grpc.RpcError) as caught:
        next(replies)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "stopping" in str(caught.value.details())
    stopping.join()


def _end_of(requests: Iterator[Any]) -> None:
    with contextlib.suppress(VecDBError):
        next(requests, None)


def test_a_stream_that_reads_ahead_may_finish_what_it_has(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for its client in one thread and works in another; with no patience at all it is still not cut off."""
    monkeypatch.setattr("vecdb.server.exchange.DRAIN_QUIET_S", -1.0)
    block = Blocking()

    def search(requests: Iterator[Any], call: Call) -> Iterator[Any]:
        first = next(requests)
        threading.Thread(target=_end_of, args=(requests,)).start()
        block(first, call)
        yield search_service_pb2.SearchStreamResponse(number=first.number)

    served = serve(SearchStream=search)
    hold = threading.Event()

    def bodies() -> Iterator[bytes]:
        yield search_service_pb2.SearchStreamRequest(number=7).SerializeToString()
        hold.wait(WAIT_S)

    replies = served.channel.stream_stream(STREAM)(bodies(), timeout=WAIT_S)
    assert block.entered.acquire(timeout=WAIT_S)
    stopping = _stop(served.service)
    assert served.service.dispatch.draining.wait(WAIT_S)
    stopping.join(0.1)  # a drain that does not see the work ends within this
    block.release.set()
    assert search_service_pb2.SearchStreamResponse.FromString(next(replies)).number == 7
    hold.set()
    stopping.join()


def test_stopping_twice_is_harmless(serve: Serve) -> None:
    served = serve()
    assert served.service.stop() is True
    assert served.service.stop() is True


# --- health ---------------------------------------------------------------------------------------------------------


def _health(serve: Serve, **settings: Any) -> tuple[Any, Any]:
    served = serve(**settings)
    return served, health_pb2_grpc.HealthStub(served.channel)


@pytest.mark.parametrize("service", ["", "vecdb.v1.SearchService", "grpc.health.v1.Health"])
def test_a_running_server_says_so(serve: Serve, service: str) -> None:
    _, health = _health(serve)
    assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING


def test_a_service_that_is_not_there_is_not_found(serve: Serve) -> None:
    _, health = _health(serve)
    request = health_pb2.HealthCheckRequest(service="vecdb.v1.Nothing")
    assert code_of(lambda: health.Check(request)) == grpc.StatusCode.NOT_FOUND


def test_all_services_can_be_listed(serve: Serve) -> None:
    _, health = _health(serve)
    statuses = health.List(health_pb2.HealthListRequest()).statuses  # type: ignore[attr-defined]
    assert {entry.status for entry in statuses.values()} == {SERVING}
    assert "vecdb.v1.AdminService" in statuses


def test_who_watches_is_told_of_the_end(serve: Serve) -> None:
    served, health = _health(serve)
    updates = health.Watch(health_pb2.HealthCheckRequest(service=""))
    assert next(updates).status == SERVING
    stopping = _stop(served.service)
    assert [update.status for update in updates] == [NOT_SERVING]
    stopping.join()


def test_health_needs_no_key(serve: Serve, tmp_path: Path) -> None:
    from vecdb.server.keyfile import change_keys

    change_keys(str(tmp_path / "k.json"), lambda _held: [])
    _, health = _health(serve, keys=str(tmp_path / "k.json"))
    assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = (
        "import time\nfrom vecdb.server.drain import StopSignals\n"
        "with StopSignals() as signals:\n    print('up', flush=True)\n    signals.wait()\n"
        "    print('draining', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in ("up", "draining"):
            assert process.stdout.readline().strip() == said
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_and_is_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        os.kill(os.getpid(), number)
        signals.wait()
    assert signal.getsignal(number) is before


def test_a_signal_that_another_thread_was_given_ends_the_wait() -> None:
    code = (
        "import os, signal, threading\nfrom vecdb.server.drain import StopSignals\n"
        "def is_asleep():\n"
        "    with open(f'/proc/self/task/{os.getpid()}/stat') as stat:\n"
        "        return stat.read().rpartition(')')[2].split()[0] == 'S'\n"
        "def take():\n"
        # each look lets the main thread run, should it wait for this one only
        "    while not all(is_asleep() for _ in range(50)):\n        pass\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "with StopSignals() as signals:\n    threading.Thread(target=take).start()\n    signals.wait()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 0
