"""Recall as a collection measures it: of queries that it does not hold."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG
from vecdb.types import FloatArray


def rows_of(seed: int, count: int) -> FloatArray:
    """Rows of 12 dimensions that are alike, among 40."""
    plane = np.random.default_rng(99).standard_normal((12, 40))
    return (np.random.default_rng(seed).standard_normal((count, 12)) @ plane).astype(np.float32)


@pytest.mark.parametrize(("layout", "m"), [("compact", 8), ("packed", 16)])
def test_measured_recall_is_that_of_queries_held_out(layout: Literal["compact", "packed"], m: int) -> None:
    with vecdb.open(":memory:", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=40, metric="l2", m=m, ef_construction=64, layout=layout)
        docs.upsert(list(range(3_000)), rows_of(0, 3_000))
        docs.optimize()
        found = docs.search_batch(rows_of(1, 1_000), ef=12)
        truth = docs.search_batch(rows_of(1, 1_000), exact=True)
        recall = (found.distances <= truth.distances[:, -1:]).mean()
        report = docs.measure_recall(sample=800, ef=12)
    assert recall < 0.99  # there is something to be measured: .97, and .98 where it is quicker to search by codes
    assert report.recall == pytest.approx(recall, abs=0.015)
    assert report.low < report.recall < report.high
    assert report.sample == 800


def test_a_miss_among_short_vectors_is_a_miss() -> None:
    with vecdb.open(":memory:", config=CONFIG) as db:
        measured = []
        for name, length in (("short", 2.0**-24), ("long", 1.0)):
            docs = db.create_collection(name, dim=40, metric="l2", ef_construction=64)
            docs.upsert(list(range(1_000)), rows_of(0, 1_000) * np.float32(length))
            docs.optimize()
            measured.append(docs.measure_recall(sample=100, ef=5).recall)
    assert measured[0] == measured[1] < 0.99


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(("layout", "dim"), [("compact", 40), ("packed", 40), ("packed", 160)])
def test_recall_grows_with_effort_where_many_rows_have_nearly_equal_codes(
    layout: Literal["compact", "packed"], dim: int, filtered: bool
) -> None:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((10, dim))
    rows, queries = (
        (centers[rng.integers(0, 10, count)] + 0.001 * rng.standard_normal((count, dim))).astype(np.float32)
        for count in (2_000, 50)
    )
    with vecdb.open(":memory:", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=dim, metric="l2", layout=layout, ef_construction=64)
        docs.upsert(list(range(2_000)), rows, [{"n": number} for number in range(2_000)])
        docs.optimize()
        wanted = vecdb.F("n") < 1_500 if filtered else None
        truth = docs.search_batch(queries, exact=True, filter=wanted)
        little, much = (docs.search_batch(queries, ef=ef, filter=wanted) for ef in (40, 400))
    recall = [(found.distances <= truth.distances[:, -1:]).mean() for found in (little, much)]
    assert recall[0] < 0.8
    assert recall[1] > 0.98


def test_a_recall_measured_twice_is_the_same() -> None:
    with vecdb.open(":memory:", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=40, metric="cosine", layout="packed")
        docs.upsert(list(range(1_000)), rows_of(0, 1_000))
        docs.optimize()
        docs.delete(ids=list(range(0, 300, 3)))
        docs.upsert(list(range(5_000, 5_050)), rows_of(2, 50))
        assert docs.measure_recall(sample=100, ef=5) == docs.measure_recall(sample=100, ef=5)


def test_records_that_are_all_alike_are_no_miss() -> None:
    with vecdb.open(":memory:", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=40, metric="l2")
        docs.upsert(list(range(600)), np.repeat(rows_of(0, 6), 100, axis=0))
        docs.optimize()
        assert docs.measure_recall(k=10, sample=100, ef=20).recall == 1.0


def test_recall_of_rows_that_are_all_scanned_is_one() -> None:
    with vecdb.open(":memory:", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=24, metric="l2")
        docs.upsert(list(range(500)), np.random.default_rng(0).standard_normal((500, 24)).astype(np.float32))
        assert docs.measure_recall().recall == 1.0
