"""No room: a typed error, reads go on, nothing is lost, and writing goes on when there is room again."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.storage.children import run_child
from tests.unit.storage.filling import MAP_BYTES
from vecdb.errors import StorageFullError
from vecdb.storage import keys
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table

VALUE = bytes(100_000)


def fill_up(environment: Environment, most: int = 1_000) -> int:
    """Write values, one per transaction, until there is no room; return how many were committed."""
    for number in range(most):
        try:
            with environment.write() as transaction:
                transaction.put(Table.CHUNKS, keys.log_key(number), VALUE)
        except StorageFullError:
            return number
    raise AssertionError("the disk never was full")


def expect_all_there(environment: Environment, count: int) -> None:
    with environment.begin_read() as transaction:
        environment.check_structure(transaction)
        assert [bytes(value) for _, value in transaction.items(Table.CHUNKS)] == [VALUE] * count


def expect_writes_after_deletes(environment: Environment, count: int) -> None:
    with environment.write() as transaction:
        assert transaction.delete_range(Table.CHUNKS, keys.log_key(0), keys.log_key(10)) == 10
    with environment.write() as transaction:  # pages freed by one commit can be used two commits later
        transaction.put(Table.STATE, b"a", b"1")
    with environment.write() as transaction:
        for number in range(5):
            transaction.put(Table.CHUNKS, keys.log_key(number), VALUE)
    expect_all_there(environment, count - 5)


def live_with_a_file_size_limit(path: Path) -> None:
    with Environment.open_directory(path, map_bytes=MAP_BYTES) as environment:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, hard))
        count = fill_up(environment)
        assert count > 10
        expect_all_there(environment, count)
        expect_writes_after_deletes(environment, count)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        with environment.write() as transaction:
            transaction.put(Table.CHUNKS, keys.log_key(9_999), VALUE)


def test_a_file_size_limit_is_a_full_store_that_recovers(directory: Path) -> None:
    assert run_child(live_with_a_file_size_limit, directory) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    mount = tmp_path / "mount"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_is_a_full_store_that_recovers(small_disk: Path) -> None:
    with Environment.open_directory(small_disk / "db", map_bytes=MAP_BYTES) as environment:
        count = fill_up(environment)
        assert count > 10
        expect_all_there(environment, count)
        expect_writes_after_deletes(environment, count)


def test_writing_goes_on_when_others_make_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 << 20))
    with Environment.open_directory(small_disk / "db", map_bytes=MAP_BYTES) as environment:
        count = fill_up(environment)
        ballast.unlink()
        assert fill_up(environment) > count


def test_a_large_transaction_on_a_full_disk_is_a_full_store(small_disk: Path) -> None:
    with Environment.open_directory(small_disk / "db", map_bytes=MAP_BYTES) as environment:
        with pytest.raises(StorageFullError), environment.write() as transaction:
            transaction.put_many(Table.TAIL, [(keys.log_key(number), bytes(3_000)) for number in range(20_000)])
        expect_all_there(environment, 0)


def test_a_database_is_not_half_created_on_a_full_disk(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes((8 << 20) - 16_384))
    with pytest.raises(StorageFullError):
        Environment.open_directory(small_disk / "db", map_bytes=MAP_BYTES)
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_database_on_a_full_disk_can_be_opened_with_a_larger_map(small_disk: Path) -> None:
    with Environment.open_directory(small_disk / "db", map_bytes=MAP_BYTES) as environment:
        count = fill_up(environment)
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4_096))
    with Environment.open_directory(small_disk / "db", map_bytes=2 * MAP_BYTES) as environment:
        expect_all_there(environment, count)
        (small_disk / "ballast").unlink()


def test_a_backup_to_a_full_disk_leaves_nothing(small_disk: Path, environment: Environment) -> None:
    with environment.write() as transaction:
        transaction.put_many(Table.CHUNKS, [(keys.log_key(number), VALUE) for number in range(100)])
    for compact in (False, True):
        with pytest.raises(StorageFullError):
            environment.backup(small_disk / "copy", compact=compact)
    assert list(small_disk.iterdir()) == []
