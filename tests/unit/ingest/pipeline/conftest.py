"""A pipeline in a directory: rows in files, a fake model, an embedded database, and what is in it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.fake_model import FakeModel, vector_of
from vecdb.config import EngineConfig
from vecdb.engine.database import Database
from vecdb.ingest.chunkers.choosing import ItemChunker
from vecdb.ingest.chunkers.chunk import ChunkSize
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.pipeline import breaker, running
from vecdb.ingest.pipeline.events import RunEvent
from vecdb.ingest.pipeline.job import Job, Work
from vecdb.ingest.pipeline.opening import open_directory
from vecdb.ingest.pipeline.planning import plan
from vecdb.ingest.pipeline.reports import PlanReport, RunReport
from vecdb.ingest.sources.spec import open_source
from vecdb.types import Record, RecordId

CACHE_BYTES = 16 * 1024 * 1024


class Watcher:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    def observe(self, event: RunEvent) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class Pipeline:
    """Runs jobs over the files in `sources`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "sources"
        self.folder.mkdir()
        self.model = FakeModel()
        self.watcher = Watcher()
        self.work = Work(cache_bytes=CACHE_BYTES, retry_for_s=30.0)
        self.options: dict[str, Any] = {}
        self.sources: Sequence[str] = (str(self.folder),)

    def write(self, rows: Mapping[Any, str], name: str = "a.jsonl", **metadata: Any) -> Path:
        """Write a file of rows, older than the grain of any clock."""
        lines = [json.dumps({"id": row_id, "text": text, **metadata}) for row_id, text in rows.items()]
        return self.write_text("".join(line + "\n" for line in lines), name)

    def write_text(self, text: str, name: str) -> Path:
        """Write a file; each time it has another time of change."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        self.written = getattr(self, "written", time.time() - 100_000) + 10
        os.utime(path, (self.written, self.written))
        return path

    def job(self, embedder: Embedder | None = None, **options: Any) -> Job:
        """The job of this pipeline."""
        given: dict[str, Any] = {
            "sources": [open_source(source) for source in self.sources],
            "destination": open_directory(str(self.root / "db"), "docs"),
            "embedder": embedder or self.model.embedder(),
            "collection": "docs",
            "journal": self.root / "journal",
            "cache": self.root / "cache",
            "chunker": ItemChunker("auto", ChunkSize(tokens=16, overlap=0)),
            "work": self.work,
        }
        return Job(**(given | self.options | options))

    def run(self, stop: threading.Event | None = None, **options: Any) -> RunReport:
        """One run."""
        job = self.job(**options)
        try:
            return running.run(job, observer=self.watcher, stop=stop)
        finally:
            job.destination.close()

    def retry(self, ids: Sequence[RecordId] | None = None) -> RunReport:
        """One retry."""
        job = self.job()
        try:
            return running.retry(job, ids, observer=self.watcher)
        finally:
            job.destination.close()

    def plan(self, **options: Any) -> PlanReport:
        """One plan."""
        return plan(self.job(**options), observer=self.watcher)

    def records(self) -> dict[RecordId, Record]:
        """What is in the collection; each vector has to be that of its text."""
        with Database.open(str(self.root / "db"), "r", durability="fsync", create=False, config=EngineConfig()) as db:
            found = {record.id: record for record in db.collection("docs").iterate(with_vectors=True)}
        for record in found.values():
            assert record.vector is not None
            assert np.abs(record.vector - vector_of(record.metadata["text"])).max() < 1e-6
        return found

    def texts(self) -> dict[RecordId, str]:
        """The texts in the collection."""
        return {record_id: record.metadata["text"] for record_id, record in self.records().items()}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A pipeline without sources, whose pauses are short."""
    monkeypatch.setattr(breaker, "RETRY_PAUSE_S", 0.001)
    monkeypatch.setattr(breaker, "RETRY_PAUSE_MAX_S", 0.01)
    return Pipeline(tmp_path)
