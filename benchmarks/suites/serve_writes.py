"""Writes to a server until it is gone, remembers what was acknowledged, and looks for it afterwards.

Single batches and a bulk load write at the same time. Ids count up, so that a number says which writes were
acknowledged. Every batch also replaces the counter of its writer: a counter that went back is a lost write, too.
Promises: nothing is sent twice (the client does not retry), so what is acknowledged was stored then.
Concurrency: each writer is a thread with its own numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

import vecdb
from benchmarks.engines.protocol import Matrix

COLLECTION: Final = "writes"
WRITERS: Final = 4
BATCH_ROWS: Final = 10
LOAD_ROWS: Final = 500
LOOKUP_ROWS: Final = 2_000


def write_until_gone(address: str, name: str, dim: int) -> dict[str, Any]:
    """Write with all writers at once; returns batches acknowledged by writer, and rows of the load."""
    with vecdb.connect(address, retries=0, timeout_s=30.0) as db:
        db.create_collection(COLLECTION, dim=dim, exist_ok=True)
        rows = np.random.default_rng(0).standard_normal((LOAD_ROWS, dim)).astype(np.float32)
        acknowledged = {f"{name}-{writer}": 0 for writer in range(WRITERS)}
        load = {f"{name}-load": 0}
        threads = [
            threading.Thread(target=_write, args=(db.collection(COLLECTION), writer, rows, acknowledged))
            for writer in acknowledged
        ]
        threads.append(threading.Thread(target=_load, args=(db.collection(COLLECTION), f"{name}-load", rows, load)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {"batches": acknowledged, "loaded": load}


def _write(collection: Any, writer: str, rows: Matrix, acknowledged: dict[str, int]) -> None:
    count = 0
    try:
        while True:
            ids = [f"{writer}-{count * BATCH_ROWS + row}" for row in range(BATCH_ROWS)]
            collection.upsert([*ids, writer], rows[: BATCH_ROWS + 1], [{"count": count}] * (BATCH_ROWS + 1))
            count += 1
            acknowledged[writer] = count
    except vecdb.VecDBError:
        return


def _load(collection: Any, name: str, rows: Matrix, load: dict[str, int]) -> None:
    def batches() -> Iterator[tuple[list[str], Matrix]]:
        start = 0
        while True:
            yield [f"{name}-{row}" for row in range(start, start + LOAD_ROWS)], rows
            start += LOAD_ROWS

    def progress(done: int, _total: int) -> None:
        load[name] = done

    try:
        collection.ingest(batches(), progress=progress)
    except vecdb.VecDBError:
        return


def count_lost(address: str, acknowledged: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """How many acknowledged records there should be, and how many are not there or older."""
    expected = lost = 0
    with vecdb.connect(address) as db:
        collection = db.collection(COLLECTION)
        for writer, batches in acknowledged["batches"].items():
            if not batches:
                continue
            expected, lost = (
                expected + batches * BATCH_ROWS + 1,
                lost + _missing(collection, writer, batches * BATCH_ROWS),
            )
            counter = collection.get(writer)
            lost += counter is None or counter.metadata["count"] < batches - 1
        for name, rows in acknowledged["loaded"].items():
            expected, lost = expected + rows, lost + _missing(collection, name, rows)
    return {"acknowledged": expected, "lost": int(lost)}


def _missing(collection: Any, name: str, rows: int) -> int:
    missing = 0
    for start in range(0, rows, LOOKUP_ROWS):
        ids = [f"{name}-{row}" for row in range(start, min(start + LOOKUP_ROWS, rows))]
        missing += sum(record is None for record in collection.get(ids))
    return missing
