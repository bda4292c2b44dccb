"""Damaged data files: a typed error at opening or checking, never a signal, never a wrong value."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.storage.children import run_child
from tests.unit.storage.filling import MAP_BYTES, Contents, contents_of, fill, judge
from vecdb.errors import CorruptionError
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table, log_key
from vecdb.storage.pages import FREE, MAIN, walk

PAGE = 4_096
MUTANTS, MUTANTS_TORTURE = 200, 5_000


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "db"
    fill(path)
    return path


@pytest.fixture(scope="module")
def expected(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    copy = tmp_path_factory.mktemp("copy") / "db"
    shutil.copytree(original, copy)
    return contents_of(copy)


def mutate(raw: bytes, randomness: random.Random) -> bytes:
    """One of six kinds of damage: bits, a byte of a page's head, a page lost, misplaced or garbled, a meta bit."""
    data = bytearray(raw)
    pages = len(data) // PAGE
    page = randomness.randrange(pages) * PAGE
    kind = randomness.randrange(6)
    if kind == 0:
        for _ in range(randomness.choice([1, 1, 3, 20])):
            data[randomness.randrange(len(data))] ^= 1 << randomness.randrange(8)
    elif kind == 1:
        data[page + randomness.randrange(64)] = randomness.randrange(256)
    elif kind == 2:
        data[page : page + PAGE] = bytes(PAGE)
    elif kind == 3:
        other = randomness.randrange(pages) * PAGE
        data[page : page + PAGE] = raw[other : other + PAGE]
    elif kind == 4:
        data[page : page + PAGE] = randomness.randbytes(PAGE)
    else:
        data[randomness.randrange(2) * PAGE + randomness.randrange(160)] ^= 1 << randomness.randrange(8)
    return bytes(data)


def judge_mutants(original: Path, expected: Contents, place: Path, seeds: range) -> None:
    """Runs in a child: judge every mutant, leaving its seed and verdict in files as it goes."""
    raw = (original / "data.mdb").read_bytes()
    with (place / "verdicts").open("a", encoding="ascii") as verdicts:
        for seed in seeds:
            (place / "seed").write_text(str(seed))
            shutil.rmtree(place / "db", ignore_errors=True)
            shutil.copytree(original, place / "db")
            (place / "db" / "data.mdb").write_bytes(mutate(raw, random.Random(seed)))
            verdicts.write(f"{judge(place / 'db', expected)}\n")


def survive(original: Path, expected: Contents, place: Path, start: int, count: int) -> Counter[str]:
    status = run_child(judge_mutants, original, expected, place, range(start, start + count))
    assert status == 0, f"ended with status {status} at mutant {(place / 'seed').read_text()}"
    return Counter((place / "verdicts").read_text().split())


def test_mutated_files_give_errors_and_neither_signals_nor_wrong_values(
    original: Path, expected: Contents, tmp_path: Path, seed: int
) -> None:
    verdicts = survive(original, expected, tmp_path, seed, MUTANTS)
    assert verdicts["wrong"] == 0
    assert verdicts["found"] > MUTANTS / 2  # the others hit free pages and gaps
    assert verdicts.total() == MUTANTS


@pytest.mark.torture
@pytest.mark.timeout(1_800)
def test_thousands_of_mutated_files_give_neither_signals_nor_wrong_values(
    original: Path, expected: Contents, tmp_path: Path, seed: int
) -> None:
    verdicts = survive(original, expected, tmp_path, seed, MUTANTS_TORTURE)
    assert verdicts["wrong"] == 0
    assert verdicts.total() == MUTANTS_TORTURE


def open_truncated(path: Path, mode: str) -> None:
    with pytest.raises(CorruptionError, match="truncated"):
        Environment.open_directory(path, mode="r" if mode == "r" else "rw", map_bytes=MAP_BYTES)


@pytest.mark.parametrize("mode", ["r", "rw"])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_noticed_at_opening(original: Path, tmp_path: Path, share: float, mode: str) -> None:
    shutil.copytree(original, tmp_path / "db")
    data = tmp_path / "db" / "data.mdb"
    os.truncate(data, int(data.stat().st_size * share))
    assert run_child(open_truncated, tmp_path / "db", mode) == 0


def test_a_file_without_its_last_used_page_is_noticed_at_opening(tmp_path: Path) -> None:
    """The last page of a compact copy is always in use."""
    with Environment.open_memory(map_bytes=MAP_BYTES) as memory:
        with memory.write() as transaction:
            transaction.put_many(Table.CHUNKS, [(log_key(number), bytes(9_000)) for number in range(50)])
        memory.backup(tmp_path / "db", compact=True)
    data = tmp_path / "db" / "data.mdb"
    os.truncate(data, data.stat().st_size - PAGE)
    assert run_child(open_truncated, tmp_path / "db", "rw") == 0


def test_a_file_cut_in_the_middle_of_a_page_is_noticed_at_opening(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "db")
    data = tmp_path / "db" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2 + 100)
    assert run_child(open_truncated, tmp_path / "db", "rw") == 0


def test_a_file_that_lacks_only_free_pages_is_sound(tmp_path: Path) -> None:
    """LMDB leaves a file so when a transaction allocates pages at the end and frees them again."""
    path = tmp_path / "db"
    with Environment.open_directory(path, map_bytes=MAP_BYTES) as environment:
        for key, size in ((1, 400_000), (2, 400_000)):
            with environment.write() as transaction:
                transaction.put(Table.CHUNKS, log_key(key), bytes(size))
        for table in (Table.CHUNKS, Table.STATE, Table.STATE, Table.STATE, Table.STATE):
            with environment.write() as transaction:
                transaction.delete_range(table, b"", None)
                transaction.put(Table.STATE, b"a", b"1")
        with environment.begin_read() as read:
            meta, file = read.meta(), read.page_file()
            trees = {MAIN: meta.main, FREE: meta.free} | {table.label: read.tree(table) for table in Table}
            _, (starts, lengths) = walk(file, trees)
    used_pages = int((starts + lengths).max())
    os.truncate(path / "data.mdb", used_pages * PAGE)
    assert used_pages <= meta.last_page
    with Environment.open_directory(path, map_bytes=MAP_BYTES) as environment:
        with environment.begin_read() as read:
            environment.check_structure(read)
        with environment.write() as transaction:
            transaction.put(Table.CHUNKS, log_key(3), bytes(300_000))
        with environment.begin_read() as read:
            environment.check_structure(read)
            assert read.count(Table.CHUNKS) == 1
