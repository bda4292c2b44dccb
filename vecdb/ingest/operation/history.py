"""Tells what became of earlier runs, and how far one is that is under way: `status` and `failed`.

Promises: only reads, beside a run of the same pipeline too.
Concurrency: any thread; each call opens what it reads.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vecdb.errors import DatabaseNotFoundError, NotFoundError, VecDBError
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure, JournalSummary, PipelineIdentity, RunRecord
from vecdb.ingest.operation.places import absolute_source, read_destination, state_root

NUMBER: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which pipelines to tell of: those that agree with all that is given."""

    sources: tuple[str, ...] = ()
    to: str | None = None
    collection: str | None = None
    field: str | None = None
    state: str | None = None

    def fits(self, identity: PipelineIdentity) -> bool:
        """Whether a pipeline is one of these."""
        sources = {absolute_source(source) for source in self.sources}
        return (
            sources <= set(identity.sources)
            and (self.to is None or str(read_destination(self.to)) == identity.destination)
            and (self.collection is None or self.collection == identity.collection)
            and (self.field is None or self.field == identity.field)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStatus:
    """What is known of one pipeline. `directory` has its journal; `runs` are the newest first."""

    directory: Path
    summary: JournalSummary
    runs: tuple[RunRecord, ...]

    @property
    def is_running(self) -> bool:
        """True while a process runs it."""
        return self.summary.writer is not None

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        identity = self.summary.identity
        return {
            "directory": str(self.directory),
            "to": identity.destination,
            "database": str(identity.database),
            "collection": identity.collection,
            "field": identity.field,
            "model": str(identity.model),
            "chunker": identity.chunker,
            "sources": list(identity.sources),
            "items": self.summary.items,
            "parts": self.summary.parts,
            "failures": self.summary.failures,
            "running": self.summary.writer,
            "runs": [run_to_dict(run) for run in self.runs],
        }


def status(wanted: Wanted) -> list[PipelineStatus]:
    """All pipelines that fit; NotFoundError when there is none."""
    found = [_status_of(directory, journal) for directory, journal in _journals(wanted)]
    if not found:
        raise _nothing(wanted)
    return found


def failed(wanted: Wanted) -> Iterator[tuple[PipelineIdentity, Failure]]:
    """What is in quarantine, pipeline by pipeline, as it stands in the sources; NotFoundError when no pipeline fits."""
    known = False
    for _, journal in _journals(wanted):
        known = True
        for failure in sorted(journal.failures(), key=_place_of):
            yield journal.identity, failure
    if not known:
        raise _nothing(wanted)


def _place_of(failure: Failure) -> tuple[str, list[str | int]]:
    """By part and position, whose numbers count as numbers: line 9 comes before line 10."""
    words = NUMBER.split(failure.position)
    return failure.part, [int(word) if number % 2 else word for number, word in enumerate(words)]


def run_to_dict(run: RunRecord) -> dict[str, Any]:
    """One run, JSON-like, with its rates."""
    seconds = seconds_of(run)
    return {
        "number": run.number,
        "state": run.state,
        "started": spell_moment(run.started),
        "ended": None if run.ended is None else spell_moment(run.ended),
        "seconds": None if seconds is None else round(seconds, 3),
        "items_per_s": _rate(run.counters.get("items", 0), seconds),
        "tokens_per_s": _rate(run.counters.get("tokens", 0), seconds),
        "counts": dict(run.counters),
        "note": run.note,
    }


def seconds_of(run: RunRecord) -> float | None:
    """How long a run took, or has been going on; None for one whose end nobody saw."""
    until = time.time() if run.state == "running" else run.ended
    return None if until is None else max(0.0, until - run.started)


def spell_moment(seconds: float) -> str:
    """A time since 1970 as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _rate(count: int, seconds: float | None) -> float | None:
    return None if not seconds else round(count / seconds, 1)


def _journals(wanted: Wanted) -> Iterator[tuple[Path, Journal]]:
    """The journals that fit, open for reading, the others closed again."""
    for directory in sorted(_directories(state_root(wanted.state))):
        try:
            journal = Journal.open(directory, mode="r")
        except DatabaseNotFoundError:
            continue  # a run that has not got so far
        with journal:
            if wanted.fits(journal.identity):
                yield directory, journal


def _directories(root: Path) -> list[Path]:
    try:
        return [entry for entry in (root / "pipelines").iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise VecDBError(f"the state in {str(root)!r} cannot be read: {error.strerror}") from error


def _status_of(directory: Path, journal: Journal) -> PipelineStatus:
    return PipelineStatus(directory=directory, summary=journal.summary(), runs=tuple(journal.runs()))


def _nothing(wanted: Wanted) -> NotFoundError:
    root = state_root(wanted.state)
    given = any((wanted.sources, wanted.to, wanted.collection, wanted.field))
    if given and _directories(root):
        return NotFoundError(
            f"no such pipeline has run: see `vecdb ingest status` for those that have, as {str(root)!r} knows them"
        )
    return NotFoundError(
        f"nothing has been ingested yet as far as {str(root)!r} knows; --state names another directory"
    )


def failure_to_dict(identity: PipelineIdentity, failure: Failure) -> dict[str, Any]:
    """One failure, JSON-like, with the pipeline that it is of."""
    return {
        "to": identity.destination,
        "collection": identity.collection,
        "field": identity.field,
        "id": failure.id,
        "part": failure.part,
        "position": failure.position,
        "reason": failure.reason,
        "message": failure.message,
        "attempts": failure.attempts,
        "time": spell_moment(failure.time),
    }
