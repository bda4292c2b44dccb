"""A server that is asked to stop, or killed, in the middle of writes: whatever it acknowledged is there afterwards."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

import vecdb
from tests.harness.process import Worker
from vecdb.errors import UnavailableError
from vecdb.server.running import run_server
from vecdb.server.settings import ServerConfig

DIM = 4
WRITERS = 3
ROUNDS_TORTURE = 40
LOAD_ROWS = 20
WAIT_S = 60.0


def serve(pipe: Connection, folder: Path) -> None:
    """The server's process: `vecdb serve` with its defaults."""
    config = ServerConfig(data=str(folder / "db"), listen=("127.0.0.1:0",))
    run_server(config, lambda service: pipe.send(("serves", service.addresses[0])))


@dataclass
class Writers:
    """Clients that never repeat a write: some upsert one record after the other, one loads batches over a stream."""

    address: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._steps: queue.SimpleQueue[str] = queue.SimpleQueue()
        work: dict[str, Callable[[Any, str], None]] = {f"writer{number}": self._write for number in range(WRITERS)}
        work["load"] = self._load
        self._threads = [threading.Thread(target=self._run, args=(name, work[name])) for name in work]
        self.acknowledged = dict.fromkeys(work, 0)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def proceed(self, steps: int) -> None:
        """Return after so many more acknowledgements of each."""
        left = dict.fromkeys(self.acknowledged, steps)
        while any(count > 0 for count in left.values()):
            left[self._steps.get(timeout=WAIT_S)] -= 1

    @property
    def ids(self) -> list[str]:
        """The ids of all records whose writes were acknowledged."""
        return [f"{name}-{number}" for name, count in self.acknowledged.items() for number in range(count)]

    def _run(self, name: str, work: Callable[[Any, str], None]) -> None:
        try:
            with vecdb.connect(self.address, retries=0) as client:
                work(client.collection("docs"), name)
        except BaseException as error:
            self.failures.append(error)

    def _write(self, docs: Any, name: str) -> None:
        while True:
            docs.upsert([f"{name}-{self.acknowledged[name]}"], np.ones((1, DIM), np.float32))
            self._acknowledge(name, self.acknowledged[name] + 1)

    def _load(self, docs: Any, name: str) -> None:
        def batches() -> Iterator[Any]:
            start = 0
            while True:
                ids = [f"{name}-{number}" for number in range(start, start + LOAD_ROWS)]
                yield ids, np.ones((LOAD_ROWS, DIM), np.float32)
                start += LOAD_ROWS

        docs.ingest(batches(), progress=lambda stored, _taken: self._acknowledge(name, stored))

    def _acknowledge(self, name: str, count: int) -> None:
        self.acknowledged[name] = count
        self._steps.put(name)


def strike(folder: Path, number: signal.Signals, steps: int) -> tuple[Writers, int | None]:
    """Let a server take writes, and end it by a signal; returns what was written and its exit status."""
    with Worker(serve, folder, log=folder / "log") as server:
        address = server.expect("serves")
        with vecdb.connect(address) as client:
            for name in client.list_collections():
                client.drop_collection(name)
            client.create_collection("docs", dim=DIM)
        with Writers(address) as writers:
            writers.proceed(steps)
            os.kill(server.pid, number)
            status = server.join(WAIT_S)
    return writers, status


def missing(folder: Path, ids: list[str]) -> list[str]:
    """What is not there for the next server's clients."""
    with Worker(serve, folder, log=folder / "log") as server, vecdb.connect(server.expect("serves")) as client:
        found = client.collection("docs").get(ids)
    return [record_id for record_id, record in zip(ids, found, strict=True) if record is None]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_server_that_ends_under_load_has_stored_what_it_acknowledged(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    writers, ended = strike(tmp_path, number, 3)
    assert ended == status
    assert {type(failure) for failure in writers.failures} == {UnavailableError}
    assert len(writers.ids) >= 3 * (WRITERS + LOAD_ROWS)
    assert missing(tmp_path, writers.ids) == []


@pytest.mark.torture
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_servers_that_end_under_load_again_and_again_lose_nothing(tmp_path: Path, number: signal.Signals) -> None:
    for steps in range(1, ROUNDS_TORTURE + 1):
        writers, _ = strike(tmp_path, number, steps)
        assert missing(tmp_path, writers.ids) == []
