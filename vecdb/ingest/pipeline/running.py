"""Runs a job from its sources to its collection, and tries again what failed in earlier runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from vecdb.ingest.pipeline.events import Observer
from vecdb.ingest.pipeline.job import Job
from vecdb.ingest.pipeline.reports import RunReport
from vecdb.types import RecordId


def run(job: Job, *, observer: Observer | None = None, stop: threading.Event | None = None) -> RunReport:
    """Make the collection true to its sources. When `stop` is set, what is under way is finished and journalled."""
    raise NotImplementedError


def retry(
    job: Job,
    ids: Sequence[RecordId] | None = None,
    *,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> RunReport:
    """Try again what is in quarantine: all of it, or the items of these ids. Only their parts are read."""
    raise NotImplementedError
