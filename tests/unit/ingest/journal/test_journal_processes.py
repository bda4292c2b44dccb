"""Journals and caches live through the death of their writers, and are shared by processes as they say."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.ingest.journal.given import IDENTITY, MODEL, item, opened, store, vectors, written
from tests.unit.storage.children import kill_child, run_child, start_child, wait_child, wait_for_file
from vecdb.errors import DatabaseLockedError
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.journal.cache import EmbeddingCache
from vecdb.ingest.journal.comparing import Comparison
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import JournalChanges, PartWrite

WIDE = ModelFingerprint(provider="test", name="wide", dim=256)
BATCH = 7


def _journal_for_ever(directory: Path, report: int) -> None:
    """Intend, then store, batches of items; after each commit say in the pipe which it was."""
    with opened(directory) as journal:
        journal.begin_run()
        number = journal.summary().items // BATCH
        while True:
            items = [written(item(f"{number}-{place}")) for place in range(BATCH)]
            journal.write(JournalChanges(intended=items))
            os.write(report, b"i%08d" % number)
            journal.write(JournalChanges(stored=items, parts=[PartWrite("a", str(number))], position=number))
            os.write(report, b"s%08d" % number)
            number += 1


def _put_for_ever(directory: Path, report: int) -> None:
    with EmbeddingCache.open(directory, max_bytes=4 << 20) as cache:
        number = int.from_bytes(os.urandom(4), "big")
        while True:
            cache.put_many(WIDE, *vectors([f"{number} {place}" for place in range(40)], WIDE.dim))
            os.write(report, b"p%010d" % number)
            number += 1


def _killed(work: Callable[[Path, int], None], directory: Path, record: int, *, after: int) -> bytes:
    """Run `work` until it has reported so often, SIGKILL it a moment later, and return all its reports."""
    reading, writing = os.pipe()
    pid = start_child(work, directory, writing)
    os.close(writing)
    reports = b""
    while len(reports) < after * record:
        piece = os.read(reading, record)
        assert piece, "the child ended by itself"
        reports += piece
    signal.sigtimedwait([], random.uniform(0, 0.01))
    kill_child(pid)
    while piece := os.read(reading, 65_536):
        reports += piece
    os.close(reading)
    return reports


MANY_KILLS = [pytest.param(after, marks=pytest.mark.torture) for after in range(3, 103)]


@pytest.mark.parametrize("after", [1, 2, 9, 20, *MANY_KILLS])
def test_a_killed_writer_loses_nothing_it_was_told_is_stored(tmp_path: Path, after: int) -> None:
    directory, number = tmp_path / "journal", -1
    for _ in range(3):
        reports = _killed(_journal_for_ever, directory, 9, after=after)
        last = reports[-9:]
        number = int(last[1:])
        with Journal.open(directory, mode="r") as journal:
            assert journal.runs()[0].state == "interrupted"
            assert journal.summary().writer is None
        with opened(directory) as journal:
            whole = [state for state in journal.items() if state.content_hash]
            # the commit that was under way when the signal came may count or not
            assert len(whole) in (
                {number * BATCH, (number + 1) * BATCH} if last[:1] == b"i" else {(number + 1) * BATCH}
            )
            half = [state for state in journal.items() if not state.content_hash]
            assert len(half) in {0, BATCH}
            assert journal.position() == max(0, len(whole) // BATCH - 1)
            part = journal.part("a")
            assert part is not None
            assert part.items == len(whole) + len(half) == len(list(journal.items_of_part("a")))
            if half:
                again = [written(item(state.id)) for state in half]
                journal.write(JournalChanges(stored=again, position=len(whole) // BATCH))


@pytest.mark.parametrize("after", [1, 30, *MANY_KILLS])
def test_a_killed_writer_of_the_cache_loses_nothing_and_blocks_nobody(tmp_path: Path, after: int) -> None:
    directory = tmp_path / "cache"
    for _ in range(2):
        reports = _killed(_put_for_ever, directory, 11, after=after)
        last = int(reports[-10:])
        with EmbeddingCache.open(directory, max_bytes=4 << 20) as cache:
            keys, rows = vectors([f"{last} {place}" for place in range(40)], WIDE.dim)
            found = cache.get_many(WIDE, keys)
            assert all(one is not None and np.array_equal(one, row) for one, row in zip(found, rows, strict=True))
            cache.put_many(MODEL, *vectors(["after"]))
            assert cache.usage().used_bytes <= 4 << 20


def _put_and_get(directory: Path, worker: int, go: Path) -> None:
    wait_for_file(go)
    with EmbeddingCache.open(directory, max_bytes=3 << 20) as cache:
        for number in range(25):
            # every other text is one that all workers have
            own = [f"{worker if place % 2 else 'all'} {number} {place}" for place in range(30)]
            keys, rows = vectors(own, WIDE.dim)
            cache.put_many(WIDE, keys, rows)
            found = cache.get_many(WIDE, keys)
            assert all(one is not None and np.array_equal(one, row) for one, row in zip(found, rows, strict=True))


def test_processes_share_a_cache_from_its_creation_on(tmp_path: Path) -> None:
    directory, go = tmp_path / "cache", tmp_path / "go"
    pids = [start_child(_put_and_get, directory, worker, go) for worker in range(4)]
    go.touch()
    assert [wait_child(pid) for pid in pids] == [0, 0, 0, 0]
    with EmbeddingCache.open(directory, max_bytes=3 << 20) as cache:
        assert cache.usage().used_bytes <= 3 << 20


def _read_until(directory: Path, ready: Path, done: Path) -> None:
    """Read as `status` and `failed` do, over and over, and check that each state is whole."""
    with Journal.open(directory, mode="r") as journal:
        ready.touch()
        while not done.exists():
            states = list(journal.items_of_part("a"))
            assert len(states) % BATCH == 0
            summary = journal.summary()
            assert summary.last_run is not None
            assert summary.last_run.state == "running"
            assert summary.writer is not None
            list(journal.failures())


def test_status_can_be_read_by_other_processes_while_a_run_is_under_way(tmp_path: Path) -> None:
    directory, done = tmp_path / "journal", tmp_path / "done"
    with opened(directory) as journal:
        journal.begin_run()
        ready = [tmp_path / f"ready{number}" for number in range(2)]
        pids = [start_child(_read_until, directory, path, done) for path in ready]
        for path in ready:
            wait_for_file(path)
        for number in range(60):
            items = [item(f"{number}-{place}") for place in range(BATCH)]
            assert {verdict.kind for verdict in Comparison(journal).items(items)} == {"new"}
            store(journal, *items)
        done.touch()
        assert [wait_child(pid) for pid in pids] == [0, 0]


def _hold(directory: Path, ready: Path) -> None:
    with Journal.open(directory, mode="r") as journal, journal.reading():
        ready.touch()
        signal.pause()


def test_a_killed_reader_does_not_keep_pages_beyond_the_next_run(tmp_path: Path) -> None:
    directory, ready = tmp_path / "journal", tmp_path / "ready"
    with opened(directory) as journal:
        pid = start_child(_hold, directory, ready)
        wait_for_file(ready)
        kill_child(pid)
        journal.begin_run()
        assert journal._environment.check_readers() == 0


def _refused(directory: Path) -> None:
    with pytest.raises(DatabaseLockedError, match=f"process {os.getppid()} on"):
        opened(directory)


def test_another_process_cannot_write_the_same_journal(tmp_path: Path) -> None:
    with opened(tmp_path / "journal"):
        assert run_child(_refused, tmp_path / "journal") == 0


def _open_and_store(directory: Path, number: int, go: Path) -> None:
    wait_for_file(go)
    try:
        with Journal.open(directory, IDENTITY) as journal:
            store(journal, item(number))
    except DatabaseLockedError:
        return


def test_processes_that_create_one_journal_at_once_leave_one_sound_journal(tmp_path: Path) -> None:
    directory, go = tmp_path / "journal", tmp_path / "go"
    pids = [start_child(_open_and_store, directory, number, go) for number in range(5)]
    go.touch()
    assert [wait_child(pid) for pid in pids] == [0] * 5
    with opened(directory) as journal:
        assert 1 <= journal.summary().items <= 5
    assert [path.name for path in tmp_path.iterdir() if "creating" in path.name] == []
