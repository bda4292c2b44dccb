"""Prints how far a re-embedding is, what it did and what two models find: for people, with what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vecdb.cli.output import print_line, print_tables, table
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.reembedding.config import HITS_SHOWN, TEXT_CHARS_SHOWN

if TYPE_CHECKING:
    from vecdb.ingest.journal.states import Failure
    from vecdb.ingest.reembedding.comparison import ComparisonReport
    from vecdb.ingest.reembedding.reports import FillReport, StatusReport, SwitchReport
    from vecdb.types import RecordId


def print_status(settings: IngestSettings, report: StatusReport) -> None:
    """Which stage it is at, and what may follow."""
    print_line(f"{report.collection}: {report.records:,} records; field {report.field}: {report.model or 'no model'}")
    if report.stage == "idle":
        print_line("not being re-embedded")
        return
    role = "kept for a rollback" if report.stage == "switched" else "to take its place"
    print_line(f"beside it, {role}: field {report.beside}: {report.beside_model or 'no model'}")
    print_line(f"{_records(report.due)} without a vector there; {report.failures:,} could not be embedded")
    _next(settings, ("rollback", "finish") if report.stage == "switched" else ("compare", "switch", "cancel"))


def print_fill(settings: IngestSettings, report: FillReport, *, is_switched: bool = False) -> None:
    """What was embedded, and what is left."""
    counts = report.counts
    rate = f", {counts.stored / report.seconds:,.0f} records/s" if report.seconds > 0 and counts.stored else ""
    print_line(
        f"{_records(counts.stored)} filled in {report.seconds:,.1f} s{rate}: {counts.embedded:,} embedded, "
        f"{counts.cached:,} from the cache, {counts.changed:,} changed meanwhile"
    )
    for record_id, problem in report.examples:
        print_line(f"left out: {record_id}: {problem}")
    if report.given_up:
        print_line(f"{_records(report.failed)} could not be embedded, {_records(report.textless)} without a text")
    if report.cut:
        print_line(f"{report.cut:,} texts are stored in part, and were embedded so")
    if report.stopped:
        print_line(f"stopped with {_records(report.left)} to go; the same command goes on from here")
    elif report.overtaken:
        print_line(f"{_records(report.left)} still due: they are written faster than embedded")
    elif not report.level:
        print_line(
            f"{_records(report.left)} written just now still due; go on with --follow, or switch, which embeds them"
        )
    elif not is_switched:
        which = "every record" if report.complete else "every other record"
        print_line(f"level: {which} has vectors of both models")
        _next(settings, ("compare", "switch"))


def print_switch(settings: IngestSettings, report: SwitchReport, done: str) -> None:
    """Which model searches use now."""
    if report.filled is not None and report.filled.counts.stored:
        print_line(f"{_records(report.filled.counts.stored)} embedded first")
    print_line(
        f"{done}: field {report.field} of {report.collection} holds the vectors of {report.model or 'the other model'} "
        f"now; those of {report.kept_model or 'the model before'} are kept as {report.kept_as}"
    )
    if report.missing:
        print_line(f"{_records(report.missing)} without a vector of it will not be found")
    _next(settings, ("rollback", "finish") if done == "switched" else ("switch", "cancel"))


def print_comparison(collection: str, report: ComparisonReport) -> None:
    """How much the two models agree, and which is better where that is known."""
    interval = f"{report.overlap_low:.3f} to {report.overlap_high:.3f}"
    rows: list[tuple[str, object]] = [
        (f"overlap@{report.k} (95 % interval {interval})", round(report.overlap, 4)),
        ("queries with the same first hit", round(report.same_first, 4)),
    ]
    if report.pairs is not None:
        pairs = report.pairs
        rows += [
            (f"recall@{report.k} of {pairs.pairs:,} known pairs, old model", round(pairs.old_recall, 4)),
            (f"recall@{report.k} of {pairs.pairs:,} known pairs, new model", round(pairs.new_recall, 4)),
            ("mean reciprocal rank, old model", round(pairs.old_mrr, 4)),
            ("mean reciprocal rank, new model", round(pairs.new_mrr, 4)),
            ("pairs that only the old model finds", pairs.only_old),
            ("pairs that only the new model finds", pairs.only_new),
        ]
    print_line(f"{collection}: {report.queries:,} queries among {report.records:,} records with vectors of both models")
    print_tables(table("", ("", "value"), rows))
    if report.pairs is not None and report.pairs.unknown:
        print_line(f"{report.pairs.unknown:,} pairs left out: no record with vectors of both models has their id")
    if report.examples:
        print_line("least alike:")
    for example in report.examples:
        print_line(f"  overlap {example.overlap:.2f} of {_named(example.query, report)}")
        for model, ids in (("old", example.old), ("new", example.new)):
            for record_id in ids[:HITS_SHOWN]:
                print_line(f"    {model}: {_named(record_id, report)}")


def print_failures(failures: Iterable[Failure]) -> None:
    """What could not be embedded."""
    rows = [(str(one.id), one.attempts, one.reason, one.message) for one in failures]
    print_tables(table(f"{len(rows):,} could not be embedded", ("id", "attempts", "reason", "why"), rows))


def _next(settings: IngestSettings, commands: Iterable[str]) -> None:
    field = f" --field {settings.field}" if settings.field else ""
    state = f" --state {settings.state}" if settings.state else ""
    first, *others = commands
    more = f", or {', '.join(others)}" if others else ""
    print_line(f"next: vecdb reembed {first} {settings.collection} --to {settings.to}{field}{state}{more}")


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


def _named(one: RecordId, report: ComparisonReport) -> str:
    """A record by its id and text, or a query by its text."""
    text = report.texts.get(one)
    return f"{one!s:.{TEXT_CHARS_SHOWN}}" + (f"  {text}" if text else "")
