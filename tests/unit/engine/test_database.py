"""The handle: what it lets go of, what it refuses, and when it ends."""

from __future__ import annotations

import gc
import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, fill
from vecdb.errors import ClosedError, CollectionNotFoundError, InvalidNameError, InvalidRequestError

BACKGROUND = replace(CONFIG, background=True)


def open_files() -> int:
    """File descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def vecdb_threads() -> Callable[[], list[str]]:
    """Tells the names of threads that databases started since the test began; servers of other tests have some too."""
    before = set(threading.enumerate())

    def names() -> list[str]:
        return [one.name for one in threading.enumerate() if one.name.startswith("vecdb-") and one not in before]

    return names


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
@pytest.mark.parametrize("durability", ["fsync", "async"])
def test_opening_and_closing_leaves_neither_files_nor_threads(
    durability: Any, tmp_path: Path, vecdb_threads: Callable[[], list[str]]
) -> None:
    def once() -> None:
        with vecdb.open(tmp_path / "db", durability=durability, config=BACKGROUND) as db:
            docs = db.create_collection("docs", dim=4, metric="l2", exist_ok=True)
            fill(docs, 3)
            with vecdb.open(tmp_path / "db", mode="r", config=BACKGROUND) as reader:
                assert len(reader.collection("docs").search([0.0] * 4)) == 3

    once()
    gc.collect()
    files = open_files()
    for _ in range(5):
        once()
    gc.collect()
    assert (open_files(), vecdb_threads()) == (files, [])


@pytest.mark.parametrize("mode", ["rw", "r"])
def test_a_database_nobody_refers_to_ends_its_threads_and_frees_the_directory(
    mode: Any, tmp_path: Path, vecdb_threads: Callable[[], list[str]]
) -> None:
    vecdb.open(tmp_path / "db", config=CONFIG).close()
    db = vecdb.open(tmp_path / "db", mode, config=BACKGROUND)
    assert vecdb_threads()
    del db
    deadline = time.monotonic() + 30
    while vecdb_threads() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert vecdb_threads() == []
    vecdb.open(tmp_path / "db", config=CONFIG).close()


def test_warming_up_loads_the_kernels_once(db: vecdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.warm_up()
    loads: list[str] = []
    monkeypatch.setattr(importlib, "import_module", loads.append)
    db.warm_up()
    assert loads == []


def test_a_closed_database_cannot_be_warmed_up(db: vecdb.Database) -> None:
    db.close()
    with pytest.raises(ClosedError):
        db.warm_up()


def test_closing_ends_a_wait_for_a_seq(db: vecdb.Database, docs: vecdb.Collection) -> None:
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            docs.get(1, min_seq=10**6)
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not db._active:
        time.sleep(0.001)
    db.close()
    waiting.join()
    assert [type(error) for error in errors] == [ClosedError]


@pytest.mark.parametrize("name", [None, 5, ["docs"], {}, b"docs", ""])
def test_what_is_no_name_is_refused_as_one(name: Any, db: vecdb.Database) -> None:
    assert name not in db
    for call in (db.collection, db.drop_collection):
        with pytest.raises(InvalidNameError):
            call(name)


def test_a_name_that_is_not_there_is_refused_with_those_that_are(db: vecdb.Database, docs: vecdb.Collection) -> None:
    assert docs.name in db
    with pytest.raises(CollectionNotFoundError, match="'docs'"):
        db.collection("other")


def test_completion_offers_the_documented_api_and_nothing_else(db: vecdb.Database) -> None:
    offered = {name for name in dir(db) if not name.startswith("_")}
    served = {name for name in dir(vecdb.RemoteDatabase) if not name.startswith("_")} - {"address", "with_timeout"}
    assert offered == served | {"open", "path", "mode", "import_hnswlib"}


@pytest.mark.parametrize("path", [None, 5, "", "a\0b"])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    with pytest.raises(InvalidRequestError, match="path is"):
        vecdb.open(path)


def test_a_config_of_another_type_is_refused() -> None:
    config: Any = {"threads": 1}
    with pytest.raises(InvalidRequestError, match="EngineConfig"):
        vecdb.open(":memory:", config=config)


def test_an_update_is_stored_as_it_was_given(db: vecdb.Database, docs: vecdb.Collection) -> None:
    """The caller's dict may change while the update waits for its commit."""
    fill(docs, 1)
    given: dict[str, Any] = {"list": [1]}
    writer: Any = db._writer
    caller = threading.Thread(target=lambda: docs.update(0, metadata=given))
    with writer._lock:
        caller.start()
        while not writer._queue:
            time.sleep(0.001)
        given["list"].append(object())
    caller.join()
    found = docs.get(0)
    assert found is not None
    assert found.metadata == {"list": [1]}


@pytest.mark.parametrize("seed", [-1, "x", 1.5, None])
def test_a_seed_that_is_none_is_refused(seed: Any, docs: vecdb.Collection) -> None:
    fill(docs, 3)
    with pytest.raises(InvalidRequestError):
        docs.measure_recall(seed=seed)


def test_the_handle_of_what_is_closed_or_dropped_can_still_be_printed(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    gone = db.create_collection("gone", dim=2)
    db.drop_collection("gone")
    assert "'gone'" in repr(gone)
    assert "dropped" in repr(gone)
    db.close()
    assert docs.name in repr(docs)
    assert "closed" in repr(docs)
