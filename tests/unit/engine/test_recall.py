"""Recall as a collection measures it: of queries that it does not hold."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG


def test_measured_recall_is_that_of_queries_held_out() -> None:
    rows = np.random.default_rng(0).standard_normal((3_600, 24)).astype(np.float32)
    queries = rows[3_000:]
    with vecdb.open(":memory:", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=24, metric="l2", m=8, ef_construction=64)
        docs.upsert(list(range(3_000)), rows[:3_000])
        docs.optimize()
        found = docs.search_batch(queries, ef=24)
        truth = docs.search_batch(queries, exact=True)
        recall = (found.distances <= truth.distances[:, -1:]).mean()
        report = docs.measure_recall(sample=500, ef=24)
    assert report.recall == pytest.approx(recall, abs=0.02)
    assert report.low < report.recall < report.high


def test_recall_of_rows_that_are_all_scanned_is_one() -> None:
    with vecdb.open(":memory:", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=24, metric="l2")
        docs.upsert(list(range(500)), np.random.default_rng(0).standard_normal((500, 24)).astype(np.float32))
        assert docs.measure_recall().recall == 1.0
