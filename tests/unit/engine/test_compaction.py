"""Index jobs: rows that die meanwhile, cancelled jobs, damaged sources, collections dropped under way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, damage_chunk, damage_record, field_of, fill, picture, rows, stored_keys
from vecdb.engine import compaction, segments
from vecdb.engine.indexer import Indexer
from vecdb.engine.schema_operations import DropCollection
from vecdb.errors import CorruptionError, WaitTimeoutError
from vecdb.storage.keys import Table


def indexer_of(db: vecdb.Database) -> Indexer:
    """The indexer of a database."""
    assert db._indexer is not None
    return db._indexer


def chunk_keys(db: vecdb.Database) -> list[bytes]:
    """Keys of all stored chunks."""
    return stored_keys(db, Table.CHUNKS)[Table.CHUNKS]


def during_a_job(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something after the columns of each new segment are written and before it is listed."""
    calibrated = segments.calibrated

    def call(*given: Any, **options: Any) -> Any:
        action()
        return calibrated(*given, **options)

    monkeypatch.setattr(compaction, "calibrated", call)


def test_a_merge_keeps_every_live_row_and_its_vector(db: vecdb.Database, docs: vecdb.Collection) -> None:
    for first in (0, 40, 80):
        fill(docs, 40, first=first)
        docs.optimize()
    docs.delete(list(range(0, 120, 3)))
    docs.optimize()
    (segment,) = field_of(db).segments
    assert (segment.entry.rows, segment.dead_count) == (80, 0)
    for number in (1, 50, 119):
        found = docs.get(number, with_vectors=True)
        assert found is not None
        assert found.vector is not None
        assert found.vector.tolist() == rows(120)[number].tolist()
    assert db.verify().problems == ()


