"""Transactions: what is read, written, iterated and deleted, and what is not possible any more after close."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.unit.storage.filling import MAP_BYTES
from vecdb.errors import ClosedError, DatabaseLockedError, ReadOnlyError, StorageFullError
from vecdb.storage import keys
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table
from vecdb.storage.transactions import ReadTransaction, WriteTransaction


def put(environment: Environment, *items: tuple[bytes, bytes]) -> None:
    with environment.write() as transaction:
        transaction.put_many(Table.STATE, list(items))


def value_of(transaction: ReadTransaction | WriteTransaction, key: bytes) -> bytes | None:
    value = transaction.get(Table.STATE, key)
    return None if value is None else bytes(value)


def state(environment: Environment) -> dict[bytes, bytes]:
    with environment.begin_read() as transaction:
        return {key: bytes(value) for key, value in transaction.items(Table.STATE)}


def test_a_committed_value_is_read_back(environment: Environment) -> None:
    put(environment, (b"a", b"1"))
    assert state(environment) == {b"a": b"1"}


def test_many_values_come_in_the_order_asked_for(environment: Environment) -> None:
    put(environment, (b"a", b"1"), (b"b", b"2"))
    with environment.begin_read() as transaction:
        assert transaction.get_many(Table.STATE, [b"b", b"x", b"a"]) == [b"2", None, b"1"]


def test_a_block_that_raises_writes_nothing(environment: Environment) -> None:
    def write_and_fail() -> None:
        with environment.write() as transaction:
            transaction.put(Table.STATE, b"a", b"1")
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert state(environment) == {}


def test_a_reader_keeps_its_state_while_others_write(environment: Environment) -> None:
    put(environment, (b"a", b"1"))
    with environment.begin_read() as transaction:
        put(environment, (b"a", b"2"))
        assert value_of(transaction, b"a") == b"1"


def test_a_writer_sees_its_own_writes(environment: Environment) -> None:
    with environment.write() as transaction:
        transaction.put(Table.STATE, b"a", b"1")
        assert value_of(transaction, b"a") == b"1"
        assert transaction.get_many(Table.STATE, [b"a", b"b"]) == [b"1", None]
        assert [(key, bytes(value)) for key, value in transaction.items(Table.STATE)] == [(b"a", b"1")]
        assert transaction.count(Table.STATE) == 1


def test_values_read_in_a_write_outlive_later_writes(environment: Environment) -> None:
    put(environment, (b"a", b"1" * 100))
    with environment.write() as transaction:
        value = transaction.get(Table.STATE, b"a")
        for number in range(200):
            transaction.put(Table.STATE, b"k%03d" % number, b"z" * 100)
        assert value is not None
        assert bytes(value) == b"1" * 100


def test_iteration_stays_between_start_and_stop(environment: Environment) -> None:
    put(environment, *((bytes([letter]), b"") for letter in b"abcde"))
    with environment.begin_read() as transaction:
        assert [key for key, _ in transaction.items(Table.STATE, b"b", b"d")] == [b"b", b"c"]
        assert [key for key, _ in transaction.items(Table.STATE, b"x")] == []
        assert [key for key, _ in transaction.items(Table.LOG)] == []


def test_the_last_key_of_a_prefix_is_found(environment: Environment) -> None:
    put(environment, (b"a1", b""), (b"a2", b""), (b"b1", b""), (b"\xff\xff", b""))
    with environment.begin_read() as transaction:
        assert transaction.last_key(Table.STATE, b"a") == b"a2"
        assert transaction.last_key(Table.STATE, b"b") == b"b1"
        assert transaction.last_key(Table.STATE, b"c") is None
        assert transaction.last_key(Table.STATE, b"\xff") == b"\xff\xff"
        assert transaction.last_key(Table.STATE) == b"\xff\xff"
        assert transaction.last_key(Table.LOG) is None


def test_deleting_tells_whether_the_key_was_there(environment: Environment) -> None:
    put(environment, (b"a", b"1"))
    with environment.write() as transaction:
        assert transaction.delete(Table.STATE, b"a")
        assert not transaction.delete(Table.STATE, b"a")
        assert transaction.delete_many(Table.STATE, [b"a", b"b"]) == 0


def test_a_range_is_deleted_up_to_its_stop(environment: Environment) -> None:
    put(environment, *((bytes([letter]), b"") for letter in b"abcde"))
    with environment.write() as transaction:
        assert transaction.delete_range(Table.STATE, b"b", b"d") == 2
        assert transaction.delete_range(Table.STATE, b"b", b"d") == 0
    assert list(state(environment)) == [b"a", b"d", b"e"]


def test_a_limited_range_is_deleted_in_several_transactions(environment: Environment) -> None:
    with environment.write() as transaction:
        for slot in range(40):
            transaction.put(Table.CHUNKS, keys.record_key(1, slot), bytes(100_000))
    removed: list[int] = []
    while not removed or removed[-1]:
        with environment.write() as transaction:
            removed.append(transaction.delete_range(Table.CHUNKS, b"", None, limit_bytes=1_000_000))
    assert sum(removed) == 40
    assert max(removed) <= 11
    assert len(removed) >= 5


def test_appending_in_order_stores_all_keys(environment: Environment) -> None:
    items = [(keys.record_key(1, slot), b"v") for slot in range(500)]
    with environment.write() as transaction:
        transaction.put_many(Table.RECORDS, items, append=True)
        assert transaction.count(Table.RECORDS) == 500


def test_appending_out_of_order_is_a_programming_error(environment: Environment) -> None:
    with pytest.raises(AssertionError), environment.write() as transaction:
        transaction.put_many(Table.STATE, [(b"b", b""), (b"a", b"")], append=True)
    assert state(environment) == {}


def test_a_reader_does_not_write(directory_reader: Environment) -> None:
    with pytest.raises(ReadOnlyError), directory_reader.write():
        pass


@pytest.fixture
def directory_reader(environment: Environment) -> Environment:
    return Environment.open_directory(environment.path, mode="r")


def test_a_closed_transaction_says_so(environment: Environment) -> None:
    transaction = environment.begin_read()
    transaction.close()
    transaction.close()
    for use in (
        lambda: transaction.get(Table.STATE, b"a"),
        lambda: transaction.get_many(Table.STATE, [b"a"]),
        lambda: list(transaction.items(Table.STATE)),
        lambda: transaction.last_key(Table.STATE),
        lambda: transaction.count(Table.STATE),
        transaction.page_file,
    ):
        with pytest.raises(ClosedError):
            use()


def test_an_iteration_over_a_closed_transaction_ends_with_an_error(environment: Environment) -> None:
    put(environment, (b"a", b"1"), (b"b", b"2"))
    transaction = environment.begin_read()
    iterator = transaction.items(Table.STATE)
    next(iterator)
    transaction.close()
    with pytest.raises(ClosedError):
        next(iterator)


def test_a_write_transaction_is_over_after_its_block(environment: Environment) -> None:
    with environment.write() as transaction:
        pass
    with pytest.raises(ClosedError):
        transaction.put(Table.STATE, b"a", b"1")


def test_a_closed_environment_says_so(environment: Environment) -> None:
    environment.close()
    environment.close()
    for use in (environment.begin_read, environment.committed_txn, environment.file_bytes, environment.sync):
        with pytest.raises(ClosedError):
            use()
    with pytest.raises(ClosedError), environment.write():
        pass


def test_a_read_transaction_outlives_the_closing_of_its_environment(environment: Environment) -> None:
    put(environment, (b"a", b"1" * 5_000))
    transaction = environment.begin_read()
    view = transaction.get(Table.STATE, b"a")
    environment.close()
    assert view is not None
    assert bytes(view) == value_of(transaction, b"a") == b"1" * 5_000
    transaction.close()


def test_a_forgotten_read_transaction_frees_its_reader_slot(environment: Environment) -> None:
    before = environment.begin_read()
    environment.begin_read()  # dropped at once
    assert environment._shared.env.info()["num_readers"] <= 2
    before.close()
    environment.close()
    Environment.open_directory(environment.path).close()


def test_a_read_transaction_may_change_threads(environment: Environment) -> None:
    put(environment, (b"a", b"1"))
    transaction = environment.begin_read()
    seen: list[bytes] = []

    def read() -> None:
        value = transaction.get(Table.STATE, b"a")
        assert value is not None
        seen.append(bytes(value))
        transaction.close()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert seen == [b"1"]


def test_writers_of_several_threads_wait_for_each_other(environment: Environment) -> None:
    def count_up() -> None:
        for _ in range(20):
            with environment.write() as transaction:
                value = transaction.get(Table.STATE, b"n")
                number = int.from_bytes(value or b"", "big")
                transaction.put(Table.STATE, b"n", (number + 1).to_bytes(4, "big"))

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int.from_bytes(state(environment)[b"n"], "big") == 80


def test_closing_waits_for_a_write_of_another_thread(environment: Environment) -> None:
    inside, proceed = threading.Event(), threading.Event()

    def write() -> None:
        with environment.write() as transaction:
            inside.set()
            proceed.wait(10)
            transaction.put(Table.STATE, b"a", b"1")

    writer = threading.Thread(target=write)
    closer = threading.Thread(target=environment.close)
    writer.start()
    inside.wait(10)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    with pytest.raises(DatabaseLockedError):
        Environment.open_directory(environment.path)
    proceed.set()
    writer.join()
    closer.join()
    with Environment.open_directory(environment.path) as again:
        assert state(again) == {b"a": b"1"}


def test_a_write_inside_a_write_is_a_programming_error(environment: Environment) -> None:
    with environment.write(), pytest.raises(AssertionError), environment.write():
        pass


def test_a_forgotten_environment_frees_its_lock(directory: Path) -> None:
    Environment.open_directory(directory, map_bytes=MAP_BYTES)
    Environment.open_directory(directory, map_bytes=MAP_BYTES).close()


def test_the_committed_transaction_is_seen_by_the_next_reader(environment: Environment) -> None:
    before = environment.committed_txn()
    put(environment, (b"a", b"1"))
    assert environment.committed_txn() == before + 1
    with environment.begin_read() as transaction:
        assert transaction.txn_id == before + 1


def test_an_empty_write_commits_nothing(environment: Environment) -> None:
    before = environment.committed_txn()
    with environment.write():
        pass
    assert environment.committed_txn() == before


def test_a_transaction_larger_than_the_dirty_list_is_committed_whole(memory: Environment) -> None:
    with memory.write() as transaction:
        for block in range(150):
            items = [(keys.record_key(block, slot), bytes(2_500)) for slot in range(1_000)]
            transaction.put_many(Table.TAIL, items, append=True)
    with memory.begin_read() as read:
        assert read.count(Table.TAIL) == 150_000


def test_a_used_up_map_is_a_full_store_that_can_be_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("small") / "db"
    with Environment.open_directory(path, map_bytes=1 << 20) as environment:
        put(environment, (b"a", b"1"))
        with pytest.raises(StorageFullError, match="map_bytes"), environment.write() as transaction:
            transaction.put(Table.CHUNKS, b"big", bytes(2 << 20))
        assert state(environment) == {b"a": b"1"}
        put(environment, (b"b", b"2"))
