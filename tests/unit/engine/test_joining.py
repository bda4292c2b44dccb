"""Who waits for the index takes over the job that the background is at: all cores, and rows that came meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, field_of, fill, rows
from tests.unit.engine.test_compaction import indexer_of
from vecdb.engine import compaction, segments

WAIT_S = 60.0
THREADS = 3


class HeldJob:
    """A job of the background that begins when 50 rows are there and goes on when somebody waits for it."""

    def __init__(self, db: vecdb.Database) -> None:
        self.db, self.docs = db, db.collection("docs")
        self.begun = threading.Event()
        self.threads: list[int] = []
        self.jobs: list[int] = []

    def hold(self, compactor: compaction.Compactor) -> None:
        """Wait as a build would, the first time."""
        if self.begun.is_set():
            return
        self.begun.set()
        end = threading.Event()
        while not indexer_of(self.db)._callers.any():
            assert not end.wait(0.001)
        self.threads.append(compactor.threads())


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldJob]:
    """A database with a job of 50 rows under way that nobody waits for yet."""
    config = replace(CONFIG, background=True, threads=THREADS)
    with vecdb.open(tmp_path / "db", config=config) as db:
        db.create_collection("docs", dim=4, metric="l2", m=4, ef_construction=16)
        job = HeldJob(db)
        built, run = compaction.Compactor._built, compaction.Compactor.run

        def held_built(self: compaction.Compactor, content: compaction.Content) -> Any:
            job.hold(self)
            return built(self, content)

        def counted(self: compaction.Compactor, *given: Any) -> None:
            job.jobs.append(1)
            run(self, *given)

        monkeypatch.setattr(compaction.Compactor, "_built", held_built)
        monkeypatch.setattr(compaction.Compactor, "run", counted)
        fill(job.docs, 50)
        assert job.begun.wait(WAIT_S)
        yield job


def test_optimize_takes_over_the_job_under_way_and_the_rows_that_came_since(held: HeldJob) -> None:
    fill(held.docs, 5, first=50)
    held.docs.optimize()
    (segment,) = field_of(held.db).segments
    assert (segment.entry.rows, len(held.jobs)) == (55, 1)
    assert held.threads == [THREADS]
    assert held.docs.search(rows(55)[54], limit=1).ids == [54]
    assert held.db.verify().problems == ()


def test_rows_that_die_before_others_join_their_job_are_dead_in_its_result(held: HeldJob) -> None:
    fill(held.docs, 50, first=50)
    held.docs.delete([1, 60])
    held.docs.upsert([2], rows(1, seed=9))
    held.docs.optimize()
    (segment,) = field_of(held.db).segments
    assert (segment.live, held.docs.count()) == (98, 98)
    assert held.docs.search(rows(1, seed=9)[0], limit=1).ids == [2]
    assert held.db.verify().problems == ()


def test_a_few_rows_do_not_prolong_the_job_for_who_leaves_them_in_the_tail(held: HeldJob) -> None:
    fill(held.docs, 5, first=50)
    held.docs.wait_indexed()
    assert [view.entry.rows for view in field_of(held.db).segments] == [50]
    assert field_of(held.db).tail.live == 5


def test_rows_that_the_scale_of_the_codes_does_not_fit_do_not_join(held: HeldJob) -> None:
    held.docs.upsert(list(range(50, 100)), 1_000 * rows(50))
    held.docs.optimize()
    (segment,) = field_of(held.db).segments
    assert (segment.entry.rows, len(held.jobs)) == (100, 2)
    assert held.docs.search(1_000 * rows(50)[7], limit=1).ids == [57]


def test_rows_of_an_added_field_join_by_arrival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Callable[[compaction.Job], compaction.Job | None]] = []
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=4, metric="l2", m=4, ef_construction=16)
        fill(docs, 80)
        docs.add_field("more", vecdb.Field(dim=4, metric="l2"))
        order = np.random.default_rng(1).permutation(80).tolist()
        docs.set_vectors(order[:40], {"more": rows(80)[order[:40]]})
        built = compaction.Compactor._built

        def joined(self: compaction.Compactor, content: compaction.Content) -> Any:
            if content.job.field.name == "more" and not asked:
                docs.set_vectors(order[40:], {"more": rows(80)[order[40:]]})
                asked.append(lambda job: _with_all_rows(db, job))
                self = replace(self, grown=asked[0])
            return built(self, content)

        monkeypatch.setattr(compaction.Compactor, "_built", joined)
        docs.optimize()
        view = db._publisher.view.collections[1].fields[1]
        assert [segment.entry.rows for segment in view.segments] == [80]
        assert docs.search(rows(80)[order[60]], limit=1, field="more").ids == [order[60]]
        assert db.verify().problems == ()


def _with_all_rows(db: vecdb.Database, job: compaction.Job) -> compaction.Job:
    view = db._publisher.view.collections[job.collection.number]
    found = view.numbered(job.field.number)
    assert found is not None
    return replace(job, tail=found.tail, bound=view.state.next_row(job.field.number))


def test_who_waits_for_a_job_of_the_background_is_told_how_far_it_is(
    held: HeldJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecdb.engine.indexer.PROGRESS_INTERVAL_S", 0.001)
    told: list[tuple[int, int]] = []
    enough = threading.Event()
    write = segments.write_segment_columns

    def writing(*given: Any) -> int:
        assert enough.wait(WAIT_S)
        return write(*given)

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        enough.set()

    monkeypatch.setattr(compaction, "write_segment_columns", writing)
    held.docs.wait_indexed(progress=progress)
    assert told[0][1] == 50
