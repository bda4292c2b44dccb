"""A log that is written behind the back of the calls."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.unit.server.conftest import Serve
from tests.unit.server.echo import bindings, call_raw, code_of
from vecdb.server import log_lines
from vecdb.server.app import serving
from vecdb.server.log_lines import LogLines
from vecdb.server.settings import ServerConfig

SEARCH = "/vecdb.v1.SearchService/Search"
STREAM = "/vecdb.v1.SearchService/SearchStream"
WAIT_S = 20


class StuckStream(io.StringIO):
    """A stream whose reader does not read until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.may_go_on = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.may_go_on.wait(WAIT_S)
        return super().write(text)


def test_lines_are_written_in_their_order() -> None:
    stream = io.StringIO()
    lines = LogLines(stream)
    for number in range(100):
        lines.write(f"{number}\n")
    lines.close()
    assert stream.getvalue().split() == [str(number) for number in range(100)]


def test_a_line_may_be_made_when_it_is_written() -> None:
    stream = io.StringIO()
    lines = LogLines(stream)
    lines.write(lambda: "made\n")
    assert lines.settle()
    assert stream.getvalue() == "made\n"
    lines.close()


def test_a_line_that_cannot_be_made_ends_nothing() -> None:
    def fail() -> str:
        raise ValueError

    stream = io.StringIO()
    lines = LogLines(stream)
    for line in ("first\n", fail, "last\n"):
        lines.write(line)
    lines.close()
    first, missing, last = stream.getvalue().splitlines()
    assert (first, last) == ("first", "last")
    assert "1 lines" in json.loads(missing)["message"]


def test_what_does_not_fit_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "LOG_LINES_MAX", 3)
    stream = StuckStream()
    lines = LogLines(stream)
    lines.write("first\n")
    assert stream.entered.wait(WAIT_S)
    for number in range(10):
        lines.write(f"{number}\n")
    stream.may_go_on.set()
    lines.close()
    *kept, lost = stream.getvalue().splitlines()
    assert kept == ["first", "0", "1", "2"]
    assert "7 lines" in json.loads(lost)["message"]


def test_a_log_that_nobody_reads_stops_neither_calls_nor_refusals(tmp_path: Path) -> None:
    stream = StuckStream()
    config = ServerConfig(data=str(tmp_path), listen=("127.0.0.1:0",), max_streams=1)
    with serving(config, bindings(), log_stream=stream) as service, grpc.insecure_channel(service.address) as channel:
        assert stream.entered.wait(WAIT_S)  # with "serving ... on ..."
        hold = threading.Event()
        held: Any = channel.stream_stream(STREAM)
        answers = held(_one_then_wait(hold), timeout=WAIT_S)
        assert next(answers) == b""
        codes = {code_of(lambda: call_raw(channel, STREAM, b"")) for _ in range(20)}
        assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert call_raw(channel, SEARCH, b"") == [b""]
        hold.set()
        assert list(answers) == []
        stream.may_go_on.set()
    assert stream.getvalue().count('"code":"OK"') == 2


def _one_then_wait(hold: threading.Event) -> Iterator[bytes]:
    yield b""
    hold.wait(WAIT_S)


def test_a_stream_that_was_closed_stops_nothing(serve: Serve) -> None:
    served = serve()
    served.log.close()
    assert [call_raw(served.channel, SEARCH, b"") for _ in range(3)] == [[b""]] * 3
