"""Re-embeddings and their servers are killed at random moments while records change: none missing, stale or paid again.

The provider keeps account of what it charged and fails by a seeded plan. At the end the collection is switched, with a
writer at work where there is a server, and every vector is compared with that of its record's text.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import vecdb
from tests.crash.test_ingest_kill import ours
from tests.harness.ingesting import command_line, end_of
from tests.harness.paid_provider import DIM, FaultPlan, Provider, provider, vector_of
from tests.harness.payments import judge
from tests.harness.process import Worker

COLLECTION: Final = "docs"
RECORDS: Final = 300
OLD_DIM: Final = 8
EMBEDDERS: Final = 2
KILLS_SERVED, KILLS_EMBEDDED = 8, 6
KILLS_SERVED_TORTURE, KILLS_EMBEDDED_TORTURE = 100, 60
LIFE_S: Final = 1.0
WORK_S: Final = 0.3
AT_WORK_SHARE: Final = 0.7
"""Longest life of what is going to be killed: from its start or, more often, from its first request."""

POLL_S: Final = 0.01
SERVER_SHARE: Final = 0.3
CHANGES: Final = (10, 60)
FAULTS: Final = {"rate limit": 0.08, "server error": 0.08, "hang up": 0.04, "cut off": 0.04, "not a number": 0.04}
RETRIES: Final = 100


@dataclass
class Scene:
    """A collection of an old model, whoever moves it to the new one, and what was done to them."""

    base: Path
    service: Provider
    rng: random.Random
    served: bool
    server: Worker | None = None
    lives: int = 0
    killed: set[str] = field(default_factory=set)
    servers_killed: int = 0
    asked: int = 0
    killed_at_work: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def to(self) -> str:
        """Where the collection is, as the command line takes it."""
        return f"unix:{self.base / 'socket'}" if self.served else str(self.base / "db")

    def words(self, *command: str) -> list[str]:
        """A command line of re-embedding."""
        options = {"url": self.service.url, "dim": DIM, "batch_texts": 16, "timeout_s": 10}
        given = [word for name, value in options.items() for word in ("--model-option", f"{name}={value}")]
        state = ["--to", self.to, "--state", str(self.base / "state"), "--progress", "none"]
        return ["reembed", *command, COLLECTION, *state, *given, "--embedders", str(EMBEDDERS), "--retry-for-s", "60"]

    def start(self, *command: str) -> Worker:
        """A process at work."""
        self.lives += 1
        return Worker(command_line, self.words(*command), self.life, log=self.base / "reembed.log")

    @property
    def life(self) -> str:
        """The API key of the last process that was started."""
        return f"life-{self.lives}"

    def end(self, *command: str) -> int:
        """A process from its start to its end; returns its exit code."""
        with self.start(*command) as worker:
            return end_of(worker)

    def serve(self) -> None:
        """Start the server."""
        words = ["serve", "--data", str(self.base / "db"), "--listen", self.to]
        self.server = Worker(command_line, words, log=self.base / "server.log")

    def kill_server(self) -> None:
        """SIGKILL the server."""
        assert self.server is not None
        self.server.kill()
        self.servers_killed += 1

    @contextlib.contextmanager
    def collection(self) -> Iterator[Any]:
        """The collection, to be written to."""
        opened = vecdb.connect(self.to, retries=RETRIES) if self.served else vecdb.open(self.base / "db")
        with opened as database:
            yield database.collection(COLLECTION)

    def text(self) -> str:
        """A text that there has not been."""
        return f"text number {next(self.numbers)}"

    def change(self, collection: Any) -> None:
        """Replace, add or delete a record, or change its text or something else in place."""
        record_id, kind = self.rng.randrange(RECORDS), self.rng.randrange(5)
        if kind == 0:
            collection.upsert([record_id], old_vectors(1, self.rng), [{"text": self.text()}])
        elif kind == 1:
            collection.upsert([RECORDS + next(self.numbers)], old_vectors(1, self.rng), [{"text": self.text()}])
        elif kind == 2:
            collection.delete([record_id])
        elif record_id in collection:
            collection.update(record_id, metadata={"text": self.text()} if kind == 3 else {"seen": next(self.numbers)})


def old_vectors(count: int, rng: random.Random, dim: int = OLD_DIM) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Vectors of the old model: which is of no account here."""
    return np.random.default_rng(rng.randrange(2**32)).normal(size=(count, dim)).astype(np.float32)


