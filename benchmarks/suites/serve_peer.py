"""Measures milvus-lite's gRPC server beside vecdb's: the same data, the same CPUs, the same recall.

Both are asked over the network by their own Python clients, one query a call, with and without metadata; each at the
least effort that reaches the recall with the data set's own queries. Neither is asked before its server is at rest:
milvus-lite's says that all is indexed while it still builds, and compares with every record until it has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.databases.milvus_lite_file import SPEC as MILVUS
from benchmarks.databases.vecdb_database import SPEC as VECDB
from benchmarks.suites.contest import effort_reaching, truth_of
from benchmarks.suites.database import spread
from benchmarks.suites.serve_processes import Server, milvus_server, vecdb_server

if TYPE_CHECKING:
    from benchmarks.suites.serve import Ask, Bench

RECALL: Final = 0.95
SWEEP_S: Final = 6.0
"""For one effort."""

RECALL_QUERIES: Final = 50
"""The fewest that a recall is measured with, however slow a database is."""

SERVERS: Final[dict[str, tuple[Any, Callable[[int, Path], AbstractContextManager[Server]]]]] = {
    "vecdb": (VECDB, vecdb_server),
    "milvus-lite": (MILVUS, milvus_server),
}


def measure_peer(bench: Bench) -> dict[str, Any]:
    """Ingest and searches of both; who is not installed is missing."""
    if find_spec("milvus_lite") is None or find_spec("pymilvus") is None:
        return {"missing": "milvus-lite and pymilvus are not installed: pip install 'vecdb[bench-db]'"}
    options = bench.options
    results: dict[str, Any] = {"recall_wanted": RECALL, "stores": {}}
    with ExitStack() as stack:
        asks: dict[str, Ask] = {}
        for name, (_, start) in SERVERS.items():
            path = bench.place(f"peer-{name}")
            server = stack.enter_context(start(bench.server_cpu, path))
            asks[name] = ask = stack.enter_context(bench.worker())
            rows = len(options.records)
            speed = bench.loaded(ask, name, path, [bench.client_cpu], rows, server.address)
            ready = ask("ready")["seconds"] + server.rest()
            results["stores"][name] = {"records_per_s": speed, "ready_s": ready}
            options.progress(f"    {name}: {speed:,.0f} records/s, indexed after {ready:.1f} s more")
        for name, (spec, _) in SERVERS.items():
            results["stores"][name] |= _effort(bench, asks[name], spec.efforts)
        _in_turns(bench, asks, results["stores"])
    return results


def _effort(bench: Bench, ask: Ask, efforts: Sequence[int]) -> dict[str, Any]:
    """The least effort that reaches the recall."""
    options = bench.options
    truth = truth_of(options.dataset, options.cache)
    row_of = {record["id"]: row for row, record in enumerate(options.records)}
    recalls: dict[int, float] = {}
    for effort in efforts:
        found = _search(bench, ask, effort, min(SWEEP_S, 3 * options.seconds), least=RECALL_QUERIES)[1]
        recalls[effort] = truth.recall(found, row_of)
        if recalls[effort] >= RECALL:
            break
    effort = effort_reaching(recalls, RECALL)
    return {"effort": effort, "recall": recalls[effort], "recalls": {str(key): one for key, one in recalls.items()}}


def _in_turns(bench: Bench, asks: Mapping[str, Ask], stores: dict[str, Any]) -> None:
    for what in ("ids", "metadata"):
        passes: dict[str, list[float]] = {name: [] for name in asks}
        for _ in range(bench.options.repeats):
            for name, ask in asks.items():
                done, _found = _search(
                    bench, ask, stores[name]["effort"], bench.options.seconds, metadata=what == "metadata"
                )
                passes[name].append(done["queries"] / done["seconds"])
        for name, speeds in passes.items():
            stores[name][what] = spread(speeds)
            bench.options.progress(f"    {name}, {what}: {median(speeds):,.0f} queries/s")


def _search(
    bench: Bench, ask: Ask, effort: int, seconds: float, *, metadata: bool = False, least: int = 1
) -> tuple[dict[str, Any], list[list[str]]]:
    target = bench.options.scratch / "found.json"
    request = {"queries": bench.queries_file, "k": bench.options.k, "ids": str(target), "least": least}
    done = ask("search", effort=effort, seconds=seconds, metadata=metadata, **request)
    return done, json.loads(target.read_text(encoding="utf-8"))
