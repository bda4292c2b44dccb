"""The writer: group commits, refusals, failing stores, interrupts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, fill, picture, rows
from vecdb.engine.batch import read_batch
from vecdb.engine.commit import Commit, Operation
from vecdb.engine.loading import load_view
from vecdb.engine.operations import DeleteRecords
from vecdb.engine.writer import Ticket
from vecdb.errors import RecordExistsError, StorageError, StorageFullError, StoragePoisonedError
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table, id_key
from vecdb.storage.transactions import WriteTransaction

CALLERS = 6


@dataclass
class Answer:
    """What one caller of `submit` got."""

    ticket: Ticket | None = None
    error: BaseException | None = None

    @property
    def seq(self) -> int:
        """Seq of its commit."""
        assert self.ticket is not None, self.error
        return self.ticket.seq


class Interrupting:
    """An operation during which Ctrl-C is pressed, `times` times."""

    def __init__(self, times: int = 1) -> None:
        self.left = times

    def apply(self, _commit: Commit) -> int:
        """Raise as a signal handler does."""
        if self.left:
            self.left -= 1
            raise KeyboardInterrupt
        return 1


def put(docs: vecdb.Collection, record_id: int, mode: Any = "upsert") -> Operation:
    """Store one record."""
    return read_batch(docs._schema, [record_id], rows(1, record_id), None, mode)


def writer_of(db: vecdb.Database) -> Any:
    """The writer of a database."""
    return db._writer


def submit_together(db: vecdb.Database, operations: list[Operation]) -> list[Answer]:
    """Let each operation be submitted by a thread of its own, in order, all of them queued before a commit begins."""
    writer = writer_of(db)
    answers = [Answer() for _ in operations]

    def call(answer: Answer, operation: Operation) -> None:
        try:
            answer.ticket = writer.submit(operation)
        except BaseException as error:
            answer.error = error

    threads = []
    with writer._lock:
        for number, pair in enumerate(zip(answers, operations, strict=True), 1):
            threads.append(threading.Thread(target=call, args=pair))
            threads[-1].start()
            while len(writer._queue) < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    return answers


def assert_whole(db: vecdb.Database) -> None:
    """What this process sees is what is stored, and it is sound."""
    assert picture(db._publisher.view) == picture(load_view(db._environment))
    assert db.verify().problems == ()


def test_operations_that_wait_together_share_one_commit(db: vecdb.Database, docs: vecdb.Collection) -> None:
    before = db.seq
    answers = submit_together(db, [put(docs, number) for number in range(CALLERS)])
    assert [answer.seq for answer in answers] == [before + 1] * CALLERS
    assert docs.count() == CALLERS
    assert_whole(db)


def test_operations_of_a_group_see_each_other_in_order(db: vecdb.Database, docs: vecdb.Collection) -> None:
    delete = DeleteRecords(docs._schema, [id_key(1)])
    answers = submit_together(db, [put(docs, 1), delete, put(docs, 1, "insert"), put(docs, 2), delete])
    assert [answer.ticket and answer.ticket.count for answer in answers] == [1] * 5
    assert (docs.get(1), docs.count()) == (None, 1)
    assert_whole(db)


def test_a_refused_operation_leaves_no_trace_and_disturbs_no_other(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.upsert([3], rows(1), [{"first": True}])
    answers = submit_together(db, [put(docs, number, "insert") for number in range(CALLERS)])
    assert [type(answer.error) for answer in answers] == [
        RecordExistsError if number == 3 else type(None) for number in range(CALLERS)
    ]
    assert len({answer.seq for answer in answers if answer.ticket}) == 1
    found = docs.get(3)
    assert found is not None
    assert found.metadata == {"first": True}
    assert docs.count() == CALLERS
    assert_whole(db)


def test_operations_that_change_nothing_take_no_seq(db: vecdb.Database, docs: vecdb.Collection) -> None:
    before = db.seq
    answers = submit_together(db, [DeleteRecords(docs._schema, [id_key(7)])] * 2)
    assert [answer.seq for answer in answers] == [before] * 2
    assert db.seq == before


def test_a_failing_store_reaches_every_caller_and_leaves_no_trace(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = picture(db._publisher.view)

    def full(transaction: WriteTransaction) -> None:
        transaction.abort()
        raise StorageFullError("full")

    monkeypatch.setattr(WriteTransaction, "commit", full)
    answers = submit_together(db, [put(docs, number) for number in range(CALLERS)])
    monkeypatch.undo()
    assert [type(answer.error) for answer in answers] == [StorageFullError] * CALLERS
    assert picture(db._publisher.view) == before
    assert_whole(db)
    fill(docs, 2)
    assert docs.count() == 2


def test_an_unexpected_error_reaches_every_caller_and_leaves_no_trace(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    class Broken:
        def apply(self, _commit: Commit) -> int:
            raise ZeroDivisionError

    answers = submit_together(db, [put(docs, 1), Broken(), put(docs, 2)])
    assert [type(answer.error) for answer in answers] == [ZeroDivisionError] * 3
    assert docs.count() == 0
    assert_whole(db)


def test_a_commit_that_cannot_be_shown_poisons_later_writes_until_reopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=4, metric="l2")
        with monkeypatch.context() as patched:
            patched.setattr(db._publisher, "publish", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                fill(docs, 1)
        with pytest.raises(StoragePoisonedError, match="reopen"):
            fill(docs, 2)
        assert docs.count() == 0
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        fill(db.collection("docs"), 2)
        assert db.collection("docs").count() == 2
        assert_whole(db)


# --- interrupts -----------------------------------------------------------------------------------------------------


def interrupt_after(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, interrupted once it has done its work, as Ctrl-C while the disk is waited for."""
    struck: list[int] = []

    def call(*given: Any) -> Any:
        result = function(*given)
        if not struck:
            struck.append(1)
            raise KeyboardInterrupt
        return result

    return call