@contextlib.contextmanager
def scene(base: Path, seed: int, *, served: bool) -> Iterator[Scene]:
    """A collection of the old model, and a provider of the new one."""
    rng = random.Random(seed)
    with provider(base, FaultPlan(seed=seed, share=FAULTS, answer_s=(0.0, 0.15))) as service:
        made = Scene(base, service, rng, served)
        with vecdb.open(base / "db") as db:
            docs = db.create_collection(COLLECTION, OLD_DIM)
            metadata = [{"text": made.text()} for _ in range(RECORDS)]
            docs.upsert(list(range(RECORDS)), old_vectors(RECORDS, rng), metadata)
        try:
            if served:
                made.serve()
            yield made
        finally:
            if made.server is not None:
                made.server.kill()


def kill_repeatedly(base: Path, seed: int, kills: int, *, served: bool) -> str:
    """Kill whoever is at work, then go on to the end, switch, and look at everything; says what was survived."""
    with scene(base, seed, served=served) as where:
        done = 0
        while done < kills:
            done += _round(where)
        where.service.behave(FaultPlan())
        assert where.end("run", "--model", "openai:paid", "--retry-failed") == 0
        payments = judge(ours(where.service.requests()), where.killed, parallel=EMBEDDERS)
        assert payments.unexcused == []
        with _writing(where) if served else contextlib.nullcontext():
            assert where.end("switch") == 0
        told = f"{done} kills, {where.killed_at_work} while it embedded, {where.servers_killed} of the server"
        return f"{told}; {_expect_true(where)} records, 0 missing or stale; {payments}"


def _round(where: Scene) -> bool:
    """Change some records, before the work in a directory, during it at a server, and kill; whether that was done."""
    life_s = where.rng.uniform(0, LIFE_S)
    if not where.served:
        _change(where)
    with where.start("run", "--model", "openai:paid") as worker:
        worker.expect("begins")
        if where.served:
            _change(where)
        if where.rng.random() < AT_WORK_SHARE:
            _wait_for_work(where, worker)
            life_s *= WORK_S / LIFE_S
        time.sleep(life_s)
        if where.served and where.rng.random() < SERVER_SHARE:
            where.kill_server()
            where.serve()
            assert worker.expect("ended") in {0, 4}
            return True
        worked = worker.exitcode is None
        worker.kill()
        where.killed |= {where.life} if worked else set()
        where.killed_at_work += worked and len(where.service.requests()) > where.asked
        where.asked = len(where.service.requests())
        return worked


def _wait_for_work(where: Scene, worker: Worker) -> None:
    while worker.exitcode is None and len(where.service.requests()) == where.asked:
        time.sleep(POLL_S)


def _change(where: Scene) -> None:
    with where.collection() as collection:
        for _ in range(where.rng.randint(*CHANGES)):
            where.change(collection)


@contextlib.contextmanager
def _writing(where: Scene) -> Iterator[None]:
    """Change texts all the time, with pauses as people leave them."""
    ended = threading.Event()

    def write() -> None:
        with where.collection() as collection:
            while not ended.wait(where.rng.uniform(0.0, 0.1)):
                collection.update(0, metadata={"text": where.text()})

    with where.collection() as collection:
        collection.upsert([0], old_vectors(1, where.rng), [{"text": where.text()}])
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _expect_true(where: Scene) -> int:
    """Every record has the new model's vector of its text, but where the text was changed after the switch."""
    with where.collection() as collection:
        found = {record.id: record for record in collection.iterate(with_vectors=True)}
    late = {0} if where.served else set()
    wrong = [
        record_id
        for record_id, record in found.items()
        if record_id not in late
        and not np.allclose(record.vectors.get("default", np.zeros(DIM)), vector_of(record.metadata["text"]), atol=1e-6)
    ]
    assert wrong == []
    assert all(len(record.vectors["default"]) == DIM for record in found.values())
    return len(found)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_re_embeddings_and_servers_leave_every_record_with_a_true_vector_that_was_paid_once(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"re-embedding at a server: {kill_repeatedly(artefacts, seed, KILLS_SERVED, served=True)}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_re_embeddings_leave_every_record_of_a_directory_with_a_true_vector_that_was_paid_once(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"re-embedding in a directory: {kill_repeatedly(artefacts, seed, KILLS_EMBEDDED, served=False)}")


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("kills", "served"), [(KILLS_SERVED_TORTURE, True), (KILLS_EMBEDDED_TORTURE, False)])
def test_many_kills_leave_every_record_with_a_true_vector_that_was_paid_once(
    artefacts: Path, seed: int, report: Callable[[str], None], kills: int, *, served: bool
) -> None:
    report(f"re-embedding, at length: {kill_repeatedly(artefacts, seed, kills, served=served)}")
