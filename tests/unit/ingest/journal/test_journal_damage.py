"""Damaged journals and caches are typed errors that say what to do, or do no harm; never signals, never wrong data."""

from __future__ import annotations

import random
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.ingest.journal.given import IDENTITY, MODEL, item, opened, store, vectors, written
from tests.unit.storage.children import run_child
from vecdb.errors import CorruptionError, FormatVersionError, StorageFullError
from vecdb.ingest.journal.cache import EmbeddingCache
from vecdb.ingest.journal.comparing import Comparison
from vecdb.ingest.journal.config import CACHE_BYTES_MIN
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure, JournalChanges, PartWrite
from vecdb.storage.environment import Environment
from vecdb.storage.layout import CACHE, JOURNAL, CacheTable, JournalTable
from vecdb.storage.manifest import read_manifest, write_manifest

ITEMS = 150
TEXTS = [f"text {number}" for number in range(ITEMS)]
WORST = range(24)
"""Copies of each kind that are damaged; torture has more."""


PARTS = [PartWrite("a", "f"), PartWrite("b", "f")]


def _journal(directory: Path) -> None:
    with opened(directory) as journal:
        journal.begin_run()
        store(journal, *(item(number) for number in range(ITEMS)))
        failures = [Failure(id=f"bad {n}", part="a", position="a", reason="R", message="m", time=1.0) for n in range(9)]
        journal.write(JournalChanges(failed=failures, parts=PARTS, intended=[written(item("x"))]))
        journal.end_run("done")


def _cache(directory: Path) -> None:
    with EmbeddingCache.open(directory) as cache:
        for start in range(0, ITEMS, 30):
            cache.put_many(MODEL, *vectors(TEXTS[start : start + 30]))


def _require_help(directory: Path, error: CorruptionError) -> None:
    assert str(directory) in str(error)
    assert "remove the directory" in str(error).lower()
    assert "backup" not in str(error)


def _use_journal(directory: Path) -> None:
    """Everything a run and `status` do; what is told must be true, or nothing is told."""
    try:
        with Journal.open(directory, IDENTITY) as journal:
            run = Comparison(journal)
            verdicts = run.items([item(number) for number in range(ITEMS)])
            assert {verdict.kind for verdict in verdicts} == {"unchanged"}
            # a delivery to the first was under way
            assert (journal.part_fingerprint("a"), journal.part_fingerprint("b")) == (None, "f")
            assert len(list(journal.failures())) == 9
            assert len(list(journal.items_of_part("a"))) == ITEMS + 10
            journal.summary()
            store(journal, item("new"))
            journal.write(JournalChanges(removed=[0]))
    except CorruptionError as error:
        _require_help(directory, error)


def _use_cache(directory: Path) -> None:
    keys, rows = vectors(TEXTS)
    try:
        with EmbeddingCache.open(directory, max_bytes=CACHE_BYTES_MIN) as cache:
            for found, row in zip(cache.get_many(MODEL, keys), rows, strict=True):
                assert found is None or np.array_equal(found, row)
            cache.put_many(MODEL, keys, rows)
            assert all(found is not None for found in cache.get_many(MODEL, keys))
    except CorruptionError as error:
        _require_help(directory, error)


