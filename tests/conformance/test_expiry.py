"""Records that have expired vanish from every read at once, and from the disk soon after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.conformance.conftest import DIM
from tests.harness.model import low_rank
from vecdb import F
from vecdb.config import EngineConfig
from vecdb.engine import clock

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
QUIET = EngineConfig(background=False, progress=False)


def set_clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let the engine believe that it is this late."""
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    monkeypatch.setattr(clock, "now_micros", lambda: micros)


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Any:
    """300 records, of which number n expires n minutes after noon; 100 more never do."""
    set_clock(monkeypatch, NOON)
    with vecdb.open(":memory:", config=QUIET) as db:
        found = db.create_collection("docs", dim=DIM)
        vectors = low_rank(rng, 400, DIM)
        moments = [NOON + timedelta(minutes=number) if number < 300 else None for number in range(400)]
        found.upsert(list(range(400)), vectors, [{"n": n} for n in range(400)], expires_at=moments)
        found.optimize()
        yield found


@pytest.mark.parametrize("minutes", [0, 1, 150, 1_000])
def test_no_read_returns_what_has_expired(docs: Any, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    set_clock(monkeypatch, NOON + timedelta(minutes=minutes))
    alive = list(range(min(minutes + 1, 300), 400))
    query = np.ones(DIM)
    assert docs.count() == len(docs) == len(alive)
    assert sorted(docs.search(query, 400).ids) == alive
    assert sorted(docs.search(query, 400, exact=True).ids) == alive
    assert sorted(docs.search_batch([query], 400)[0].ids) == alive
    assert [record.id for record in docs.iterate()] == alive
    wanted = F("n") < 350
    assert docs.count(wanted) == len([number for number in alive if number < 350])
    assert sorted(docs.search(query, 400, filter=wanted).ids) == [number for number in alive if number < 350]
    assert docs.aggregate("n").min == alive[0]


def test_an_expiry_that_is_moved_or_cleared_counts_from_then_on(docs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.update(5, expires_at=NOON + timedelta(days=9))
    docs.update(6, expires_at="never")
    docs.update(399, expires_at=NOON + timedelta(seconds=1))
    set_clock(monkeypatch, NOON + timedelta(days=1))
    assert sorted(docs.search(np.ones(DIM), 400).ids) == [5, 6, *range(300, 399)]


def test_what_has_expired_is_removed_in_the_background(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr("vecdb.engine.indexer.EXPIRY_SWEEP_S", 0.05)
    with vecdb.open(":memory:", config=EngineConfig(progress=False)) as db:
        docs = db.create_collection("docs", dim=DIM, ttl_field="until")
        soon = datetime.now(UTC) + timedelta(milliseconds=300)
        docs.upsert([1, 2], low_rank(rng, 2, DIM), [{"until": soon}, {"until": None}])
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while docs.stats().records > 1 and datetime.now(UTC) < deadline:
            docs.upsert([3], low_rank(rng, 1, DIM), [{"until": soon}])
            docs.delete([3])
        assert docs.stats().records == 1
        assert db.verify().ok


def test_a_filter_that_was_remembered_forgets_what_expires(docs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = F("n") < 10
    assert docs.count(wanted) == 9
    set_clock(monkeypatch, NOON + timedelta(minutes=7))
    assert docs.count(wanted) == 2


def test_a_filtered_write_leaves_what_has_expired_alone(docs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, NOON + timedelta(minutes=7))
    assert docs.update(filter=F("n") < 10, metadata={"seen": True}).count == 2
    assert docs.delete(filter=F("n") < 10).count == 2
