"""Checks that a lean walk among far matches is taken only once it has shown that it finds enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.conformance.small import SMALL
from tests.unit.engine.test_gathering import DIM, known, set_times, vectors_of
from vecdb import F
from vecdb.engine.config import LEAN_TRIALS
from vecdb.kernels.layout import CHECKED_PADDED

ROWS, MATCHES, EF = 3_000, 1_500, 20
NEAR_HALF = F("place") < MATCHES


@pytest.fixture
def docs(tmp_path: Path) -> Iterator[vecdb.Collection]:
    """A collection at rest whose records know their rank along the first component."""
    vectors = vectors_of(2, ROWS)
    places = np.argsort(np.argsort(vectors[:, 0]))
    with vecdb.open(tmp_path / "db", config=replace(SMALL, background=False)) as db:
        docs = db.create_collection("docs", dim=DIM, layout="packed", metric="l2")
        docs.upsert(list(range(ROWS)), vectors, [{"place": int(place)} for place in places])
        docs.optimize()
        yield docs


def plan_lean_walks(docs: vecdb.Collection, *, wanted: float) -> None:
    """Pretend that scans take long, and that a search without a filter finds as much as is `wanted`."""
    with docs._database.reading(None) as view:
        [collection] = view.collections.values()
    [segment] = collection.fields[0].segments
    assert segment.segment.is_checked
    assert segment.segment.quantizer.padded <= CHECKED_PADDED
    set_times(segment.segment, key_ns=10.0, row_ns=900.0, sketch_ns=900.0, copied_ns=900.0)
    set_times(segment.segment, at_10=((10, wanted),))  # type: ignore[arg-type]  # as it is measured


def far_queries(count: int) -> Any:
    """Queries far from the half that matches."""
    queries = vectors_of(3, 20 * count)
    return np.ascontiguousarray(queries[np.argsort(queries[:, 0])][-count:])


def test_a_lean_walk_that_finds_enough_is_taken_from_then_on(docs: vecdb.Collection) -> None:
    plan_lean_walks(docs, wanted=0.5)
    queries = far_queries(LEAN_TRIALS + 20)
    for query in queries[:LEAN_TRIALS]:
        docs.search(query, ef=EF, filter=NEAR_HALF)
    assert not known(docs).trusted
    for query in queries:
        docs.search(query, ef=EF, filter=NEAR_HALF)
    assert len(known(docs).trusted) == 1
    for query in queries:
        hits = docs.search(query, ef=EF, filter=NEAR_HALF, with_metadata=True)
        assert len(hits) == 10
        assert all((hit.metadata or {})["place"] < MATCHES for hit in hits)
    assert "graph of the matches" in str(docs.search(queries[0], ef=EF, filter=NEAR_HALF, explain=True).explain)


def test_a_lean_walk_that_finds_too_little_is_given_up_and_never_seen(docs: vecdb.Collection) -> None:
    plan_lean_walks(docs, wanted=2.0)
    for query in far_queries(2 * LEAN_TRIALS):
        alone = docs.search(query, ef=EF, filter=NEAR_HALF)
        assert alone.ids == docs.search_batch(query[None], ef=EF, filter=NEAR_HALF)[0].ids
    assert not known(docs).trusted
    with docs._database.reading(None) as view:
        [collection] = view.collections.values()
    [matches] = collection.remembered.values()
    [prepared] = matches.prepared.values()
    assert prepared.of_thread._lean is None


def test_what_one_effort_has_shown_counts_for_no_other(docs: vecdb.Collection) -> None:
    plan_lean_walks(docs, wanted=0.5)
    for query in far_queries(LEAN_TRIALS + 4):
        docs.search(query, ef=EF, filter=NEAR_HALF)
    assert [(limit, effort.ef) for limit, effort in known(docs).trusted] == [(10, EF)]
