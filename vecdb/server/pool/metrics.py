"""Puts the figures of all processes of a pool on one page for Prometheus.

Promises: each figure is there once for each process that counts it, with the label `process` (writer, worker-0, …), so
sums over it are those of the pool; the engine's figures come from the writer. A process that does not answer in
METRICS_WAIT_S is left out, and `vecdb_process_up` says so.
Concurrency: `collect` runs in the threads of the page, `take` in the supervisor's.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from vecdb.checks.addresses import Address
from vecdb.errors import InvalidConfigError
from vecdb.server.pool.config import METRICS_WAIT_S
from vecdb.server.pool.control import Message
from vecdb.server.pool.members import Member


class PoolMetrics:
    """The page of a pool."""

    def __init__(self, members: Sequence[Member]) -> None:
        """InvalidConfigError when prometheus-client is not installed."""
        try:
            import prometheus_client  # noqa: PLC0415 - optional
        except ImportError as error:
            raise InvalidConfigError("metrics_listen needs prometheus-client: pip install 'vecdb[server]'") from error
        self._prometheus = prometheus_client
        self._members = members
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._texts: dict[tuple[int, str], str] = {}
        self._page: Any = None

    def serve(self, address: Address) -> int:
        """Open the page; returns its port."""
        if address.path:
            raise InvalidConfigError(f"metrics_listen is {address}; the page of metrics needs HOST:PORT")
        registry = self._prometheus.CollectorRegistry()
        registry.register(self)
        try:
            self._page, _ = self._prometheus.start_http_server(address.port, address.host, registry)
        except OSError as error:
            raise InvalidConfigError(f"cannot listen on {address} for metrics: {error.strerror}") from error
        port: int = self._page.server_port
        return port

    def close(self) -> None:
        """Close the page."""
        if self._page is not None:
            self._page.shutdown()
            self._page.server_close()

    def take(self, member: Member, message: Message) -> None:
        """Keep what a process answered."""
        with self._changed:
            self._texts[message["number"], member.name] = message["text"]
            self._changed.notify_all()

    def describe(self) -> list[Any]:
        """No names beforehand: asking for them would ask all processes."""
        return []

    def collect(self) -> Iterator[Any]:
        """The figures of all, and which of the processes are there."""
        from prometheus_client.core import GaugeMetricFamily, Metric  # noqa: PLC0415 - optional
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - optional

        texts = self._ask()
        up = GaugeMetricFamily("vecdb_process_up", "1 for a process that serves.", labels=["process"])
        starts = GaugeMetricFamily("vecdb_process_starts", "Times a process was started.", labels=["process"])
        merged: dict[str, Any] = {}
        for member in self._members:
            up.add_metric([member.name], member.name in texts)
            starts.add_metric([member.name], member.starts)
            for family in text_string_to_metric_families(texts.get(member.name, "")):
                kept = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    kept.add_sample(sample.name, {"process": member.name, **sample.labels}, sample.value)
        yield up
        yield starts
        yield from merged.values()

    def _ask(self) -> dict[str, str]:
        number = next(self._numbers)
        asked = []
        for member in self._members:
            control = member.control
            if control is not None and member.is_ready:
                control.send("metrics", number=number)
                asked.append(member.name)
        with self._changed:
            self._changed.wait_for(lambda: all((number, name) in self._texts for name in asked), METRICS_WAIT_S)
            found = {name: self._texts[number, name] for name in asked if (number, name) in self._texts}
            self._texts = {key: text for key, text in self._texts.items() if key[0] > number}
        return found
