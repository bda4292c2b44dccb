"""Rates, the time left, and what is said to be in the way."""

from __future__ import annotations

from typing import Any

import pytest

from vecdb.ingest.operation.config import RATE_WINDOW_S
from vecdb.ingest.operation.progress import Progress, Several, looked_at
from vecdb.ingest.pipeline.events import (
    BreakerClosed,
    BreakerOpened,
    Counts,
    ItemFailed,
    Progressed,
    Retrying,
    RunEvent,
    Stopping,
)


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _watched(total: int | None = None) -> tuple[Progress, Clock]:
    clock = Clock()
    return Progress(lambda: total, clock), clock


def _step(progress: Progress, clock: Clock, seconds: float, **counts: int) -> None:
    clock.now += seconds
    progress.observe(Progressed(Counts(**counts)))


def test_a_snapshot_before_anything_happened_has_no_rate_and_no_end() -> None:
    snapshot = _watched(total=10)[0].snapshot()
    assert (snapshot.done, snapshot.items_per_s, snapshot.eta_s) == (0, 0.0, None)


def test_the_rate_is_that_of_the_last_seconds_and_not_of_the_whole_run() -> None:
    progress, clock = _watched(total=2_100)
    for second in range(10):
        _step(progress, clock, 1, items=second + 1, stored=second + 1)
    for second in range(int(RATE_WINDOW_S)):
        _step(progress, clock, 1, items=10 + 100 * (second + 1), stored=10 + 100 * (second + 1))
    snapshot = progress.snapshot()
    assert snapshot.items_per_s == pytest.approx(100)
    assert snapshot.eta_s == pytest.approx((2_100 - 10 - 100 * RATE_WINDOW_S) / 100)


def test_items_that_are_skipped_unchanged_or_failed_are_done() -> None:
    progress, clock = _watched()
    _step(progress, clock, 1, items=9, skipped=1, unchanged=2, stored=3, failed=4)
    assert progress.snapshot().done == 10


def test_for_a_plan_what_is_read_is_done() -> None:
    progress = Progress(done=looked_at)
    progress.observe(Progressed(Counts(items=9, new=9, skipped=1)))
    assert progress.snapshot().done == 10


def test_tokens_are_counted_by_the_second() -> None:
    progress, clock = _watched()
    _step(progress, clock, 2, items=1, stored=1, tokens=500)
    assert progress.snapshot().tokens_per_s == pytest.approx(250)


def test_nothing_is_left_when_there_was_more_than_expected() -> None:
    progress, clock = _watched(total=5)
    _step(progress, clock, 1, items=9, stored=9)
    assert progress.snapshot().eta_s == 0


def test_the_next_round_of_a_watch_begins_anew() -> None:
    progress, clock = _watched()
    _step(progress, clock, 100, items=1_000, stored=1_000)
    _step(progress, clock, 50, items=1)
    _step(progress, clock, 1, items=10, stored=10)
    snapshot = progress.snapshot()
    assert snapshot.seconds == 1.0
    assert snapshot.items_per_s == pytest.approx(10)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Retrying("provider", 1, 4.0, "503"), "provider failed (503); it is tried again in 4 s"),
        (BreakerOpened(5, "503"), "5 times in a row"),
        (Stopping(), "stopping"),
    ],
)
def test_what_is_in_the_way_is_said(event: RunEvent, said: str) -> None:
    progress, _ = _watched()
    progress.observe(event)
    assert said in progress.snapshot().trouble


def test_trouble_is_over_when_something_is_stored_again() -> None:
    progress, clock = _watched()
    progress.observe(Retrying("provider", 1, 4.0, "503"))
    _step(progress, clock, 1, items=1, stored=1)
    assert progress.snapshot().trouble == ""


def test_trouble_is_over_when_the_provider_answers_again() -> None:
    progress, _ = _watched()
    progress.observe(BreakerOpened(5, "503"))
    progress.observe(BreakerClosed(3.0))
    assert progress.snapshot().trouble == ""


def test_stopping_is_said_until_the_end() -> None:
    progress, clock = _watched()
    progress.observe(Stopping())
    _step(progress, clock, 1, items=1, stored=1)
    assert "stopping" in progress.snapshot().trouble


def test_the_document_of_a_snapshot_has_counts_rates_and_the_time_left() -> None:
    progress, clock = _watched(total=4)
    _step(progress, clock, 1, items=2, stored=2, tokens=10)
    document = progress.snapshot().to_dict()
    assert {name: document[name] for name in ("items", "items_per_s", "tokens_per_s", "eta_s", "total")} == {
        "items": 2,
        "items_per_s": 2.0,
        "tokens_per_s": 10.0,
        "eta_s": 1.0,
        "total": 4,
    }


def test_several_observers_are_told_in_order() -> None:
    told: list[Any] = []

    class Teller:
        def __init__(self, name: str) -> None:
            self.name = name

        def observe(self, event: RunEvent) -> None:
            told.append((self.name, event))

    event = ItemFailed("a", "part", "f:1", "R", "m")
    Several([Teller("one"), Teller("two")]).observe(event)
    assert told == [("one", event), ("two", event)]


def test_between_the_rounds_of_a_watch_it_says_that_it_waits() -> None:
    progress, clock = _watched()
    _step(progress, clock, 1, items=5, stored=5)
    progress.rest()
    assert "waiting" in progress.snapshot().trouble
    _step(progress, clock, 1, items=1)
    assert progress.snapshot().trouble == ""
