"""Delivery to a server in this process, over real gRPC."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.harness.fake_model import vector_of
from tests.unit.ingest.pipeline.conftest import Pipeline
from vecdb.errors import ModelMismatchError
from vecdb.ingest.pipeline.opening import open_server
from vecdb.ingest.pipeline.reports import RunReport
from vecdb.server.app import serving
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig

QUIET = vecdb.EngineConfig(progress=False, background=False, map_bytes=1 << 32)
ROWS = {f"r{number}": f"text of row {number}" for number in range(200)}


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of a server of `db` in a folder; the same each time."""
    address = f"unix:{folder}/socket"
    config = ServerConfig(data=str(folder / "db"), listen=(address,), drain_s=1.0)
    with (
        vecdb.open(config.data, config=QUIET) as database,
        serving(config, bind_services(database, config), database=database, log_stream=io.StringIO()),
    ):
        yield address


def run(pipeline: Pipeline, address: str, stop: threading.Event | None = None) -> RunReport:
    return pipeline.run(stop, destination=open_server(address, "docs", retries=1))


def texts(address: str) -> dict[object, str]:
    """The texts at the server; each vector has to be that of its text."""
    with vecdb.connect(address) as db:
        found = list(db.collection("docs").iterate(with_vectors=True))
    for record in found:
        assert record.vector is not None
        assert np.abs(record.vector - vector_of(record.metadata["text"])).max() < 1e-6
    return {record.id: record.metadata["text"] for record in found}


def test_a_collection_at_a_server_is_kept_true_to_its_sources(pipeline: Pipeline, tmp_path: Path) -> None:
    with server(tmp_path) as address:
        pipeline.write(ROWS)
        assert run(pipeline, address).succeeded
        assert texts(address) == ROWS
        changed = {row_id: text for row_id, text in ROWS.items() if row_id > "r5"} | {"r7": "changed", "new": "row"}
        pipeline.write(changed)
        counts = run(pipeline, address).counts
        assert (counts.changed, counts.new, counts.deleted) == (1, 1, len(ROWS) + 1 - len(changed))
        assert texts(address) == changed


def test_the_chunks_of_a_document_change_in_one_commit(pipeline: Pipeline, tmp_path: Path) -> None:
    with server(tmp_path) as address, vecdb.connect(address) as db:
        pipeline.write_text("\n\n".join(f"first {number} {'word ' * 15}" for number in range(9)), "d.txt")
        run(pipeline, address)
        before = db.seq
        pipeline.write_text("\n\n".join(f"second {number} {'word ' * 15}" for number in range(4)), "d.txt")
        counts = run(pipeline, address).counts
        assert counts.chunks_deleted > 0
        versions = {record.version for record in db.collection("docs").iterate()}
        assert versions == {before + 1} == {db.seq}


def test_a_server_that_restarts_in_the_middle_gets_everything_once(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.write(ROWS)
    half, restarted = threading.Event(), threading.Event()

    def pause(number: int, _texts: list[str]) -> None:
        if number == 12:
            half.set()
            assert restarted.wait(60)

    pipeline.model.faults.append(pause)
    reports: list[RunReport] = []
    with contextlib.ExitStack() as first:
        address = first.enter_context(server(tmp_path))
        runner = threading.Thread(target=lambda: reports.append(run(pipeline, address)))
        runner.start()
        assert half.wait(60)
    with server(tmp_path) as address:
        restarted.set()
        runner.join(60)
        assert reports[0].succeeded
        assert texts(address) == ROWS
    assert max(pipeline.model.paid.values()) == 1


def test_a_record_that_the_server_refuses_is_found(pipeline: Pipeline, tmp_path: Path) -> None:
    with server(tmp_path) as address:
        with vecdb.connect(address) as db:
            db.create_collection("docs", model=pipeline.model.embedder().fingerprint, ttl_field="until")
        pipeline.write(ROWS)
        pipeline.write({"bad": "text"}, "b.jsonl", until="no instant")
        report = run(pipeline, address)
        assert report.failures == 1
        assert texts(address) == ROWS


def test_another_model_than_the_servers_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    with server(tmp_path) as address:
        pipeline.write(ROWS)
        run(pipeline, address)
        pipeline.model.revision = "2"
        with pytest.raises(ModelMismatchError, match="reembed"):
            run(pipeline, address)


def test_the_identity_of_a_database_is_the_same_through_every_front(tmp_path: Path) -> None:
    with server(tmp_path) as address, vecdb.connect(address) as db, vecdb.open(str(tmp_path / "other")) as other:
        reader = vecdb.open(str(tmp_path / "db"), mode="r")
        assert db.uuid == reader.uuid
        assert db.uuid != other.uuid
        reader.close()
