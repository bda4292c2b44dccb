"""Checks when the sketches of what a filter matches are copied, and that answers stay as good as they were."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.conformance.small import SMALL
from vecdb import F
from vecdb.engine import gathering
from vecdb.engine.config import GATHER_AFTER, VAIN_WALKS
from vecdb.engine.filtering import PlaceMatches
from vecdb.engine.gathering import CopyRoom
from vecdb.index import calibrate
from vecdb.index.recall_curve import RecallCurve
from vecdb.index.segment import Segment
from vecdb.kernels.layout import TOO_LITTLE

DIM, ROWS = 64, 3_000


def vectors_of(seed: int, rows: int) -> Any:
    """Rows of intrinsic dimension 12."""
    rng = np.random.default_rng(1)
    plane = rng.standard_normal((12, DIM))
    return (np.random.default_rng(seed).standard_normal((rows, 12)) @ plane).astype(np.float32)


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[vecdb.Collection]:
    """A collection at rest, on a machine where copies are the quickest way to search among a tenth of its rows."""
    measured = calibrate.measure_walks

    def measure(segment: Segment, *args: Any, **options: Any) -> tuple[RecallCurve, bool]:
        curve, _ = measured(segment, *args, **options)
        return replace(curve, key_ns=5_000.0, row_ns=1_000.0, sketch_ns=20.0, copied_ns=5.0), False

    monkeypatch.setattr("vecdb.engine.segments.measure_walks", measure)
    with vecdb.open(tmp_path / "db", config=replace(SMALL, background=False)) as db:
        docs = db.create_collection("docs", dim=DIM, layout="packed")
        docs.upsert(list(range(ROWS)), vectors_of(2, ROWS), [{"tenth": row % 10} for row in range(ROWS)])
        docs.optimize()
        yield docs


def known(docs: vecdb.Collection) -> PlaceMatches:
    """What is remembered of the one filter."""
    with docs._database.reading(None) as view:
        [collection] = view.collections.values()
        [matches] = collection.remembered.values()
        [place] = matches.places.values()
    return place


def set_times(segment: Segment, **times: float) -> None:
    """Pretend that other times were measured."""
    assert segment.curve is not None
    object.__setattr__(segment, "curve", replace(segment.curve, **times))  # type: ignore[arg-type]  # only floats


def test_sketches_are_copied_once_their_scans_were_asked_for_often(docs: vecdb.Collection) -> None:
    queries = vectors_of(3, GATHER_AFTER + 8)
    for query in queries[:GATHER_AFTER]:
        docs.search(query, filter=F("tenth") == 3)
    assert known(docs).blocks is None
    for query in queries[GATHER_AFTER:]:
        docs.search(query, filter=F("tenth") == 3)
    assert known(docs).blocks is not None


def test_a_search_by_copies_finds_what_an_exact_one_does(docs: vecdb.Collection) -> None:
    found = 0
    for query in vectors_of(3, 100):
        hits = docs.search(query, filter=F("tenth") == 3, target_recall=0.99)
        assert len(hits) == 10
        assert all(int(key) % 10 == 3 for key in hits.ids)
        found += len(set(hits.ids) & set(docs.search(query, filter=F("tenth") == 3, exact=True).ids))
    assert known(docs).blocks is not None
    assert found > 950


def test_a_batch_makes_the_copies_that_it_scans(docs: vecdb.Collection) -> None:
    docs.search_batch(vectors_of(3, GATHER_AFTER - 1), filter=F("tenth") == 3)
    assert known(docs).blocks is None
    docs.search_batch(vectors_of(3, GATHER_AFTER), filter=F("tenth") == 3)
    assert known(docs).blocks is not None


@pytest.mark.parametrize("in_batch", [False, True])
def test_matches_that_are_walked_to_are_copied_where_a_scan_of_copies_would_take_less(
    docs: vecdb.Collection, in_batch: bool
) -> None:
    with docs._database.reading(None) as view:
        [collection] = view.collections.values()
    set_times(collection.fields[0].segments[0].segment, key_ns=10.0, sketch_ns=900.0, copied_ns=1.0)
    queries = vectors_of(3, 3 * GATHER_AFTER)
    assert "graph" in str(docs.search(queries[0], filter=F("tenth") == 3, explain=True).explain)
    if in_batch:
        docs.search_batch(queries, filter=F("tenth") == 3)
    else:
        for query in queries:
            docs.search(query, filter=F("tenth") == 3)
    assert known(docs).blocks is not None
    assert "sketches" in str(docs.search(queries[0], filter=F("tenth") == 3, explain=True).explain)


class VainWalk:
    """A walk that always ends far from all matches."""

    outcome = TOO_LITTLE
    runs = 0

    def run(self) -> int:
        self.runs += 1
        return 0


def test_after_walks_in_vain_most_searches_scan_at_once(docs: vecdb.Collection) -> None:
    with docs._database.reading(None) as view:
        [collection] = view.collections.values()
    set_times(collection.fields[0].segments[0].segment, key_ns=10.0, sketch_ns=900.0, copied_ns=0.0)
    queries, walk = vectors_of(3, 3 * VAIN_WALKS), VainWalk()
    for query in queries[:3]:
        docs.search(query, filter=F("tenth") == 3)
    [matches] = collection.remembered.values()
    [prepared] = matches.prepared.values()
    prepared.of_thread._search = walk  # type: ignore[assignment]  # has what is asked of it
    for query in queries:
        assert len(docs.search(query, filter=F("tenth") == 3)) == 10
    assert walk.runs == VAIN_WALKS + 2


def test_an_exact_search_makes_no_copies(docs: vecdb.Collection) -> None:
    for query in vectors_of(3, 3 * GATHER_AFTER):
        docs.search(query, filter=F("tenth") == 3, exact=True)
    assert known(docs).blocks is None


def test_where_copies_may_not_take_so_much_searches_go_on_without(
    docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with docs._database.reading(None) as view:
        [collection] = view.collections.values()
        monkeypatch.setattr(collection.room, "left", 1_000)
    for query in vectors_of(3, 3 * GATHER_AFTER):
        assert len(docs.search(query, filter=F("tenth") == 3)) == 10
    assert known(docs).blocks is None


def test_a_write_ends_what_was_copied(docs: vecdb.Collection) -> None:
    query = vectors_of(3, 1)[0]
    for _ in range(3 * GATHER_AFTER):
        docs.search(query, filter=F("tenth") == 3)
    docs.upsert(["new"], query[None], [{"tenth": 3}])
    for _ in range(3 * GATHER_AFTER):
        assert docs.search(query, filter=F("tenth") == 3).ids[0] == "new"


def test_room_is_taken_as_long_as_there_is_any() -> None:
    room = CopyRoom(100)
    assert [room.take(60), room.take(60), room.take(40), room.take(1)] == [True, False, True, False]
    assert gathering.CopyRoom().take(1_000_000)


def test_a_prepared_scan_keeps_the_rows_and_copies_that_it_scans(docs: vecdb.Collection) -> None:
    """Another thread that listed the same matches at the same time puts its own list in their place."""
    queries = vectors_of(3, 3 * GATHER_AFTER)
    want = [docs.search(query, filter=F("tenth") == 3) for query in queries][-1]
    place = known(docs)
    assert place.given is not None
    assert place.blocks is not None
    rows, blocks = weakref.ref(place.given.rows), weakref.ref(place.blocks)
    place.given = place.blocks = None
    gc.collect()
    assert rows() is not None
    assert blocks() is not None
    assert docs.search(queries[-1], filter=F("tenth") == 3) == want


def test_lists_of_matches_take_room_and_searches_do_without_them(
    docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CopyRoom, "take", lambda _room, _size: False)
    for query in vectors_of(3, 3):
        assert len(docs.search(query, filter=F("tenth") == 3)) == 10
    assert known(docs).given is None


def test_a_walk_explains_how_many_matches_there_are(docs: vecdb.Collection) -> None:
    with docs._database.reading(None) as view:
        [collection] = view.collections.values()
        set_times(collection.fields[0].segments[0].segment, row_ns=1e6, sketch_ns=0.0, copied_ns=0.0)
    explain = docs.search(vectors_of(3, 1)[0], filter=F("tenth") <= 8, explain=True).explain
    assert explain is not None
    [plan] = explain.parts
    assert plan.plan.startswith("graph")
    assert plan.matches == ROWS * 9 // 10
