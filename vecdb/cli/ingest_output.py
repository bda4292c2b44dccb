"""Prints what the ingestor did, would do, and has done: for people, in a few lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from vecdb.cli.output import print_line, print_tables, printable, table
from vecdb.ingest.operation.history import PipelineStatus, run_to_dict, seconds_of
from vecdb.ingest.operation.settings import IngestSettings

if TYPE_CHECKING:
    from vecdb.ingest.journal.states import Failure, PipelineIdentity, RunRecord
    from vecdb.ingest.pipeline.events import Counts
    from vecdb.ingest.pipeline.reports import PlanReport, RunReport

SPEED_KNOWN = {"sample": "the speed of a sample", "last run": "the speed of the last run"}
RUNS_SHOWN = 10
"""Runs in the table of `status`; the document of --json has all."""


def print_plan(settings: IngestSettings, report: PlanReport) -> None:
    """What a run would do."""
    made = ", which would be made" if report.creates_collection else ""
    print_line(f"{settings.destination}: collection {settings.collection}{made}, model {report.model}")
    unchanged = report.unchanged + report.skipped
    print_line(
        f"a run would find {report.new:,} new, {report.changed:,} changed, {unchanged:,} unchanged, "
        f"{report.vanished:,} to delete, {report.failed:,} failed"
    )
    basis = SPEED_KNOWN.get(report.rate_from, report.rate_from)
    lasting = "" if report.seconds is None else f", {spell_time(report.seconds)} of embedding by {basis}"
    print_line(f"{count(report.to_embed, 'chunk')} to embed: about {count(report.tokens, 'token')}{lasting}")
    if report.cached:
        print_line(f"embeddings of {count(report.cached, 'chunk')} were kept from before and cost nothing")
    if not report.complete:
        print_line("some sources could not be listed in whole, so nothing that may be in them would be deleted")
    print_problems(report.problems, report.failed)


def print_problems(problems: Iterable[str], total: int) -> None:
    """The first things that could not be read."""
    shown = list(problems)
    for problem in shown:
        print_line(f"failed: {problem}")
    if total > len(shown) > 0:
        print_line(f"… and {total - len(shown):,} more")


def print_report(settings: IngestSettings, report: RunReport) -> None:
    """What a run did."""
    for line in lines_of(report):
        print_line(line)
    if report.failures:
        words = ["--to", settings.to, "--collection", settings.collection]
        words += [] if settings.state is None else ["--state", settings.state]
        print_line(f"{count(report.failures, 'failure')} in quarantine; see: vecdb ingest failed {shlex.join(words)}")


def print_round(report: RunReport) -> None:
    """What a round of a watch did, and when it was over."""
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    for line in lines_of(report):
        print_line(f"{now} {line}")
    if report.error is not None:
        print_line(f"{now} {report.error.message}")


def lines_of(report: RunReport) -> Iterator[str]:
    """A run in words: what was found, what was written, how it ended."""
    counts = report.counts
    seen = counts.items + counts.skipped
    rate = f", {seen / report.seconds:,.0f} items/s" if report.seconds > 0 else ""
    yield (
        f"{count(seen, 'item')} in {spell_time(report.seconds)}{rate}: {counts.new:,} new, {counts.changed:,} changed, "
        f"{counts.unchanged + counts.skipped:,} unchanged, {counts.deleted:,} deleted, {counts.failed:,} failed"
    )
    if counts.chunks_stored or counts.embedded:
        yield (
            f"{count(counts.chunks_stored, 'chunk')} stored: {counts.embedded:,} embedded "
            f"({count(counts.tokens, 'token')}, {count(counts.calls, 'call')} of the model), "
            f"{counts.cached:,} from the cache"
        )
    if counts.left_out:
        yield f"{count(counts.left_out, 'image')} left out: the model embeds texts; clip:NAME embeds images too"
    if report.stopped:
        yield "stopped before the end; the next run goes on from here"
    elif report.error is not None:
        yield "ended by an error; what is stored stays, and the next run goes on from here"
    elif not report.complete:
        yield "some sources could not be listed in whole, so nothing that may be in them was deleted"


def changed_something(counts: Counts) -> bool:
    """Whether a run has anything to tell."""
    return bool(counts.stored or counts.deleted or counts.failed)


def print_status(found: list[PipelineStatus]) -> None:
    """The pipelines, each with its last runs."""
    for pipeline in found:
        summary = pipeline.summary
        identity = summary.identity
        field = f", field {identity.field}" if identity.field else ""
        print_line(f"{identity.destination}: collection {identity.collection}{field}, model {identity.model}")
        print_line(f"  from {', '.join(identity.sources)}")
        print_line(f"  journal {pipeline.directory}")
        print_line(
            f"  {count(summary.items, 'item')} in {count(summary.parts, 'part')}, "
            f"{count(summary.failures, 'failure')} in quarantine"
        )
        if summary.writer is not None:
            print_line(f"  being run now by process {summary.writer.get('pid')}")
        columns = ("run", "state", "started", "took", "items", "stored", "deleted", "failed", "items/s", "tokens/s")
        print_tables(table("", columns, [_run_row(run) for run in pipeline.runs[:RUNS_SHOWN]]))


def print_failures(found: Iterable[tuple[PipelineIdentity, Failure]]) -> int:
    """What is in quarantine, a line or two each; returns how many."""
    number = 0
    for _, failure in found:
        number += 1
        name = "" if failure.id is None else f" [{printable(str(failure.id))}]"
        attempts = "" if failure.attempts == 1 else f", tried {failure.attempts} times"
        when = datetime.fromtimestamp(failure.time).astimezone().isoformat(sep=" ", timespec="seconds")
        print_line(f"{failure.position}{name}: {failure.message} ({failure.reason}, {when}{attempts})")
    if not number:
        print_line("nothing is in quarantine")
    return number


def count(number: int, noun: str) -> str:
    """`1 item`, `2 items`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def spell_time(seconds: float) -> str:
    """`0.42 s`, `12.3 s`, `5 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


def _run_row(run: RunRecord) -> tuple[object, ...]:
    facts = run_to_dict(run)
    seconds = seconds_of(run)
    counts = run.counters
    started = datetime.fromtimestamp(run.started).astimezone().isoformat(sep=" ", timespec="seconds")
    return (
        str(run.number),
        run.state,
        started,
        "" if seconds is None else spell_time(seconds),
        *(counts.get(name, 0) for name in ("items", "stored", "deleted", "failed")),
        *("" if facts[name] is None else f"{facts[name]:,.0f}" for name in ("items_per_s", "tokens_per_s")),
    )
