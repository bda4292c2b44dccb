"""Runs the `serve` suite on very little, and checks that lost writes and missed targets would be seen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from benchmarks.databases.records import synthetic_records
from benchmarks.datasets import Dataset, load
from benchmarks.reporting.serve import serve_tables, targets_of
from benchmarks.reporting.serve_plots import draw_serve
from benchmarks.suites import serve, serve_peer
from benchmarks.suites.serve_overload import flood
from benchmarks.suites.serve_processes import ServerError
from benchmarks.suites.serve_writes import COLLECTION, count_lost, write_until_gone
from vecdb.engine.database import Database
from vecdb.server.app import Service, serving
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig

ROWS = 600
DIM = 8
WAIT_S = 60


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    cache = tmp_path_factory.mktemp("cache")
    return load("clustered", metric=None, rows=ROWS, queries=200, data=None, cache=cache)


@pytest.fixture(scope="module")
def results(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Through strict JSON, as the report file keeps it."""
    options = serve.ServeOptions(
        dataset=dataset,
        records=synthetic_records(ROWS),
        scratch=tmp_path_factory.mktemp("scratch"),
        parts=("unary", "batch", "overload"),
        repeats=1,
        seconds=0.1,
        callers=(1, 2),
        batch_callers=(1, 2),
        overload_s=0.5,
        after_s=1,
        cache=dataset.directory.parent,
    )
    read: dict[str, Any] = json.loads(json.dumps(serve.run(options), allow_nan=False))
    return read


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vecdb.open(tmp_path / "db") as opened:
        yield opened


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """A server in this process."""
    with _serving(database, tmp_path) as service:
        yield service


def _serving(database: Database, tmp_path: Path) -> AbstractContextManager[Service]:
    config = ServerConfig(data=str(tmp_path / "db"), listen=("127.0.0.1:0",), access_log=False)
    return serving(config, bind_services(database, config), database=database)


# --- the suite ------------------------------------------------------------------------------------------------------


def test_calls_are_measured_for_each_number_of_callers(results: dict[str, Any]) -> None:
    assert [one["callers"] for one in results["unary"]] == [1, 2]
    for one in results["unary"]:
        assert set(one["rates"]) == set(serve.UNARY)
        assert all(rate["median"] > 0 and rate["p50_ms"] <= rate["p99_ms"] for rate in one["rates"].values())


def test_batches_are_measured_through_the_server_and_embedded_for_each_number_of_callers(
    results: dict[str, Any],
) -> None:
    one, two = results["batch"]
    called = {"batch", "batch_metadata", "embedded_batch", "embedded_batch_metadata"}
    assert (one["callers"], set(one["rates"])) == (1, called | {"stream", "stream_metadata"})
    assert (two["callers"], set(two["rates"])) == (2, called)
    assert all(rate["median"] > 0 for point in (one, two) for rate in point["rates"].values())


def test_every_call_of_an_overload_is_accounted_for(results: dict[str, Any]) -> None:
    found = results["overload"]
    assert sum(found["codes"].values()) + found["unanswered"] == found["sent"] > 0
    assert found["memory_mb"]["most"] >= found["memory_mb"]["before"] > 0


def test_the_recall_of_the_searches_is_measured(results: dict[str, Any]) -> None:
    assert 0.9 < results["recall"] <= 1.0


def test_a_part_that_fails_is_reported_with_the_reason(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise ServerError("no room")

    monkeypatch.setattr(serve, "vecdb_server", fail)
    options = serve.ServeOptions(
        dataset=dataset,
        records=synthetic_records(ROWS),
        scratch=tmp_path,
        parts=("batch",),
        cache=dataset.directory.parent,
    )
    assert serve.run(options)["batch"] == {"failed": "no room"}


def test_a_peer_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_peer, "find_spec", lambda _name: None)
    bench: Any = None
    assert "pip install" in serve_peer.measure_peer(bench)["missing"]


# --- what it measures with ------------------------------------------------------------------------------------------


