"""The page of metrics of an ingestor."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from vecdb.checks.addresses import Address, parse_address
from vecdb.errors import InvalidConfigError, ProviderUnavailableError
from vecdb.ingest.operation.metrics import Metrics
from vecdb.ingest.operation.progress import Progress
from vecdb.ingest.pipeline.events import BreakerClosed, BreakerOpened, Counts, Progressed
from vecdb.ingest.pipeline.reports import RunReport

HERE = Address("127.0.0.1", 0)


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(name, {"collection": "docs", **labels})
    return found


def _report(counts: Counts | None = None, **given: int | bool) -> RunReport:
    return RunReport(counts=counts or Counts(), seconds=1.0, **{"failures": 0, **given})  # type: ignore[arg-type]


def test_the_page_has_what_is_counted() -> None:
    with Metrics(HERE, "docs", Progress()) as metrics:
        metrics.observe(Progressed(Counts(items=3, new=2, tokens=70)))
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as page:
            text = page.read().decode()
    assert 'vecdb_ingest_items_total{collection="docs",outcome="new"} 2.0' in text
    assert 'vecdb_ingest_tokens_total{collection="docs"} 70.0' in text


def test_counters_go_on_over_the_rounds_of_a_watch() -> None:
    metrics = Metrics(HERE, "docs", Progress())
    metrics.observe(Progressed(Counts(tokens=10)))
    metrics.run_ended(_report(Counts(tokens=12)))
    metrics.observe(Progressed(Counts(tokens=5)))
    assert _value(metrics, "vecdb_ingest_tokens_total") == 17.0


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (_report(), "done"),
        (_report(failures=2), "quarantined"),
        (_report(complete=False), "incomplete"),
        (_report(stopped=True), "stopped"),
        (RunReport(counts=Counts(), failures=0, seconds=1.0, error=ProviderUnavailableError("away")), "failed"),
    ],
)
def test_runs_are_counted_by_their_outcome(report: RunReport, outcome: str) -> None:
    metrics = Metrics(HERE, "docs", Progress())
    metrics.run_ended(report)
    assert _value(metrics, "vecdb_ingest_runs_total", outcome=outcome) == 1.0
    assert (_value(metrics, "vecdb_ingest_last_success_seconds") is not None) == (outcome == "done")


def test_an_open_breaker_and_the_quarantine_are_seen() -> None:
    metrics = Metrics(HERE, "docs", Progress())
    metrics.observe(BreakerOpened(5, "503"))
    metrics.run_ended(_report(failures=4))
    assert (_value(metrics, "vecdb_ingest_breaker_open"), _value(metrics, "vecdb_ingest_quarantined")) == (1.0, 4.0)
    metrics.observe(BreakerClosed(1.0))
    assert _value(metrics, "vecdb_ingest_breaker_open") == 0.0


def test_a_port_that_is_taken_is_a_typed_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(InvalidConfigError, match="cannot listen"), Metrics(address, "docs", Progress()):
            pass


def test_a_socket_in_the_file_system_is_no_place_for_metrics() -> None:
    with pytest.raises(InvalidConfigError, match="HOST:PORT"):
        Metrics(parse_address("unix:/tmp/m", "metrics_listen"), "docs", Progress())
