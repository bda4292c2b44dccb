"""Groups on their way to a destination, and what the journal is told of them meanwhile."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.unit.ingest.journal.given import DIM, IDENTITY, item
from vecdb.errors import UnavailableError
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import JournalChanges
from vecdb.ingest.pipeline import breaker
from vecdb.ingest.pipeline.calls import Call
from vecdb.ingest.pipeline.config import BEGUN_GROUPS
from vecdb.ingest.pipeline.control import Budget, Control
from vecdb.ingest.pipeline.delivery import Delivery
from vecdb.ingest.pipeline.destination import Acknowledged, Destination, Supply
from vecdb.ingest.pipeline.groups import Group
from vecdb.ingest.pipeline.tally import Tally

GROUPS = 3 * BEGUN_GROUPS


class Told(Journal):
    """A journal that remembers what it was told: the numbers of items that are intended, and that are stored."""

    told: list[tuple[int, int]]

    def write(self, changes: JournalChanges) -> None:
        self.told.append((len(changes.intended), len(changes.stored)))
        super().write(changes)


class Place:
    """A destination that takes everything, but goes away once, before swap number `away_at`."""

    def __init__(self, journal: Told, away_at: int = -1) -> None:
        self._journal, self._away_at = journal, away_at
        self.ids: list[object] = []
        self.unintended = 0

    def deliver(self, supply: Supply, acknowledged: Callable[[Acknowledged], None]) -> None:
        """Store what comes; each has to be intended by then."""
        while (swap := supply.take(1.0)) is not None:
            if len(self.ids) == self._away_at:
                self._away_at = -1
                raise UnavailableError("gone for a moment")
            self.ids += swap.ids
            intended = sum(intended for intended, _ in self._journal.told)
            self.unintended += len(set(self.ids)) > intended
            acknowledged(Acknowledged(swap, len(self.ids)))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Told]:
    with Told.open(tmp_path / "journal", IDENTITY) as opened:
        assert isinstance(opened, Told)
        opened.told = []
        opened.begin_run()
        yield opened


def delivered(journal: Told, place: Place) -> Delivery:
    """Groups of one item each that wait when the delivery begins, delivered."""
    groups: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
    for number in range(GROUPS):
        group = Group()
        group.add(item(f"id-{number}"), [f"id-{number}"], [np.ones(DIM, dtype=np.float32)], [{}])
        groups.put(group)
    groups.put(None)
    destination: Destination = place  # type: ignore[assignment]  # a delivery calls nothing else of it
    control, tally = Control(), Tally()
    one = Delivery(destination, journal, groups, Budget(1), control, tally, dim=DIM, retry_for_s=60.0)
    one.start()
    one.join()
    assert control.failure is None
    return one


def test_groups_that_wait_are_written_down_together_before_any_of_them_is_delivered(journal: Told) -> None:
    place = Place(journal)
    assert delivered(journal, place).is_complete
    assert [intended for intended, _ in journal.told if intended] == [BEGUN_GROUPS] * 3
    assert place.ids == [f"id-{number}" for number in range(GROUPS)]
    assert not place.unintended


def test_all_that_was_acknowledged_is_journalled_at_the_end(journal: Told) -> None:
    delivered(journal, Place(journal))
    assert sum(stored for _, stored in journal.told) == GROUPS
    assert journal.summary().stored == GROUPS


def test_what_was_written_down_and_not_delivered_is_delivered_when_the_destination_is_back(
    journal: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "RETRY_PAUSE_S", 0.001)
    place = Place(journal, away_at=BEGUN_GROUPS + 1)
    assert delivered(journal, place).is_complete
    assert place.ids == [f"id-{number}" for number in range(GROUPS)]
    assert journal.summary().stored == GROUPS


@pytest.mark.parametrize("places", [range(4), (1, 0, 2, 3), (0, 1, 3, 2)])
def test_rows_are_those_of_their_places_in_a_call_however_these_follow_one_another(places: list[int]) -> None:
    call = Call(rows=np.arange(4 * DIM, dtype=np.float32).reshape(4, DIM))
    assert call.rows is not None
    group = Group()
    for number, place in enumerate(places):
        group.add(item(f"id-{number}"), [f"id-{number}"], [(call, place)], [{}])
    assert np.array_equal(group.settle(DIM).matrix, call.rows[list(places)])
