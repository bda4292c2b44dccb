"""Messages that are received before their call has a thread: nothing else is different for anybody."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from tests.unit.server.conftest import Serve
from tests.unit.server.echo import bindings, call_raw, code_of
from vecdb.server import early_receipt
from vecdb.server.app import Service, serving
from vecdb.server.config import AT_ONCE_PAUSE_S, AT_ONCE_S, AT_ONCE_SAMPLES
from vecdb.server.early_receipt import EarlyThreads
from vecdb.server.exchange import KnownRequests
from vecdb.server.settings import ServerConfig

SEARCH = "/vecdb.v1.SearchService/Search"
SERVICE = "vecdb.v1.SearchService"
WAIT_S = 20


class Knows:
    """Knows what `reply` says; a stand-in for what learns."""

    body_bytes_max = 100

    def __init__(self, reply: Callable[[bytes], bytes | None], *, is_quick: bool = True) -> None:
        self.reply = reply
        self.is_quick = is_quick
        self.learnt: list[bytes] = []
        self.threads: set[str] = set()

    def knows(self, body: bytes) -> bool:
        return body != b""

    def answer(self, body: bytes, _principal: Any) -> bytes | None:
        self.threads.add(threading.current_thread().name)
        return self.reply(body)

    def learn(self, body: bytes, _message: Any) -> None:
        self.learnt.append(body)


@pytest.fixture
def knowing(tmp_path: Path) -> Iterator[Callable[[KnownRequests], tuple[Service, grpc.Channel, io.StringIO]]]:
    """Starts a server whose searches are known by what is given."""
    with contextlib.ExitStack() as stack:

        def start(knows: KnownRequests) -> tuple[Service, grpc.Channel, io.StringIO]:
            config, log = ServerConfig(data=str(tmp_path), listen=("127.0.0.1:0",)), io.StringIO()
            bound = [replace(one, known={SEARCH: knows}) if one.name == SERVICE else one for one in bindings()]
            service = stack.enter_context(serving(config, bound, log_stream=log))
            return service, stack.enter_context(grpc.insecure_channel(service.address)), log

        yield start


def _logged(service: Service, log: io.StringIO, count: int) -> list[tuple[str, int, int]]:
    """How calls ended, and the bytes received and sent, sorted: each is logged, and its place free, after its reply."""
    for _ in range(100 * WAIT_S):
        assert service.log.settle()
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        calls = [(line["code"], line["received_bytes"], line["sent_bytes"]) for line in lines if line["event"] == "rpc"]
        if len(calls) >= count and not service.dispatch.admission.under_way:
            break
        threading.Event().wait(0.01)
    return sorted(calls)


def test_the_installed_grpcio_has_what_is_needed() -> None:
    assert early_receipt.parts() is not None


def test_a_release_that_nobody_has_tried_is_left_to_grpc(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    monkeypatch.setattr("vecdb.server.grpc_setup.version", lambda _name: "1.99.0")
    assert early_receipt.parts() is None
    served = serve()
    assert served.service.dispatch.call_threads.parts is None
    assert call_raw(served.channel, SEARCH, b"") == [b""]


def test_early_receipt_can_be_switched_off(serve: Serve) -> None:
    served = serve(early_receipt=False)
    assert served.service.dispatch.call_threads.parts is None
    assert call_raw(served.channel, SEARCH, b"") == [b""]


def test_a_release_that_lacks_a_part_is_left_to_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("grpc._server._status")
    assert early_receipt.parts() is None


def test_a_call_whose_message_is_late_holds_no_thread(serve: Serve) -> None:
    served = serve()
    hold = threading.Event()

    def late() -> Iterator[bytes]:
        hold.wait(WAIT_S)
        yield b""

    call = served.channel.stream_stream(SEARCH)(late(), timeout=WAIT_S)
    dispatch = served.service.dispatch
    while not dispatch.receiving:
        threading.Event().wait(0.01)
    assert not dispatch.call_threads.started
    hold.set()
    assert list(call) == [b""]


def test_what_is_known_is_answered_without_a_thread_and_logged(knowing: Any) -> None:
    knows = Knows(lambda body: b"known" if body == b"\x0a\x01a" else None)
    service, channel, log = knowing(knows)
    assert call_raw(channel, SEARCH, b"\x0a\x01a") == [b"known"]
    assert not service.dispatch.call_threads.started
    assert call_raw(channel, SEARCH, b"\x0a\x01b") == [b""]
    assert _logged(service, log, 2) == [("OK", 3, 0), ("OK", 3, 5)]
    assert knows.learnt == [b"\x0a\x01b"]
    assert (service.dispatch.admission.under_way, service.dispatch.admission.bytes_held) == (0, 0)


def test_what_is_known_but_takes_its_time_is_answered_in_a_turn_by_the_thread_of_the_call(knowing: Any) -> None:
    held: list[tuple[int, int]] = []

    def answer(body: bytes) -> bytes | None:
        held.append((service.dispatch.admission.bytes_held, turns.qsize()))
        return b"known" if body == b"\x0a\x01a" else None

    knows = Knows(answer, is_quick=False)
    service, channel, log = knowing(knows)
    turns = service.dispatch.reads._free
    free = turns.qsize()
    assert call_raw(channel, SEARCH, b"\x0a\x01a") == [b"known"]
    assert call_raw(channel, SEARCH, b"\x0a\x01b") == [b""]
    assert all(name.startswith("vecdb-call") for name in knows.threads)
    assert _logged(service, log, 2) == [("OK", 3, 0), ("OK", 3, 5)]
    assert knows.learnt == [b"\x0a\x01b"]
    assert held == [(3, free - 1), (3, free - 1)]
    assert turns.qsize() == free
    assert (service.dispatch.admission.under_way, service.dispatch.admission.bytes_held) == (0, 0)


def test_a_failure_of_what_knows_ends_that_call_only(knowing: Any) -> None:
    def fail(body: bytes) -> bytes | None:
        if body:
            raise ZeroDivisionError
        return None

    service, channel, _ = knowing(Knows(fail))
    assert code_of(lambda: call_raw(channel, SEARCH, b"\x0a\x01a")) is grpc.StatusCode.CANCELLED
    assert call_raw(channel, SEARCH, b"") == [b""]
    for _ in range(1_000):
        if not service.dispatch.admission.under_way:
            break
        threading.Event().wait(0.01)
    assert service.dispatch.admission.under_way == 0


def test_threads_answer_for_a_while_once_answers_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(early_receipt, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Takes:
        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        def at_once(self) -> bytes:
            now[0] += self._seconds
            return b"reply"

    threads: Any = EarlyThreads(1)
    quick, slow = Takes(AT_ONCE_S / 2), Takes(1.0)
    for _ in range(10 * AT_ONCE_SAMPLES):
        assert threads.at_once(quick) == b"reply"
    assert threads.at_once(slow) == b"reply"
    assert threads.at_once(quick) == b"reply"  # one alone may have been held up by something else
    tries = [threads.at_once(slow) for _ in range(4)]
    assert tries[0] is not None
    assert tries[-1] is None
    now[0] += AT_ONCE_PAUSE_S
    assert threads.at_once(quick) == b"reply"
