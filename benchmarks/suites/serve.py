"""The `serve` suite: vecdb behind gRPC, beside calls that do nothing, beside the embedded engine, beside milvus-lite.

Clients and servers are separate processes on loopback, one CPU each (the same one where there is only one, which the
report says); the embedded engine has the server's CPU, and works while the other is idle. Kinds of calls take short
turns, and a ratio is the median of the ratios of all rounds of turns: what slows the machine for a while slows both.

- unary: searches one a call, beside an empty call of a plain grpcio server (`floor`, without any interceptor) and
  beside one that does next to nothing behind all of vecdb's server (`info`).
- batch: 100 queries a call, and a stream of such batches, beside `search_batch` of the embedded engine. One caller has
  the server wait for the client and the client for the server; with several the server is busy, as in production. The
  embedded engine is asked from as many threads.
- ingest: a bulk load through the stream, beside `upsert` of the same batches into the embedded engine, synced alike.
- peer: milvus-lite's own server, at the least effort that reaches the recall.
- overload: calls at ten times the rate that can be answered.
- crash: SIGTERM and SIGKILL under load; every acknowledged write is looked for afterwards.

Promises: a part that fails is in the report with the reason. Concurrency: one thread, and one more that waits for
writers.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.databases.records import with_columns
from benchmarks.datasets import Dataset
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerError, WorkerProcess
from benchmarks.suites.contest import truth_of, write_records
from benchmarks.suites.database import Progress, silent, spread
from benchmarks.suites.serve_peer import measure_peer
from benchmarks.suites.serve_processes import Server, ServerError, floor_server, vecdb_server
from vecdb.config import CONCURRENT_RPCS_DEFAULT

ANSWER_WITHIN_S: Final = 900.0
UNARY: Final = ("floor", "info", "ids", "metadata")
CALLED_BATCHES: Final = ("batch", "batch_metadata")
STREAMED_BATCHES: Final = ("stream", "stream_metadata")
OVERLOAD_CALLERS: Final = 4
NORMAL_SHARE: Final = 0.9
"""Of the speed before an overload: what counts as normal after it."""

WRITE_S: Final = (0.5, 1.5)
"""How long writers write before the signal: at least, at most."""

MEMORY_POLL_S: Final = 0.1
PARTS: Final = ("unary", "batch", "ingest", "peer", "overload", "crash")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What is measured, on what, and for how long."""

    dataset: Dataset
    records: Sequence[Mapping[str, Any]]
    scratch: Path
    parts: Sequence[str] = PARTS
    repeats: int = 5
    seconds: float = 2.0
    rounds_each: int = 4
    callers: Sequence[int] = (1, 4)
    batch_callers: Sequence[int] = (1, 2, 4)
    k: int = 10
    effort: Mapping[str, Any] = field(default_factory=lambda: {"target_recall": 0.95})
    ingest_rows: int = 100_000
    overload_factor: float = 10.0
    overload_s: float = 30.0
    after_s: int = 8
    rounds: int = 5
    cache: Path | None = None
    progress: Progress = silent


@dataclass(frozen=True, slots=True)
class Bench:
    """The files, the CPUs and the servers of one run."""

    options: ServeOptions
    server_cpu: int
    client_cpu: int
    records_file: Path

    @property
    def data(self) -> Path:
        """The database that is searched."""
        return self.options.scratch / "data"

    @property
    def queries_file(self) -> str:
        """What is searched for."""
        return str(self.options.dataset.directory / "queries.npy")

    def place(self, name: str) -> Path:
        """A directory that is not there yet."""
        return self.options.scratch / name

    @contextmanager
    def worker(self, cpu: int | None = None, **opened: object) -> Iterator[Ask]:
        """A process on a CPU (None: the clients'); `opened` is what it opens, if anything."""
        with WorkerProcess([sys.executable, "-m", "benchmarks.suites.serve_worker"], 1) as process:

            def ask(do: str, **request: object) -> dict[str, Any]:
                return process.ask({"do": do, **request}, ANSWER_WITHIN_S)

            if opened:
                where = self.client_cpu if cpu is None else cpu
                options = {"k": self.options.k, "options": dict(self.options.effort), "queries": self.queries_file}
                ask("open", cpu=where, **options, **opened)
            yield ask

    def loaded(self, ask: Ask, store: str, path: Path, cpus: Sequence[int], rows: int, address: str = "") -> float:
        """Store the first rows; returns records per second."""
        dataset = self.options.dataset
        files = {"base": str(dataset.directory / "base.npy"), "records": str(self.records_file)}
        where = {"path": str(path), "address": address, "cpus": list(cpus), "metric": dataset.metric}
        done = ask("load", store=store, rows=rows, **files, **where)
        return float(done["records"] / done["seconds"])


