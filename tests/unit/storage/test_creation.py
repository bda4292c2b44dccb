"""Creating a directory: whole or not at all, and what crashed creations leave is swept."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.storage.children import kill_child, run_child, start_child, wait_for_file
from tests.unit.storage.filling import MAP_BYTES
from vecdb.errors import AlreadyExistsError, DatabaseLockedError, NotADatabaseError
from vecdb.storage.creation import create_directory
from vecdb.storage.environment import Environment
from vecdb.storage.lock import LOCK_NAME, DirectoryLock
from vecdb.storage.mapping import create_data_file


def leftovers(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir() if "creating" in path.name]


def die_while_building(target: Path) -> None:
    def build(temporary: Path) -> None:
        (temporary / "half").write_text("half")
        os.kill(os.getpid(), 9)

    create_directory(target, build)


def test_a_crash_while_creating_leaves_no_directory(tmp_path: Path) -> None:
    assert run_child(die_while_building, tmp_path / "db") == -9
    assert not (tmp_path / "db").exists()
    assert len(leftovers(tmp_path)) == 1


def test_leftovers_of_a_dead_creator_are_swept_by_the_next(tmp_path: Path) -> None:
    assert run_child(die_while_building, tmp_path / "db") == -9
    Environment.open_directory(tmp_path / "db", map_bytes=MAP_BYTES).close()
    assert leftovers(tmp_path) == []


def test_an_empty_leftover_without_a_lock_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".db.creating-0123").mkdir()
    Environment.open_directory(tmp_path / "db", map_bytes=MAP_BYTES).close()
    assert leftovers(tmp_path) == []


def test_what_is_not_a_leftover_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / ".other.creating-0123").mkdir()
    mine = tmp_path / ".db.creating-mine"
    mine.mkdir()
    (mine / "notes").write_text("not from a creation: there is no LOCK")
    Environment.open_directory(tmp_path / "db", map_bytes=MAP_BYTES).close()
    assert sorted(leftovers(tmp_path)) == [".db.creating-mine", ".other.creating-0123"]


def build_slowly(target: Path, ready: Path) -> None:
    def build(_: Path) -> None:
        ready.touch()
        time.sleep(60)

    create_directory(target, build)


def test_the_directory_of_a_living_creator_is_not_swept(tmp_path: Path) -> None:
    child = start_child(build_slowly, tmp_path / "db", tmp_path / "ready")
    wait_for_file(tmp_path / "ready")
    Environment.open_directory(tmp_path / "db", map_bytes=MAP_BYTES).close()
    assert len(leftovers(tmp_path)) == 1
    kill_child(child)


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    def build(temporary: Path) -> None:
        (temporary / "half").write_text("half")
        raise KeyError

    with pytest.raises(KeyError):
        create_directory(tmp_path / "db", build)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "file").write_text("kept")
    with pytest.raises(AlreadyExistsError):
        create_directory(tmp_path / "db", lambda _: None)
    assert (tmp_path / "db" / "file").read_text() == "kept"
    assert leftovers(tmp_path) == []


def test_the_creator_holds_the_lock_from_the_first_moment(tmp_path: Path) -> None:
    lock = create_directory(tmp_path / "db", lambda _: None)
    assert (tmp_path / "db" / LOCK_NAME).exists()
    with pytest.raises(DatabaseLockedError):
        DirectoryLock.acquire(tmp_path / "db")
    lock.release()


def test_the_loser_of_a_race_opens_the_winners_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winner = Environment.open_directory(tmp_path / "winner", map_bytes=MAP_BYTES)
    winner.close()

    def lose(temporary: Path, *_layout: object) -> None:
        create_data_file(temporary)
        (tmp_path / "winner").rename(tmp_path / "db")

    monkeypatch.setattr("vecdb.storage.environment.create_data_file", lose)
    with Environment.open_directory(tmp_path / "db", map_bytes=MAP_BYTES) as opened:
        assert opened.uuid == winner.uuid
    assert leftovers(tmp_path) == []


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    """An empty file system, whose root cannot be replaced by a rename."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    mount = tmp_path / "mount"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(mount)], check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_mount_point_becomes_a_database(mount_point: Path) -> None:
    with Environment.open_directory(mount_point, map_bytes=MAP_BYTES) as environment:
        uuid = environment.uuid
        with pytest.raises(DatabaseLockedError):
            Environment.open_directory(mount_point)
    assert sorted(path.name for path in mount_point.iterdir()) == ["LOCK", "MANIFEST", "data.mdb", "lock.mdb"]
    with Environment.open_directory(mount_point) as environment:
        assert environment.uuid == uuid
    assert leftovers(mount_point.parent) == []


def test_a_mount_point_left_by_a_dead_creator_becomes_a_database(mount_point: Path) -> None:
    (mount_point / LOCK_NAME).touch()
    (mount_point / ".creating-0123").mkdir()
    (mount_point / ".creating-0123" / "half").write_text("half")
    Environment.open_directory(mount_point, map_bytes=MAP_BYTES).close()
    assert sorted(path.name for path in mount_point.iterdir()) == ["LOCK", "MANIFEST", "data.mdb", "lock.mdb"]


def test_a_mount_point_with_other_files_is_left_alone(mount_point: Path) -> None:
    (mount_point / "data.mdb").write_text("a database that lost its MANIFEST")
    with pytest.raises(NotADatabaseError):
        Environment.open_directory(mount_point, map_bytes=MAP_BYTES)
    assert (mount_point / "data.mdb").read_text() == "a database that lost its MANIFEST"
