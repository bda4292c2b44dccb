"""Serves a database from a process of its own, loads the WordNet sample into it, and asks it as a client: `make demo`.

It shows neighbours, a filtered search, recall and speed, stops the server, and opens what is on the disk without one.
`--dir DIR` keeps the database (default: a temporary directory); `--records N` loads only the first N records.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import vecdb
from vecdb import F
from vecdb.types import FloatArray

DATA = Path(__file__).parent / "data" / "wordnet"
COLLECTION = "wordnet"
BATCH_RECORDS = 1_000
SHOWN = ("espresso", "homesickness", "tornado", "photosynthesis", "nibble")
NEIGHBOURS = 3
FILTERED, WANTED = "tornado", (F("pos") == "verb") & (F("gloss_length") <= 80)
QUERIES = 500
SECONDS_PER_MEASUREMENT = 0.8
STOP_TIMEOUT_S = 30

console = Console(width=None if os.isatty(1) else 120, highlight=False)


@dataclass(frozen=True)
class Sample:
    """The shipped records and their vectors, in the same order."""

    records: list[dict[str, Any]]
    vectors: FloatArray

    def find(self, word: str) -> int | None:
        """The first row whose synset has this word."""
        return next((row for row, record in enumerate(self.records) if word in record["words"]), None)


def read_sample(limit: int | None) -> Sample:
    with gzip.open(DATA / "records.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in itertools.islice(lines, limit)]
    vectors = np.load(DATA / "vectors.f16.npy", allow_pickle=False)[: len(records)]
    return Sample(records, vectors.astype(np.float32))


# --- the server -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(path: Path) -> Iterator[str]:
    """Run `vecdb serve` as its users do; gives its address. At the end it is sent SIGTERM and finishes what it does."""
    words = ["serve", "--data", str(path), "--listen", "127.0.0.1:0", "--json", "--log-level", "warning"]
    started = time.perf_counter()
    command = [sys.executable, "-m", "vecdb", *words, "--no-access-log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
        try:
            address = read_address(server)
            seconds = time.perf_counter() - started
            console.print(f"server: process {server.pid} serves it on {address} after {seconds:.1f} s")
            yield address
        finally:
            started = time.perf_counter()
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(STOP_TIMEOUT_S)
            finally:
                server.kill()
    console.print(f"server: stopped in {time.perf_counter() - started:.2f} s with exit code {server.returncode}")
    if server.returncode:
        sys.exit("demo: the server did not end as it should; its messages are above")


def read_address(server: subprocess.Popen[str]) -> str:
    """Where the server says that it listens: one JSON document, which may be an error instead."""
    assert server.stdout is not None
    lines = [next(server.stdout, "")]
    while lines[-1] not in {"", "}\n"}:
        lines.append(next(server.stdout, ""))
    document = json.loads("".join(lines) or '{"error": {"message": "the server ended; its message is above"}}')
    if "error" in document:
        sys.exit(f"demo: {document['error']['message']}")
    return str(document["listen"][0])


# --- the client -----------------------------------------------------------------------------------------------------


def load(db: vecdb.RemoteDatabase, sample: Sample) -> vecdb.RemoteCollection:
    """Send the sample over one stream. Each batch is on the server's disk, and searchable, when it is acknowledged."""
    if COLLECTION in db:
        db.drop_collection(COLLECTION)
    collection = db.create_collection(COLLECTION, dim=sample.vectors.shape[1], metric="cosine", dtype="float16")
    collection.create_index("pos", "keyword")
    collection.create_index("gloss_length", "int")
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("loading records", total=len(sample.records))
        started = time.perf_counter()
        collection.ingest(batches(sample), progress=lambda done, _taken: progress.update(task, completed=done))
        loaded = time.perf_counter() - started
    collection.wait_indexed()
    indexed = time.perf_counter() - started - loaded
    console.print(
        f"{len(collection):,} records ingested in {loaded:.2f} s ({len(collection) / loaded:,.0f} records/s, "
        f"durable), index ready {indexed:.2f} s later\n"
    )
    return collection


def batches(sample: Sample) -> Iterator[tuple[list[str], FloatArray, list[dict[str, Any]]]]:
    for start in range(0, len(sample.records), BATCH_RECORDS):
        rows = sample.records[start : start + BATCH_RECORDS]
        metadata = [{key: value for key, value in row.items() if key != "id"} for row in rows]
        yield [row["id"] for row in rows], sample.vectors[start : start + BATCH_RECORDS], metadata


