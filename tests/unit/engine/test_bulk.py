"""BulkWrites: batches checked first, stored later, in their order and as many in one commit as can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, rows
from vecdb.engine.bulk import BulkWrites
from vecdb.engine.sweep import Sweeper
from vecdb.errors import (
    CollectionNotFoundError,
    DimensionMismatchError,
    ReadOnlyError,
    RecordExistsError,
    StorageFullError,
)
from vecdb.storage.environment import Environment
from vecdb.types import WriteResult


def test_nothing_is_stored_before_the_commit(db: vecdb.Database, docs: vecdb.Collection) -> None:
    bulk = BulkWrites(db, "docs")
    operation = bulk.upsert([1, 2], rows(2))
    assert docs.count() == 0
    assert bulk.commit([operation]) == [WriteResult(seq=db.seq, count=2)]
    assert docs.count() == 2


def test_batches_share_one_commit(db: vecdb.Database, docs: vecdb.Collection) -> None:
    bulk, before = BulkWrites(db, "docs"), db.seq
    results = bulk.commit([bulk.upsert([n], rows(1)) for n in range(10)])
    assert results == [WriteResult(before + 1, 1)] * 10
    assert docs.count() == 10


def test_a_batch_that_fails_has_its_error_in_its_place(db: vecdb.Database, docs: vecdb.Collection) -> None:
    bulk = BulkWrites(db, "docs")
    docs.upsert([1], rows(1))
    first, second, third = bulk.commit([bulk.insert([n], rows(1)) for n in range(3)])
    assert isinstance(second, RecordExistsError)
    assert isinstance(first, WriteResult)
    assert first == third


def test_what_is_wrong_with_a_batch_is_said_when_it_is_prepared(db: vecdb.Database, docs: vecdb.Collection) -> None:
    with pytest.raises(DimensionMismatchError):
        BulkWrites(db, docs.name).upsert([1], rows(1, dim=9))


def test_operations_on_one_id_are_done_in_their_order(db: vecdb.Database, docs: vecdb.Collection) -> None:
    bulk = BulkWrites(db, "docs")
    bulk.commit([bulk.upsert(["same"], rows(1), [{"n": n}]) for n in range(5)])
    found = docs.get("same")
    assert found is not None
    assert found.metadata == {"n": 4}


def test_no_operations_are_no_commit(db: vecdb.Database, docs: vecdb.Collection) -> None:
    before = db.seq
    assert BulkWrites(db, docs.name).commit([]) == []
    assert db.seq == before


def test_a_collection_that_does_not_exist_is_an_error(db: vecdb.Database) -> None:
    with pytest.raises(CollectionNotFoundError):
        BulkWrites(db, "none")


def test_a_reader_has_none(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as writer:
        writer.create_collection("docs", dim=4)
        with vecdb.open(tmp_path / "db", mode="r", config=CONFIG) as reader, pytest.raises(ReadOnlyError):
            BulkWrites(reader, "docs")


@pytest.mark.parametrize("frees", [True, False])
def test_a_full_disk_is_tried_again_once_when_something_can_be_freed(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch, *, frees: bool
) -> None:
    bulk = BulkWrites(db, "docs")
    operations = [bulk.upsert([n], rows(1)) for n in range(2)]
    write, left = Environment.write, [1]

    def full_once(environment: Environment, **given: Any) -> Any:
        if left:
            left.pop()
            raise StorageFullError("full")
        return write(environment, **given)

    monkeypatch.setattr(Environment, "write", full_once)
    monkeypatch.setattr(Sweeper, "sweep_all", lambda *_: frees)
    results = bulk.commit(operations)
    assert [isinstance(one, WriteResult) for one in results] == [frees, frees]
    assert docs.count() == (2 if frees else 0)
