"""One writer and two readers in three processes on one directory: readers follow the writer and share its pages."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

import vecdb

DIM = 32
BATCHES = 5
BATCH_RECORDS = 200
START_TIMEOUT_S = 120


def write(path: Path, everyone_is_ready: Barrier) -> None:
    """Write batches, and tell the readers nothing: they see each batch by themselves."""
    rng = np.random.default_rng(0)
    with vecdb.open(path, create=False) as db:
        docs = db.collection("docs")
        everyone_is_ready.wait(START_TIMEOUT_S)
        for batch in range(BATCHES):
            ids = list(range(batch * BATCH_RECORDS, (batch + 1) * BATCH_RECORDS))
            result = docs.upsert(ids, rng.normal(size=(BATCH_RECORDS, DIM)).astype(np.float32))
            print(f"writer:   batch {batch + 1} is on the disk at seq {result.seq}", flush=True)
            time.sleep(0.3)


def read(path: Path, everyone_is_ready: Barrier, name: str) -> None:
    """Search until every record has arrived. Nothing here waits for the writer or blocks it."""
    query = np.ones(DIM, dtype=np.float32)
    seen = 1
    with vecdb.open(path, mode="r") as db:
        docs = db.collection("docs")
        docs.search(query)  # the first search loads the kernels
        everyone_is_ready.wait(START_TIMEOUT_S)
        while seen < BATCHES * BATCH_RECORDS:
            if (count := docs.count()) > seen:
                seen = count
                print(f"{name}: {seen:>4} records, nearest {docs.search(query, limit=3).ids}", flush=True)
            time.sleep(0.01)


def main() -> None:
    context = multiprocessing.get_context("spawn")  # never fork a process that has a database open
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data"
        with vecdb.open(path) as db:
            db.create_collection("docs", dim=DIM).upsert([0], np.ones((1, DIM)))
        barrier = context.Barrier(3)
        processes = [context.Process(target=write, args=(path, barrier))]
        processes += [context.Process(target=read, args=(path, barrier, name)) for name in ("reader 1", "reader 2")]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        sys.exit(f"exit codes {[process.exitcode for process in processes]}")


if __name__ == "__main__":
    main()
