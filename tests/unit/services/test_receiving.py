"""Received: messages of a stream ahead of their use, in order and within bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.unit.services.asking import fake_call
from vecdb._pb.v1 import record_service_pb2 as pb
from vecdb.errors import CancelledError, MalformedRequestError, UnavailableError
from vecdb.server.receiving import HeldBytes, Received


class Source:
    """A stream of messages that says how many were taken from it."""

    def __init__(self, count: int, size: int = 10, error: Exception | None = None) -> None:
        self.messages = [pb.CountRecordsRequest(collection=f"{n:0{size}}") for n in range(count)]
        self.error = error
        self.changed = threading.Condition()
        self.taken = 0
        self.is_over = False

    def __iter__(self) -> Iterator[Any]:
        for message in self.messages:
            with self.changed:
                self.taken += 1
                self.changed.notify_all()
            yield message
        if self.error is not None:
            raise self.error
        self.is_over = True

    def wait_for(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.taken >= count, 10)


def received(source: Source, held: HeldBytes | None = None, **bounds: Any) -> Received[Any]:
    return Received(iter(source), all_held=held or HeldBytes(1 << 30), **{"items_max": 4, **bounds})


def all_of(stream: Received[Any], most: int = 3) -> list[str]:
    found: list[str] = []
    while (items := stream.take(most)) is not None:
        assert len(items) <= most
        found += [item.collection for item in items]
    return found


def test_messages_come_out_in_their_order() -> None:
    source = Source(50)
    assert all_of(received(source)) == [message.collection for message in source.messages]


def test_the_error_of_a_stream_comes_after_its_messages() -> None:
    stream = received(Source(2, error=MalformedRequestError("no")), items_max=10)
    found: list[Any] = []
    while len(found) < 2:
        found += stream.take(10) or []
    with pytest.raises(MalformedRequestError):
        all_of(stream)


def test_no_more_messages_are_received_than_the_bound_says() -> None:
    source = Source(50)
    with closing(received(source, items_max=4)) as stream:
        assert source.wait_for(4)
        assert stream.take(3)
        assert source.taken == 4, "those in hand count"
        stream.take(3)
        assert source.wait_for(7)
        assert source.taken <= 8


def test_no_more_bytes_are_received_than_the_bound_says() -> None:
    source = Source(50, size=100)
    with closing(received(source, items_max=40, bytes_max=250)):
        assert source.wait_for(3)
    assert source.taken == 3


def test_a_message_larger_than_every_bound_is_received_alone() -> None:
    source = Source(3, size=1_000)
    assert len(all_of(received(source, HeldBytes(1), bytes_max=1))) == 3


def test_streams_share_the_bytes_that_a_server_holds() -> None:
    held, first, second = HeldBytes(250), Source(50, size=100), Source(50, size=100)
    with closing(received(first, held, items_max=40)) as one:
        assert first.wait_for(3)
        with closing(received(second, held, items_max=40)) as two:
            assert second.wait_for(1)
            assert two.take(1)
            assert (first.taken, second.taken) == (3, 1)
            one.close()
            assert two.take(1) is not None
            assert second.wait_for(2)


def test_closing_gives_back_what_was_held() -> None:
    held, source = HeldBytes(100), Source(5, size=200)
    with closing(received(source, held)) as stream:
        assert source.wait_for(1)
        while not stream.take(1):
            pass
        assert held.is_full
    assert not held.is_full


def test_items_one_by_one_end_when_the_caller_is_gone() -> None:
    with closing(received(Source(50))) as stream, pytest.raises(CancelledError):
        list(stream.each(fake_call(left=3)))


def test_a_server_that_drains_ends_a_stream_after_what_was_received() -> None:
    hold = threading.Event()

    def two_then_silence() -> Iterator[Any]:
        yield from Source(2)
        hold.wait(10)

    call, found = fake_call(), []
    call.is_draining = True
    source: Received[Any] = Received(two_then_silence(), all_held=HeldBytes(1 << 20), items_max=4)
    with closing(source) as stream:
        with pytest.raises(UnavailableError):
            found += list(stream.each(call))
        hold.set()
