"""The file under churn: it stays within a few times what it holds, and stops growing."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.harness.process import Worker
from vecdb.config import EngineConfig
from vecdb.engine.view import CollectionView
from vecdb.storage.keys import Table

CONFIG = EngineConfig(tail_rows_index=256, threads=1, progress=False, map_bytes=1 << 32, index_loads=True)
FACTOR = 3
SLACK_BYTES = 8 << 20
"""Room for what is rewritten while a snapshot is open, whatever the size of the collection."""

READER_SLACK_BYTES = 128 << 20
"""What commits rewrite (up to 80 MB/s) before a reader on a busy machine follows; one that never did would cost GBs."""


class Churn:
    """A collection whose records are replaced and deleted at random while jobs run in the background."""

    def __init__(self, path: Path, keys: int, dim: int, batch: int, seed: int, config: EngineConfig = CONFIG) -> None:
        self.path = path
        self.database = vecdb.open(path, durability="async", config=config)
        self.database.warm_up()
        self.docs = self.database.create_collection("docs", dim=dim, metric="l2", m=8)
        self.live_bytes = 0
        self._keys, self._dim, self._batch = keys, dim, batch
        self._rng = np.random.default_rng(seed)

    def write(self) -> None:
        """Replace a batch of records, or delete it."""
        ids = np.unique(self._rng.integers(0, self._keys, self._batch)).tolist()
        if self._rng.random() < 0.15:
            self.docs.delete(ids)
        else:
            self.docs.upsert(ids, self._rng.standard_normal((len(ids), self._dim), dtype=np.float32))

    def run(self, jobs: int) -> int:
        """Write until so many segments were made since the database was created; returns the size of the file."""
        while self._collection().state.fields[0].next_segment < jobs:
            for _ in range(20):
                self.write()
            self.live_bytes = max(self.live_bytes, self._live_bytes())
        return (self.path / "data.mdb").stat().st_size

    def _collection(self) -> CollectionView:
        return self.database._publisher.view.collections[self.docs._schema.number]

    def _live_bytes(self) -> int:
        """Pages of all tables but the chunks, and the chunks of listed segments."""
        environment = self.database._environment
        with environment.begin_read() as txn:
            trees = [txn.tree(table) for table in Table]
        pages = sum(tree.branch_pages + tree.leaf_pages for tree in trees)
        return pages * environment.page_size + sum(view.entry.bytes for view in self._collection().fields[0].segments)


def test_a_file_under_churn_stays_near_the_size_of_its_contents(
    tmp_path: Path, seed: int, report: Callable[[str], None]
) -> None:
    churn = Churn(tmp_path / "db", keys=2_000, dim=32, batch=24, seed=seed)
    with churn.database:
        size = churn.run(jobs=12)
    report(f"churn, 12 segments: a file of {size / 1e6:.1f} MB for {churn.live_bytes / 1e6:.1f} MB")
    assert size <= FACTOR * churn.live_bytes + SLACK_BYTES


@pytest.mark.torture
@pytest.mark.parametrize(("keys", "dim", "batch"), [(2_000, 32, 24), (20_000, 128, 100)])
def test_a_file_under_long_churn_stops_growing(
    keys: int, dim: int, batch: int, tmp_path: Path, seed: int, report: Callable[[str], None]
) -> None:
    churn = Churn(tmp_path / "db", keys, dim, batch, seed)
    jobs = 100_000 // keys + 10
    with churn.database:
        middle = churn.run(jobs)
        end = churn.run(2 * jobs)
    live = churn.live_bytes
    report(f"churn, {2 * jobs} segments: a file of {middle / 1e6:.1f}, {end / 1e6:.1f} MB for {live / 1e6:.1f} MB")
    assert end <= 1.25 * middle + (1 << 20)
    assert end <= FACTOR * live + SLACK_BYTES


def _search_for_ever(pipe: Connection, path: Path, dim: int) -> None:
    """Search as fast as an application would, until killed."""
    with vecdb.open(path, mode="r", config=CONFIG) as database:
        docs = database.collection("docs")
        pipe.send(("reading", None))
        while True:
            docs.search(np.ones(dim, dtype=np.float32))
            time.sleep(0.01)


@pytest.mark.torture
def test_a_file_under_long_churn_beside_a_reader_stays_small(
    tmp_path: Path, seed: int, report: Callable[[str], None]
) -> None:
    churn = Churn(tmp_path / "db", keys=2_000, dim=32, batch=24, seed=seed)
    with churn.database, Worker(_search_for_ever, churn.path, 32) as reader:
        reader.expect("reading")
        size = churn.run(100)
    report(f"churn beside a reader: a file of {size / 1e6:.1f} MB for {churn.live_bytes / 1e6:.1f} MB")
    assert size <= FACTOR * churn.live_bytes + READER_SLACK_BYTES