Ask = Callable[..., dict[str, Any]]


def run(options: ServeOptions) -> dict[str, Any]:
    """Measure the parts that are asked for."""
    cpus = sorted(available_cpus())
    bench = Bench(options, cpus[0], cpus[-1], options.scratch / "records.jsonl")
    write_records(bench.records_file, with_columns(options.records, [0] * len(options.records)))
    results: dict[str, Any] = {"server_cpu": cpus[0], "client_cpu": cpus[-1], "effort": dict(options.effort)}
    options.progress(f"a database of {len(options.records):,} records")
    with bench.worker() as ask:
        bench.loaded(ask, "embedded", bench.data, cpus, len(options.records))
        ask("ready")
        results["recall"] = _recall(bench, ask)
        ask("close")
    makers = {"unary": _unary, "batch": _batch, "ingest": _ingest, "peer": _peer, "overload": _overload}
    for part in options.parts:
        options.progress(part)
        try:
            results[part] = (makers | {"crash": _crash})[part](bench)
        except (ServerError, WorkerError) as error:
            results[part] = {"failed": str(error)}
            options.progress(f"    failed: {error}")
    return results


def _recall(bench: Bench, ask: Ask) -> float:
    """The recall at the effort of this run."""
    options, target = bench.options, bench.options.scratch / "found.json"
    request = {"queries": bench.queries_file, "k": options.k, "ids": str(target)}
    ask("find", options=dict(options.effort), **request)
    row_of = {record["id"]: row for row, record in enumerate(options.records)}
    return truth_of(options.dataset, options.cache).recall(json.loads(target.read_text(encoding="utf-8")), row_of)


# --- rates ------------------------------------------------------------------------------------------------------------


def _unary(bench: Bench) -> list[dict[str, Any]]:
    """Calls with one query, or none, by the number of callers that wait for answers at once."""
    options, points = bench.options, []
    with ExitStack() as stack:
        floor = stack.enter_context(floor_server(bench.server_cpu, options.scratch, CONCURRENT_RPCS_DEFAULT))
        served = stack.enter_context(vecdb_server(bench.server_cpu, bench.data))
        ask = stack.enter_context(bench.worker(served=served.address, floor=floor.address))
        for callers in options.callers:
            rates = _in_turns(options, {what: (ask, {"what": what, "callers": callers}) for what in UNARY})
            points.append({"callers": callers, "rates": rates})
            options.progress(f"    {callers} caller(s): {_line(rates)}")
    return points


def _batch(bench: Bench) -> list[dict[str, Any]]:
    """Batches through the server, and in a process that has the database itself on the server's CPU, by callers."""
    options, points = bench.options, []
    with ExitStack() as stack:
        served = stack.enter_context(vecdb_server(bench.server_cpu, bench.data))
        client = stack.enter_context(bench.worker(served=served.address))
        embedded = stack.enter_context(bench.worker(bench.server_cpu, embedded=str(bench.data)))
        for callers in options.batch_callers:
            asked = {f"embedded_{what}": (embedded, {"what": what, "callers": callers}) for what in CALLED_BATCHES}
            asked |= {what: (client, {"what": what, "callers": callers}) for what in CALLED_BATCHES}
            if callers == 1:  # a stream is one caller's, who has several batches under way
                asked |= {what: (client, {"what": what}) for what in STREAMED_BATCHES}
            rates = _in_turns(options, asked)
            points.append({"callers": callers, "rates": rates})
            options.progress(f"    {callers} caller(s): {_line(rates)}")
    return points


def _in_turns(options: ServeOptions, asked: Mapping[str, tuple[Ask, Mapping[str, Any]]]) -> dict[str, Any]:
    """Queries per second of each in every round of turns; the median of their typical and slow calls."""
    passes: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    for _ in range(options.repeats * options.rounds_each):
        for name, (ask, request) in asked.items():
            passes[name].append(ask("rate", seconds=options.seconds / options.rounds_each, **request))
    return {
        name: spread([one["queries"] / one["seconds"] for one in runs])
        | {percentile: spread([one[percentile] for one in runs])["median"] for percentile in ("p50_ms", "p99_ms")}
        for name, runs in passes.items()
    }