def test_what_was_committed_when_an_interrupt_struck_is_visible_and_writes_go_on(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriteTransaction, "commit", interrupt_after(WriteTransaction.commit))
    with pytest.raises(KeyboardInterrupt):
        fill(docs, 3)
    assert docs.count() == 3
    fill(docs, 2, first=3)
    assert docs.count() == 5
    assert_whole(db)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_while_the_view_is_made_does_not_lose_the_view(
    moment: str, db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = db._publisher.publish
    calls = []

    def interrupted(*given: Any) -> None:
        calls.append(1)
        if len(calls) > 1 or moment == "after":
            publish(*given)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(db._publisher, "publish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(docs, 3)
    assert docs.count() == 3
    fill(docs, 2)
    assert_whole(db)


def test_an_interrupt_concerns_its_own_caller_alone(db: vecdb.Database, docs: vecdb.Collection) -> None:
    answers = submit_together(db, [Interrupting(), *(put(docs, number) for number in range(CALLERS))])
    struck = [answer for answer in answers if isinstance(answer.error, KeyboardInterrupt)]
    assert len(struck) == 1
    assert all(answer.ticket for answer in answers if answer not in struck)
    assert docs.count() >= CALLERS - 1
    assert_whole(db)


def test_a_caller_interrupted_while_it_waits_withdraws_its_operation(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def __enter__(self) -> None:
            raise KeyboardInterrupt

        def __exit__(self, *_: object) -> None: ...

    with monkeypatch.context() as patched:
        patched.setattr(writer_of(db), "_lock", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            fill(docs, 1)
    docs.upsert([9], rows(1))
    assert [record.id for record in docs.iterate()] == [9]


def test_an_operation_lost_by_an_interrupt_is_told_so_and_does_not_wait_for_ever(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    writer = writer_of(db)

    class Losing:
        def apply(self, _commit: Commit) -> int:
            return 0

    @contextlib.contextmanager
    def losing_lock() -> Iterator[None]:
        writer._queue.clear()
        yield

    writer._lock = losing_lock()
    with pytest.raises(StorageError, match="repeat"):
        writer.submit(Losing())
    writer._lock = threading.Lock()
    fill(docs, 1)
    assert docs.count() == 1


def test_a_version_of_a_commit_to_come_is_found_by_verify(db: vecdb.Database, docs: vecdb.Collection) -> None:
    fill(docs, 2)
    key = keys.record_key(docs._schema.number, 1)
    with db._environment.write() as txn:
        txn.put(Table.RECORDS, key, codec.encode_record(key, id_key(1), {}, db.seq + 1))
    [problem] = db.verify().problems
    assert f"slot 1 has version {db.seq + 1}" in problem
