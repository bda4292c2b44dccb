"""A client of the `serve` suite, in a process of its own; also the embedded database that the service is compared with.

    python -m benchmarks.suites.serve_worker

Promises: only calls are timed; what is called is made before, and every kind of call is made a few times untimed.
Concurrency: one request at a time; a rate may be measured with several threads, each of which waits for its answers.
"""

from __future__ import annotations

import itertools
import json
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

import vecdb
from benchmarks.databases.protocol import Matrix
from benchmarks.databases.vecdb_database import NAME
from benchmarks.method.answering import serve
from benchmarks.method.machine import pin
from benchmarks.suites.database import percentiles_ms
from benchmarks.suites.serve_floor import METHOD as EMPTY_METHOD
from benchmarks.suites.serve_overload import flood
from benchmarks.suites.serve_stores import STORES, Columns, ServedPlace
from benchmarks.suites.serve_writes import count_lost, write_until_gone
from vecdb._pb.v1 import admin_service_pb2, search_service_pb2, search_service_pb2_grpc
from vecdb.wire.hits import read_hits
from vecdb.wire.searches import put_options
from vecdb.wire.vectors import put_queries, put_query

BATCH_QUERIES: Final = 100
BATCH_ROWS: Final = 1_000
STREAM_AHEAD: Final = 2
"""Batches sent before the first is answered."""

WARM_UP_CALLS: Final = 20
SERVER_INFO: Final = "/vecdb.v1.AdminService/GetServerInfo"
SEARCH: Final = "/vecdb.v1.SearchService/Search"

Ask = Callable[[int], int]
"""Makes the n-th call of a kind; returns how many queries it answered."""


