"""Counts calls and measures the engine for Prometheus, on an HTTP page of its own that only reads.

Promises: labels are names of methods, codes, collections and fields; no ids, keys or contents. The page has no other
power than to be read. Engine figures are taken when the page is asked for.
Concurrency: any thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vecdb.checks.addresses import Address
from vecdb.errors import InvalidConfigError, VecDBError
from vecdb.server.config import LATENCY_BUCKETS_S
from vecdb.server.exchange import Outcome

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.server.admission import Admission


class Metrics:
    """The figures of one server."""

    def __init__(self, admission: Admission, database: Database | None) -> None:
        """InvalidConfigError when prometheus-client is not installed."""
        try:
            import prometheus_client  # noqa: PLC0415 - optional
        except ImportError as error:
            raise InvalidConfigError("metrics_listen needs prometheus-client: pip install 'vecdb[server]'") from error
        self._prometheus = prometheus_client
        self.registry = prometheus_client.CollectorRegistry()
        self._calls = self._counter("vecdb_rpcs", "Calls by method and status code.", "method", "code")
        self._refused = self._counter("vecdb_rpcs_refused", "Calls refused before their body was received.", "code")
        self._received = self._counter("vecdb_received_bytes", "Bytes of requests.", "method")
        self._sent = self._counter("vecdb_sent_bytes", "Bytes of replies.", "method")
        self._seconds = prometheus_client.Histogram(
            "vecdb_rpc_seconds",
            "Time from the acceptance of a call to its status.",
            ("method",),
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        self._gauge("vecdb_rpcs_under_way", "Calls running or waiting.", lambda: admission.under_way)
        self._gauge("vecdb_request_bytes_held", "Bytes of requests held.", lambda: admission.bytes_held)
        if database is not None:
            self.registry.register(EngineCollector(database))
        self._page: Any = None
        # finding the counter of some labels costs more than counting
        self._counted: dict[tuple[str, str], Any] = {}
        self._measured: dict[str, list[Any]] = {}

    def __call__(self, outcome: Outcome) -> None:
        """Count one call."""
        counted = self._counted.get((outcome.method, outcome.code))
        if counted is None:
            counted = self._calls.labels(outcome.method, outcome.code)
            self._counted[outcome.method, outcome.code] = counted
        counted.inc()
        if outcome.is_refused:
            self._refused.labels(outcome.code).inc()
            return
        measured = self._measured.get(outcome.method)
        if measured is None:
            families = (self._seconds, self._received, self._sent)
            measured = self._measured[outcome.method] = [family.labels(outcome.method) for family in families]
        measured[0].observe(outcome.seconds)
        measured[1].inc(outcome.received_bytes)
        measured[2].inc(outcome.sent_bytes)

    def serve(self, address: Address) -> int:
        """Open the page; returns its port."""
        if address.path:
            raise InvalidConfigError(f"metrics_listen is {address}; the page of metrics needs HOST:PORT")
        try:
            self._page, _ = self._prometheus.start_http_server(address.port, address.host, self.registry)
        except OSError as error:
            raise InvalidConfigError(f"cannot listen on {address} for metrics: {error.strerror}") from error
        port: int = self._page.server_port
        return port

    def text(self) -> str:
        """The page as it is now."""
        page: bytes = self._prometheus.generate_latest(self.registry)
        return page.decode()

    def close(self) -> None:
        """Close the page."""
        if self._page is not None:
            self._page.shutdown()
            self._page.server_close()

    def _counter(self, name: str, meaning: str, *labels: str) -> Any:
        return self._prometheus.Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, measure: Any) -> None:
        self._prometheus.Gauge(name, meaning, registry=self.registry).set_function(measure)


class EngineCollector:
    """Asks the engine for its figures when the page is read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Any]:
        """The gauges; none when the database is closed."""
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - optional

        records = GaugeMetricFamily("vecdb_records", "Records of a collection.", labels=["collection"])
        per_field = {
            name: GaugeMetricFamily(f"vecdb_{name}", meaning, labels=["collection", "field"])
            for name, meaning in FIELD_GAUGES.items()
        }
        try:
            yield GaugeMetricFamily("vecdb_seq", "Number of the newest commit.", value=self._database.seq)
            for collection in self._database.list_collections():
                stats = self._database.collection(collection).stats()
                records.add_metric([collection], stats.records)
                for field, state in stats.fields.items():
                    for name, family in per_field.items():
                        family.add_metric([collection, field], getattr(state, name))
        except VecDBError:
            # closed, or a collection was dropped in between: the page shows what there was
            pass
        yield GaugeMetricFamily(
            "vecdb_file_bytes", "Bytes that the database's files take on the disk.", value=_bytes_of(self._database)
        )
        yield records
        yield from per_field.values()


FIELD_GAUGES = {
    "rows": "Rows in segments of a vector field.",
    "segments": "Segments of a vector field.",
    "tail_rows": "Rows of a vector field that no segment has yet.",
    "dead_rows": "Deleted rows still in segments.",
    "index_bytes": "Bytes of stored columns of segments.",
}


def _bytes_of(database: Database) -> int:
    try:
        with os.scandir(database.path) as entries:
            files = [entry.stat() for entry in entries if entry.is_file(follow_symlinks=False)]
            return sum(min(file.st_size, file.st_blocks * 512) for file in files)  # holes take nothing
    except OSError:
        return 0
