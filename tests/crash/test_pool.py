"""A pool of processes: who answers, what dies with whom, and that no acknowledged write is lost, whatever dies."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import select
import signal
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import vecdb
from tests.conformance.small import SMALL
from tests.harness.process import Worker, WorkerFailedError
from vecdb.checks.addresses import parse_address
from vecdb.errors import UnavailableError
from vecdb.server.pool import members, supervisor
from vecdb.server.pool.reservation import Reservation
from vecdb.server.pool.supervisor import run_pool
from vecdb.server.settings import ServerConfig

DIM = 4
WAIT_S = 60.0
CLIENTS = 3
KILLS = 20
READ = "/vecdb.v1.RecordService/GetRecords"


@dataclass
class Pool:
    """A running pool: its supervisor, and where it is."""

    supervisor: Worker
    folder: Path
    address: str
    metrics_port: int

    @property
    def pids(self) -> list[int]:
        """The processes under the supervisor, in the order in which they were started: at first, the writer's first."""
        pid = self.supervisor.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]

    def connect(self, retries: int = 100) -> Any:
        """A connection of its own."""
        return vecdb.connect(self.address, retries=retries)


def serve(pipe: Connection, folder: Path, address: str, stuck_s: float | None) -> None:
    """The supervisor's process."""
    # here the writer dies more often than one that is sound would
    setattr(supervisor, "WRITER_FAILURES_MAX", KILLS)  # noqa: B010 - as below
    if stuck_s is not None:
        setattr(members, "STUCK_S", stuck_s)  # noqa: B010 - a constant, but for this test
    config = ServerConfig(
        data=str(folder / "db"), listen=(address,), workers=2, metrics_listen="127.0.0.1:0", drain_s=10.0
    )
    run_pool(config, lambda pool: pipe.send(("serves", (pool.addresses[0], pool.metrics_port))), SMALL)


@contextlib.contextmanager
def running(folder: Path, address: str = "127.0.0.1:0", stuck_s: float | None = None) -> Iterator[Pool]:
    """A pool of two workers."""
    with Worker(serve, folder, address, stuck_s, log=folder / "log") as supervisor:
        address, metrics_port = supervisor.expect("serves")
        pool = Pool(supervisor, folder, address, metrics_port)
        pids = pool.pids
        yield pool
        pids += pool.pids if supervisor.exitcode is None else []
        supervisor.kill()
        wait_for_the_end(pids)


def wait_for_the_end(pids: list[int]) -> None:
    """Return once none of the processes is there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            watch = os.pidfd_open(pid)
            try:
                assert select.select([watch], [], [], WAIT_S)[0], f"process {pid} is still there"
            finally:
                os.close(watch)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One pool for all tests: each leaves it whole."""
    with running(tmp_path_factory.mktemp("pool")) as one:
        with one.connect() as client:
            client.create_collection("docs", dim=DIM)
        yield one


def vector(number: int) -> Any:
    return np.full((1, DIM), number + 1, dtype=np.float32)


