"""The writer process of the crash tests: opens, checks what the last one left behind, then writes until it is killed.

Messages to the parent: ("open", None) before opening, ("checked", Findings) after the check, ("loading", None) when the
load begins. Threads: several writers on disjoint keys, one that searches and scrolls, one that does maintenance.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import vecdb
from tests.harness import workload
from tests.harness.checker import LIMIT, check
from tests.harness.journal import Journal, Replay, journal_path, latest_journal, replay
from vecdb.config import EngineConfig

COLLECTION = "load"


@dataclass(frozen=True, slots=True)
class Load:
    """One round: where, which round of which seed, and how many threads write."""

    directory: Path
    journals: Path
    seed: int
    rounds: int
    partitions: int = 3
    tail_rows_index: int = 256


def run(pipe: Connection, load: Load) -> None:
    """Open, check, then write until killed or until the parent says stop."""
    pipe.send(("open", None))
    started = time.perf_counter()
    config = EngineConfig(
        tail_rows_index=load.tail_rows_index, threads=1, progress=False, map_bytes=1 << 34, index_loads=True
    )
    with vecdb.open(load.directory, config=config) as database:
        opened_s = time.perf_counter() - started
        collection = database.create_collection(
            COLLECTION, dim=workload.DIM, metric="l2", layout="packed", exist_ok=True
        )
        known = known_states(load.journals, load.partitions)
        findings = check(database, collection, known)
        findings.open_s = opened_s
        pipe.send(("checked", findings))
        if findings.problems or load.partitions == 0:
            return
        _write_until_stopped(pipe, load, database, collection, settled(known, findings.applied))


def known_states(journals: Path, partitions: int) -> dict[int, Replay]:
    """What the journals of the last rounds say, by partition; empty before the first round."""
    latest = {partition: latest_journal(journals, partition) for partition in range(partitions)}
    return {
        partition: Replay({}, None, 0, 0, 0) if path is None else replay(path) for partition, path in latest.items()
    }


def settled(known: dict[int, Replay], applied: dict[int, bool]) -> dict[int, Replay]:
    """The states now that the check has told which operations in flight happened."""
    result = {}
    for partition, view in known.items():
        happened = applied[partition] and view.pending is not None
        state = view.pending.applied(view.state) if happened and view.pending else view.state
        result[partition] = Replay(state, None, 0, 0, view.version)
    return result


def _write_until_stopped(
    pipe: Connection, load: Load, database: Any, collection: Any, known: dict[int, Replay]
) -> None:
    journals = {
        partition: Journal(journal_path(load.journals, partition, load.rounds), view.state, view.version)
        for partition, view in known.items()
    }
    stop = threading.Event()

    def guarded(body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException:
            with contextlib.suppress(BrokenPipeError):
                pipe.send(("failed", traceback.format_exc()))
            stop.set()

    def writes(partition: int) -> Callable[[], None]:
        return lambda: _write(collection, journals[partition], known[partition], partition, load, stop)

    bodies = [writes(partition) for partition in known]
    bodies += [lambda: _read(collection, stop), lambda: _maintain(database, collection, load, stop)]
    threads = [threading.Thread(target=guarded, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    pipe.send(("loading", None))
    with contextlib.suppress(EOFError):
        pipe.recv()  # anything the parent says means stop; usually it kills instead
    stop.set()
    for thread in threads:
        thread.join()


def _write(collection: Any, journal: Journal, known: Replay, partition: int, load: Load, stop: threading.Event) -> None:
    rng = np.random.default_rng([load.seed, load.rounds, partition])
    state, version = known.state, known.version
    while not stop.is_set():
        version += 1
        operation = workload.next_operation(rng, partition, state, version)
        journal.intend(operation)
        journal.acknowledge(operation.perform(collection))
        state = operation.applied(state)


def _read(collection: Any, stop: threading.Event) -> None:
    """Search beside the writers; a hit must always be one of the workload's records."""
    query = workload.vectors_of([2_000_000], [0])[0]
    while not stop.wait(0.002):
        for hit in collection.search(query, limit=LIMIT):
            assert hit.metadata["key"] == workload.key_of(hit.id), f"hit {hit.id!r} has metadata of another record"


def _maintain(database: Any, collection: Any, load: Load, stop: threading.Event) -> None:
    """Index, merge and optimise at random moments, so that kills hit these too."""
    rng = np.random.default_rng([load.seed, load.rounds, 1_000])
    while not stop.wait(float(rng.uniform(0.02, 0.3))):
        choice = rng.random()
        if choice < 0.4:
            collection.optimize()
        elif choice < 0.5:
            database.optimize()
        elif choice < 0.8:
            list(collection.iterate())
