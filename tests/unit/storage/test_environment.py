"""Opening: who may hold a directory, how it is shared, created, limited and left behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.storage.children import kill_child, run_child, start_child, wait_child, wait_for_file
from tests.unit.storage.filling import MAP_BYTES, put_struct
from vecdb.config import ASYNC_SYNC_INTERVAL_S
from vecdb.errors import ClosedError, CorruptionError, DatabaseLockedError, StorageError, StoragePoisonedError
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table
from vecdb.storage.lock import LOCK_NAME

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")


def write_state(environment: Environment, key: bytes = b"a") -> None:
    with environment.write() as transaction:
        put_struct(transaction, Table.STATE, key, {"x": 1})


def states(environment: Environment) -> int:
    with environment.begin_read() as transaction:
        return transaction.count(Table.STATE)


# --- one writer ------------------------------------------------------------------------------------------------------


def test_only_the_owner_can_enter_the_directory_and_its_files(directory: Path, environment: Environment) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert environment.mode == "rw"
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_a_second_writer_in_this_process_is_told_who_writes(directory: Path, environment: Environment) -> None:
    with pytest.raises(DatabaseLockedError, match="this process") as caught:
        Environment.open_directory(directory)
    assert caught.value.details["holder"]["pid"] == os.getpid()
    assert not environment.closed


def hold(path: Path, ready: Path) -> None:
    with Environment.open_directory(path, map_bytes=MAP_BYTES) as environment:
        write_state(environment)
        ready.touch()
        time.sleep(60)


def test_a_second_process_is_told_who_writes(directory: Path, tmp_path: Path) -> None:
    child = start_child(hold, directory, tmp_path / "ready")
    try:
        wait_for_file(tmp_path / "ready")
        with pytest.raises(DatabaseLockedError, match=f"process {child} on .*mode='r'"):
            Environment.open_directory(directory)
    finally:
        kill_child(child)


def test_a_killed_writer_leaves_the_lock_free_and_its_commits_behind(directory: Path, tmp_path: Path) -> None:
    child = start_child(hold, directory, tmp_path / "ready")
    wait_for_file(tmp_path / "ready")
    kill_child(child)
    assert json.loads((directory / LOCK_NAME).read_text())["pid"] == child
    with Environment.open_directory(directory) as environment:
        assert states(environment) == 1
        write_state(environment, b"b")


def die_while_writing(path: Path) -> None:
    environment = Environment.open_directory(path, map_bytes=MAP_BYTES)
    with environment.write() as transaction:
        put_struct(transaction, Table.STATE, b"lost", {})
        os.kill(os.getpid(), 9)


def test_a_transaction_cut_off_by_a_kill_is_gone_and_blocks_nobody(directory: Path) -> None:
    assert run_child(die_while_writing, directory) == -9
    with Environment.open_directory(directory) as environment:
        assert states(environment) == 0
        write_state(environment)


def race(path: Path, start: Path, results: Path) -> None:
    wait_for_file(start)
    try:
        environment = Environment.open_directory(path, map_bytes=MAP_BYTES)
    except DatabaseLockedError:
        (results / f"lost-{os.getpid()}").touch()
        return
    write_state(environment, str(os.getpid()).encode())
    (results / f"won-{os.getpid()}").touch()
    time.sleep(60)


@pytest.mark.parametrize("exists", [False, True])
def test_of_several_processes_exactly_one_gets_to_write(directory: Path, tmp_path: Path, exists: bool) -> None:
    if exists:
        Environment.open_directory(directory, map_bytes=MAP_BYTES).close()
    results = tmp_path / "results"
    results.mkdir()
    children = [start_child(race, directory, tmp_path / "start", results) for _ in range(6)]
    (tmp_path / "start").touch()
    try:
        for _ in range(2_000):
            if len(list(results.iterdir())) == len(children):
                break
            time.sleep(0.005)
    finally:
        for child in children:
            kill_child(child)
    assert sorted(path.name[:4] for path in results.iterdir()) == ["lost"] * 5 + ["won-"]
    with Environment.open_directory(directory) as environment:
        assert states(environment) == 1
    assert not [path for path in tmp_path.iterdir() if "creating" in path.name]


# --- sharing in one process ------------------------------------------------------------------------------------------


def test_a_reader_beside_the_writer_shares_its_map(directory: Path, environment: Environment) -> None:
    with Environment.open_directory(directory, mode="r") as reader:
        write_state(environment)
        assert states(reader) == 1
        assert reader.committed_txn() == environment.committed_txn()


def test_a_reader_outlives_the_writer_it_shares_with(directory: Path, environment: Environment) -> None:
    write_state(environment)
    with Environment.open_directory(directory, mode="r") as reader:
        environment.close()
        assert states(reader) == 1
        with Environment.open_directory(directory) as again:
            write_state(again, b"b")
        assert states(reader) == 2


def test_a_writer_may_follow_a_reader_in_one_process(directory: Path, environment: Environment) -> None:
    environment.close()
    with Environment.open_directory(directory, mode="r") as reader, Environment.open_directory(directory) as writer:
        write_state(writer)
        assert states(reader) == 1


def test_the_directory_is_the_same_by_any_name(directory: Path, environment: Environment) -> None:
    link = directory.with_name("link")
    link.symlink_to(directory)
    with pytest.raises(DatabaseLockedError):
        Environment.open_directory(link)
    with Environment.open_directory(link, mode="r") as reader:
        write_state(environment)
        assert states(reader) == 1


# --- readers in other processes --------------------------------------------------------------------------------------


def follow(path: Path, ready: Path, wanted: int) -> None:
    with Environment.open_directory(path, mode="r") as reader:
        ready.touch()
        for _ in range(2_000):
            if states(reader) == wanted:
                return
            time.sleep(0.005)
    raise AssertionError("the writes did not arrive")


def test_a_reader_process_follows_the_writer(directory: Path, environment: Environment, tmp_path: Path) -> None:
    child = start_child(follow, directory, tmp_path / "ready", 1)
    wait_for_file(tmp_path / "ready")
    write_state(environment)
    assert wait_child(child) == 0


def pin(path: Path, ready: Path) -> None:
    with Environment.open_directory(path, mode="r") as reader:
        transaction = reader.begin_read()
        ready.touch()
        time.sleep(60)
        transaction.close()


def test_the_reader_slot_of_a_killed_process_is_freed(
    directory: Path, environment: Environment, tmp_path: Path
) -> None:
    child = start_child(pin, directory, tmp_path / "ready")
    wait_for_file(tmp_path / "ready")
    kill_child(child)
    assert environment.check_readers() == 1
    assert environment.check_readers() == 0


# --- damaged and odd directories -------------------------------------------------------------------------------------


def test_a_missing_data_file_is_corruption_not_a_new_database(directory: Path, environment: Environment) -> None:
    environment.close()
    (directory / "data.mdb").unlink()
    with pytest.raises(CorruptionError, match="missing"):
        Environment.open_directory(directory)
    assert not (directory / "data.mdb").exists()


def test_an_empty_data_file_is_corruption_not_a_new_database(directory: Path, environment: Environment) -> None:
    environment.close()
    (directory / "data.mdb").write_bytes(b"")
    with pytest.raises(CorruptionError, match="empty"):
        Environment.open_directory(directory)
    assert (directory / "data.mdb").stat().st_size == 0


def test_the_data_file_of_another_program_is_corruption(directory: Path, environment: Environment) -> None:
    environment.close()
    (directory / "data.mdb").write_bytes(b"SQLite format 3\0" * 1_000)
    with pytest.raises(CorruptionError):
        Environment.open_directory(directory)


def test_a_failed_opening_leaves_the_lock_free(directory: Path, environment: Environment) -> None:
    environment.close()
    data = (directory / "data.mdb").read_bytes()
    (directory / "data.mdb").write_bytes(b"")
    with pytest.raises(CorruptionError):
        Environment.open_directory(directory)
    (directory / "data.mdb").write_bytes(data)
    Environment.open_directory(directory).close()


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"x" * 1_000_000])
def test_garbage_in_the_reader_table_of_nobody_does_no_harm(
    directory: Path, environment: Environment, content: bytes
) -> None:
    write_state(environment)
    environment.close()
    (directory / "lock.mdb").write_bytes(content)
    with Environment.open_directory(directory, mode="r") as reader:
        assert states(reader) == 1


def test_a_place_that_cannot_be_created_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        Environment.open_directory(tmp_path / "file" / "db")


# --- limits, durability, memory --------------------------------------------------------------------------------------


def open_with_little_address_space(path: Path) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])  # what was mapped before the fork counts too
    room = pages * resource.getpagesize() + (8 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    with Environment.open_directory(path) as environment:
        write_state(environment)
        assert environment._shared.env.info()["map_size"] < 8 << 30


def test_a_limited_address_space_gets_a_smaller_map(directory: Path) -> None:
    assert run_child(open_with_little_address_space, directory) == 0


def test_the_whole_map_is_reserved_at_no_cost_of_disk(directory: Path) -> None:
    with Environment.open_directory(directory) as environment:
        assert environment._shared.env.info()["map_size"] == 1 << 40
        assert (directory / "data.mdb").stat().st_blocks * 512 < 1 << 20


def test_async_writes_are_synced_by_the_clock(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.storage.environment.ASYNC_SYNC_INTERVAL_S", 0.01)
    calls: list[int] = []
    original = Environment.sync

    def sync(self: Environment) -> None:
        original(self)
        calls.append(1)

    monkeypatch.setattr(Environment, "sync", sync)
    with Environment.open_directory(directory, map_bytes=MAP_BYTES, durability="async") as environment:
        write_state(environment)
        for _ in range(1_000):
            if calls:
                break
            time.sleep(0.005)
    assert calls
    assert ASYNC_SYNC_INTERVAL_S < 1


def test_async_writes_survive_a_clean_close(directory: Path) -> None:
    with Environment.open_directory(directory, map_bytes=MAP_BYTES, durability="async") as environment:
        write_state(environment)
    with Environment.open_directory(directory, mode="r") as reader:
        assert states(reader) == 1


def test_a_memory_database_leaves_no_files(memory: Environment) -> None:
    write_state(memory)
    assert states(memory) == 1
    assert not [path for path in Path("/dev/shm").glob("vecdb-*") if path.stat().st_uid == os.getuid()]


def test_after_a_failed_sync_nothing_is_written(environment: Environment) -> None:
    environment._shared.poison("a sync failed in a test")
    with pytest.raises(StoragePoisonedError, match="a sync failed in a test"), environment.write():
        pass
    assert states(environment) == 0


def test_free_space_grows_with_deletions(environment: Environment) -> None:
    with environment.write() as transaction:
        transaction.put(Table.CHUNKS, b"big", bytes(1 << 20))
    before = environment.free_bytes()
    with environment.write() as transaction:
        transaction.delete(Table.CHUNKS, b"big")
    assert environment.free_bytes() - before >= 1 << 20


@pytest.fixture
def read_only_copy(directory: Path, environment: Environment, tmp_path: Path) -> Iterator[Path]:
    """The directory on a file system mounted read-only."""
    write_state(environment)
    environment.close()
    mount = tmp_path / "mount"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(mount)], check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        shutil.copytree(directory, mount / "db")
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        yield mount / "db"
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@needs_root
def test_a_database_on_a_read_only_file_system_can_be_read(read_only_copy: Path) -> None:
    with Environment.open_directory(read_only_copy, mode="r") as reader:
        assert states(reader) == 1
    with pytest.raises(StorageError):
        Environment.open_directory(read_only_copy)


# --- fork ------------------------------------------------------------------------------------------------------------


def test_a_forked_child_gets_closed_errors_and_harms_nobody(environment: Environment) -> None:
    def child() -> None:
        for use in (
            environment.begin_read,
            environment.committed_txn,
            environment.check_readers,
            environment.write().__enter__,
            lambda: transaction.get(Table.STATE, b"a"),
            lambda: next(transaction.items(Table.STATE)),
        ):
            try:
                use()
            except ClosedError:
                continue
            raise AssertionError("a forked child could use its parent's database")
        assert environment.closed
        transaction.close()
        environment.close()

    write_state(environment)
    transaction = environment.begin_read()
    assert run_child(child) == 0
    assert transaction.get(Table.STATE, b"a") is not None
    transaction.close()
    write_state(environment, b"b")
    assert states(environment) == 2


def test_a_pinned_state_of_the_parent_survives_a_child_that_exits(environment: Environment) -> None:
    with environment.write() as transaction:
        transaction.put(Table.STATE, b"a", b"old" * 3_000)
    with environment.begin_read() as pinned:
        assert run_child(lambda: None) == 0
        for number in range(20):
            with environment.write() as transaction:
                transaction.put(Table.STATE, b"a", bytes([number]) * 9_000)
        value = pinned.get(Table.STATE, b"a")
        assert value is not None
        assert bytes(value) == b"old" * 3_000


def reopen_in_child(path: Path) -> None:
    with Environment.open_directory(path, mode="r") as reader:
        assert states(reader) == 1


def test_a_forked_child_can_open_the_database_again(directory: Path, environment: Environment) -> None:
    write_state(environment)
    pinned = environment.begin_read()
    assert run_child(reopen_in_child, directory) == 0
    for number in range(20):
        write_state(environment, bytes([number]) * 100)
    assert pinned.count(Table.STATE) == 1
    pinned.close()


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(directory: Path, tmp_path: Path) -> None:
    def parent() -> None:
        environment = Environment.open_directory(directory, map_bytes=MAP_BYTES)
        write_state(environment)
        start_child(time.sleep, 5)
        (tmp_path / "ready").touch()
        os._exit(0)

    assert run_child(parent) == 0
    with Environment.open_directory(directory) as environment:
        assert states(environment) == 1


def test_a_block_left_in_a_forked_child_commits_nothing(environment: Environment) -> None:
    def child() -> None:
        try:
            context.__exit__(None, None, None)
        except ClosedError:
            return
        raise AssertionError("a forked child committed")

    context = environment.write()
    transaction = context.__enter__()
    put_struct(transaction, Table.STATE, b"a", {})
    assert run_child(child) == 0
    context.__exit__(None, None, None)
    assert states(environment) == 1
