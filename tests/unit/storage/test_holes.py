"""Holes: free pages give their room on the disk back, and nothing that any state may still show is touched."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.unit.storage.children import kill_child, run_child, start_child, wait_for_file
from tests.unit.storage.filling import MAP_BYTES, contents_of, fill, read_all
from vecdb.storage import holes
from vecdb.storage.config import HOLE_BYTES_MIN
from vecdb.storage.environment import Environment, ReadTransaction
from vecdb.storage.holes import taken_bytes
from vecdb.storage.inspection import _check_state
from vecdb.storage.keys import Table
from vecdb.storage.meta import read_metas
from vecdb.storage.pagefile import PageFile

BIG = 4 << 20
SLACK = 1 << 20
EVERYTHING = 1 << 40


@pytest.fixture(autouse=True)
def _file_system_with_holes(tmp_path: Path) -> None:
    with (tmp_path / "probe").open("wb") as probe:
        probe.write(bytes(BIG))
        probe.flush()
        os.fsync(probe.fileno())
        with (tmp_path / "probe").open("rb+") as again:
            if not holes._punch(again.fileno(), 0, BIG) or taken_bytes(probe.fileno()) > SLACK:
                pytest.skip("the file system here has no holes")


def put(environment: Environment, key: bytes, size: int = BIG, fill_byte: int = 7) -> None:
    """Store a value in a transaction of its own."""
    with environment.write() as transaction:
        transaction.put(Table.CHUNKS, key, bytes([fill_byte]) * size)


def delete(environment: Environment, key: bytes) -> None:
    """Delete a value, and commit once more, as LMDB waits for that too before it uses the pages."""
    with environment.write() as transaction:
        transaction.delete(Table.CHUNKS, key)
    put(environment, b"little", 8)


def taken(environment: Environment) -> int:
    """Bytes of the disk that the data file takes."""
    return taken_bytes(environment._shared.fd)


def release(environment: Environment) -> int:
    """Make all the holes there can be."""
    total = 0
    while part := environment.release_free_pages(SLACK):
        total += part
    return total


def test_freed_pages_give_their_room_back_and_the_file_keeps_its_length(environment: Environment) -> None:
    put(environment, b"kept", fill_byte=1)
    put(environment, b"gone", fill_byte=2)
    delete(environment, b"gone")
    length, before = environment.file_bytes(), taken(environment)
    assert BIG - SLACK <= release(environment) <= BIG + SLACK
    assert taken(environment) <= before - BIG + SLACK
    assert environment.file_bytes() == length
    with environment.begin_read() as transaction:
        assert bytes(transaction.get(Table.CHUNKS, b"kept") or b"") == bytes([1]) * BIG
        environment.check_structure(transaction)


def test_what_was_given_back_is_not_given_back_twice(environment: Environment) -> None:
    put(environment, b"gone")
    delete(environment, b"gone")
    assert release(environment)
    assert release(environment) == 0


def test_holes_are_filled_by_later_writes(environment: Environment) -> None:
    put(environment, b"gone")
    delete(environment, b"gone")
    release(environment)
    length = environment.file_bytes()
    put(environment, b"new", BIG - SLACK, fill_byte=3)
    assert environment.file_bytes() == length
    with environment.begin_read() as transaction:
        assert bytes(transaction.get(Table.CHUNKS, b"new") or b"") == bytes([3]) * (BIG - SLACK)


def test_a_step_is_about_as_large_as_asked(environment: Environment) -> None:
    for number in range(4):
        put(environment, b"gone %d" % number, SLACK)
        put(environment, b"kept %d" % number, HOLE_BYTES_MIN)
    for number in range(4):
        delete(environment, b"gone %d" % number)
    assert SLACK <= environment.release_free_pages(SLACK) <= 2 * SLACK


def test_single_pages_give_their_room_back_only_when_asked_for(environment: Environment) -> None:
    page = environment.page_size
    for number in range(40):
        put(environment, b"gone %d" % number, page - 16)
        put(environment, b"kept %d" % number, page - 16)
    for number in range(40):
        delete(environment, b"gone %d" % number)
    release(environment)
    assert environment.release_free_pages(EVERYTHING, 0) >= 30 * page
    assert environment.release_free_pages(EVERYTHING, 0) == 0
    with environment.begin_read() as transaction:
        assert all(transaction.get(Table.CHUNKS, b"kept %d" % number) for number in range(40))


def test_a_readers_state_keeps_its_pages(environment: Environment) -> None:
    put(environment, b"gone", fill_byte=5)
    with environment.begin_read() as old:
        delete(environment, b"gone")
        assert release(environment) < SLACK
        assert bytes(old.get(Table.CHUNKS, b"gone") or b"") == bytes([5]) * BIG
    assert release(environment) >= BIG - SLACK


def _read_on_request(directory: Path, ready: Path, asked: Path) -> None:
    with Environment.open_directory(directory, mode="r") as reader, reader.begin_read() as state:
        ready.touch()
        wait_for_file(asked)
        assert bytes(state.get(Table.CHUNKS, b"gone") or b"") == bytes([5]) * BIG


def test_the_state_of_a_reader_in_another_process_keeps_its_pages(directory: Path, tmp_path: Path) -> None:
    ready, asked = tmp_path / "ready", tmp_path / "asked"
    with Environment.open_directory(directory, map_bytes=MAP_BYTES) as environment:
        put(environment, b"gone", fill_byte=5)
    reader = start_child(_read_on_request, directory, ready, asked)
    wait_for_file(ready)
    with Environment.open_directory(directory, map_bytes=MAP_BYTES) as environment:
        delete(environment, b"gone")
        assert release(environment) < SLACK
        asked.touch()
        assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 0
        environment.check_readers()
        assert release(environment) >= BIG - SLACK


def test_the_states_of_both_meta_pages_stay_whole(directory: Path) -> None:
    fill(directory)
    with Environment.open_directory(directory, map_bytes=MAP_BYTES) as environment:
        put(environment, b"gone")
        with environment.write() as transaction:
            transaction.delete(Table.CHUNKS, b"gone")
        release(environment)
        fd = environment._shared.fd
        for meta in read_metas(fd):
            _check_state(PageFile.at(fd, meta), meta, Table)


def test_pages_of_the_newest_commit_stay_until_another(environment: Environment) -> None:
    put(environment, b"gone")
    with environment.write() as transaction:
        transaction.delete(Table.CHUNKS, b"gone")
    assert release(environment) < SLACK
    put(environment, b"little", 8)
    assert release(environment) >= BIG - SLACK


def test_short_runs_keep_their_room(environment: Environment) -> None:
    for number in range(20):
        put(environment, b"short %d" % number, HOLE_BYTES_MIN // 4)
        put(environment, b"kept %d" % number, HOLE_BYTES_MIN // 4)
    for number in range(0, 20, 2):
        delete(environment, b"short %d" % number)
    assert release(environment) == 0


def test_a_file_system_without_holes_is_left_alone(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holes, "_punch", lambda *_: False)
    put(environment, b"gone")
    delete(environment, b"gone")
    before = taken(environment)
    assert environment.release_free_pages(EVERYTHING) == 0
    assert taken(environment) == before


def test_a_memory_database_gives_room_back_too(memory: Environment) -> None:
    put(memory, b"gone")
    delete(memory, b"gone")
    assert release(memory) >= BIG - SLACK


def test_a_plain_backup_takes_no_room_for_free_pages(environment: Environment, tmp_path: Path) -> None:
    put(environment, b"kept", fill_byte=1)
    put(environment, b"gone", fill_byte=2)
    delete(environment, b"gone")
    environment.backup(tmp_path / "copy")
    assert (tmp_path / "copy" / "data.mdb").stat().st_blocks * 512 <= BIG + SLACK
    with Environment.open_directory(tmp_path / "copy", mode="r") as copy, copy.begin_read() as transaction:
        assert bytes(transaction.get(Table.CHUNKS, b"kept") or b"") == bytes([1]) * BIG
        copy.check_structure(transaction)


def test_room_tells_what_free_pages_take(environment: Environment) -> None:
    put(environment, b"kept")
    free, used = environment.room()
    assert free < SLACK
    assert BIG <= used <= BIG + SLACK
    put(environment, b"gone")
    delete(environment, b"gone")
    assert environment.room()[0] >= BIG - SLACK
    release(environment)
    assert environment.room()[0] < SLACK


# --- random writes ---------------------------------------------------------------------------------------------------


def _churn(environment: Environment, rng: random.Random, expected: dict[bytes, bytes]) -> None:
    """A random commit, of which `expected` keeps account."""
    with environment.write() as transaction:
        for _ in range(rng.randrange(1, 5)):
            key = b"key %d" % rng.randrange(30)
            if rng.random() < 0.5:
                transaction.delete(Table.CHUNKS, key)
                expected.pop(key, None)
            else:
                expected[key] = bytes([rng.randrange(256)]) * rng.randrange(1, 600_000)
                transaction.put(Table.CHUNKS, key, expected[key])


def test_random_writes_between_holes_read_as_written(environment: Environment, seed: int) -> None:
    rng, expected = random.Random(seed), dict[bytes, bytes]()
    pinned: list[tuple[ReadTransaction, dict[bytes, bytes]]] = []
    for _ in range(60):
        _churn(environment, rng, expected)
        if rng.random() < 0.2:
            state = environment.begin_read()
            pinned.append((state, dict(expected)))
        if len(pinned) > 3:
            state, then = pinned.pop(rng.randrange(len(pinned)))
            with state:
                assert {key: bytes(value) for key, value in state.items(Table.CHUNKS)} == then
        release(environment)
    for state, then in pinned:
        with state:
            assert {key: bytes(value) for key, value in state.items(Table.CHUNKS)} == then
    with environment.begin_read() as transaction:
        environment.check_structure(transaction)


def _churn_for_ever(directory: Path, ready: Path, seed: int) -> None:
    """Write values that tell their own key, and make holes, until killed."""
    rng = random.Random(seed)
    with Environment.open_directory(directory, map_bytes=MAP_BYTES) as environment:
        while True:
            with environment.write() as transaction:
                for _ in range(4):
                    number = rng.randrange(30)
                    key = b"key %d" % number
                    transaction.delete(Table.CHUNKS, key)
                    if rng.random() < 0.6:
                        transaction.put(Table.CHUNKS, key, bytes([number]) * rng.randrange(1, 600_000))
            environment.release_free_pages(SLACK)
            ready.touch()


def _is_sound(directory: Path) -> None:
    with Environment.open_directory(directory, map_bytes=MAP_BYTES) as environment, environment.begin_read() as state:
        environment.check_structure(state)
        for key, value in state.items(Table.CHUNKS):
            assert set(bytes(value)) == {int(key.split()[1])}


@pytest.mark.parametrize("rounds", [6, pytest.param(150, marks=pytest.mark.torture)])
def test_a_kill_between_holes_leaves_a_sound_file(directory: Path, tmp_path: Path, seed: int, rounds: int) -> None:
    rng = random.Random(seed)
    for number in range(rounds):
        ready = tmp_path / f"ready-{number}"
        child = start_child(_churn_for_ever, directory, ready, seed + number)
        wait_for_file(ready)
        for _ in range(rng.randrange(2_000)):
            os.sched_yield()
        kill_child(child)
        assert run_child(_is_sound, directory) == 0


def test_everything_of_a_filled_database_is_there_after_holes(directory: Path) -> None:
    fill(directory)
    with Environment.open_directory(directory, map_bytes=MAP_BYTES) as environment:
        before = read_all(environment)
        put(environment, b"gone")
        delete(environment, b"gone")
        with environment.write() as transaction:
            transaction.delete(Table.CHUNKS, b"little")
        assert release(environment)
    assert contents_of(directory) == before
