"""One writer and two readers in three processes on one directory: readers follow the writer and share its pages."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import vecdb

DIM = 32
BATCHES = 5
BATCH_RECORDS = 200


def write(path: Path) -> None:
    """Write batches, and tell the readers nothing: they see each batch by themselves."""
    rng = np.random.default_rng(0)
    with vecdb.open(path, create=False) as db:
        docs = db.collection("docs")
        for batch in range(BATCHES):
            ids = list(range(batch * BATCH_RECORDS, (batch + 1) * BATCH_RECORDS))
            result = docs.upsert(ids, rng.normal(size=(BATCH_RECORDS, DIM)).astype(np.float32))
            print(f"writer: batch {batch} is on the disk at seq {result.seq}", flush=True)
            time.sleep(0.2)


def read(path: Path, name: str) -> None:
    """Search until every record has arrived. Nothing here waits for the writer or blocks it."""
    query = np.ones(DIM, dtype=np.float32)
    seen = -1
    with vecdb.open(path, mode="r") as db:
        docs = db.collection("docs")
        while seen < BATCHES * BATCH_RECORDS:
            if docs.count() != seen:
                seen = docs.count()
                best = docs.search(query, limit=1)
                print(f"{name}: {seen} records at seq {db.seq}, nearest {best.ids}", flush=True)
            time.sleep(0.02)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data"
        with vecdb.open(path) as db:
            db.create_collection("docs", dim=DIM)
        roles = (["write"], ["read", "reader 1"], ["read", "reader 2"])
        processes = [subprocess.Popen([sys.executable, __file__, str(path), *role]) for role in roles]
        codes = [process.wait(timeout=120) for process in processes]
    if any(codes):
        sys.exit(f"exit codes {codes}")
    print("all three processes are done")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[2] == "write":
        write(Path(sys.argv[1]))
    else:
        read(Path(sys.argv[1]), sys.argv[3])
