"""Serves a database, ingests real texts into it from a process of its own, and asks it in words: `make demo`.

`vecdb serve` and `vecdb ingest` run as they would for a user, with the built-in model and the WordNet sample. Then it
shows what was found, what a second run costs after a few texts changed, recall and speed, stops the server, and opens
what is on the disk without one. `--dir DIR` keeps all of it; `--records N` takes only the first N texts.
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
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import vecdb
from vecdb import F
from vecdb.types import FloatArray

TEXTS = Path(__file__).parent / "data" / "wordnet" / "records.jsonl.gz"
COLLECTION = "wordnet"
QUESTIONS = (
    "a small cup of strong coffee",
    "the sadness of being far away from home",
    "a storm that turns in a circle",
    "how plants make use of sunlight",
    "take small bites of something",
)
HITS = 3
FILTERED, WANTED = "very bad weather", (F("pos") == "verb") & (F("gloss_length") <= 80)
CHANGED, DELETED = 3, 2
"""Texts changed and deleted before the second run."""

QUERIES = 500
SECONDS_PER_MEASUREMENT = 0.8
STOP_TIMEOUT_S = 30

Row: TypeAlias = dict[str, Any]

console = Console(width=None if os.isatty(1) else 120, highlight=False)


def read_texts(limit: int | None) -> list[Row]:
    with gzip.open(TEXTS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in itertools.islice(lines, limit)]


def write_texts(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def show_command(*words: str) -> None:
    console.print(f"$ vecdb {' '.join(words)}", style="bold")


# --- the server -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(path: Path) -> Iterator[str]:
    """Run `vecdb serve` as its users do; gives its address. At the end it is sent SIGTERM and finishes what it does."""
    words = ["serve", "--data", str(path), "--listen", "127.0.0.1:0", "--json", "--log-level", "warning"]
    started = time.perf_counter()
    show_command(*words[:3])
    command = [sys.executable, "-m", "vecdb", *words, "--no-access-log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
        try:
            address = read_address(server)
            seconds = time.perf_counter() - started
            console.print(f"process {server.pid} serves it on {address} after {seconds:.1f} s\n")
            yield address
        finally:
            started = time.perf_counter()
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(STOP_TIMEOUT_S)
            finally:
                server.kill()
    console.print(f"server stopped in {time.perf_counter() - started:.2f} s with exit code {server.returncode}")
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


# --- the ingestor ---------------------------------------------------------------------------------------------------


def ingest(action: str, folder: Path, address: str) -> None:
    """Run `vecdb ingest ACTION` in a process of its own; what it prints is its own."""
    words = ["ingest", action, str(folder / "texts.jsonl"), "--to", address, "--collection", COLLECTION]
    show_command(*words)
    progress = ["--progress", "bar" if os.isatty(2) else "none"]
    sys.stdout.flush()
    command = [sys.executable, "-m", "vecdb", *words, "--state", str(folder / "state"), *progress]
    done = subprocess.run(command, check=False)  # noqa: S603 - our own command
    if done.returncode:
        sys.exit("demo: the ingestor did not end as it should; its messages are above")
    console.print()


def change(rows: list[Row]) -> list[Row]:
    """The texts as somebody may have edited them."""
    edited = [{**row, "text": f"{row['text']} (edited)"} for row in rows[:CHANGED]]
    return [*edited, *rows[CHANGED : len(rows) - DELETED]]


# --- the client -----------------------------------------------------------------------------------------------------


def prepare(collection: vecdb.RemoteCollection) -> None:
    """Index what is filtered by, and wait until the graph is built."""
    started = time.perf_counter()
    collection.create_index("pos", "keyword")
    collection.create_index("gloss_length", "int")
    collection.wait_indexed()
    console.print(f"{len(collection):,} records indexed {time.perf_counter() - started:.2f} s later\n")


def show_answers(collection: vecdb.RemoteCollection) -> None:
    """Ask in words: the collection says which model it is of, and that one embeds the question."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Answers", title_justify="left", expand=True)
    table.add_column("score", justify="right")
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    with contextlib.closing(vecdb.ingest.open_model(collection)) as model:
        vectors = model.embed([*QUESTIONS, FILTERED], role="query")
        found = [collection.search(vector, limit=HITS, model=model.fingerprint) for vector in vectors[:-1]]
        filtered = collection.search(vectors[-1], limit=HITS, filter=WANTED, model=model.fingerprint)
    only = f"{FILTERED}, but only the {collection.count(WANTED)} verbs with a short text"
    for question, hits in zip((*QUESTIONS, only), (*found, filtered), strict=True):
        table.add_row("", question, style="bold")
        for hit in hits:
            table.add_row(f"{hit.score:.3f}", (hit.metadata or {})["text"])
        table.add_section()
    console.print(table)


def show_search_command(address: str) -> None:
    """The same from a shell."""
    words = ["search", address, COLLECTION, QUESTIONS[0], "--limit", "2"]
    show_command(*words[:3], f'"{words[3]}"', *words[4:])
    sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "vecdb", *words], check=True)  # noqa: S603 - our own command


def measure(collection: vecdb.RemoteCollection, path: Path, rows: list[Row]) -> None:
    """Print recall@10 against exact search and queries per second, by the client and by this process beside it."""
    chosen = np.random.default_rng(0).permutation(len(rows))[:QUERIES]
    with contextlib.closing(vecdb.ingest.open_model(collection)) as model:
        queries = model.embed([rows[row]["text"] for row in chosen], role="query")
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


def reopen(path: Path) -> None:
    """Open the database without a server, for reading only: everything acknowledged is there, and so is the index."""
    started = time.perf_counter()
    with vecdb.open(path, mode="r") as db:
        collection = db.collection(COLLECTION)
        opened_ms = (time.perf_counter() - started) * 1_000
        report = db.verify()
        console.print(f"reopened read-only in {opened_ms:.1f} ms: {len(collection):,} records in {collection.name!r}")
    verdict = "sound" if report.ok else f"{len(report.problems)} problem(s)"
    console.print(
        f"verified {report.records:,} records and {report.chunks:,} chunks in {report.seconds:.2f} s: {verdict}"
    )


def run(folder: Path, limit: int | None) -> None:
    rows = read_texts(limit)
    folder.mkdir(parents=True, exist_ok=True)
    write_texts(folder / "texts.jsonl", rows)
    console.print(f"{len(rows):,} short texts from WordNet, in {folder / 'texts.jsonl'}\n")
    with serving(folder / "data") as address, vecdb.connect(address) as db:
        ingest("plan", folder, address)
        ingest("run", folder, address)
        collection = db.collection(COLLECTION)
        prepare(collection)
        show_answers(collection)
        show_search_command(address)
        console.print(f"{CHANGED} texts are edited and {DELETED} deleted; only those cost anything now:")
        write_texts(folder / "texts.jsonl", change(rows))
        ingest("run", folder, address)
        measure(collection, folder / "data", rows)
    reopen(folder / "data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, help="keep the database and the ingestor's state in this directory")
    parser.add_argument("--records", type=int, help="ingest only the first N texts")
    options = parser.parse_args()
    if options.dir is not None:
        run(options.dir, options.records)
        return
    with tempfile.TemporaryDirectory(prefix="vecdb-demo-") as directory:
        run(Path(directory), options.records)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("demo: stopped")