def test_rows_that_die_during_a_job_are_dead_in_its_result(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(docs, 50)
    with monkeypatch.context() as patched:

        def change() -> None:
            docs.delete([1, 2])
            docs.upsert([3], rows(1, seed=9))

        during_a_job(patched, change)
        docs.optimize()
    (segment,) = field_of(db).segments
    assert (segment.entry.rows, segment.dead_count) == (50, 3)
    hits = docs.search(rows(3)[1], limit=100)
    assert sorted(str(found) for found in hits.ids) == sorted(str(n) for n in range(50) if n not in {1, 2})
    assert docs.search(rows(1, seed=9)[0], limit=1).ids == [3]
    assert db.verify().problems == ()


def test_a_collection_of_dead_rows_ends_without_segments(db: vecdb.Database, docs: vecdb.Collection) -> None:
    fill(docs, 50)
    docs.optimize()
    docs.delete(list(range(50)))
    docs.optimize()
    assert field_of(db).segments == ()
    indexer_of(db).start()
    assert chunk_keys(db) == []
    assert len(docs.search(rows(1)[0])) == 0


def test_optimize_ends_although_someone_keeps_deleting(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(docs, 50)
    jobs: list[int] = []

    def change() -> None:
        jobs.append(1)
        docs.delete([len(jobs)])

    during_a_job(monkeypatch, change)
    docs.optimize()
    assert len(jobs) == 1
    assert (len(field_of(db).segments), docs.count()) == (1, 49)


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_cancelled_job_leaves_no_visible_change_and_no_bytes_after_the_next_sweep(
    moment: int, db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(docs, 50)
    docs.optimize()
    fill(docs, 50, first=25)
    before, stored = picture(db._publisher.view), chunk_keys(db)
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) >= moment

    with monkeypatch.context() as patched:
        patched.setattr(
            compaction.Compactor, "cancelled", property(lambda _: cancelled, lambda *_: None), raising=False
        )
        docs.optimize()
    assert len(asked) >= moment
    assert picture(db._publisher.view) == before
    indexer_of(db).start()
    assert chunk_keys(db) == stored
    docs.optimize()
    assert (len(field_of(db).segments), docs.count()) == (1, 75)
    assert db.verify().problems == ()


def test_a_job_out_of_time_leaves_no_bytes_and_can_be_repeated(db: vecdb.Database, docs: vecdb.Collection) -> None:
    fill(docs, 50)
    with pytest.raises(WaitTimeoutError):
        docs.wait_indexed(timeout_s=0)
    assert (chunk_keys(db), field_of(db).segments) == ([], ())
    docs.wait_indexed(timeout_s=60)
    assert len(field_of(db).segments) == 1


def test_a_damaged_source_is_refused_and_the_old_segment_stays(db: vecdb.Database, docs: vecdb.Collection) -> None:
    fill(docs, 50)
    docs.optimize()
    fill(docs, 10, first=50)
    (before,) = field_of(db).segments
    damage_chunk(db)
    stored = chunk_keys(db)
    with pytest.raises(CorruptionError, match="chunks"):
        docs.optimize()
    assert [segment.entry for segment in field_of(db).segments] == [before.entry]
    assert (chunk_keys(db), docs.count()) == (stored, 60)


def test_a_damaged_collection_does_not_keep_others_from_being_indexed(
    db: vecdb.Database, docs: vecdb.Collection, caplog: pytest.LogCaptureFixture
) -> None:
    fill(docs, 50)
    docs.optimize()
    damage_chunk(db)
    docs.delete(list(range(30)))
    fill(db.create_collection("other", dim=4, metric="l2", m=4, ef_construction=16), 50)
    with caplog.at_level(logging.ERROR, "vecdb.indexer"):
        indexer_of(db)._work()
        indexer_of(db)._work()
    assert len(field_of(db, "other").segments) == 1
    assert sum("not indexed" in record.message for record in caplog.records) == 1  # it waits before it tries again


def test_a_metadata_index_that_meets_damage_does_not_keep_others_from_being_indexed(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    fill(docs, 50)
    damage_record(db)
    with pytest.raises(CorruptionError):
        docs.create_index("n", "int")
    fill(db.create_collection("other", dim=4, metric="l2", m=4, ef_construction=16), 50)
    with pytest.raises(CorruptionError):
        indexer_of(db)._work()
    assert len(field_of(db, "other").segments) == 1


def test_a_collection_dropped_during_its_job_takes_the_job_with_it(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(docs, 50)
    during_a_job(monkeypatch, lambda: db.submit(DropCollection(docs._schema)))
    db.optimize()
    indexer_of(db).sweep_dropped()
    assert (db.list_collections(), chunk_keys(db)) == ([], [])


def test_a_collection_dropped_between_plan_and_job_is_passed_over(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(docs, 50)
    indexer, plan = indexer_of(db), Indexer._plan

    def plan_and_drop(given: Indexer, request: Any) -> Any:
        planned = plan(given, request)
        if db.list_collections():
            db.submit(DropCollection(docs._schema))
        return planned

    monkeypatch.setattr(Indexer, "_plan", plan_and_drop)
    indexer._work()
    assert chunk_keys(db) == []


def test_an_unexpected_error_does_not_end_the_background_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vecdb.engine.indexer.INDEX_RETRY_S", 0.01)
    monkeypatch.setattr("vecdb.engine.indexer.SCRUB_INTERVAL_S", 0.01)
    run = compaction.Compactor.run
    failed: list[int] = []

    def failing(*given: Any) -> None:
        if not failed:
            failed.append(1)
            raise MemoryError
        run(*given)

    monkeypatch.setattr(compaction.Compactor, "run", failing)
    with (
        caplog.at_level(logging.CRITICAL),
        vecdb.open(tmp_path / "db", config=replace(CONFIG, background=True)) as db,
    ):
        docs = db.create_collection("docs", dim=4, metric="l2", m=4, ef_construction=16)
        fill(docs, 50)
        deadline = 2_000
        while not field_of(db).segments and deadline:
            deadline -= 1
            db._stop_following.wait(0.01)
        assert failed
        assert len(field_of(db).segments) == 1
