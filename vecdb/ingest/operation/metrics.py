"""Counts what the ingestor does for Prometheus, on an HTTP page of its own that only reads.

Promises: counters only grow, over all rounds of a watch. Labels are names of outcomes and the collection's; no ids, no
paths, no keys. Figures are taken when the page is asked for.
Concurrency: any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final, Self

from vecdb.checks.addresses import Address
from vecdb.errors import InvalidConfigError, MissingExtraError
from vecdb.ingest.operation.progress import Progress
from vecdb.ingest.pipeline.events import BreakerClosed, BreakerOpened, Counts, Progressed, RunEvent
from vecdb.ingest.pipeline.reports import RunReport

OUTCOMES: Final = ("new", "changed", "unchanged", "skipped", "stored", "deleted", "failed", "left_out")
PLAIN: Final = {
    "embedded": ("vecdb_ingest_chunks_embedded", "Chunks that the model embedded."),
    "cached": ("vecdb_ingest_chunks_cached", "Chunks whose embedding was kept from before."),
    "chunks_stored": ("vecdb_ingest_chunks_stored", "Chunks stored and acknowledged."),
    "chunks_deleted": ("vecdb_ingest_chunks_deleted", "Chunks deleted and acknowledged."),
    "tokens": ("vecdb_ingest_tokens", "Tokens embedded, about."),
    "calls": ("vecdb_ingest_model_calls", "Calls of the model."),
    "retries": ("vecdb_ingest_retries", "Calls of the model or the destination that were repeated."),
    "parts": ("vecdb_ingest_parts", "Parts of sources (files) read or found unchanged."),
}


class Metrics:
    """The figures of one ingestor; an Observer. A context manager that serves them at `address`."""

    def __init__(self, address: Address, collection: str, progress: Progress) -> None:
        """MissingExtraError when prometheus-client is not installed."""
        try:
            import prometheus_client  # noqa: PLC0415 - optional
        except ImportError as error:
            raise MissingExtraError("metrics_listen needs prometheus-client: pip install 'vecdb[ingest]'") from error
        if address.path:
            raise InvalidConfigError(f"metrics_listen is {address}; the page of metrics needs HOST:PORT")
        self._prometheus = prometheus_client
        self._address = address
        self._collection = collection
        self._progress = progress
        self._lock = threading.Lock()
        self._before = Counts()
        self._now = Counts()
        self._breaker_open = False
        self._runs: dict[str, int] = {}
        self._quarantined = 0
        self._succeeded_at: float | None = None
        self._page: Any = None
        self.registry = prometheus_client.CollectorRegistry()
        self.registry.register(self)

    def __enter__(self) -> Self:
        place = self._address
        try:
            self._page, _ = self._prometheus.start_http_server(place.port, place.host, self.registry)
        except OSError as error:
            raise InvalidConfigError(f"cannot listen on {place} for metrics: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._page.shutdown()
        self._page.server_close()

    @property
    def port(self) -> int:
        """Where the page is served."""
        port: int = self._page.server_port
        return port

    def observe(self, event: RunEvent) -> None:
        with self._lock:
            match event:
                case Progressed(counts):
                    self._now = counts
                case BreakerOpened() | BreakerClosed():
                    self._breaker_open = isinstance(event, BreakerOpened)
                case _:
                    pass

    def run_ended(self, report: RunReport) -> None:
        """Count a run; the next one begins at zero, the counters do not."""
        with self._lock:
            self._before, self._now = added(self._before, report.counts), Counts()
            outcome = outcome_of(report)
            self._runs[outcome] = self._runs.get(outcome, 0) + 1
            self._quarantined = report.failures
            if report.succeeded:
                self._succeeded_at = time.time()

    def collect(self) -> Iterator[Any]:
        """The families of the page; called by the registry."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - optional

        with self._lock:
            counts, runs = added(self._before, self._now), dict(self._runs)
            quarantined, breaker, succeeded_at = self._quarantined, self._breaker_open, self._succeeded_at
        collection = [self._collection]
        items = CounterMetricFamily("vecdb_ingest_items", "Items by outcome.", labels=["collection", "outcome"])
        for outcome in OUTCOMES:
            items.add_metric([*collection, outcome], getattr(counts, outcome))
        yield items
        for name, (family, meaning) in PLAIN.items():
            counter = CounterMetricFamily(family, meaning, labels=["collection"])
            counter.add_metric(collection, getattr(counts, name))
            yield counter
        ended = CounterMetricFamily("vecdb_ingest_runs", "Runs by outcome.", labels=["collection", "outcome"])
        for outcome, number in sorted(runs.items()):
            ended.add_metric([*collection, outcome], number)
        yield ended
        snapshot = self._progress.snapshot()
        gauges = {
            "vecdb_ingest_queue_bytes": ("Bytes between the stages.", snapshot.counts.bytes_queued),
            "vecdb_ingest_items_per_second": ("Items done in the last seconds.", snapshot.items_per_s),
            "vecdb_ingest_tokens_per_second": ("Tokens embedded in the last seconds.", snapshot.tokens_per_s),
            "vecdb_ingest_breaker_open": ("1 while a failing provider is left alone.", int(breaker)),
            "vecdb_ingest_quarantined": ("Items in quarantine after the last run.", quarantined),
            "vecdb_ingest_last_success_seconds": ("When a run last succeeded, since 1970.", succeeded_at),
        }
        for family, (meaning, value) in gauges.items():
            if value is not None:
                gauge = GaugeMetricFamily(family, meaning, labels=["collection"])
                gauge.add_metric(collection, value)
                yield gauge


def added(one: Counts, other: Counts) -> Counts:
    """The sums of two runs' counts."""
    more = other.to_dict()
    return Counts(**{name: value + more[name] for name, value in one.to_dict().items()})


def outcome_of(report: RunReport) -> str:
    """A run's outcome in a word: done, quarantined, incomplete, stopped or failed."""
    if report.error is not None:
        return "failed"
    if report.stopped:
        return "stopped"
    if not report.complete:
        return "incomplete"
    return "quarantined" if report.failures else "done"
