"""Curves measured with queries of the user's: for queries that are unlike the rows, kept with the field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, field_of, stored_keys
from vecdb.engine.config import KEPT_QUERIES_MAX
from vecdb.errors import DimensionMismatchError, FieldNotFoundError, InvalidRequestError, ReadOnlyError
from vecdb.storage.keys import Table
from vecdb.types import FloatArray

DIM = 24
ROWS = 3_000
SHIFT = 3.0


def asked(count: int, seed: int) -> FloatArray:
    """Queries from elsewhere than the rows."""
    return (np.random.default_rng(seed).standard_normal((count, DIM)) + SHIFT).astype(np.float32)


@pytest.fixture
def docs(db: vecdb.Database) -> vecdb.Collection:
    """Rows around the origin, indexed with few links, so that effort matters."""
    docs = db.create_collection("docs", dim=DIM, metric="l2", m=8, ef_construction=40)
    docs.upsert(list(range(ROWS)), np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32))
    docs.optimize()
    return docs


def effort(db: vecdb.Database, target: float = 0.9) -> int:
    """What the curve of the first segment says that a target takes."""
    curve = field_of(db).segments[0].segment.curve
    assert curve is not None
    return curve.ef_for(target, 10)


def recall(docs: vecdb.Collection, target: float) -> float:
    """Recall of queries that were not calibrated with."""
    queries = asked(400, seed=2)
    found = docs.search_batch(queries, limit=10, target_recall=target).ids
    wanted = docs.search_batch(queries, limit=10, exact=True).ids
    return float(np.mean([len(set(one) & set(other)) / 10 for one, other in zip(found, wanted, strict=True)]))


def test_searches_reach_the_recall_asked_for_with_queries_of_the_kind_given(docs: vecdb.Collection) -> None:
    assert docs.calibrate(asked(400, seed=1)).count == 400
    assert abs(recall(docs, 0.9) - 0.9) < 0.04


def test_queries_are_kept_through_optimize_reopening_and_for_readers(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2", m=8, ef_construction=40)
        rows = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32)
        docs.upsert(list(range(ROWS)), rows)
        docs.optimize()
        with vecdb.open(tmp_path / "db", mode="r") as reader:
            before = effort(db)
            reader.collection("docs").count()
            docs.calibrate(asked(400, seed=1))
            reader.collection("docs").count()
            assert effort(reader) == effort(db) > before
        docs.upsert([ROWS], rows[:1] + 1)
        docs.optimize()
        assert docs.stats().fields["default"].calibrated_with == 400
    with vecdb.open(tmp_path / "db", mode="r") as reader:
        assert reader.collection("docs").stats().fields["default"].calibrated_with == 400
        assert effort(reader) > before
        assert reader.verify().problems == ()


def test_queries_are_forgotten_on_request(db: vecdb.Database, docs: vecdb.Collection) -> None:
    before = effort(db)
    docs.calibrate(asked(400, seed=1))
    assert effort(db) != before
    assert docs.calibrate(None).count == 0
    assert effort(db) == before
    assert docs.stats().fields["default"].calibrated_with == 0


def test_a_collection_without_segments_is_calibrated_when_it_gets_one(db: vecdb.Database) -> None:
    docs = db.create_collection("late", dim=DIM, metric="l2")
    docs.calibrate(asked(100, seed=1))
    docs.upsert(list(range(200)), asked(200, seed=3))
    docs.optimize()
    assert docs.stats().fields["default"].calibrated_with == 100


def test_of_many_queries_a_sample_is_kept(docs: vecdb.Collection) -> None:
    assert docs.calibrate(asked(KEPT_QUERIES_MAX + 1, seed=1)).count == KEPT_QUERIES_MAX


def test_dropping_a_collection_forgets_its_queries(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.calibrate(asked(100, seed=1))
    db.drop_collection("docs")
    assert not [key for key in stored_keys(db, Table.STATE)[Table.STATE] if key.startswith(b"queries")]


def test_dropping_a_field_forgets_its_queries(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.add_field("more", vecdb.Field(dim=DIM, metric="l2"))
    docs.calibrate(asked(100, seed=1), field="more")
    docs.drop_field("more")
    assert not [key for key in stored_keys(db, Table.STATE)[Table.STATE] if key.startswith(b"queries")]


def test_what_cannot_be_calibrated_with_is_refused(docs: vecdb.Collection) -> None:
    with pytest.raises(InvalidRequestError, match="49 queries tell recall too roughly; give 50 at least"):
        docs.calibrate(asked(49, seed=1))
    with pytest.raises(DimensionMismatchError):
        docs.calibrate(asked(100, seed=1)[:, :3])
    with pytest.raises(FieldNotFoundError):
        docs.calibrate(asked(100, seed=1), field="none")


def test_a_reader_cannot_calibrate(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        db.create_collection("docs", dim=DIM)
    with vecdb.open(tmp_path / "db", mode="r") as reader, pytest.raises(ReadOnlyError):
        reader.collection("docs").calibrate(asked(100, seed=1))
