"""Says what a run would do and cost, without writing anything or asking a service."""

from __future__ import annotations

import threading

from vecdb.ingest.pipeline.events import Observer
from vecdb.ingest.pipeline.job import Job
from vecdb.ingest.pipeline.reports import PlanReport


def plan(job: Job, *, observer: Observer | None = None, stop: threading.Event | None = None) -> PlanReport:
    """Read and compare everything, and count."""
    raise NotImplementedError
