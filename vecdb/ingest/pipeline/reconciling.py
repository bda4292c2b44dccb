"""Opens the journal of a job, and notices when the destination is not as the journal remembers it.

Three things may have happened: the journal was begun with other settings (another chunker, another database at that
address), the collection was made anew, or the database went back in time (a backup was restored) or lost so many
records by other hands that it has fewer than the journal has items. In each case what is missing is stored again; what
was embedded is in the cache and is not paid again.
Promises: a journal of another collection, field or set of sources is refused, not taken over.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import islice

from vecdb.errors import ConflictError
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import ItemState, PipelineIdentity
from vecdb.ingest.pipeline.config import CHECKED_IDS
from vecdb.ingest.pipeline.destination import Destination, Prepared
from vecdb.ingest.pipeline.events import Reconciling
from vecdb.ingest.pipeline.job import Job
from vecdb.ingest.pipeline.tally import Tally
from vecdb.types import RecordId

OWN = frozenset({"collection", "field", "sources"})
"""What makes a pipeline this one and no other."""


def identity_of(job: Job) -> PipelineIdentity:
    """What a journal of this job is about. The destination has to be prepared."""
    return PipelineIdentity(
        destination=str(job.destination),
        database=uuid.UUID(job.destination.uuid),
        collection=job.collection,
        field=job.field,
        model=job.embedder.fingerprint,
        chunker=job.chunker.name,
        sources=tuple(source.name for source in job.sources),
    )


def open_journal(job: Job, prepared: Prepared, tally: Tally) -> Journal:
    """The journal of a job, true to its destination."""
    identity = identity_of(job)
    try:
        journal = Journal.open(job.journal, identity)
    except ConflictError as error:
        differences = error.details["differences"]
        if OWN & set(differences):
            raise
        told = "; ".join(f"{word}: {values}" for word, values in differences.items())
        tally.tell(Reconciling(f"settings have changed ({told}); everything is compared and stored again"))
        return Journal.adopt(job.journal, identity)
    try:
        _reconcile(journal, job.destination, prepared, tally)
    except BaseException:
        journal.close()
        raise
    return journal


def _reconcile(journal: Journal, destination: Destination, prepared: Prepared, tally: Tally) -> None:
    items = journal.summary().stored
    if not items:
        return
    if prepared.created:
        tally.tell(Reconciling(f"the collection was made anew; its {items:,} items are stored again"))
        journal.forget_contents()
    elif prepared.seq < journal.position() or prepared.records < items:
        lost = 0
        for states in in_pages(journal.items()):
            missing = list(_outdated(states, destination))
            if missing:
                journal.forget_contents(missing)
                lost += len(missing)
        if lost:
            tally.tell(Reconciling(f"the database has lost records since: {lost:,} items are stored again"))


def in_pages(states: Iterator[ItemState]) -> Iterator[list[ItemState]]:
    """Items whose records are asked for at once."""
    while page := list(islice(states, CHECKED_IDS)):
        yield page


def _outdated(states: list[ItemState], destination: Destination) -> Iterator[RecordId]:
    """Ids of items some of whose records are not there, or older than they were stored."""
    ids = [record_id for state in states for record_id in state.chunks]
    versions: dict[RecordId, int] = {}
    for start in range(0, len(ids), CHECKED_IDS):
        versions |= destination.versions(ids[start : start + CHECKED_IDS])
    for state in states:
        if any(versions.get(record_id, -1) < state.version for record_id in state.chunks):
            yield state.id
