"""A writer that is killed while it adds, fills, switches and drops fields leaves each change done or not done."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import numpy as np
import pytest

import vecdb
from tests.harness.process import Worker, WorkerDiedError
from vecdb import Field
from vecdb.config import EngineConfig

CONFIG = EngineConfig(tail_rows_index=64, threads=1, progress=False, map_bytes=1 << 32, index_loads=True)
IDS = list(range(200))
OLD = np.eye(200, dtype=np.float32)
NEW = np.roll(OLD, 1, axis=1)
"""By the new field the record nearest to row 7 of OLD is 6. All others are equally far, so searches must be exact."""

NAMES = ({"default"}, {"default", "next"}, {"default", "before"})
ROUNDS = 4


def test_a_kill_leaves_every_change_of_fields_done_or_not_done(artefacts: Path, seed: int) -> None:
    survive(artefacts, Random(seed), ROUNDS)


@pytest.mark.torture
def test_many_kills_leave_every_change_of_fields_done_or_not_done(artefacts: Path, seed: int) -> None:
    survive(artefacts, Random(seed), 100)


def survive(artefacts: Path, random: Random, rounds: int) -> None:
    """Kill a process that changes fields without pause, at a random moment of a random step, again and again."""
    with vecdb.open(artefacts / "db", config=CONFIG) as db:
        db.create_collection("docs", dim=200).upsert(IDS, OLD)
    for _ in range(rounds):
        with Worker(change_fields, artefacts / "db") as worker:
            for _ in range(random.randrange(1, 12)):
                worker.expect("changed")
            time.sleep(random.random() / 100)
            worker.kill()
            with pytest.raises(WorkerDiedError):
                drain(worker)
        check(artefacts / "db")


def drain(worker: Worker) -> None:
    """Take what the worker told before it died."""
    while True:
        worker.expect("changed")


def check(path: Path) -> None:
    """The fields are those of before or after a step; the name means one of the two, whole."""
    with vecdb.open(path, config=CONFIG) as db:
        docs = db.collection("docs")
        assert set(docs.fields) in NAMES
        assert docs.count() == len(IDS)
        assert docs.stats().fields["default"].rows == len(IDS)
        by_new = docs.search(OLD[7], 1, exact=True).ids == [6]
        assert docs.search_batch(OLD, 1, exact=True).ids[:, 0].tolist() == [(n - by_new) % len(IDS) for n in IDS]
        assert db.verify().problems == ()


def change_fields(pipe: Connection, path: Path) -> None:
    """Add, fill, switch and drop in a circle, from wherever the last process was killed."""
    with vecdb.open(path, config=CONFIG) as db:
        docs = db.collection("docs")
        while True:
            by_new = docs.search(OLD[7], 1, exact=True).ids == [6]
            for name in set(docs.fields) - {"default"}:
                docs.drop_field(name)
                pipe.send(("changed", name))
            docs.add_field("next", Field(dim=200))
            pipe.send(("changed", "next"))
            for part in (slice(0, 120), slice(120, 200)):
                docs.set_vectors(IDS[part], {"next": (OLD if by_new else NEW)[part]})
                pipe.send(("changed", part.start))
            docs.switch_field("default", "next", keep_as="before")
            pipe.send(("changed", "default"))
