"""Expiry: the clock decides at each read and commit, and the next View is told which slots expire when."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecdb
from tests.unit.engine.filling import CONFIG, rows
from vecdb.engine import clock, indexer
from vecdb.engine.clock import micros
from vecdb.engine.commit import Change, Commit
from vecdb.engine.expiry import instant, read_expiries, read_expiry, read_ttl
from vecdb.errors import CollectionExistsError, CorruptionError, InvalidRequestError, LimitExceededError
from vecdb.storage.codec import NEVER

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def set_clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Make it a certain time for the engine."""
    monkeypatch.setattr(clock, "now_micros", lambda: micros(moment))


def watch_changes(db: vecdb.Database, monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    """The changes of each later commit, as they reach the publisher."""
    changes: list[Change] = []
    publish = db._publisher.publish

    def watched(commit: Commit, seq: int) -> None:
        changes.extend(commit.changes.values())
        publish(commit, seq)

    monkeypatch.setattr(db._publisher, "publish", watched)
    return changes


def plain(change: Change) -> list[tuple[list[int], list[int]]]:
    """What a change says of expiry, as lists."""
    return [(slots.tolist(), expires.tolist()) for slots, expires in change.expiring]


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_the_way_through_its_micros(moment: datetime) -> None:
    assert instant(micros(moment)) == moment
    assert read_expiry(moment.replace(tzinfo=None), 0) == micros(moment)


def test_a_record_exists_until_its_expiry_and_not_at_it(
    docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.upsert(["a"], rows(1), expires_at=NOON)
    set_clock(monkeypatch, NOON - timedelta(microseconds=1))
    assert "a" in docs
    assert docs.update("a", metadata={"n": 1}).count == 1
    set_clock(monkeypatch, NOON)
    assert ("a" in docs, docs.get("a"), list(docs.iterate())) == (False, None, [])
    assert docs.insert(["a"], rows(1)).count == 1


def test_the_next_view_is_told_of_every_expiry_that_changes(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = watch_changes(db, monkeypatch)
    docs.upsert(list("abc"), rows(3), expires_at=[NOON, None, LATER])
    docs.upsert(["d"], rows(1))
    docs.update("a", metadata={"n": 1})
    docs.update("b", expires_at=NOON)
    docs.update("a", expires_at="never")
    docs.update("c", vector=rows(1)[0])
    noon, later = micros(NOON), micros(LATER)
    assert [plain(change) for change in changes] == [
        [([0, 2], [noon, later])],
        [],
        [],
        [([1], [noon])],
        [([0], [NEVER])],
        [([4], [later])],
    ]
    assert {array.dtype for change in changes for _, array in change.expiring} == {np.dtype(np.int64)}


def test_a_ttl_field_outlives_its_process(tmp_path: Any) -> None:
    with vecdb.open(tmp_path / "db") as db:
        db.create_collection("news", dim=4, ttl_field="until")
    with vecdb.open(tmp_path / "db") as db:
        news = db.create_collection("news", dim=4, ttl_field="until", exist_ok=True)
        news.upsert(["a"], rows(1), [{"until": LATER}])
        found = news.get("a")
        assert found is not None
        assert (news.ttl_field, found.expires_at) == ("until", LATER)
        with pytest.raises(CollectionExistsError, match="ttl_field 'until'"):
            db.create_collection("news", dim=4, exist_ok=True)


def test_without_a_ttl_field_a_key_of_metadata_says_nothing_of_expiry(docs: vecdb.Collection) -> None:
    docs.upsert(["a"], rows(1), [{"until": "not a date"}])
    assert docs.update("a", metadata={"n": 1}).count == 1  # without a ttl_field the key is like any other


@pytest.mark.parametrize("path", ["", ".", "a.", 5, b"a", "a\nb", "\ud800"])
def test_a_ttl_field_that_names_no_key_is_refused(db: vecdb.Database, path: Any) -> None:
    with pytest.raises(InvalidRequestError, match="ttl_field"):
        db.create_collection("news", dim=4, ttl_field=path)
    assert db.list_collections() == []


@pytest.mark.parametrize("path", ["a" * 257, ".".join("a" * 17)])
def test_a_ttl_field_is_bounded_in_length_and_depth(db: vecdb.Database, path: str) -> None:
    with pytest.raises(LimitExceededError, match="ttl_field"):
        db.create_collection("news", dim=4, ttl_field=path)


def test_a_path_that_leads_nowhere_is_never() -> None:
    for metadata in ({}, {"a": None}, {"a": 3}, {"a": {"b": None}}, {"a.b": "2030-01-01"}):
        assert read_ttl("a.b", metadata, 0) == NEVER


def test_one_expiry_is_for_all_records_of_a_batch() -> None:
    assert read_expiries(NOON, 2) == [micros(NOON)] * 2
    assert read_expiries(["never", None], 2) == [NEVER, None]


def test_expired_records_that_cannot_be_removed_do_not_keep_rows_from_being_indexed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[int] = []

    def refused(*_: object) -> None:
        tries.append(1)
        raise CorruptionError("a record is damaged")

    monkeypatch.setattr(indexer, "INDEX_RETRY_S", 0.01)
    monkeypatch.setattr(indexer, "SCRUB_INTERVAL_S", 0.05)
    monkeypatch.setattr(indexer, "EXPIRY_SWEEP_S", 0.2)
    monkeypatch.setattr(indexer, "expired_slots", refused)
    with vecdb.open(":memory:", config=replace(CONFIG, background=True)) as db:
        docs = db.create_collection("docs", dim=4, metric="l2")
        deadline = time.monotonic() + 10
        while not tries:
            assert time.monotonic() < deadline
        docs.upsert(list(range(40)), rows(40))
        while not docs.stats().fields["default"].segments:
            assert time.monotonic() < deadline
