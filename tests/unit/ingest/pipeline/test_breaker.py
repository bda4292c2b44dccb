"""When a provider is asked again, and when no more."""

from __future__ import annotations

import pytest

from tests.unit.ingest.pipeline.conftest import Watcher
from vecdb.errors import ProviderUnavailableError
from vecdb.ingest.pipeline import breaker as module
from vecdb.ingest.pipeline.breaker import Breaker, pause
from vecdb.ingest.pipeline.config import BREAKER_FAILURES, RETRY_PAUSE_MAX_S, RETRY_PAUSE_S
from vecdb.ingest.pipeline.control import Control
from vecdb.ingest.pipeline.events import BreakerClosed, BreakerOpened
from vecdb.ingest.pipeline.tally import Tally

AWAY = ProviderUnavailableError("away")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still."""
    now = [1000.0]
    monkeypatch.setattr("vecdb.ingest.pipeline.breaker.time.monotonic", lambda: now[0])
    monkeypatch.setattr(module, "_draw", lambda _low, high: high)
    return now


def test_pauses_double_up_to_a_bound_and_add_to_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_draw", lambda _low, high: high)
    assert [pause(number, AWAY) for number in (1, 2, 3)] == [RETRY_PAUSE_S * factor for factor in (1, 2, 4)]
    assert pause(50, AWAY) == RETRY_PAUSE_MAX_S
    assert pause(1, ProviderUnavailableError("busy", retry_after_s=7.0)) == 7.0 + RETRY_PAUSE_S


def test_it_opens_after_some_failures_and_admits_one_probe(clock: list[float]) -> None:
    watcher = Watcher()
    breaker = Breaker(600.0, Control(), Tally(watcher))
    for _ in range(BREAKER_FAILURES):
        assert not breaker.admit()
        breaker.failed(AWAY)
    assert len(watcher.of(BreakerOpened)) == 1
    clock[0] += RETRY_PAUSE_MAX_S
    assert breaker.admit()
    breaker.succeeded()
    assert [event.after_s for event in watcher.of(BreakerClosed)] == [RETRY_PAUSE_MAX_S]
    assert not breaker.admit()


def test_failures_with_successes_between_them_never_open_it(clock: list[float]) -> None:
    watcher = Watcher()
    breaker = Breaker(600.0, Control(), Tally(watcher))
    for _ in range(4 * BREAKER_FAILURES):
        clock[0] += 1000.0
        breaker.failed(AWAY)
        breaker.succeeded()
    assert not watcher.of(BreakerOpened)


def test_it_gives_up_when_nothing_was_answered_for_too_long(clock: list[float]) -> None:
    breaker = Breaker(60.0, Control(), Tally())
    breaker.failed(AWAY)
    clock[0] += 59.0
    breaker.failed(AWAY)
    clock[0] += 1.0
    with pytest.raises(ProviderUnavailableError, match="has not answered for 60 s"):
        breaker.failed(AWAY)
