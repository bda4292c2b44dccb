"""The sweep: everything unlisted goes, nothing listed does, and what was interrupted is finished later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, dropped_numbers, field_of, fill, stored_keys
from vecdb.engine.sweep import COLLECTION_TABLES
from vecdb.errors import StorageFullError
from vecdb.storage import keys
from vecdb.storage.chunks import ChunkKind, encode_chunk
from vecdb.storage.keys import Table
from vecdb.storage.transactions import WriteTransaction


def sweep(db: vecdb.Database) -> None:
    """What opening does before anything else."""
    assert db._indexer is not None
    db._indexer.start()


def leave_half_a_segment(db: vecdb.Database, collection: int, segment: int, chunks: int = 3) -> None:
    """Store chunks and an entry that no state lists, as a crash during a merge does."""
    with db._environment.write() as txn:
        for chunk in range(chunks):
            key = keys.chunk_key(collection, 0, segment, ChunkKind.CODES, chunk)
            txn.put(Table.CHUNKS, key, encode_chunk(key, ChunkKind.CODES, 0, np.zeros((4, 64), np.int8)))
        txn.put(Table.SEGMENTS, keys.segment_key(collection, 0, segment), b"never read")
        txn.put(Table.TAIL, keys.tail_key(collection, 0, 0), b"sealed long ago")


def all_keys(db: vecdb.Database) -> dict[Table, list[bytes]]:
    """All keys of the tables that belong to collections."""
    return stored_keys(db, *COLLECTION_TABLES)


@pytest.fixture
def indexed(db: vecdb.Database, docs: vecdb.Collection) -> vecdb.Database:
    """A database with a segment, a tail and tombstones."""
    fill(docs, 50)
    docs.optimize()
    docs.delete([1, 2, 3])
    fill(docs, 5, first=50)
    assert len(field_of(db).segments) == 1
    return db


def test_a_sweep_of_a_sound_database_removes_nothing(indexed: vecdb.Database) -> None:
    before, txn = all_keys(indexed), indexed._environment.committed_txn()
    sweep(indexed)
    assert all_keys(indexed) == before
    assert indexed._environment.committed_txn() == txn


def test_half_written_segments_and_sealed_rows_go_and_the_listed_stay(indexed: vecdb.Database) -> None:
    before = all_keys(indexed)
    leave_half_a_segment(indexed, 1, segment=7)
    leave_half_a_segment(indexed, 1, segment=2**32 - 1)
    assert all_keys(indexed) != before
    sweep(indexed)
    assert all_keys(indexed) == before
    assert indexed.verify().problems == ()


def test_a_dropped_collection_leaves_nothing_and_its_neighbours_everything(indexed: vecdb.Database) -> None:
    before = all_keys(indexed)
    other = indexed.create_collection("other", dim=4, metric="l2", m=4, ef_construction=16)
    fill(other, 40)
    other.optimize()
    other.delete([1])
    indexed.drop_collection("other")
    assert all_keys(indexed) == before
    assert dropped_numbers(indexed) == ()


@pytest.mark.parametrize("failing", range(6))
def test_an_interrupted_sweep_is_finished_at_the_next_open(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails at each of the tables in turn."""
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=4, metric="l2", m=4, ef_construction=16)
        fill(docs, 50)
        docs.optimize()
        docs.delete([1])
        fill(docs, 5)
        delete_range, calls = WriteTransaction.delete_range, []

        def failing_range(*given: Any) -> int:
            calls.append(1)
            if len(calls) > failing:
                raise StorageFullError("full")
            return delete_range(*given)

        with monkeypatch.context() as patched:
            patched.setattr(WriteTransaction, "delete_range", failing_range)
            with pytest.raises(StorageFullError):
                db.drop_collection("docs")
        assert any(all_keys(db).values())
        assert dropped_numbers(db) == (1,)
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        assert not any(all_keys(db).values())
        assert dropped_numbers(db) == ()


def test_leftovers_that_cannot_be_swept_do_not_keep_the_database_from_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=4, metric="l2", m=4, ef_construction=16)
        fill(docs, 50)
        docs.optimize()
        before = all_keys(db)

    def full(*_: object) -> int:
        raise StorageFullError("full")

    with monkeypatch.context() as patched:
        patched.setattr(WriteTransaction, "delete_range", full)
        with vecdb.open(tmp_path / "db", config=CONFIG) as db:
            leave_half_a_segment(db, 1, segment=7)
        with vecdb.open(tmp_path / "db", config=CONFIG) as db:
            assert db.collection("docs").count() == 50
            assert all_keys(db) != before
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        assert all_keys(db) == before


def test_a_collection_created_during_a_sweep_keeps_its_number(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer: Any = db._writer
    transaction = writer.transaction

    @contextlib.contextmanager
    def late(**given: bool) -> Iterator[WriteTransaction]:
        db.create_collection("late", dim=4, exist_ok=True)
        with transaction(**given) as txn:
            yield txn

    monkeypatch.setattr(writer, "transaction", late)
    db.drop_collection(docs.name)
    monkeypatch.undo()
    numbers = [db.create_collection(name, dim=4, exist_ok=True)._schema.number for name in ("late", "next")]
    assert numbers == [2, 3]
    assert dropped_numbers(db) == ()
