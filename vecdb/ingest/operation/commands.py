"""Does what `vecdb ingest` does, for settings that are put together: run, plan, retry.

Promises: what is opened here is closed here. A run that is asked to stop ends with what was under way finished.
Concurrency: each call is its own run; two of one pipeline at once is a DatabaseLockedError of the later one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import cast

from vecdb.ingest.chunkers.choosing import ItemChunker
from vecdb.ingest.chunkers.chunk import ChunkSize
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.pipeline import running
from vecdb.ingest.pipeline.destination import Destination
from vecdb.ingest.pipeline.events import Observer
from vecdb.ingest.pipeline.job import Job, Work
from vecdb.ingest.pipeline.opening import choose_embedder, open_directory, open_server
from vecdb.ingest.pipeline.reports import PlanReport, RunReport
from vecdb.ingest.sources.source import Source
from vecdb.ingest.sources.spec import open_source
from vecdb.types import Metric, RecordId, VectorDtype


def run(
    settings: IngestSettings, *, observer: Observer | None = None, stop: threading.Event | None = None
) -> RunReport:
    """Make the collection true to its sources."""
    with opened(settings) as job:
        return running.run(job, observer=observer, stop=stop)


def plan(
    settings: IngestSettings, *, observer: Observer | None = None, stop: threading.Event | None = None
) -> PlanReport:
    """Say what a run would do and cost; nothing is written, no service is asked."""
    from vecdb.ingest.pipeline import planning  # noqa: PLC0415 - a run does not plan

    with opened(settings) as job:
        return planning.plan(job, observer=observer, stop=stop)


def retry(
    settings: IngestSettings,
    ids: Sequence[RecordId] | None = None,
    *,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> RunReport:
    """Try again what is in quarantine: all of it, or the items of these ids."""
    with opened(settings) as job:
        return running.retry(job, ids, observer=observer, stop=stop)


@contextmanager
def opened(settings: IngestSettings) -> Iterator[Job]:
    """The job that settings describe, with what it needs open."""
    sources = open_sources(settings)
    with closing(open_destination(settings)) as destination:
        embedder = choose_embedder(destination, sources, settings.model, settings.model_option)
        with closing(embedder):
            yield job_of(settings, sources, destination, embedder)


def open_sources(settings: IngestSettings) -> list[Source]:
    """The sources; errors say what is wrong with the first that cannot be one."""
    return [open_source(spec, settings.read_options) for spec in settings.sources]


def open_destination(settings: IngestSettings) -> Destination:
    """The server or the directory that `to` names."""
    place = settings.destination
    metric, dtype = cast(Metric, settings.metric), cast(VectorDtype, settings.dtype)
    if place.directory is not None:
        return open_directory(
            str(place.directory), settings.collection, field=settings.field or "", metric=metric, dtype=dtype
        )
    return open_server(
        str(place.address),
        settings.collection,
        field=settings.field or "",
        metric=metric,
        dtype=dtype,
        **settings.connection,
    )


def job_of(settings: IngestSettings, sources: Sequence[Source], destination: Destination, embedder: Embedder) -> Job:
    """What the pipeline takes."""
    return Job(
        sources=sources,
        destination=destination,
        embedder=embedder,
        collection=settings.collection,
        field=settings.field or "",
        journal=settings.pipeline.directory,
        cache=settings.pipeline.cache,
        chunker=ItemChunker(settings.chunker, ChunkSize(tokens=settings.chunk_tokens, overlap=settings.chunk_overlap)),
        work=Work(
            readers=settings.readers,
            embedders=settings.embedders,
            queue_bytes=settings.queue_bytes,
            cache_bytes=settings.cache_bytes,
            retry_for_s=settings.retry_for_s,
        ),
        reread=settings.reread,
        keep_vanished=settings.keep_vanished,
    )