def show_neighbours(collection: vecdb.RemoteCollection, sample: Sample) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Nearest neighbours", title_justify="left", expand=True)
    table.add_column("score", justify="right")
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in (sample.find(word) for word in SHOWN):
        if row is None:
            continue
        table.add_row("", sample.records[row]["text"], style="bold")
        not_itself = F.id != sample.records[row]["id"]
        for hit in collection.search(sample.vectors[row], limit=NEIGHBOURS, filter=not_itself):
            table.add_row(f"{hit.score:.3f}", (hit.metadata or {})["text"])
        table.add_section()
    row = sample.find(FILTERED)
    if row is not None:
        hits = collection.search(sample.vectors[row], limit=NEIGHBOURS, filter=WANTED)
        table.add_row("", f"{FILTERED}, but only the {collection.count(WANTED)} verbs with a short text", style="bold")
        for hit in hits:
            table.add_row(f"{hit.score:.3f}", (hit.metadata or {})["text"])
    console.print(table)


def measure(collection: vecdb.RemoteCollection, path: Path, sample: Sample) -> None:
    """Print recall@10 against exact search and queries per second, by the client and by this process beside it."""
    queries = sample.vectors[np.random.default_rng(0).permutation(len(sample.vectors))[:QUERIES]]
    title = "Recall and speed, 10 hits"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in ("asked", "search", "recall@10", "queries/s, one at a time", "queries/s, in batches"):
        table.add_column(name, justify="left" if name in {"asked", "search"} else "right")
    for target in (0.90, 0.95, 0.99):
        recall = collection.measure_recall(k=10, sample=QUERIES, target_recall=target).recall
        single, batch = speed(collection, queries, target_recall=target)
        table.add_row("the server", f"target_recall={target:.2f}", f"{recall:.4f}", f"{single:,.0f}", f"{batch:,.0f}")
    single, batch = speed(collection, queries, exact=True)
    table.add_row("the server", "exact=True", "1.0000", f"{single:,.0f}", f"{batch:,.0f}")
    with vecdb.open(path, mode="r") as db:  # any process may read the directory beside the server
        embedded = db.collection(COLLECTION)
        recall = embedded.measure_recall(k=10, sample=QUERIES, target_recall=0.95).recall
        single, batch = speed(embedded, queries, target_recall=0.95)
    table.add_row("this process", "target_recall=0.95", f"{recall:.4f}", f"{single:,.0f}", f"{batch:,.0f}")
    console.print(table)


def speed(
    collection: vecdb.RemoteCollection | vecdb.Collection, queries: FloatArray, **options: Any
) -> tuple[float, float]:
    """Queries per second of `search` and of `search_batch`, ids and scores only."""

    def one_at_a_time() -> None:
        for query in queries:
            collection.search(query, limit=10, with_metadata=False, **options)

    def in_batches() -> None:
        collection.search_batch(queries, limit=10, with_metadata=False, **options)

    return rate(one_at_a_time, len(queries)), rate(in_batches, len(queries))


def rate(work: Callable[[], None], count: int) -> float:
    """The best rate of repeated runs: other programs only make it lower."""
    best, until = 0.0, time.perf_counter() + SECONDS_PER_MEASUREMENT
    while best == 0.0 or time.perf_counter() < until:
        started = time.perf_counter()
        work()
        best = max(best, count / (time.perf_counter() - started))
    return best


def reopen(path: Path, sample: Sample) -> None:
    """Open the database without a server, for reading only: everything acknowledged is there, and so is the index."""
    started = time.perf_counter()
    with vecdb.open(path, mode="r") as db:
        collection = db.collection(COLLECTION)
        opened_ms = (time.perf_counter() - started) * 1_000
        best = collection.search(sample.vectors[0], limit=1)[0]
        report = db.verify()
    console.print(
        f"reopened read-only in {opened_ms:.1f} ms: {collection.name!r} answers with {best.id} "
        f"(expected {sample.records[0]['id']})"
    )
    verdict = "sound" if report.ok else f"{len(report.problems)} problem(s)"
    console.print(
        f"verified {report.records:,} records and {report.chunks:,} chunks in {report.seconds:.2f} s: {verdict}"
    )


def run(path: Path, limit: int | None) -> None:
    sample = read_sample(limit)
    console.print(f"database {path}: {len(sample.records):,} WordNet records of {sample.vectors.shape[1]} dimensions")
    with serving(path) as address, vecdb.connect(address) as db:
        collection = load(db, sample)
        show_neighbours(collection, sample)
        measure(collection, path, sample)
    reopen(path, sample)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, help="keep the database in this directory")
    parser.add_argument("--records", type=int, help="load only the first N records")
    options = parser.parse_args()
    if options.dir is not None:
        run(options.dir, options.records)
        return
    with tempfile.TemporaryDirectory(prefix="vecdb-demo-") as directory:
        run(Path(directory) / "data", options.records)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("demo: stopped")
