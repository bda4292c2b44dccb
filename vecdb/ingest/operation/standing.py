"""Leaves a receipt of a run that left everything true (see `vecdb.ingest.receipts`), for whoever runs it again.

Concurrency: after the run, in the thread that ran it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from vecdb.client.glimpse import glimpse
from vecdb.errors import VecDBError
from vecdb.ingest import receipts
from vecdb.ingest.embedders import static
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.operation.commands import open_sources
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.pipeline.events import Counts
from vecdb.ingest.pipeline.reports import RunReport
from vecdb.ingest.sources.arrays import READERS as ARRAYS
from vecdb.ingest.sources.folder import FileSource
from vecdb.ingest.sources.source import BETWEEN, Part

DATA_FILE: Final = "data.mdb"
"""The file of a journal that every change of it changes."""


def leave_receipt(place: str, settings: IngestSettings, report: RunReport) -> None:
    """Write down what a run with these settings would find, if it can be told without running."""
    address = settings.destination.address
    if address is None or not address.is_local or settings.tls is not None or settings.api_key_file is not None:
        return
    if settings.reread or settings.metrics_address is not None or not report.succeeded:
        return
    try:
        with Journal.open(settings.pipeline.directory, mode="r") as journal:
            facts = _remembered(settings, journal)
    except (VecDBError, OSError):
        return
    if facts is None:
        return
    variable = settings.api_key_env
    seen = glimpse(str(address), settings.collection, settings.connection.get("api_key"))
    if seen is None or seen.uuid != facts["uuid"] or seen.seq < facts["seq"] or seen.records < facts["stored"]:
        return
    to = {"to": str(settings.destination), "collection": settings.collection}
    here = {"address": str(address), "collection": settings.collection, "api_key_env": variable, "to": to}
    receipts.write(place, facts | here | {"fields": seen.fields})


def _remembered(settings: IngestSettings, journal: Journal) -> dict[str, Any] | None:
    """What the journal knows; None where the sources are more than some files, or the model is not the built-in one."""
    sources, summary = open_sources(settings), journal.summary()
    if journal.identity.model.provider != static.PROVIDER or summary.failures:
        return None
    parts, items = [], 0
    for source in sources:
        part = _part_of(source, journal)
        if part is None:
            return None
        items += part.pop("items")
        parts.append(part)
    counts = Counts(parts=len(parts), parts_unchanged=len(parts), skipped=items)
    kept = [journal.directory / DATA_FILE, *sorted(static.BUILTIN.iterdir())]
    return {
        "uuid": journal.identity.database.hex,
        "seq": summary.position,
        "stored": summary.stored,
        "kept": {str(path): receipts.state_of(str(path)) for path in kept if path.is_file()},
        "parts": parts,
        "sources": [source.name for source in sources],
        "unchanged": {"state": "unchanged", "items": 0, "problems": 0},
        "report": RunReport(counts=counts, failures=0, seconds=0.0).to_dict(),
    }


def _part_of(source: object, journal: Journal) -> dict[str, Any] | None:
    """What is remembered of a source that is one file; None where that has changed since, or there is more to it."""
    if not isinstance(source, FileSource) or source.path is None or source.format in ARRAYS:
        return None
    part = next(iter(source.parts()))
    known = journal.part(part.key) if isinstance(part, Part) else None
    if known is None or known.fingerprint is None:
        return None
    fingerprint, _, digest = known.fingerprint.partition(BETWEEN)
    path = str(Path(source.path).absolute())
    state = receipts.state_of(path)
    if not digest or not fingerprint or part.fingerprint() != fingerprint:  # type: ignore[union-attr]  # it is a Part
        return None
    return {"key": known.key, "path": path, "state": state, "digest": digest.rpartition("-")[2], "items": known.items}
