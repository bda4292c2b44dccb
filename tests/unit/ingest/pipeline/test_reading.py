"""Parallel reading gives what reading one part after the other gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vecdb.errors import MissingExtraError
from vecdb.ingest.pipeline.control import Control
from vecdb.ingest.pipeline.reading import Conduit, Reading, weight_of
from vecdb.ingest.sources.item import Event, Item, PartEnd, Position, Problem, SourceEnd
from vecdb.ingest.sources.source import Part, nothing_known, read_sources
from vecdb.ingest.sources.spec import open_source


def told(event: Event) -> object:
    """What two readings can be compared by."""
    if isinstance(event, Item):
        return event.id, event.part, event.content_hash
    return event if not isinstance(event, PartEnd) else (event.part, event.state, event.items, event.problems)


def folder_of(root: Path) -> Path:
    """Files of different sizes, with ids that come twice and bad rows."""
    for number in range(30):
        rows = [{"id": f"{number}-{row}", "text": f"text {row}"} for row in range(number * 7 % 23)]
        lines = [json.dumps(row) for row in [*rows, {"id": f"twice-{number % 5}", "text": str(number)}]]
        (root / f"{number:02}.jsonl").write_text("\n".join([*lines, "" if number % 4 else "bad"]))
    return root


def events_of(sources: list[str], readers: int, bytes_max: int = 1 << 20) -> list[Event]:
    control = Control()
    reading = Reading(map(open_source, sources), nothing_known, control, readers=readers, bytes_max=bytes_max)
    found = [event for batch in reading.batches() for event in batch]
    reading.close()
    return found


@pytest.mark.parametrize(("readers", "bytes_max"), [(1, 1 << 20), (3, 1 << 20), (8, 4096)])
def test_events_come_in_the_order_of_one_reader(tmp_path: Path, readers: int, bytes_max: int) -> None:
    sources = [str(folder_of(tmp_path)), str(tmp_path / "03.jsonl") + "?prefix=again-"]
    expected = [told(event) for event in read_sources(map(open_source, sources))]
    assert [told(event) for event in events_of(sources, readers, bytes_max)] == expected


def test_a_part_with_an_id_that_was_given_before_is_read_again_next_time(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "first"}')
    (tmp_path / "b.jsonl").write_text('{"id": 1, "text": "second"}')
    ends = [event for event in events_of([str(tmp_path)], 2) if isinstance(event, PartEnd)]
    assert (ends[1].items, ends[1].problems, ends[1].fingerprint) == (0, 1, None)


def test_a_reader_waits_for_who_takes_its_events() -> None:
    conduit, control = Conduit(2_000, Control()), threading.Event()
    item = Item("a", "p", 0, "row", Position("p"), text="x" * 1_000)

    def put() -> None:
        for _ in range(4):
            conduit.put(item)
        control.set()
        conduit.end()

    thread = threading.Thread(target=put)
    thread.start()
    assert weight_of(item) > 1_000
    taken: list[Event] = []
    while (events := conduit.take()) is not None:
        taken += events
    thread.join()
    assert len(taken) == 4


def test_a_library_that_is_missing_ends_the_reading() -> None:
    class Source:
        name = "s"

        def parts(self) -> Iterator[Part | Problem]:
            def read() -> Iterator[Item | Problem]:
                raise MissingExtraError("install it")

            yield Part("s", Position("s"), lambda: None, read)

    reading = Reading([Source()], nothing_known, Control(), readers=1, bytes_max=1000)
    with pytest.raises(MissingExtraError):
        list(reading.batches())
    reading.close()


def test_a_source_that_cannot_be_listed_is_incomplete() -> None:
    class Source:
        name = "s"

        def parts(self) -> Iterator[Part | Problem]:
            raise OSError(5, "broken disk")

    reading = Reading([Source()], nothing_known, Control(), readers=1, bytes_max=1000)
    problem, end = [event for batch in reading.batches() for event in batch]
    reading.close()
    assert isinstance(problem, Problem)
    assert "broken disk" in problem.message
    assert end == SourceEnd("s", complete=False)