def _line(rates: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {one['median']:,.0f}/s" for name, one in rates.items())


# --- ingest and peers -------------------------------------------------------------------------------------------------


def _ingest(bench: Bench) -> dict[str, Any]:
    """The same batches, synced to the disk alike; each time into a new database."""
    options = bench.options
    rows = min(options.ingest_rows, len(options.records))
    speeds: dict[str, list[float]] = {"embedded": [], "stream": []}
    for turn in range(options.repeats):
        path = bench.place(f"embedded-{turn}")
        with bench.worker() as ask:
            speeds["embedded"].append(bench.loaded(ask, "embedded", path, [bench.server_cpu], rows))
        path = bench.place(f"served-{turn}")
        with vecdb_server(bench.server_cpu, path) as server, bench.worker() as ask:
            speeds["stream"].append(bench.loaded(ask, "vecdb", path, [bench.client_cpu], rows, server.address))
    rates = {name: spread(values) for name, values in speeds.items()}
    options.progress(f"    {_line(rates)}")
    return {"rows": rows, **rates}


def _peer(bench: Bench) -> dict[str, Any]:
    return measure_peer(bench)


# --- overload ---------------------------------------------------------------------------------------------------------


def _overload(bench: Bench) -> dict[str, Any]:
    """Searches that the server works on and the client does not: each compares with all records."""
    options = bench.options
    with vecdb_server(bench.server_cpu, bench.data) as server, bench.worker(served=server.address) as ask:

        def goodput() -> float:
            done = ask("rate", what="exact", callers=OVERLOAD_CALLERS, seconds=1.0)
            return float(done["queries"] / done["seconds"])

        peak = spread([goodput() for _ in range(max(2, options.repeats))])
        before_mb = server.memory_mb()
        rate = peak["median"] * options.overload_factor
        asked = {"address": server.address, "rate": rate, "seconds": options.overload_s}
        flooded, most_mb = _watched(server, lambda: ask("flood", **asked))
        after = [goodput() for _ in range(options.after_s)]
        rest_mb = server.memory_mb()
    normal = [second for second, value in enumerate(after, 1) if value >= NORMAL_SHARE * peak["median"]]
    options.progress(f"    {flooded['goodput']:.0f} of {peak['median']:.0f}/s while {rate:,.0f}/s were asked")
    return {
        "peak": peak,
        "asked_per_s": rate,
        **flooded,
        "memory_mb": {"before": before_mb, "most": most_mb, "after": rest_mb},
        "after": after,
        "normal_after_s": normal[0] if normal else None,
    }


def _watched(server: Server, work: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], float]:
    """What the work returns, and the most memory that the server had meanwhile."""
    most = server.memory_mb()
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(work)
        while not done.done():
            most = max(most, server.memory_mb())
            time.sleep(MEMORY_POLL_S)
        return done.result(), most


# --- crashes ----------------------------------------------------------------------------------------------------------


def _crash(bench: Bench) -> list[dict[str, Any]]:
    """Rounds of one signal each, alternately, on one database; all writes of all rounds are looked for at the end."""
    options, path = bench.options, bench.place("writes")
    rounds, acknowledged = [], []
    delays = random.Random(0)
    for number in range(2 * options.rounds):
        chosen = (signal.SIGTERM, signal.SIGKILL)[number % 2]
        with vecdb_server(bench.server_cpu, path) as server, bench.worker() as ask, ThreadPoolExecutor(1) as threads:
            ask("hello")
            dim = options.dataset.base.shape[1]
            written = threads.submit(ask, "write", address=server.address, name=f"round{number}", dim=dim)
            time.sleep(delays.uniform(*WRITE_S))
            begin = time.monotonic()
            server.send(chosen)
            status, seconds = server.wait(), time.monotonic() - begin
            acknowledged.append(written.result())
        with vecdb_server(bench.server_cpu, path) as server, bench.worker() as ask:
            found = ask("lost", address=server.address, acknowledged=acknowledged[-1])
        rounds.append({"signal": chosen.name, "status": status, "seconds": seconds, **found})
    with vecdb_server(bench.server_cpu, path) as server, bench.worker() as ask:
        again = [ask("lost", address=server.address, acknowledged=one) for one in acknowledged]
    for one, found in zip(rounds, again, strict=True):
        one["lost_at_the_end"] = found["lost"]
    total = sum(one["acknowledged"] for one in rounds)
    options.progress(
        f"    {len(rounds)} rounds, {total:,} records acknowledged, {sum(one['lost'] for one in rounds)} lost"
    )
    return rounds
