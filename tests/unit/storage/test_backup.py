"""Backups: a database of their own, whole, checked, and made while the original is in use."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from tests.unit.storage.filling import contents_of, fill, put_struct, read_all
from vecdb.errors import AlreadyExistsError, CorruptionError
from vecdb.storage import keys
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table

both_ways = pytest.mark.parametrize("compact", [False, True])


@pytest.fixture
def filled(directory: Path) -> Path:
    fill(directory)
    return directory


@both_ways
def test_a_backup_holds_everything_and_is_another_database(filled: Path, tmp_path: Path, compact: bool) -> None:
    with Environment.open_directory(filled) as environment:
        contents = read_all(environment)
        environment.backup(tmp_path / "copy", compact=compact)
        uuid = environment.uuid
    assert contents_of(tmp_path / "copy") == contents
    with Environment.open_directory(tmp_path / "copy", mode="r") as copy:
        assert copy.uuid != uuid


def test_a_compact_backup_has_no_free_pages(filled: Path, tmp_path: Path) -> None:
    with Environment.open_directory(filled) as environment:
        assert environment.free_bytes() > 0
        environment.backup(tmp_path / "copy", compact=True)
        with Environment.open_directory(tmp_path / "copy", mode="r") as copy:
            assert copy.free_bytes() == 0
            assert copy.file_bytes() < environment.file_bytes()


@both_ways
def test_a_reader_and_a_memory_database_can_be_backed_up(
    filled: Path, memory: Environment, tmp_path: Path, compact: bool
) -> None:
    with Environment.open_directory(filled, mode="r") as reader:
        reader.backup(tmp_path / "one", compact=compact)
    memory.backup(tmp_path / "two", compact=compact)
    assert contents_of(tmp_path / "one") == contents_of(filled)
    assert contents_of(tmp_path / "two") == {}


def test_only_the_owner_can_read_a_backup(filled: Path, tmp_path: Path) -> None:
    with Environment.open_directory(filled) as environment:
        environment.backup(tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "copy").iterdir()} == {0o600}


@pytest.mark.parametrize("kind", ["file", "empty directory", "dangling link"])
def test_an_existing_target_is_refused(environment: Environment, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "copy"
    if kind == "file":
        target.write_text("kept")
    elif kind == "empty directory":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(AlreadyExistsError):
        environment.backup(target)
    assert os.path.lexists(target)


def test_a_damaged_database_is_not_backed_up(filled: Path, tmp_path: Path) -> None:
    with Environment.open_directory(filled) as environment:
        with environment.begin_read() as transaction:
            page = transaction.tree(Table.RECORDS).root
            size = environment.page_size
        with (filled / "data.mdb").open("r+b") as file:
            file.seek(page * size + 10)
            file.write(b"\xff\xff")
        with pytest.raises(CorruptionError):
            environment.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@both_ways
def test_a_backup_during_writes_is_one_committed_state(environment: Environment, tmp_path: Path, compact: bool) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with environment.write() as transaction:
                for table in (Table.STATE, Table.CATALOG):
                    put_struct(transaction, table, b"number", {"number": number})
                put_struct(transaction, Table.LOG, keys.log_key(number), {"number": number})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for attempt in range(5):
            environment.backup(tmp_path / f"copy-{attempt}", compact=compact)
    finally:
        stop.set()
        writer.join()
    for attempt in range(5):
        contents = contents_of(tmp_path / f"copy-{attempt}")
        entries = sum(1 for table, _ in contents if table is Table.LOG)
        last = contents.get((Table.LOG, keys.log_key(entries)))
        assert contents.get((Table.STATE, b"number")) == last
        assert contents.get((Table.CATALOG, b"number")) == last
