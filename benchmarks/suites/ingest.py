"""The `ingest` suite: texts into a server, beside embedding them and writing their vectors alone.

Ingestor and server are processes as users start them (`vecdb ingest run`, `vecdb serve`), on all CPUs there are; so are
the two halves alone, and the model also on one CPU. They take turns, repetition by repetition, each with a new
database, and ratios are of medians of the same run. After each first run the same command runs again: with nothing
changed, and with a new time on the file, so that it must be read. Then a run is killed on its way, and the next one is
timed until it goes on.

Promises: a run counts only if all texts are in the collection; a part that fails is in the report with the reason.
Concurrency: one thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import vecdb
from benchmarks.datasets.texts import write_texts
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerError, WorkerProcess
from benchmarks.suites.database import Progress, silent, spread
from benchmarks.suites.ingest_process import COLLECTION, WITH_METRICS, Ingestor, IngestorError, Pipeline, ingestor
from benchmarks.suites.serve_processes import ServerError, vecdb_server

PARTS: Final = ("speed", "resume")
ANSWER_WITHIN_S: Final = 1_800.0
KILL_AT: Final = 0.4
"""Share of the texts that are stored when the ingestor is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """What is ingested, and how often."""

    records: Sequence[Mapping[str, Any]]
    scratch: Path
    model: str = "builtin"
    parts: Sequence[str] = PARTS
    repeats: int = 3
    progress: Progress = silent

    @property
    def texts(self) -> Path:
        """The file that is read."""
        return self.scratch / "texts.jsonl"

    @property
    def vectors(self) -> Path:
        """What the embedder makes of it."""
        return self.scratch / "vectors.npy"


def run(options: IngestOptions) -> dict[str, Any]:
    """Measure the parts that are asked for."""
    write_texts(options.texts, options.records)
    results: dict[str, Any] = {
        "texts": len(options.records),
        "bytes": options.texts.stat().st_size,
        "model": options.model,
    }
    makers = {"speed": _speed, "resume": _resume}
    for part in options.parts:
        options.progress(part)
        try:
            results[part] = makers[part](options)
        except (ServerError, WorkerError, IngestorError) as error:
            results[part] = {"failed": str(error)}
            options.progress(f"    failed: {error}")
    return results


# --- speed ------------------------------------------------------------------------------------------------------------


def _speed(options: IngestOptions) -> dict[str, Any]:
    """Texts per second of the halves and of the whole; seconds of the runs after it."""
    texts, cpus = len(options.records), sorted(available_cpus())
    rates: dict[str, list[float]] = {"embedder_one_cpu": [], "embedder": [], "stream": [], "end_to_end": []}
    again: dict[str, list[float]] = {"first": [], "untouched": [], "touched": []}
    work: dict[str, list[float]] = {name: [] for name in again}
    memory: list[list[tuple[float, float, float]]] = []
    for turn in range(options.repeats):
        with _halves(1) as half:
            alone = half("embed", _asked(options) | {"cpus": cpus[:1]})
            rates["embedder_one_cpu"].append(texts / alone["seconds"])
        with _halves(len(cpus)) as half:
            embedded = half("embed", _asked(options) | {"cpus": cpus})
            rates["embedder"].append(texts / embedded["seconds"])
            with vecdb_server(None, options.scratch / f"stream-{turn}") as server:
                where = {"address": server.address, "collection": COLLECTION}
                streamed = half("stream", _asked(options) | where)
            rates["stream"].append(streamed["texts"] / streamed["seconds"])
        with _new_pipeline(options, f"whole-{turn}") as pipeline:
            for name, taken in again.items():
                if name == "touched":
                    os.utime(options.texts)
                ended = _whole_run(pipeline, texts)
                taken.append(ended.seconds)
                work[name].append(_own_seconds(ended))
                if name == "first":
                    rates["end_to_end"].append(texts / ended.seconds)
                    memory.append(ended.memory)
        line = ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in rates.items())
        options.progress(f"    {line}; again {again['untouched'][-1]:.2f} s, touched {again['touched'][-1]:.2f} s")
    return {
        "dim": embedded["dim"],
        "threads": embedded["threads"],
        "rates": {name: spread(values) for name, values in rates.items()},
        "seconds": {name: spread(values) for name, values in again.items()},
        "work_seconds": {name: spread(values) for name, values in work.items()},
        "memory": memory,
    }


@contextmanager
def _halves(threads: int) -> Iterator[Callable[[str, Mapping[str, Any]], dict[str, Any]]]:
    """A process that embeds or writes, whose libraries may start so many threads."""
    with WorkerProcess([sys.executable, "-m", "benchmarks.suites.ingest_worker"], threads) as process:
        yield lambda what, request: process.ask({"do": what, **request}, ANSWER_WITHIN_S)


def _asked(options: IngestOptions) -> dict[str, Any]:
    return {"texts": str(options.texts), "vectors": str(options.vectors), "model": options.model}


def _whole_run(pipeline: Pipeline, texts: int) -> Ingestor:
    """A run from start to end, after which all texts are there."""
    with ingestor(pipeline) as one:
        one.finish()
    stored = _stored(pipeline.address)
    if stored != texts:
        raise IngestorError(f"{stored:,} of {texts:,} texts are in the collection")
    return one


def _own_seconds(ended: Ingestor) -> float:
    """How long the run itself says that it took: without the start of Python and of what it imports."""
    return float(ended.result()["seconds"])


@contextmanager
def _new_pipeline(options: IngestOptions, name: str) -> Iterator[Pipeline]:
    """A server with a new database, and a state directory of its own."""
    with vecdb_server(None, options.scratch / name) as server:
        yield Pipeline(options.texts, server.address, options.scratch / f"{name}-state", options.model)


def _stored(address: str) -> int:
    """Records in the collection; 0 where there is none yet."""
    with vecdb.connect(address) as db:
        return db.collection(COLLECTION).count() if COLLECTION in db else 0


# --- resume -----------------------------------------------------------------------------------------------------------


def _resume(options: IngestOptions) -> list[dict[str, Any]]:
    """Kill a run on its way, begin again, and see how long that takes to go on."""
    return [_resumed(options, turn) for turn in range(options.repeats)]


def _resumed(options: IngestOptions, turn: int) -> dict[str, Any]:
    texts = len(options.records)
    with _new_pipeline(options, f"resume-{turn}") as pipeline, vecdb.connect(pipeline.address) as db:

        def stored() -> int:
            return db.collection(COLLECTION).count() if COLLECTION in db else 0

        with ingestor(pipeline) as killed:
            killed.until(lambda: stored() >= KILL_AT * texts)
            killed.kill()
        before = stored()
        with ingestor(pipeline, *WITH_METRICS) as one:
            embedded_s = one.until(lambda: one.is_over or one.embedded() > 0)
            stored_s = one.until(lambda: one.is_over or stored() > before)
            seconds = one.finish()
        after, embedded = stored(), one.result()["counts"]["embedded"]
    if after != texts:
        raise IngestorError(f"{after:,} of {texts:,} texts are in the collection after a kill")
    told = f"first text embedded after {embedded_s:.2f} s, stored after {stored_s:.2f} s"
    options.progress(f"    killed at {before:,}: {told if embedded else 'all was embedded by then'}")
    return {
        "stored_at_kill": before,
        # where all was embedded before the kill there is nothing to tell
        "first_embedded_s": embedded_s if embedded else None,
        "first_stored_s": stored_s,
        "seconds": seconds,
        "embedded": embedded,
    }
