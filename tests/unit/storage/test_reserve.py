"""Room kept for deletions: made as a database grows, given when the disk is full, made again when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.storage.test_full_disk import VALUE, fill_up, small_disk
from vecdb.errors import StorageFullError
from vecdb.storage import keys
from vecdb.storage.config import RESERVE_BYTES_MAX, RESERVE_BYTES_MIN, RESERVE_SHARE
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table
from vecdb.storage.reserve import RESERVE_NAME, Reserve

__all__ = ["small_disk"]
LEAST = RESERVE_SHARE * RESERVE_BYTES_MIN


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / RESERVE_NAME


def test_a_small_database_keeps_no_room(path: Path) -> None:
    reserve = Reserve(path)
    reserve.keep(LEAST - 1)
    assert not path.exists()
    assert not reserve.give()


@pytest.mark.parametrize(
    ("data_bytes", "kept"),
    [(LEAST, RESERVE_BYTES_MIN), (1 << 40, RESERVE_BYTES_MAX), (2 * LEAST, 2 * RESERVE_BYTES_MIN)],
)
def test_room_is_kept_in_proportion_up_to_a_limit(path: Path, data_bytes: int, kept: int) -> None:
    reserve = Reserve(path)
    reserve.keep(LEAST)
    reserve.keep(data_bytes)
    assert path.stat().st_blocks * 512 >= kept
    assert path.stat().st_size == kept


def test_room_given_is_made_again_and_not_grown_before(path: Path) -> None:
    reserve = Reserve(path)
    reserve.keep(LEAST)
    assert reserve.give()
    assert not path.exists()
    reserve.keep(10 * LEAST)
    assert reserve.is_out
    assert reserve.renew()
    assert path.stat().st_size == RESERVE_BYTES_MIN


def test_what_a_process_before_kept_is_given_by_the_next(path: Path) -> None:
    Reserve(path).keep(LEAST)
    assert Reserve(path).give()


def test_a_reader_keeps_no_room(directory: Path) -> None:
    with Environment.open_directory(directory):
        pass
    with Environment.open_directory(directory, mode="r") as reader:
        reader.reserve.keep(LEAST)
    assert not (directory / RESERVE_NAME).exists()


def test_while_it_is_given_only_what_frees_room_is_written(small_disk: Path) -> None:
    with Environment.open_directory(small_disk / "db", map_bytes=1 << 30) as environment:
        count = fill_up(environment)
        assert environment.reserve.give()
        (small_disk / "ballast").write_bytes(bytes(RESERVE_BYTES_MIN // 2))
        with pytest.raises(StorageFullError, match="kept for deletions"), environment.write():
            pass
        with environment.write(frees=True) as transaction:
            transaction.delete_range(Table.CHUNKS, keys.log_key(0), keys.log_key(count // 2))
        with environment.write(frees=True) as transaction:
            transaction.put(Table.STATE, b"a", b"1")
        with environment.write() as transaction:  # free pages gave their room to the reserve
            transaction.put(Table.CHUNKS, keys.log_key(0), VALUE)
        assert (small_disk / "db" / RESERVE_NAME).exists()


def test_a_write_that_failed_leaves_its_room_to_others(small_disk: Path) -> None:
    with Environment.open_directory(small_disk / "db", map_bytes=1 << 30) as environment:
        before = (small_disk / "db" / "data.mdb").stat().st_blocks
        with pytest.raises(StorageFullError), environment.write() as transaction:
            transaction.put(Table.CHUNKS, b"a", bytes(20 << 20))
        with pytest.raises(StorageFullError), environment.write() as transaction:
            transaction.put_many(Table.TAIL, [(keys.log_key(number), bytes(3_000)) for number in range(20_000)])
        assert (small_disk / "db" / "data.mdb").stat().st_blocks <= before + 64
