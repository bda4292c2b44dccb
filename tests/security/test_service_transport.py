"""Connections that misbehave below the messages: the server answers others meanwhile, and holds nothing afterwards."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.security import http2
from tests.security.http2 import Connection, frame, message
from tests.security.served import PATHS, VALID, Served, request_of, served

SEARCH = PATHS["Search"]
LIMIT_BYTES = 64 * 1024
OF_EACH_KIND = ["Search", "UpsertRecords", "SearchStream", "Ingest", "Export"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With small limits."""
    limits = {"max_message_bytes": LIMIT_BYTES, "handshake_timeout_s": 0.5}
    with served(tmp_path_factory.mktemp("transport"), **limits) as one:
        yield one


@contextlib.contextmanager
def left_as_it_was(server: Served) -> Iterator[None]:
    """See that others are answered, during and after, and that no place or byte stays taken."""
    with server.unchanged():
        yield
        assert server.ask("Search", request_of("Search", 1)).hits.counts == [5]
    admission = server.service.dispatch.admission
    for _ in range(2_000):
        if admission.under_way == 0:
            break
        threading.Event().wait(0.01)
    assert (admission.under_way, admission.bytes_held) == (0, 0)


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpc", OF_EACH_KIND)
def test_a_message_over_the_limit_is_refused(server: Served, rpc: str) -> None:
    with left_as_it_was(server):
        assert server.outcome(rpc, bytes(LIMIT_BYTES + 1)) == "RESOURCE_EXHAUSTED -"


@pytest.mark.parametrize("rpc", OF_EACH_KIND)
def test_a_message_that_inflates_over_the_limit_is_refused(server: Served, rpc: str) -> None:
    """A thousand times what is sent, and a hundred times the limit."""
    bomb = bytes(100 * LIMIT_BYTES)
    assert len(gzip.compress(bomb)) * 900 < len(bomb)
    with left_as_it_was(server):
        assert server.outcome(rpc, bomb, compression=grpc.Compression.Gzip) == "RESOURCE_EXHAUSTED -"


def test_a_message_at_the_limit_is_read(server: Served) -> None:
    body = request_of("Search", 1).SerializeToString()
    field = b"\x7a" + _varint3(LIMIT_BYTES - len(body) - 4)  # field 15, which nobody knows
    at_limit = body + field + bytes(LIMIT_BYTES - len(body) - 4)
    assert len(at_limit) == LIMIT_BYTES
    assert server.outcome("Search", at_limit) == "OK"
    assert server.outcome("Search", at_limit, compression=grpc.Compression.Gzip) == "OK"


def _varint3(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14])


# --- headers ----------------------------------------------------------------------------------------------------------

FLOODS: dict[str, list[tuple[str, str | bytes]]] = {
    "many": [(f"x-{number}", "y" * 50) for number in range(1_000)],
    "one long": [("x-long", "y" * 100_000)],
    "one name often": [("x-same", "y" * 100)] * 500,
    "many empty": [(f"x-{number}", "") for number in range(2_000)],
    "binary": [("x-long-bin", bytes(50_000))],
    "a long key": [("authorization", "Bearer " + "k" * 60_000)],
}


@pytest.mark.parametrize("what", FLOODS)
def test_too_many_headers_are_refused(server: Served, what: str) -> None:
    with left_as_it_was(server):
        body = request_of("Search", 1).SerializeToString()
        assert server.outcome("Search", body, metadata=FLOODS[what]).startswith("RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("value", ["x" * 2_000, "{}", '"\\u0000"', "../../etc", "%0a%0d", " "])
def test_any_request_id_is_taken_or_replaced(server: Served, value: str) -> None:
    body = request_of("Search", 1).SerializeToString()
    assert server.outcome("Search", body, metadata=[("x-request-id", value)]) == "OK"
    assert server.service.log.settle()
    lines = server.log.getvalue().splitlines()
    assert all(json.loads(line) for line in lines)
    assert max(map(len, lines)) < 1_000


def test_headers_that_never_end_do_not_hold_the_server(server: Served) -> None:
    """CONTINUATION frames, 8 MiB of them, without the one that ends them. When gRPC gives up is its own affair."""
    part = http2.header("x", "y" * 100) * 40
    with left_as_it_was(server), Connection(server.service.address) as connection:
        stream = connection.open_call(SEARCH, flags=0)
        for _ in range((8 << 20) // len(part)):
            connection.send(frame(http2.CONTINUATION, 0, stream, part))
        assert server.ask("Search", request_of("Search", 1)).hits.counts == [5]


# --- bytes that are no calls ------------------------------------------------------------------------------------------

GREETINGS = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "zeros": bytes(1_000),
    "half a preface": http2.PREFACE[:10],
    "a frame of 16 MiB": http2.PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(1_000),
    "data of no stream": http2.PREFACE + frame(http2.SETTINGS, 0, 0) + frame(http2.DATA, 0, 7, b"x"),
    "settings of a wrong size": http2.PREFACE + frame(http2.SETTINGS, 0, 0, b"12345"),
    "headers that are none": http2.PREFACE + frame(http2.SETTINGS, 0, 0) + frame(http2.HEADERS, 4, 1, b"\xff" * 50),
    "nothing": b"",
}


@pytest.mark.parametrize("what", GREETINGS)
def test_a_connection_that_speaks_otherwise_is_closed(server: Served, what: str) -> None:
    with left_as_it_was(server), Connection(server.service.address, greet=False) as connection:
        connection.send(GREETINGS[what])
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)
        connection.received()


