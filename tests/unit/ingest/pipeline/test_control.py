"""The bounds of what is under way, and how threads end."""

from __future__ import annotations

import threading

import pytest

from vecdb.ingest.pipeline.control import Budget, Control, Halted


def test_a_budget_gives_no_more_than_there_is() -> None:
    budget = Budget(100)
    assert budget.try_take(60)
    assert not budget.try_take(41)
    assert budget.try_take(40)
    budget.give_back(60)
    assert budget.try_take(60)
    assert budget.used == 100


def test_one_thing_larger_than_the_budget_passes_alone() -> None:
    budget = Budget(100)
    assert budget.try_take(1000)
    assert not budget.try_take(1)
    budget.give_back(1000)
    assert budget.try_take(1)


def test_who_waits_for_room_goes_on_when_there_is_some() -> None:
    budget, control, took = Budget(10), Control(), threading.Event()
    budget.take(10, control)

    def wait() -> None:
        budget.take(5, control)
        took.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not took.is_set()
    budget.give_back(10)
    assert took.wait(30)
    thread.join()


def test_who_waits_for_room_ends_with_the_run() -> None:
    budget, control = Budget(10), Control()
    budget.take(10, control)
    control.fail(ValueError("first"))
    control.fail(ValueError("second"))
    with pytest.raises(Halted):
        budget.take(5, control)
    assert str(control.failure) == "first"


def test_a_pause_ends_when_the_caller_asks_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Halted):
        Control(stop).pause(3600.0)