@dataclass
class Load:
    """Clients that write and read their own writes, each in a thread, until told to stop."""

    pool: Pool
    retries: int = 100
    acknowledged: list[list[str]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._steps: queue.Queue[int] = queue.Queue()
        self.acknowledged = [[] for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def proceed(self, steps: int) -> None:
        """Return after so many more writes of each client were acknowledged and read."""
        left = dict.fromkeys(range(CLIENTS), steps)
        while any(count > 0 for count in left.values()):
            left[self._steps.get(timeout=WAIT_S)] -= 1
            assert not self.failures

    @property
    def all_acknowledged(self) -> list[str]:
        """The ids of all writes that were acknowledged."""
        return [one for of_client in self.acknowledged for one in of_client]

    def _run(self, number: int) -> None:
        try:
            with self.pool.connect(self.retries) as client:
                docs = client.collection("docs")
                while not self._stop.is_set():
                    name = f"{threading.get_ident()}-{len(self.acknowledged[number])}"
                    docs.upsert([name], vector(number), [{"of": number}])
                    self.acknowledged[number].append(name)
                    assert docs.get(name) is not None
                    self._steps.put(number)
        except BaseException as error:
            self.failures.append(error)


def missing(pool: Pool, ids: list[str]) -> list[str]:
    with pool.connect() as client:
        found = client.collection("docs").get(ids)
    return [name for name, record in zip(ids, found, strict=True) if record is None]


def served(pool: Pool, method: str) -> dict[str, float]:
    """Calls of a method that each process has answered by itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{pool.metrics_port}/metrics", timeout=WAIT_S) as page:
        text = page.read().decode()
    counts: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "vecdb_rpcs_total" and sample.labels["method"] == method:
                process = sample.labels["process"]
                counts[process] = counts.get(process, 0) + sample.value
    return counts


# --- who answers ----------------------------------------------------------------------------------------------------


def test_reads_are_answered_by_all_workers_and_none_by_the_writer(pool: Pool) -> None:
    for _ in range(24):  # the kernel spreads connections: all on one worker once in 2^23 runs
        with pool.connect() as client:
            client.collection("docs").get("whatever")
    counts = served(pool, READ)
    assert set(counts) == {"worker-0", "worker-1"}
    assert sum(counts.values()) >= 24


def test_a_client_reads_its_own_writes_through_whichever_worker(pool: Pool) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()) for _ in range(12)]
        for number, client in enumerate(clients):
            docs = client.collection("docs")
            docs.upsert([f"own-{number}"], vector(number), [{"n": number}])
            found = docs.get(f"own-{number}")
            assert found.metadata == {"n": number}
            docs.delete(ids=[f"own-{number}"])
            assert docs.get(f"own-{number}") is None


def test_an_acknowledged_write_is_in_every_later_read_of_all_other_clients(pool: Pool) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()).collection("docs") for _ in range(8)]
        for number in range(20):
            clients[number % len(clients)].upsert([f"seen-{number}"], vector(number))
            assert all(client.get(f"seen-{number}") is not None for client in clients)


def test_a_collection_made_through_one_worker_is_there_for_all(pool: Pool) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()) for _ in range(6)]
        clients[0].create_collection("fresh", dim=2)
        assert all("fresh" in client.list_collections() for client in clients)
        clients[1].drop_collection("fresh")
        assert not any("fresh" in client.list_collections() for client in clients)


def test_a_second_pool_on_the_same_port_does_not_start(pool: Pool, tmp_path: Path) -> None:
    with (
        pytest.raises(WorkerFailedError, match="cannot listen on"),
        Worker(serve, tmp_path, pool.address, None) as second,
    ):
        second.expect("serves")
    assert not (tmp_path / "db").exists()


def test_a_pool_whose_writer_cannot_start_ends_with_the_writers_error(pool: Pool) -> None:
    with (
        pytest.raises(WorkerFailedError, match=r"DatabaseLockedError: .*is open for writing by process"),
        Worker(serve, pool.folder, "127.0.0.1:0", None, log=pool.folder / "second-log") as second,
    ):
        second.expect("serves")


# --- what dies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["worker", "writer"])
def test_killing_a_process_under_load_loses_nothing_and_clients_go_on(pool: Pool, part: str) -> None:
    # The writer has the lock of the database. That the load goes on is a part of the proof.
    holder = int((pool.folder / "db" / "LOCK").read_text(encoding="ascii").split('"pid": ')[1].split(",")[0])
    victims = [holder] if part == "writer" else [pid for pid in pool.pids if pid != holder]
    with Load(pool) as load:
        load.proceed(3)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
            load.proceed(3)
    assert not load.failures
    assert not missing(pool, load.all_acknowledged)
    assert not set(victims) & set(pool.pids)


@pytest.mark.torture
def test_killing_processes_under_load_again_and_again_loses_nothing(pool: Pool) -> None:
    dice = random.Random(1)
    with Load(pool) as load:
        for _ in range(KILLS):
            os.kill(dice.choice(pool.pids), signal.SIGKILL)
            load.proceed(1)
    assert not load.failures
    assert not missing(pool, load.all_acknowledged)


def test_a_drain_under_load_ends_all_processes_cleanly_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as pool:
        with pool.connect() as client:
            client.create_collection("docs", dim=DIM)
        pids = pool.pids
        with Load(pool, retries=0) as load:
            load.proceed(3)
            os.kill(pool.supervisor.pid, signal.SIGTERM)
            assert pool.supervisor.join(WAIT_S) == 0
        wait_for_the_end(pids)
    assert {type(failure) for failure in load.failures} <= {UnavailableError}
    with vecdb.open(tmp_path / "db", mode="r") as database:
        assert None not in database.collection("docs").get(load.all_acknowledged)


def test_nothing_outlives_a_killed_supervisor_and_its_port_and_data_are_free(tmp_path: Path) -> None:
    with running(tmp_path) as pool:
        pids = pool.pids
        assert len(pids) == 3
        pool.supervisor.kill()
        wait_for_the_end(pids)
        with Reservation([parse_address(pool.address, "test")]), vecdb.open(tmp_path / "db") as database:
            assert database.list_collections() == []


@pytest.mark.torture
def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path, stuck_s=2.5) as pool:
        hung = pool.pids[1]
        os.kill(hung, signal.SIGSTOP)
        wait_for_the_end([hung])
        assert "has given no sign of life" in (tmp_path / "log").read_text(encoding="utf-8")
        with pool.connect() as client:
            assert client.list_collections() == []


@pytest.mark.torture
def test_a_pool_that_was_paused_as_a_whole_goes_on_with_the_same_processes(tmp_path: Path) -> None:
    stuck_s = 2.5
    with running(tmp_path, stuck_s=stuck_s) as pool, pool.connect() as client:
        client.create_collection("docs", dim=DIM)
        pids = pool.pids
        for pid in (pool.supervisor.pid, *pids):
            os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(2 * stuck_s)  # the pause itself, which nothing can be seen of
        for pid in (pool.supervisor.pid, *pids):
            os.kill(pid, signal.SIGCONT)
        served(pool, READ)  # the supervisor has been round and asked all processes
        client.collection("docs").upsert(["a"], vector(0))
        assert pool.pids == pids
        assert "sign of life" not in (tmp_path / "log").read_text(encoding="utf-8")