def _write_then_stop(service: Service) -> dict[str, Any]:
    """What was acknowledged of writes until the server stopped."""
    written: list[dict[str, Any]] = []
    writing = threading.Thread(target=lambda: written.append(write_until_gone(service.address, "w", DIM)))
    writing.start()
    with vecdb.connect(service.address) as db:
        while COLLECTION not in db or db.collection(COLLECTION).count() < 200:
            threading.Event().wait(0.01)
    service.stop()
    writing.join(WAIT_S)
    return written[0]


def test_acknowledged_writes_that_are_gone_are_counted(service: Service, database: Database, tmp_path: Path) -> None:
    acknowledged = _write_then_stop(service)
    writer = max(acknowledged["batches"], key=acknowledged["batches"].__getitem__)
    assert acknowledged["batches"][writer] > 0
    with _serving(database, tmp_path) as again:
        whole = count_lost(again.address, acknowledged)
        with vecdb.connect(again.address) as db:
            db.collection(COLLECTION).delete([f"{writer}-0", f"{writer}-3"])
            db.collection(COLLECTION).upsert([writer], np.ones((1, DIM), np.float32), [{"count": -1}])
        harmed = count_lost(again.address, acknowledged)
    assert (whole["lost"], harmed["lost"]) == (0, 3)
    assert whole["acknowledged"] == harmed["acknowledged"] > 0


def test_a_flood_asks_at_the_rate_it_is_told(service: Service) -> None:
    found = flood(service.address, "/grpc.health.v1.Health/Check", [b""], 100.0, 0.3)
    assert found["codes"] == {"OK": found["sent"]}
    assert 0 < found["sent"] <= 30


# --- the report -----------------------------------------------------------------------------------------------------


def _rate(median: float) -> dict[str, Any]:
    return {"median": median, "runs": [median], "p50_ms": 1.0, "p99_ms": 2.0}


def _made_up(ids: float = 900.0, lost: int = 0) -> dict[str, Any]:
    rates = {"floor": _rate(1_000.0), "info": _rate(950.0), "ids": _rate(ids), "metadata": _rate(850.0)}
    rounds = [
        {"signal": name, "status": 0, "seconds": 1.0, "acknowledged": 50, "lost": 0, "lost_at_the_end": lost}
        for name in ("SIGTERM", "SIGKILL")
    ]
    return {
        "server_cpu": 0,
        "client_cpu": 1,
        "effort": {"target_recall": 0.95},
        "recall": 0.951,
        "unary": [{"callers": 1, "rates": rates}],
        "batch": {"failed": "it ended"},
        "ingest": {"rows": 10, "embedded": _rate(100.0), "stream": _rate(90.0)},
        "crash": rounds,
    }


def test_targets_that_are_reached_are_told_from_those_that_are_not() -> None:
    good, bad = targets_of(_made_up()), targets_of(_made_up(ids=790.0, lost=1))
    assert all(one.is_met for one in good)
    assert [one.name for one in bad if not one.is_met] == [
        "search, ids and scores / empty call, plain grpcio server, 1 caller",
        "acknowledged records lost, SIGKILL",
        "acknowledged records lost, SIGTERM",
    ]


def test_a_target_without_a_figure_is_not_reached() -> None:
    made_up = _made_up()
    made_up["unary"][0]["rates"]["floor"]["median"] = None
    assert not any(one.is_met for one in targets_of(made_up) if "empty call" in one.name)


def test_the_report_says_why_a_part_was_not_measured() -> None:
    assert "Not measured: it ended" in serve_tables(_made_up())


def test_the_report_of_all_parts_can_be_written(results: dict[str, Any]) -> None:
    lines = "\n".join(serve_tables(results))
    assert all(f"### {part}" in lines for part in ("Unary", "Batch", "Overload"))


def test_the_plot_is_drawn_of_the_parts_there_are(results: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert draw_serve({"results": results}, tmp_path) == ["serve.png"]
    assert draw_serve({"results": {**results, "unary": [], "batch": {"failed": "x"}}}, tmp_path) == []