class Worker:
    """Connections, a database or both, and queries."""

    def __init__(self) -> None:
        self._asks: dict[str, Ask] = {}
        self._queries: Matrix = np.empty((0, 0), dtype=np.float32)
        self._k = 10
        self._options: dict[str, Any] = {}
        self._store: Any = None
        self._kept: list[Any] = []

    def hello(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Say that the process is up."""
        return {}

    # --- rates --------------------------------------------------------------------------------------------------------

    def open(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Open what is named: `embedded` a directory, `served` and `floor` addresses."""
        pin({request["cpu"]})
        self._queries = np.load(request["queries"], allow_pickle=False)
        self._k, self._options = request["k"], request["options"]
        if "embedded" in request:
            self._kept.append(vecdb.open(request["embedded"], mode="r"))
            self._asks |= self._searches(self._kept[-1].collection(NAME))
        if "served" in request:
            self._kept.append(vecdb.connect(request["served"]))
            self._asks |= self._searches(self._kept[-1].collection(NAME)) | self._bare(request["served"])
        if "floor" in request:
            empty: Any = self._channel(request["floor"]).unary_unary(EMPTY_METHOD)
            self._asks["floor"] = lambda _turn: len(empty(b"")) + 1
        return {}

    def _channel(self, address: str) -> grpc.Channel:
        self._kept.append(grpc.insecure_channel(address))
        channel: grpc.Channel = self._kept[-1]
        return channel

    def _searches(self, collection: Any) -> dict[str, Ask]:
        queries, k, options = self._queries, self._k, self._options
        count = len(queries)
        parts = [queries[start : start + BATCH_QUERIES] for start in range(0, count, BATCH_QUERIES)]

        def one(turn: int, *, with_metadata: bool) -> int:
            found = collection.search(queries[turn % count], k, with_metadata=with_metadata, **options)
            return _read([found], with_metadata=with_metadata)

        def batch(turn: int, *, with_metadata: bool) -> int:
            part = parts[turn % len(parts)]
            found = collection.search_batch(part, k, with_metadata=with_metadata, **options)
            return _read(found, with_metadata=with_metadata)

        def exact(turn: int) -> int:
            found = collection.search(queries[turn % count], k, exact=True, with_metadata=False)
            return _read([found], with_metadata=False)

        return {
            "ids": partial(one, with_metadata=False),
            "metadata": partial(one, with_metadata=True),
            "batch": partial(batch, with_metadata=False),
            "batch_metadata": partial(batch, with_metadata=True),
            "exact": exact,
        }

    def _bare(self, address: str) -> dict[str, Ask]:
        """Calls without vecdb's client: one that does next to nothing behind all of the server, and streams."""
        channel = self._channel(address)
        info: Any = channel.unary_unary(SERVER_INFO)
        request = admin_service_pb2.GetServerInfoRequest().SerializeToString()
        return {
            "info": lambda _turn: min(1, len(info(request))),
            "stream": SearchStream(channel, self._queries, self._k, self._options, with_metadata=False),
            "stream_metadata": SearchStream(channel, self._queries, self._k, self._options, with_metadata=True),
        }

    def rate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make calls of one kind for `seconds`, from `callers` threads."""
        ask, callers = self._asks[request["what"]], request.get("callers", 1)
        for turn in range(min(WARM_UP_CALLS, max(1, int(request["seconds"] * 100)))):
            ask(turn)
        with ThreadPoolExecutor(callers) as threads:
            begin = time.perf_counter()
            until = begin + request["seconds"]
            runs = list(threads.map(lambda caller: _ask_until(ask, until, caller), range(callers)))
            seconds = time.perf_counter() - begin
        times = list(itertools.chain.from_iterable(times for _, times in runs))
        answered = sum(count for count, _ in runs)
        return {"calls": len(times), "queries": answered, "seconds": seconds, **percentiles_ms(times)}

    # --- loading and comparing ----------------------------------------------------------------------------------------

    def load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Store records with one CPU: into a database in a directory, or behind an address."""
        pin(set(request["cpus"]))
        base = np.load(request["base"], mmap_mode="r", allow_pickle=False)
        place = ServedPlace(Path(request["path"]), base.shape[1], request["metric"], 1, request.get("address", ""))
        store = STORES[request["store"]](place)
        store.create()
        batches = list(_batches(base, request["records"], request["rows"]))
        begin = time.perf_counter()
        store.load(batches)
        seconds = time.perf_counter() - begin
        self._store = store
        return {"seconds": seconds, "records": sum(len(ids) for ids, _, _ in batches)}

    def ready(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Wait until all that was loaded is indexed."""
        begin = time.perf_counter()
        self._store.make_ready()
        return {"seconds": time.perf_counter() - begin}

    def search(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Search what was loaded, for `seconds` and `least` queries, one by one; ids of the hits go to a file."""
        queries = np.load(request["queries"], allow_pickle=False)
        self._store.set_effort(request["effort"])
        answer = self._store.search if request["metadata"] else self._store.search_ids
        answer(queries[0], request["k"])
        found: list[Any] = []
        begin = time.perf_counter()
        while (taken := time.perf_counter() - begin) < request["seconds"] or len(found) < request["least"]:
            found.append(answer(queries[len(found) % len(queries)], request["k"]))
        ids = [[hit[0] for hit in hits] if request["metadata"] else hits for hits in found[: len(queries)]]
        Path(request["ids"]).write_text(json.dumps(ids), encoding="utf-8")
        return {"queries": len(found), "seconds": taken}

    def find(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write the ids of the hits of all queries to a file."""
        queries = np.load(request["queries"], allow_pickle=False)
        found = self._store.collection.search_batch(queries, request["k"], **request["options"])
        Path(request["ids"]).write_text(json.dumps([one.ids for one in found]), encoding="utf-8")
        return {}

    def close(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Leave what was loaded in order."""
        self._store.close()
        return {}

    # --- overload and crashes -----------------------------------------------------------------------------------------

    def flood(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send exact searches at a rate, whether they are answered or not."""
        bodies = []
        for query in self._queries:
            message = search_service_pb2.SearchRequest(collection=NAME)
            put_query(message.query, query)
            put_options(message.options, self._k, exact=True)
            bodies.append(message.SerializeToString())
        return flood(request["address"], SEARCH, bodies, request["rate"], request["seconds"])

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write until the server is gone; returns what it acknowledged."""
        return write_until_gone(request["address"], request["name"], request["dim"])

    def lost(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Count acknowledged writes that are not there."""
        return count_lost(request["address"], request["acknowledged"])


class SearchStream:
    """A stream of batches: each call reads one answer and sends another batch."""

    def __init__(
        self, channel: grpc.Channel, queries: Matrix, k: int, options: Mapping[str, Any], *, with_metadata: bool
    ) -> None:
        self._stub = search_service_pb2_grpc.SearchServiceStub(channel)  # type: ignore[no-untyped-call]
        self._with_metadata = with_metadata
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: Any = None
        self._messages = []
        for number, start in enumerate(range(0, len(queries), BATCH_QUERIES)):
            message = search_service_pb2.SearchStreamRequest(number=number)
            message.search.collection = NAME
            put_queries(message.search.queries, queries[start : start + BATCH_QUERIES])
            put_options(message.search.options, k, with_metadata=with_metadata, **options)
            self._messages.append((message, len(queries[start : start + BATCH_QUERIES])))

    def __call__(self, turn: int) -> int:
        if self._answers is None:
            self._answers = self._stub.SearchStream(iter(self._requests.get, None))
            self._sizes: list[int] = []
            for ahead in range(STREAM_AHEAD):
                self._send(ahead)
        self._send(turn + STREAM_AHEAD)
        answer, size = next(self._answers), self._sizes.pop(0)
        return _read(read_hits(answer.hits, size, with_metadata=self._with_metadata), with_metadata=self._with_metadata)

    def _send(self, turn: int) -> None:
        message, size = self._messages[turn % len(self._messages)]
        self._sizes.append(size)
        self._requests.put(message)


def _read(found: Iterable[Any], *, with_metadata: bool) -> int:
    """Ask for the ids and scores of all hits, and for their metadata; a result may read them when it is asked.

    Returns how many queries were answered.
    """
    queries = 0
    for result in found:
        if len(result.ids) != len(result.scores) or (with_metadata and len(result.metadata) != len(result.ids)):
            raise AssertionError("the columns of a result differ in length")
        queries += 1
    return queries


def _ask_until(ask: Ask, until: float, caller: int) -> tuple[int, list[float]]:
    """Queries answered and the time of each call."""
    answered, turn = 0, caller * 7
    times: list[float] = []
    while (begin := time.perf_counter()) < until or not times:
        answered += ask(turn)
        times.append(time.perf_counter() - begin)
        turn += 1
    return answered, times


def _batches(base: Matrix, records: str, rows: int) -> Iterator[Columns]:
    with Path(records).open(encoding="utf-8") as lines:
        for start in range(0, rows, BATCH_ROWS):
            part = [json.loads(line) for line in itertools.islice(lines, min(BATCH_ROWS, rows - start))]
            vectors = np.array(base[start : start + len(part)])
            yield [one["id"] for one in part], vectors, [one["metadata"] for one in part]


def main() -> None:
    """Answer until the input ends."""
    worker = Worker()
    names = ("hello", "open", "rate", "load", "ready", "search", "find", "close", "flood", "write", "lost")
    serve({name: getattr(worker, name) for name in names})


if __name__ == "__main__":
    main()
