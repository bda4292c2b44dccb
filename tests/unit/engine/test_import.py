"""Imports of hnswlib indexes: all or nothing, and what failed leaves no bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, dropped_numbers, rows, stored_keys
from vecdb.engine import interop
from vecdb.engine.sweep import COLLECTION_TABLES
from vecdb.errors import CollectionExistsError, InvalidMetadataError, LimitExceededError, StorageFullError

STAGES = ["_store_records", "_store_segment", "FinishImport"]


def index_of(count: int) -> Any:
    """An hnswlib index of `count` rows labelled from 100 on, the first one deleted."""
    index = hnswlib.Index("l2", 4)
    index.init_index(count, M=4, ef_construction=16, random_seed=1)
    index.add_items(rows(count), np.arange(100, 100 + count))
    index.mark_deleted(100)
    return index


def leftovers(db: vecdb.Database) -> list[bytes]:
    """Keys of whatever belongs to a collection."""
    return [key for found in stored_keys(db, *COLLECTION_TABLES).values() for key in found]


def fail_after(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """Let the import break right after a stage (FinishImport: right before it)."""
    done = getattr(interop, stage)

    def broken(*given: Any) -> None:
        if stage != "FinishImport":
            done(*given)
        raise StorageFullError("full")

    monkeypatch.setattr(interop, stage, broken)


def test_an_import_keeps_labels_vectors_metadata_and_graph(db: vecdb.Database) -> None:
    docs = db.import_hnswlib("docs", index_of(40), dim=4, metric="l2", metadata=[{"n": n} for n in range(40)])
    assert [record.id for record in docs.iterate()] == list(range(101, 140))
    found = docs.get(105, with_vectors=True)
    assert found is not None
    assert found.vector is not None
    assert (found.metadata, found.vector.tolist()) == ({"n": 5}, rows(40)[5].tolist())
    assert 0 < found.version <= db.seq
    assert docs.search(rows(40)[7], limit=1).ids == [107]
    assert 100 not in docs.search(rows(40)[0], limit=40).ids
    assert db.verify().problems == ()


@pytest.mark.parametrize("stage", STAGES)
def test_an_import_that_fails_leaves_no_collection_and_no_bytes(
    stage: str, db: vecdb.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail_after(patched, stage)
        with pytest.raises(StorageFullError):
            db.import_hnswlib("docs", index_of(40), dim=4, metric="l2")
    assert (db.list_collections(), leftovers(db), dropped_numbers(db)) == ([], [], ())
    docs = db.import_hnswlib("docs", index_of(40), dim=4, metric="l2")
    assert docs.count() == 39


@pytest.mark.parametrize("stage", STAGES)
def test_an_import_cut_off_by_a_crash_is_swept_at_the_next_open(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        db.warm_up()
        assert db._writer is not None
        with monkeypatch.context() as patched:
            fail_after(patched, stage)
            with pytest.raises(StorageFullError):  # beneath Database, which would sweep at once
                interop.import_index(db._environment, db._writer, "docs", index_of(40), 4, "l2", None)
        assert leftovers(db)
        assert db.list_collections() == []
        assert dropped_numbers(db) == (1,)
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        assert (db.list_collections(), leftovers(db), dropped_numbers(db)) == ([], [], ())
        assert db.create_collection("docs", dim=4)._schema.number == 2


def test_an_import_does_not_touch_a_collection_of_that_name(db: vecdb.Database) -> None:
    docs = db.create_collection("docs", dim=4, metric="l2")
    docs.upsert([1], rows(1))
    with pytest.raises(CollectionExistsError):
        db.import_hnswlib("docs", index_of(40), dim=4, metric="l2")
    assert docs.count() == 1
    assert dropped_numbers(db) == ()


@pytest.mark.parametrize("metadata", [5, "x" * 40, {"a": 1}, [{}], [1] * 40])
def test_bad_metadata_is_refused_before_anything_is_stored(metadata: Any, db: vecdb.Database) -> None:
    before = db.seq
    with pytest.raises(InvalidMetadataError):
        db.import_hnswlib("docs", index_of(40), dim=4, metric="l2", metadata=metadata)
    assert db.seq == before


def test_an_import_counts_as_a_collection(db: vecdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.create_collection("one", dim=4)
    monkeypatch.setattr("vecdb.engine.schema_operations.COLLECTIONS_MAX", 1)
    with pytest.raises(LimitExceededError):
        db.import_hnswlib("two", index_of(40), dim=4, metric="l2")
