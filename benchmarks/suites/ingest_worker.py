"""The two halves of ingesting, each alone in a process: embedding texts, and writing their vectors to a server.

    python -m benchmarks.suites.ingest_worker

Promises: only embedding or writing is timed; texts are read, models loaded and batches put together before. The model
is called as the ingestor calls it, in batches of its own size: on all CPUs from as many threads as it likes, or on one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

import vecdb
from benchmarks.datasets.texts import read_texts
from benchmarks.method.answering import serve
from benchmarks.method.machine import available_cpus, pin
from vecdb.ingest.embedders.opening import open_embedder

STREAM_ROWS: Final = 1_000
WARM_UP_TEXTS: Final = 500


def embed(request: Mapping[str, Any]) -> dict[str, Any]:
    """Embed all texts of a file on these CPUs; `vectors` is where the rows go."""
    texts = [record["text"] for record in read_texts(Path(request["texts"]))]
    model = open_embedder(request["model"])
    size = model.limits.batch_texts
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    cpus = set(request["cpus"])
    callers = min(model.limits.parallel, len(cpus))
    everything = available_cpus()
    pin(cpus)  # the threads that are started here and by the tokenizer inherit it
    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(model.embed, [texts[:WARM_UP_TEXTS]] * callers))
        begin = time.perf_counter()
        rows = list(threads.map(model.embed, batches))
        seconds = time.perf_counter() - begin
    pin(everything)
    with Path(request["vectors"]).open("wb") as file:
        np.save(file, np.concatenate(rows))
        file.flush()
        os.fsync(file.fileno())  # else it is written while something else is measured, which waits for the disk
    return {"seconds": seconds, "texts": len(texts), "dim": model.fingerprint.dim, "threads": callers}


def stream(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write vectors with their texts and metadata into a new collection of a server, through the ingest stream."""
    records, vectors = read_texts(Path(request["texts"])), np.load(request["vectors"], allow_pickle=False)
    ids = [record.pop("id") for record in records]
    batches = [
        (ids[start : start + STREAM_ROWS], vectors[start : start + STREAM_ROWS], records[start : start + STREAM_ROWS])
        for start in range(0, len(ids), STREAM_ROWS)
    ]
    with vecdb.connect(request["address"]) as db:
        collection = db.create_collection(request["collection"], dim=vectors.shape[1])
        begin = time.perf_counter()
        collection.ingest(batches)
        seconds = time.perf_counter() - begin
        stored = collection.count()
    return {"seconds": seconds, "texts": stored}


def main() -> None:
    """Answer until the input ends."""
    serve({"embed": embed, "stream": stream})


if __name__ == "__main__":
    main()
