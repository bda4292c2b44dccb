"""Progress as JSON lines, and readers who do not read."""

from __future__ import annotations

import io
import json
import os
import threading
import uuid
from typing import Any

import pytest

from vecdb.ingest.operation import jsonlines
from vecdb.ingest.operation.jsonlines import NAMES, JsonLines
from vecdb.ingest.operation.progress import Progress
from vecdb.ingest.pipeline import events
from vecdb.ingest.pipeline.events import Counts, ItemFailed, PartEnded, Progressed, RunEvent, Stopping

FAILED = ItemFailed(uuid.UUID(int=1), "part", "rows.jsonl:3", "INVALID_DOCUMENT", "no text")


def _lines(*given: RunEvent, interval_s: float = 60.0) -> list[dict[str, Any]]:
    stream = io.StringIO()
    with JsonLines(stream, Progress(), interval_s) as lines:
        for event in given:
            lines.observe(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_failure_is_a_line_with_place_reason_and_id() -> None:
    (line,) = _lines(FAILED)
    assert (line["event"], line["position"], line["reason"], line["message"]) == (
        "failed",
        "rows.jsonl:3",
        "INVALID_DOCUMENT",
        "no text",
    )
    assert line["id"] == str(uuid.UUID(int=1))


def test_every_event_of_a_run_has_a_name() -> None:
    assert set(NAMES) == set(events.RunEvent.__args__) - {Progressed}


def test_lines_come_in_order_with_their_time() -> None:
    lines = _lines(PartEnded("a", "read", 1, 0), Stopping())
    assert [line["event"] for line in lines] == ["part", "stopping"]
    assert lines[0]["time"] <= lines[1]["time"]


def test_progress_is_told_at_its_own_pace_and_not_by_each_count() -> None:
    assert _lines(*(Progressed(Counts(items=number)) for number in range(100))) == []


def test_progress_is_told_again_and_again() -> None:
    told = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if text.count("progress"):
                told.set()
            return super().write(text)

    stream = Stream()
    with JsonLines(stream, Progress(), interval_s=0.001):
        assert told.wait(30)
    assert json.loads(stream.getvalue().splitlines()[0])["items_per_s"] == 0.0


def test_between_the_rounds_of_a_watch_nothing_is_told() -> None:
    progress = Progress()
    lines = JsonLines(io.StringIO(), progress)
    assert len(lines._told()) == 1
    progress.rest()
    assert lines._told() == []


def test_of_many_failures_only_the_first_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jsonlines.MOST, "failed", 3)
    assert len(_lines(*[FAILED] * 10)) == 3


def test_stopping_is_said_once() -> None:
    assert len(_lines(Stopping(), Stopping())) == 1


def test_a_reader_who_is_gone_does_not_end_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    with JsonLines(Gone(), Progress()) as lines:
        lines.write("started")
        lines._thread.join(30)
        lines.observe(FAILED)
        assert not lines._thread.is_alive()


def test_a_reader_who_does_not_read_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "LINES_WAIT_S", 0.01)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb") as reader:
        with JsonLines(stream, Progress()) as lines:
            for _ in range(5_000):
                lines.write("part", name="x" * 100)
        assert lines._thread.is_alive()
        assert lines._lost > 0
        while lines._thread.is_alive():
            os.read(reader.fileno(), 65_536)
            lines._thread.join(0.001)
