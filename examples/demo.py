"""Loads the WordNet sample into a database, searches it, measures recall and speed, and reopens it: `make demo`.

`--dir DIR` keeps the database (default: a temporary directory); `--records N` loads only the first N records.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
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
from vecdb.types import FloatArray

DATA = Path(__file__).parent / "data" / "wordnet"
COLLECTION = "wordnet"
BATCH_RECORDS = 1_000
SHOWN = ("espresso", "homesickness", "tornado", "octagon", "photosynthesis", "nibble")
NEIGHBOURS = 4
QUERIES = 500
SECONDS_PER_MEASUREMENT = 1.0

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


def load(db: vecdb.Database, sample: Sample) -> vecdb.Collection:
    """Write the sample in batches. Each batch is on the disk, and searchable, when its upsert returns."""
    if COLLECTION in db:
        db.drop_collection(COLLECTION)
    collection = db.create_collection(COLLECTION, dim=sample.vectors.shape[1], metric="cosine", dtype="float16")
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("writing records", total=len(sample.records))
        started = time.perf_counter()
        for batch in batches(len(sample.records)):
            rows = sample.records[batch]
            collection.upsert(
                [row["id"] for row in rows],
                sample.vectors[batch],
                [{key: value for key, value in row.items() if key != "id"} for row in rows],
            )
            progress.advance(task, len(rows))
        written = time.perf_counter() - started
        task = progress.add_task("building graph", total=None)
        collection.wait_indexed(progress=lambda done, total: progress.update(task, completed=done, total=total))
        indexed = time.perf_counter() - started - written
    console.print(
        f"{len(collection):,} records written in {written:.2f} s ({len(collection) / written:,.0f} records/s, "
        f"one fsync per {BATCH_RECORDS:,}), index ready {indexed:.2f} s later\n"
    )
    return collection


def batches(count: int) -> Iterator[slice]:
    return (slice(start, start + BATCH_RECORDS) for start in range(0, count, BATCH_RECORDS))


def show_neighbours(collection: vecdb.Collection, sample: Sample) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Nearest neighbours", title_justify="left", expand=True)
    table.add_column("score", justify="right")
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in (sample.find(word) for word in SHOWN):
        if row is None:
            continue
        table.add_row("", sample.records[row]["text"], style="bold")
        hits = collection.search(sample.vectors[row], limit=NEIGHBOURS + 1)
        for hit in [hit for hit in hits if hit.id != sample.records[row]["id"]][:NEIGHBOURS]:
            table.add_row(f"{hit.score:.3f}", (hit.metadata or {})["text"])
        table.add_section()
    console.print(table)


def measure(collection: vecdb.Collection, sample: Sample) -> None:
    """Print recall@10 against exact search, and queries per second one at a time and in batches."""
    queries = sample.vectors[np.random.default_rng(0).permutation(len(sample.vectors))[:QUERIES]]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Recall and speed, 10 hits", title_justify="left")
    for name in ("search", "recall@10", "queries/s, one at a time", "queries/s, in batches"):
        table.add_column(name, justify="left" if name == "search" else "right")
    for target in (0.90, 0.95, 0.99):
        recall = collection.measure_recall(k=10, sample=QUERIES, target_recall=target).recall
        single, batch = speed(collection, queries, target_recall=target)
        table.add_row(f"target_recall={target:.2f}", f"{recall:.4f}", f"{single:,.0f}", f"{batch:,.0f}")
    single, batch = speed(collection, queries, exact=True)
    table.add_row("exact=True", "1.0000", f"{single:,.0f}", f"{batch:,.0f}")
    console.print(table)


def speed(collection: vecdb.Collection, queries: FloatArray, **options: Any) -> tuple[float, float]:
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
    """Open the database again, for reading only: everything written is there, and so is the index."""
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
    with vecdb.open(path) as db:
        collection = load(db, sample)
        show_neighbours(collection, sample)
        measure(collection, sample)
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
    main()
