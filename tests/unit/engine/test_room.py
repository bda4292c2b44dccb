"""The disk's room: what replaced segments and sealed rows took is given back when a database is optimized or closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG
from vecdb.errors import StorageFullError
from vecdb.storage import holes
from vecdb.storage.config import RELEASE_BYTES_MIN
from vecdb.storage.environment import Environment

ROWS = 4_000
DIM = 512
"""8 MB of vectors."""


@pytest.fixture(autouse=True)
def _file_system_with_holes(tmp_path: Path) -> None:
    with (tmp_path / "probe").open("wb+") as probe:
        if not holes._punch(probe.fileno(), 0, 4096):
            pytest.skip("the file system here has no holes")


def store(docs: vecdb.Collection, seed: int = 0, rows: int = ROWS) -> None:
    """Write the first rows, anew with every seed."""
    docs.upsert(list(range(rows)), np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32))


def create(path: Path) -> vecdb.Database:
    """A database with one collection, cheap to index."""
    db = vecdb.open(path, config=CONFIG)
    store(db.create_collection("docs", dim=DIM, metric="l2", m=4, ef_construction=8, layout="compact"))
    return db


def taken(path: Path) -> int:
    """Bytes of the disk."""
    return (path / "data.mdb").stat().st_blocks * 512


def live(db: vecdb.Database) -> int:
    """Bytes of the pages in use."""
    return db._environment.room()[1]


def test_optimize_leaves_little_more_on_the_disk_than_what_is_stored(tmp_path: Path) -> None:
    with create(tmp_path / "db") as db:
        db.optimize()
        store(db.collection("docs"), seed=1)
        db.optimize()
        assert taken(tmp_path / "db") <= 1.1 * live(db)
        assert db.verify().ok


def test_closing_gives_much_room_back(tmp_path: Path) -> None:
    with create(tmp_path / "db") as db:
        db.collection("docs").wait_indexed()
        store(db.collection("docs"), seed=1)
        db.collection("docs").wait_indexed()
        before = taken(tmp_path / "db")
    assert taken(tmp_path / "db") <= before - RELEASE_BYTES_MIN
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert taken(tmp_path / "db") <= 1.2 * live(db)
        assert db.verify().ok


def test_a_little_free_room_stays_for_the_next_commits(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2", m=4, ef_construction=8)
        store(docs, rows=200)
        docs.delete(list(range(200)))
        before = taken(tmp_path / "db")
    assert taken(tmp_path / "db") >= before


def test_a_database_at_rest_gives_room_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create(tmp_path / "db") as db:
        indexer: Any = db._indexer
        db.drop_collection("docs")
        before = taken(tmp_path / "db")
        indexer._rest()
        assert taken(tmp_path / "db") <= before - RELEASE_BYTES_MIN
        monkeypatch.setattr(indexer, "_tidy", lambda **_: pytest.fail("nothing was committed since"))
        indexer._rest()
        monkeypatch.undo()


def test_room_that_cannot_be_given_back_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise StorageFullError("full")

    monkeypatch.setattr(Environment, "release_free_pages", full)
    with create(tmp_path / "db") as db:
        db.optimize()
        assert len(db.collection("docs")) == ROWS
