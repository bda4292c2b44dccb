"""Getting, scrolling, counting, and the maintenance calls."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import vecdb
from tests.conformance.conftest import DIM
from tests.conformance.fronts import CollectionLike, DatabaseLike
from tests.conformance.small import SMALL
from tests.harness.model import id_order, low_rank
from vecdb.errors import CollectionExistsError, CollectionNotFoundError, WaitTimeoutError
from vecdb.types import Field, RecordId


def mixed_ids(count: int) -> list[RecordId]:
    """Ids of every type, in no order."""
    kinds: list[RecordId] = [i * 7919 % 100_003 if i % 3 == 0 else f"id-{i * 31 % 997}-{i}" for i in range(count)]
    return [uuid.UUID(int=i * 104_729 + 1) if i % 3 == 2 else value for i, value in enumerate(kinds)]


def scrolled(docs: CollectionLike, limit: int) -> list[Any]:
    """All records by pages of `limit`."""
    page = docs.scroll(limit=limit)
    records = list(page)
    while page.cursor is not None:
        assert len(page) == limit
        page = docs.scroll(limit=limit, cursor=page.cursor)
        records += page
    return records


def test_get_of_one_id_is_a_record_or_none(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a"], rng.standard_normal((1, DIM)), [{"n": 1}])
    assert docs.get("a").metadata == {"n": 1}
    assert docs.get("ghost") is None


def test_get_of_many_keeps_their_order_and_marks_the_missing(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a", "b", "c"], rng.standard_normal((3, DIM)))
    got = docs.get(["c", "ghost", "a", "c"])
    assert [record and record.id for record in got] == ["c", None, "a", "c"]
    assert docs.get([]) == []


def test_get_has_vectors_only_as_asked(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rng.standard_normal((1, DIM)).astype(np.float32)
    docs.upsert(["a"], x)
    assert not docs.get("a").vectors
    assert docs.get("a").vector is None
    np.testing.assert_array_equal(docs.get("a", with_vectors=True).vectors["default"], x[0])


def test_float16_fields_return_the_rounded_vector_as_float32(db: DatabaseLike, rng: np.random.Generator) -> None:
    half = db.create_collection("half", dim=DIM, dtype="float16")
    x = rng.standard_normal((300, DIM)).astype(np.float32)
    half.upsert(list(range(300)), x)
    for _ in range(2):
        got = half.get(7, with_vectors=True).vector
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, x[7].astype(np.float16).astype(np.float32))
        half.optimize()


@pytest.mark.parametrize("limit", [1, 7, 100, 1_000])
def test_scroll_gives_each_record_once_in_id_order(docs: CollectionLike, rng: np.random.Generator, limit: int) -> None:
    ids = mixed_ids(150)
    docs.upsert(ids, rng.standard_normal((150, DIM)), [{"n": str(i)} for i in ids])
    docs.delete(ids=ids[::10])
    left = [i for n, i in enumerate(ids) if n % 10]
    records = scrolled(docs, limit)
    assert [record.id for record in records] == sorted(left, key=id_order)
    assert all(record.metadata == {"n": str(record.id)} for record in records)


def test_iterate_gives_each_record_once_with_its_vector(docs: CollectionLike, rng: np.random.Generator) -> None:
    ids = mixed_ids(400)
    x = rng.standard_normal((400, DIM)).astype(np.float32)
    docs.upsert(ids, x)
    docs.wait_indexed()
    docs.update(ids[5], vector=-x[5])
    expected = dict(zip(ids, x, strict=True)) | {ids[5]: -x[5]}
    records: list[Any] = list(docs.iterate(with_vectors=True))
    assert [record.id for record in records] == sorted(ids, key=id_order)
    assert all(np.array_equal(record.vector, expected[record.id]) for record in records)


@pytest.mark.parametrize("method", ["scroll", "iterate"])
def test_reading_all_records_beside_a_writer_gives_each_lasting_id_once(
    docs: CollectionLike, rng: np.random.Generator, method: str
) -> None:
    lasting = list(range(0, 600, 2))
    x = rng.standard_normal((600, DIM)).astype(np.float32)
    docs.upsert(lasting, x[lasting])
    stop, failures = threading.Event(), list[BaseException]()

    def churn() -> None:
        odd = list(range(1, 600, 2))
        try:
            while not stop.is_set():
                docs_writer.upsert(odd, x[odd])
                docs_writer.upsert(lasting[:100], x[lasting[:100]])
                docs_writer.delete(ids=odd)
        except BaseException as error:
            failures.append(error)

    docs_writer = getattr(docs, "_writer", docs)
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(5):
            seen = [r.id for r in (docs.iterate() if method == "iterate" else scrolled(docs, 37))]
            assert seen == sorted(set(seen))
            assert set(lasting) <= set(seen)
    finally:
        stop.set()
        thread.join()
    assert not failures


def test_count_len_and_in_follow_every_write(docs: CollectionLike, rng: np.random.Generator) -> None:
    assert (docs.count(), len(docs), "a" in docs) == (0, 0, False)
    docs.upsert(["a", "b"], rng.standard_normal((2, DIM)))
    assert (docs.count(), len(docs), "a" in docs) == (2, 2, True)
    docs.delete(ids=["a"])
    assert (docs.count(), len(docs), "a" in docs) == (1, 1, False)


def test_collections_are_created_listed_and_dropped(db: DatabaseLike) -> None:
    for name in ("b", "a", "c-1_x"):
        db.create_collection(name, dim=4)
    assert db.list_collections() == ["a", "b", "c-1_x"]
    assert "a" in db
    db.drop_collection("a")
    assert "a" not in db
    assert db.list_collections() == ["b", "c-1_x"]
    with pytest.raises(CollectionNotFoundError, match="'a'"):
        db.collection("a")


def test_a_dropped_name_can_be_used_again_and_starts_empty(db: DatabaseLike, rng: np.random.Generator) -> None:
    first = db.create_collection("docs", dim=8)
    first.upsert(list(range(300)), rng.standard_normal((300, 8)))
    first.optimize()
    db.drop_collection("docs")
    second = db.create_collection("docs", dim=4, metric="l2")
    assert second.count() == 0
    assert second.fields["default"].dim == 4
    second.upsert([1], rng.standard_normal((1, 4)))
    assert second.search(np.ones(4), limit=10).ids == [1]


def test_creating_an_existing_collection_is_an_error_unless_it_may_exist(db: DatabaseLike) -> None:
    db.create_collection("docs", dim=8)
    with pytest.raises(CollectionExistsError, match="'docs'"):
        db.create_collection("docs", dim=8)
    assert db.create_collection("docs", dim=8, exist_ok=True).name == "docs"


def test_an_existing_collection_of_another_shape_may_not_exist(db: DatabaseLike) -> None:
    db.create_collection("docs", dim=8)
    with pytest.raises(CollectionExistsError, match="docs"):
        db.create_collection("docs", dim=9, exist_ok=True)


def test_a_collection_tells_its_name_and_fields(db: DatabaseLike) -> None:
    fields = {"text": Field(dim=8, m=12), "image": Field(dim=4, metric="l2", dtype="float16", ef_construction=50)}
    db.create_collection("both", fields=fields)
    assert db.collection("both").name == "both"
    assert dict(db.collection("both").fields) == fields


def test_collections_do_not_see_each_others_records(db: DatabaseLike, rng: np.random.Generator) -> None:
    one, two = db.create_collection("one", dim=4), db.create_collection("two", dim=4)
    one.upsert(["x"], rng.standard_normal((1, 4)))
    two.upsert(["y"], rng.standard_normal((1, 4)))
    one.delete(ids=["y"])
    assert one.search(np.ones(4)).ids == ["x"]
    assert two.search(np.ones(4)).ids == ["y"]


def test_optimize_indexes_everything_and_keeps_the_content(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = low_rank(rng, 900, DIM)
    for start in range(0, 900, 100):
        docs.upsert(list(range(start, start + 100)), x[start : start + 100])
    docs.delete(ids=list(range(0, 900, 2)))
    docs.optimize()
    field = docs.stats().fields["default"]
    assert (field.segments, field.tail_rows, field.dead_rows, field.rows) == (1, 0, 0, 450)
    assert [record.id for record in docs.iterate()] == list(range(1, 900, 2))


def test_wait_indexed_moves_the_tail_into_segments(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(list(range(500)), low_rank(rng, 500, DIM))
    docs.wait_indexed(timeout_s=60)
    field = docs.stats().fields["default"]
    assert field.segments >= 1
    assert field.tail_rows < 128
    assert sum(field.segment_rows) + field.tail_rows - field.dead_rows == field.rows == 500


def test_wait_indexed_without_time_times_out_or_is_done(docs: CollectionLike, rng: np.random.Generator) -> None:
    for start in range(0, 3_000, 500):
        docs.upsert(list(range(start, start + 500)), low_rank(rng, 500, DIM))
    try:
        docs.wait_indexed(timeout_s=0.001)
    except WaitTimeoutError:
        docs.wait_indexed(timeout_s=60)
    assert docs.stats().fields["default"].tail_rows < 128


def test_stats_count_records_and_rows(db: DatabaseLike, docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(list(range(50)), rng.standard_normal((50, DIM)))
    docs.delete(ids=[1, 2])
    stats = docs.stats()
    assert (stats.name, stats.records, stats.fields["default"].rows) == ("docs", 48, 48)
    assert 0 < stats.seq <= db.seq


def test_refreshing_shows_the_newest_commit(db: DatabaseLike, docs: CollectionLike) -> None:
    seq = docs.upsert(["a"], np.ones((1, DIM))).seq
    db.warm_up()
    assert db.refresh() >= seq
    assert "a" in docs


def test_a_sound_database_has_no_problems(db: DatabaseLike) -> None:
    assert db.problems == ()


def test_a_sound_graph_validates(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(list(range(600)), low_rank(rng, 600, DIM))
    docs.wait_indexed()
    docs.delete(ids=list(range(0, 600, 5)))
    report = docs.validate()
    reports = report.values() if isinstance(report, dict) else report if isinstance(report, (list, tuple)) else [report]
    assert list(reports)
    assert not [problem for graph in reports for problem in graph.problems]


def test_verify_finds_nothing_wrong_in_a_sound_database(
    db: DatabaseLike, docs: CollectionLike, rng: np.random.Generator
) -> None:
    docs.upsert(list(range(500)), low_rank(rng, 500, DIM), [{"n": i} for i in range(500)])
    docs.optimize()
    docs.delete(ids=[1, 2, 3])
    docs.upsert(list(range(600, 650)), low_rank(rng, 50, DIM))
    report = db.verify()
    assert report.ok
    assert report.records == 547
    assert report.chunks > 0


@pytest.mark.parametrize("compact", [False, True])
def test_a_backup_opens_as_an_equal_database(
    db: DatabaseLike, docs: CollectionLike, rng: np.random.Generator, tmp_path: Path, *, compact: bool
) -> None:
    x = low_rank(rng, 500, DIM)
    docs.upsert(list(range(500)), x, [{"n": i} for i in range(500)])
    docs.wait_indexed()
    docs.delete(ids=list(range(0, 500, 9)))
    docs.upsert(["tail"], -x[:1])
    expected: list[Any] = list(docs.iterate(with_vectors=True))
    answers = [docs.search(query, limit=10, exact=True) for query in x[:10]]
    db.backup(tmp_path / "copy", compact=compact)
    docs.delete(ids=[1])
    with vecdb.open(tmp_path / "copy", config=SMALL) as copy:
        assert copy.verify().ok
        other = copy.collection("docs")
        got: list[Any] = list(other.iterate(with_vectors=True))
        assert [(r.id, r.metadata) for r in got] == [(r.id, r.metadata) for r in expected]
        assert all(np.array_equal(a.vector, b.vector) for a, b in zip(got, expected, strict=True))
        for query, answer in zip(x, answers, strict=False):
            assert other.search(query, limit=10, exact=True).ids == answer.ids
        other.upsert(["after"], x[:1])
        assert "after" in other
    assert "after" not in docs


def test_a_reopened_directory_holds_what_was_written(tmp_path: Path, rng: np.random.Generator) -> None:
    x = low_rank(rng, 400, DIM)
    with vecdb.open(tmp_path / "db", config=SMALL) as database:
        created = database.create_collection("docs", dim=DIM)
        created.upsert(list(range(400)), x, [{"n": i} for i in range(400)])
        created.delete(ids=[0])
        seq = database.seq
        answer = created.search(x[3], limit=10, exact=True)
    with vecdb.open(tmp_path / "db", config=SMALL) as database:
        docs: Any = database.collection("docs")
        assert database.seq >= seq
        assert docs.count() == 399
        assert docs.get(7).metadata == {"n": 7}
        assert docs.search(x[3], limit=10, exact=True).ids == answer.ids


def test_memory_databases_are_separate_and_leave_nothing(rng: np.random.Generator) -> None:
    with vecdb.open(":memory:", config=SMALL) as one, vecdb.open(":memory:", config=SMALL) as two:
        one.create_collection("docs", dim=4).upsert(["a"], rng.standard_normal((1, 4)))
        assert two.list_collections() == []
    with vecdb.open(":memory:", config=SMALL) as again:
        assert again.list_collections() == []


def test_database_tells_its_path_and_mode(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=SMALL) as database:
        assert Path(database.path) == tmp_path / "db"
        assert database.mode == "rw"
        with vecdb.open(tmp_path / "db", mode="r") as reader:
            assert reader.mode == "r"


def test_a_reader_in_the_writers_process_sees_each_acknowledged_write(tmp_path: Path, rng: np.random.Generator) -> None:
    with vecdb.open(tmp_path / "db", config=SMALL) as writer:
        docs = writer.create_collection("docs", dim=4)
        with vecdb.open(tmp_path / "db", mode="r", config=SMALL) as reader:
            x = rng.standard_normal((1, 4))
            seq = docs.upsert(["a"], x).seq
            assert reader.collection("docs").search(x[0], limit=1, min_seq=seq).ids == ["a"]
        docs.upsert(["b"], x)  # closing the reader left the writer open
        assert docs.count() == 2


def test_close_may_be_called_twice(tmp_path: Path) -> None:
    database = vecdb.open(tmp_path / "db", config=SMALL)
    database.close()
    database.close()


def test_min_seq_of_a_write_that_never_comes_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.engine.database.MIN_SEQ_WAIT_S", 0.2)  # ten seconds otherwise
    for path, mode in ((":memory:", "rw"), (tmp_path / "db", "rw"), (tmp_path / "db", "r")):
        with vecdb.open(path, mode=cast(Any, mode), config=SMALL) as database:
            if mode == "rw":
                database.create_collection("docs", dim=DIM)
            with pytest.raises(WaitTimeoutError, match=str(database.seq + 1_000)):
                database.collection("docs").search(np.ones(DIM), min_seq=database.seq + 1_000)
