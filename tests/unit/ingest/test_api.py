"""The ingestor for Python: `vecdb.ingest`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import vecdb
from vecdb.errors import DatabaseLockedError, InvalidConfigError, InvalidRequestError, ProviderUnavailableError
from vecdb.ingest.api import Options
from vecdb.ingest.operation.settings import REQUIRED, settings

ROOT = Path(__file__).resolve().parents[3]


class Desk:
    """Rows, and where they go."""

    def __init__(self, folder: Path) -> None:
        self.rows = folder / "rows.jsonl"
        self.place: dict[str, Any] = {"to": folder / "data", "collection": "c", "state": str(folder / "state")}
        self.rows.write_text("".join(json.dumps({"id": n, "text": f"text {n}"}) + "\n" for n in range(3)))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_options_are_the_settings() -> None:
    only_commands = {"metrics_listen"}
    assert set(Options.__annotations__) == set(settings()) - set(REQUIRED) - only_commands


def test_using_vecdb_loads_nothing_of_the_ingestor_until_it_is_asked_for() -> None:
    code = "import sys, vecdb, vecdb.ingest; print([name for name in sys.modules if name.startswith('vecdb.ingest.')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_reports_what_it_did(desk: Desk) -> None:
    report = vecdb.ingest.run(desk.rows, **desk.place)
    assert (report.counts.new, report.counts.stored, report.succeeded) == (3, 3, True)


def test_a_plan_writes_nothing(desk: Desk, tmp_path: Path) -> None:
    assert vecdb.ingest.plan([desk.rows], **desk.place).new == 3
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_run_that_is_asked_to_stop_before_it_began_stores_nothing(desk: Desk) -> None:
    stop = threading.Event()
    stop.set()
    report = vecdb.ingest.run(desk.rows, stop=stop, **desk.place)
    assert (report.stopped, report.counts.stored) == (True, 0)


def test_what_ended_a_run_is_raised(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_texts: list[str]) -> Any:
        raise ProviderUnavailableError("away")

    away.dim = 3  # type: ignore[attr-defined]
    monkeypatch.setattr(json, "away", away, raising=False)
    with pytest.raises(ProviderUnavailableError):
        vecdb.ingest.run(desk.rows, model="callable:json:away", retry_for_s=0.0, **desk.place)


def test_a_wrong_option_is_named_as_python_writes_it(desk: Desk) -> None:
    with pytest.raises(InvalidConfigError, match="chunk_tokens is 1;"):
        vecdb.ingest.run(desk.rows, chunk_tokens=1, **desk.place)


def test_neither_the_environment_nor_a_file_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECDB_INGEST_TEXT_FIELD", "nothing")
    assert vecdb.ingest.run(desk.rows, **desk.place).counts.stored == 3


def test_none_stands_for_the_default(desk: Desk) -> None:
    assert vecdb.ingest.run(desk.rows, model=None, embedders=None, **desk.place).succeeded


def test_failures_and_status_tell_of_earlier_runs(desk: Desk) -> None:
    desk.rows.write_text('{"id": "a"}\n{"id": "b", "text": "b"}\n')
    assert vecdb.ingest.run(desk.rows, **desk.place).failures == 1
    (failure,) = vecdb.ingest.failed(desk.rows, **desk.place)
    (pipeline,) = vecdb.ingest.status(**desk.place)
    assert (failure.id, failure.position) == ("a", f"{desk.rows}:1")
    assert (pipeline.summary.failures, pipeline.is_running) == (1, False)
    desk.rows.write_text('{"id": "a", "text": "a"}\n{"id": "b", "text": "b"}\n')
    assert vecdb.ingest.retry(desk.rows, only=["a"], **desk.place).succeeded
    assert vecdb.ingest.failed(**desk.place) == []


def test_the_model_of_a_collection_without_one_is_not_guessed(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "data") as db, pytest.raises(InvalidRequestError, match="does not say which model"):
        vecdb.ingest.open_model(db.create_collection("c", dim=3))


def test_a_directory_that_this_process_writes_is_not_written_beside_it(desk: Desk) -> None:
    with vecdb.open(desk.place["to"]), pytest.raises(DatabaseLockedError):
        vecdb.ingest.run(desk.rows, **desk.place)