def test_a_connection_that_says_nothing_is_closed_in_time(server: Served) -> None:
    with left_as_it_was(server), Connection(server.service.address, greet=False) as connection:
        connection.received()  # ends only when the server closes it


BODIES: dict[str, Callable[[bytes], bytes]] = {
    "a length that is not kept": lambda body: message(body, length=len(body) + 5),
    "a length of 4 GiB": lambda body: message(body, length=2**32 - 1),
    "a length over the limit": lambda body: message(body, length=LIMIT_BYTES + 1),
    "half a prefix": lambda _body: b"\0\0",
    "compressed by no method": lambda body: message(body, compressed=True),
    "a flag that is none": lambda body: b"\x07" + message(body)[1:],
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("rpc", OF_EACH_KIND)
def test_a_message_that_is_framed_wrong_ends_its_call(server: Served, rpc: str, what: str) -> None:
    body = VALID[rpc][0][0].SerializeToString()
    with left_as_it_was(server), Connection(server.service.address) as connection:
        stream = connection.open_call(PATHS[rpc])
        connection.send(frame(http2.DATA, http2.END_STREAM, stream, BODIES[what](body)[:16_000]))
        assert connection.await_reset(stream)


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(bytes(200), mtime=0)[:-9], b"\x1f\x8b" + bytes(50), b"", gzip.compress(b"", mtime=0)[:10]],
)
def test_a_compressed_message_that_is_none_ends_its_call(server: Served, packed: bytes) -> None:
    with left_as_it_was(server), Connection(server.service.address) as connection:
        stream = connection.open_call(SEARCH, [("grpc-encoding", "gzip")])
        connection.send(frame(http2.DATA, http2.END_STREAM, stream, message(packed, compressed=True)))
        assert connection.await_reset(stream)


# --- slowness, and calls that are left --------------------------------------------------------------------------------


def test_bodies_that_trickle_are_given_up(tmp_path: Path) -> None:
    """Forty calls, each of which has sent some of a message and claims that there is more."""
    with served(tmp_path, body_timeout_s=1.0) as server, contextlib.ExitStack() as stack, left_as_it_was(server):
        connections = [stack.enter_context(Connection(server.service.address)) for _ in range(5)]
        calls = [(one, one.open_call(PATHS[rpc])) for one in connections for rpc in ["Search", "UpsertRecords"] * 4]
        for connection, stream in calls:
            connection.send(frame(http2.DATA, 0, stream, message(b"\x0a\x04docs", length=100_000)))
        assert server.ask("Search", request_of("Search", 1)).hits.counts == [5]
        assert connections[0].await_reset(calls[0][1])


def test_calls_that_are_reset_at_once_do_not_hold_the_server(server: Served) -> None:
    """Rapid reset: each call is begun and left in one breath."""
    with left_as_it_was(server), Connection(server.service.address) as connection:
        for _ in range(1_000):
            stream = connection.open_call(SEARCH)
            connection.send(frame(http2.RST_STREAM, 0, stream, http2.CANCEL.to_bytes(4, "big")))
        assert server.ask("Search", request_of("Search", 1)).hits.counts == [5]


def test_a_flood_of_pings_ends_its_connection_only(server: Served) -> None:
    with left_as_it_was(server), Connection(server.service.address) as connection:
        connection.send(frame(http2.PING, 0, 0, bytes(8)) * 2_000)
        assert b"too_many_pings" in connection.received()


def test_replies_that_nobody_reads_do_not_hold_the_server(server: Served) -> None:
    """Exports whose client opens no window: they wait, others are served, and they end with their connection."""
    body = message(request_of("Export").SerializeToString())
    with left_as_it_was(server), Connection(server.service.address, greet=False) as connection:
        no_window = b"\x00\x04" + bytes(4)
        connection.send(http2.PREFACE + frame(http2.SETTINGS, 0, 0, no_window))
        for _ in range(20):
            stream = connection.open_call(PATHS["Export"])
            connection.send(frame(http2.DATA, http2.END_STREAM, stream, body))
        assert server.ask("Search", request_of("Search", 1)).hits.counts == [5]


def test_a_client_that_goes_away_in_the_middle_of_a_write_leaves_nothing(server: Served) -> None:
    body = message(VALID["UpsertRecords"][0][0].SerializeToString())
    with left_as_it_was(server), Connection(server.service.address) as connection:
        stream = connection.open_call(PATHS["UpsertRecords"])
        connection.send(frame(http2.DATA, 0, stream, body[: len(body) // 2]))
