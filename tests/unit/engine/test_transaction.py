"""Transactions: alone in their commit, aborted whole, bounded, and of one use."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, picture, rows
from vecdb import F
from vecdb.engine import transaction as transaction_module
from vecdb.engine.batch import read_batch
from vecdb.engine.commit import AllOrNothing, Operation
from vecdb.engine.loading import load_view
from vecdb.errors import (
    CollectionNotFoundError,
    InvalidIdError,
    LimitExceededError,
    ReadOnlyError,
    RecordExistsError,
    TransactionEndedError,
)


def put(docs: vecdb.Collection, record_id: int, mode: Any = "upsert") -> Operation:
    """Store one record."""
    return read_batch(docs._schema, [record_id], rows(1, record_id), None, mode)


def take_groups(db: vecdb.Database, operations: list[Operation]) -> list[list[Operation]]:
    """The groups that operations queued together are committed in."""
    from vecdb.engine.writer import Ticket

    writer: Any = db._writer
    writer._queue.extend(map(Ticket, operations))
    groups = []
    while writer._queue:
        groups.append([ticket.operation for ticket in writer._take()])
    return groups


def test_a_transaction_is_alone_in_its_commit(db: vecdb.Database, docs: vecdb.Collection) -> None:
    a, b, c, d = (put(docs, number) for number in range(4))
    both = AllOrNothing([c])
    assert take_groups(db, [a, b, both, d, both]) == [[a, b], [both], [d], [both]]


def test_a_group_ends_before_a_record_is_put_twice(db: vecdb.Database, docs: vecdb.Collection) -> None:
    a, b, again = put(docs, 1), put(docs, 2), put(docs, 1)
    other = put(db.create_collection("other", dim=4), 1)
    assert take_groups(db, [a, b, other, again, b]) == [[a, b, other], [again, b]]


def test_an_aborted_transaction_disturbs_no_writer_beside_it(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.upsert([0], rows(1))
    refused: list[RecordExistsError] = []

    def abort_often() -> None:
        for number in range(30):
            try:
                with db.transaction() as tx:
                    tx.collection("docs").upsert([1_000 + number], rows(1))
                    tx.collection("docs").insert([0], rows(1))
            except RecordExistsError as error:
                refused.append(error)

    def write(first: int) -> None:
        for number in range(first, first + 30):
            docs.upsert([number], rows(1))

    threads = [threading.Thread(target=abort_often) for _ in range(2)]
    threads += [threading.Thread(target=write, args=(first,)) for first in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [0, *(first + n for first in (100, 200, 300) for n in range(30))]
    assert [record.id for record in docs.iterate()] == expected
    assert len(refused) == 60
    assert picture(db._publisher.view) == picture(load_view(db._environment))
    assert db.verify().problems == ()


def test_increments_under_if_version_lose_none(docs: vecdb.Collection) -> None:
    from vecdb.errors import VersionConflictError

    docs.upsert(["n"], rows(1), [{"n": 0}])

    def increment() -> None:
        done = 0
        while done < 20:
            record = docs.get("n")
            assert record is not None
            try:
                docs.update("n", metadata={"n": record.metadata["n"] + 1}, if_version=record.version)
                done += 1
            except VersionConflictError:
                continue

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = docs.get("n")
    assert final is not None
    assert final.metadata == {"n": 80}


def test_a_bad_argument_is_refused_at_the_call_and_the_rest_goes_on(db: vecdb.Database, docs: vecdb.Collection) -> None:
    with db.transaction() as tx:
        tx.collection("docs").upsert([1], rows(1))
        with pytest.raises(InvalidIdError):
            tx.collection("docs").upsert([-1], rows(1))
        with pytest.raises(CollectionNotFoundError):
            tx.collection("nowhere")
    assert (docs.count(), tx.result.count) == (1, 1)


def test_what_the_caller_changes_after_a_call_is_not_stored(db: vecdb.Database, docs: vecdb.Collection) -> None:
    vectors, vector, metadata = rows(1), rows(1, 5)[0], [{"n": [1]}]
    first, second = vectors.copy(), vector.copy()
    with db.transaction() as tx:
        tx.collection("docs").upsert(["a"], vectors, metadata)
        tx.collection("docs").upsert(["b"], vectors)
        tx.collection("docs").update("b", vector=vector)
        vectors[:], vector[:] = 9.0, 9.0
        metadata[0]["n"].append(2)
    a, b = docs.get(["a", "b"], with_vectors=True)
    assert a is not None
    assert b is not None
    assert a.metadata == {"n": [1]}
    assert [record.vectors["default"].tolist() for record in (a, b)] == [first[0].tolist(), second.tolist()]


@pytest.mark.parametrize(("limit", "allowed"), [("BATCH_RECORDS_MAX", 3), ("BATCH_BYTES_MAX", 3 * 16)])
def test_the_limits_of_one_write_hold_for_all_of_it(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch, limit: str, allowed: int
) -> None:
    monkeypatch.setattr(transaction_module, limit, allowed)
    with db.transaction() as tx:
        tx.collection("docs").upsert([1, 2], rows(2))
        with pytest.raises(LimitExceededError, match="split it"):
            tx.collection("docs").upsert([3, 4], rows(2))
        tx.collection("docs").upsert([5], rows(1))
    assert [record.id for record in docs.iterate()] == [1, 2, 5]


def test_a_transaction_is_used_once_and_inside_its_block(db: vecdb.Database, docs: vecdb.Collection) -> None:
    tx = db.transaction()
    with pytest.raises(TransactionEndedError):
        tx.collection("docs")
    with tx:
        inside = tx.collection("docs")
        with pytest.raises(TransactionEndedError):
            tx.__enter__()
    for late in (lambda: tx.collection("docs"), lambda: inside.delete(1), tx.__enter__):
        with pytest.raises(TransactionEndedError):
            late()
    assert docs.count() == 0


def test_an_empty_transaction_takes_no_seq(db: vecdb.Database, docs: vecdb.Collection) -> None:
    before = db.seq
    with db.transaction() as tx:
        pass
    assert (tx.result.seq, tx.result.count, docs.count()) == (before, 0, 0)


def test_a_collection_dropped_meanwhile_aborts_the_transaction(db: vecdb.Database, docs: vecdb.Collection) -> None:
    other = db.create_collection("other", dim=4)
    tx = db.transaction()
    tx.__enter__()
    tx.collection("docs").upsert([1], rows(1))
    tx.collection("other").upsert([1], rows(1))
    db.drop_collection(other.name)
    with pytest.raises(CollectionNotFoundError):
        tx.__exit__(None, None, None)
    assert docs.count() == 0


def test_a_reader_begins_no_transaction(tmp_path: Any) -> None:
    vecdb.open(tmp_path / "db", config=CONFIG).close()
    with vecdb.open(tmp_path / "db", "r", config=CONFIG) as reader, pytest.raises(ReadOnlyError):
        reader.transaction()


def test_a_record_stored_and_updated_in_a_transaction_is_removed_by_its_filter_once(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    with db.transaction() as transaction:
        mine = transaction.collection("docs")
        mine.upsert(["new"], rows(1), [{"n": 1}])
        mine.update("new", metadata={"n": 2})
        mine.delete(filter=F("n") == 2)
    assert transaction.result.count == 3
    assert (len(docs), db.verify().problems) == (0, ())


def test_a_record_stored_and_updated_in_a_transaction_is_updated_by_its_filter_once(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    with db.transaction() as transaction:
        mine = transaction.collection("docs")
        mine.upsert(["new"], rows(1), [{"n": 1}])
        mine.update("new", metadata={"n": 2})
        mine.update(filter=F("n") == 2, metadata={"n": 3})
    assert transaction.result.count == 3
    assert docs.count(F("n") == 3) == 1