def _damage(path: Path, seed: int) -> None:
    """Flip some bits of a page, overwrite some bytes, cut the file off, or put another page in a page's place."""
    choose = random.Random(seed)
    raw = bytearray(path.read_bytes())
    page = choose.randrange(len(raw) // 4_096) * 4_096
    kind = seed % 4
    if kind == 0:
        for _ in range(choose.randint(1, 8)):
            raw[page + choose.randrange(4_096)] ^= 1 << choose.randrange(8)
    elif kind == 1:
        size = choose.randint(1, 64)
        start = page + choose.randrange(4_096 - size)
        raw[start : start + size] = choose.randbytes(size)
    elif kind == 2:
        del raw[choose.randrange(len(raw)) :]
    else:
        other = choose.randrange(len(raw) // 4_096) * 4_096
        raw[page : page + 4_096] = raw[other : other + 4_096]
    path.write_bytes(raw)


@pytest.mark.parametrize(("make", "use"), [(_journal, _use_journal), (_cache, _use_cache)], ids=["journal", "cache"])
@pytest.mark.parametrize(
    "seeds", [WORST, pytest.param(range(24, 2_000), marks=[pytest.mark.torture, pytest.mark.timeout(3_600)])]
)
def test_damage_is_told_or_does_no_harm(
    tmp_path: Path, make: Callable[[Path], None], use: Callable[[Path], None], seeds: range
) -> None:
    make(tmp_path / "sound")
    assert run_child(use, shutil.copytree(tmp_path / "sound", tmp_path / "used")) == 0
    for seed in seeds:
        copy = shutil.copytree(tmp_path / "sound", tmp_path / f"copy{seed}")
        _damage(copy / "data.mdb", seed)
        assert run_child(use, copy) == 0, f"seed {seed}"
        shutil.rmtree(copy)


def _overwrite(directory: Path, table: JournalTable | CacheTable, change: Callable[[bytes], bytes]) -> None:
    """Change every value of a table behind its checksums."""
    layout = JOURNAL if isinstance(table, JournalTable) else CACHE
    with Environment.open_directory(directory, layout=layout) as environment, environment.write() as transaction:
        for key, value in list(transaction.items(table)):
            transaction.put(table, key, change(bytes(value)))


def _read_all(directory: Path) -> None:
    with Journal.open(directory, IDENTITY) as journal:
        Comparison(journal).items([item(1)])
        list(journal.items_of_part("a"))
        list(journal.failures())


@pytest.mark.parametrize("table", list(JournalTable))
def test_a_damaged_value_of_a_journal_names_its_place_and_what_to_do(tmp_path: Path, table: JournalTable) -> None:
    _journal(tmp_path / "journal")
    _overwrite(tmp_path / "journal", table, lambda value: value[:-1] + bytes([value[-1] ^ 1]))
    with pytest.raises(CorruptionError, match=rf"{tmp_path}.*{table.label}.*(?i:remove the directory and run again)"):
        _read_all(tmp_path / "journal")


def test_a_journal_made_anew_after_damage_knows_nothing_and_works(tmp_path: Path) -> None:
    _journal(tmp_path / "journal")
    (tmp_path / "journal" / "data.mdb").write_bytes(b"")
    with pytest.raises(CorruptionError):
        opened(tmp_path / "journal")
    shutil.rmtree(tmp_path / "journal")
    with opened(tmp_path / "journal") as journal:
        assert {verdict.kind for verdict in Comparison(journal).items([item(1)])} == {"new"}


@pytest.mark.parametrize("table", [CacheTable.ROWS, CacheTable.PLACES])
def test_damaged_values_of_a_cache_are_misses_and_can_be_put_again(tmp_path: Path, table: CacheTable) -> None:
    _cache(tmp_path / "cache")
    _overwrite(tmp_path / "cache", table, lambda value: value[:-1] + bytes([value[-1] ^ 1]))
    keys, rows = vectors(TEXTS)
    with EmbeddingCache.open(tmp_path / "cache") as cache:
        found = cache.get_many(MODEL, keys)
        missed = [index for index, one in enumerate(found) if one is None]
        assert missed
        assert all(one is None or np.array_equal(one, row) for one, row in zip(found, rows, strict=True))
        cache.put_many(MODEL, keys, rows)
        again = cache.get_many(MODEL, keys)
        assert all(one is not None and np.array_equal(one, row) for one, row in zip(again, rows, strict=True))


@pytest.mark.parametrize("make", [_journal, _cache], ids=["journal", "cache"])
@pytest.mark.parametrize("damage", ["manifest", "missing", "newer"])
def test_a_directory_that_cannot_be_read_says_why(tmp_path: Path, make: Callable[[Path], None], damage: str) -> None:
    directory, layout = tmp_path / "it", JOURNAL if make is _journal else CACHE
    make(directory)
    if damage == "manifest":
        (directory / "MANIFEST").write_text("{")
    elif damage == "missing":
        (directory / "data.mdb").unlink()
    else:
        newer = read_manifest(directory, layout).with_map_bytes(1 << 30)
        object.__setattr__(newer, "format_version", 99)
        write_manifest(directory, newer, layout)
    expected = FormatVersionError if damage == "newer" else CorruptionError
    with pytest.raises(expected, match="install a newer one" if damage == "newer" else "(?i)remove the directory"):
        (opened if make is _journal else EmbeddingCache.open)(directory)


def _until_full(write: Callable[[int], None]) -> None:
    for number in range(1_000):
        write(number)


def _fill_journal(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("first"))
        _limit(directory)
        with pytest.raises(StorageFullError, match="file-size limit"):
            _until_full(lambda start: store(journal, *(item(start * 500 + number) for number in range(500))))
        first = journal.item("first")
        assert first is not None
        _unlimit()
        store(journal, item("last"))
        assert journal.item("last") is not None


def _fill_cache(directory: Path) -> None:
    with EmbeddingCache.open(directory) as cache:
        cache.put_many(MODEL, *vectors(["first"]))
        _limit(directory)
        with pytest.raises(StorageFullError, match="file-size limit"):
            _until_full(lambda number: cache.put_many(MODEL, *vectors([f"{number} {n}" for n in range(2_000)])))
        assert cache.get_many(MODEL, vectors(["first"])[0])[0] is not None
        _unlimit()
        cache.put_many(MODEL, *vectors(["last"]))
        assert cache.get_many(MODEL, vectors(["last"])[0])[0] is not None


def _limit(directory: Path) -> None:
    """Let no file grow further than a little beyond the data file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, ((directory / "data.mdb").stat().st_size + 400_000, resource.RLIM_INFINITY)
    )


def _unlimit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("fill", [_fill_journal, _fill_cache], ids=["journal", "cache"])
def test_a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_room(
    tmp_path: Path, fill: Callable[[Path], None]
) -> None:
    assert run_child(fill, tmp_path / "it") == 0


def test_a_journal_of_a_dead_creator_is_begun_anew(tmp_path: Path) -> None:
    Environment.open_directory(tmp_path / "journal", layout=JOURNAL).close()
    with opened(tmp_path / "journal") as journal:
        assert journal.identity == IDENTITY
