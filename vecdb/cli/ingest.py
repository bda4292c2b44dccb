"""The commands of the ingestor: `vecdb ingest plan|run|watch|status|failed|retry`.

Their options are the settings of `vecdb.ingest.operation.settings`, one for each, so that file, environment, flags and
the Python API cannot differ.
Exit codes: 0 everything is in the collection; 1 nothing is where a source or pipeline was said to be; 2 the request is
wrong; 3 the storage failed; 4 done, but something is in quarantine or could not be read; 5 the provider or the server
stayed away; 130, 143 stopped by Ctrl-C or SIGTERM before the end.
"""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vecdb import __version__
from vecdb.cli.output import compact_json, print_json, print_line
from vecdb.cli.setting_options import SHOWN, WHERE_SETTINGS_ARE, give_options, keyword, progress_option
from vecdb.errors import InvalidRequestError
from vecdb.ingest import receipts
from vecdb.ingest.operation.settings import IngestSettings, gathered, load_settings, settings

if TYPE_CHECKING:
    from vecdb.ingest.operation.history import Wanted
    from vecdb.ingest.pipeline.reports import RunReport

EXIT_QUARANTINE: Final = 4
WATCH_ONLY: Final = frozenset({"interval_s", "debounce_s"})
IDENTIFYING: Final = ("to", "collection", "field", "state")
WHERE_STATE_LIES: Final = """State: what was read and stored is remembered in a journal for each pipeline (destination,
collection, field and sources), and embeddings in one cache for all, so that nothing is embedded or paid twice. Both lie
in --state, by default $XDG_STATE_HOME/vecdb/ingest or ~/.local/state/vecdb/ingest. Removing that directory loses no
record: the next run compares and embeds everything again, but what vanished meanwhile is not noticed. A run of the
same words over files that finds everything as the last one left it is over at once, and is not among the runs that
status lists."""
EXIT_CODES: Final = """Exit codes: 0 all is in the collection; 1 a source or pipeline was not found; 2 the request is
wrong; 3 the storage failed; 4 done, but something is in quarantine or was not readable; 5 the provider or server stayed
away; 130 and 143 stopped by a signal."""

ingest_app = typer.Typer(
    name="ingest",
    help="Read documents, embed them and keep a collection true to them.",
    epilog=WHERE_STATE_LIES,
    rich_markup_mode=None,
    no_args_is_help=True,
)


@dataclass(frozen=True)
class Request:
    """What was asked on the command line, apart from the settings."""

    settings: IngestSettings
    as_json: bool
    show: str


def plan(**given: Any) -> None:
    """Say what a run would store, embed and delete, and about what it would cost. Nothing is written or paid."""
    request = _request(given)
    from vecdb.cli.ingest_output import print_plan  # noqa: PLC0415 - see _session
    from vecdb.ingest.operation import commands  # noqa: PLC0415 - see _session
    from vecdb.ingest.operation.progress import looked_at  # noqa: PLC0415 - see _session

    with _session(request, done=looked_at) as session:
        report = commands.plan(request.settings, observer=session.observer, stop=session.stop)
    if request.as_json:
        print_json(report.to_dict())
    else:
        print_plan(request.settings, report)
    raise typer.Exit(session.exit_code or (EXIT_QUARANTINE if report.failed else 0))


def run(**given: Any) -> None:
    """Read the sources, embed what is new or changed, store it, and delete what has vanished."""
    request = _request(given)
    from vecdb.ingest.operation import commands  # noqa: PLC0415 - see _session

    place = receipts.place_of(sys.argv[1:], os.environ, __version__)
    receipts.forget(place)
    with _session(request) as session:
        report = commands.run(request.settings, observer=session.observer, stop=session.stop)
        session.run_ended(report)
    if place is not None and request.settings.destination.address is not None:
        from vecdb.ingest.operation import standing  # noqa: PLC0415 - see _session

        standing.leave_receipt(place, request.settings, report)
    _conclude(request, report, session.exit_code)


def retry(**given: Any) -> None:
    """Try again what is in quarantine: all of it, or the items named by --only."""
    only = given.pop("only", None)
    request = _request(given)
    from vecdb.ingest.operation import commands  # noqa: PLC0415 - see _session

    with _session(request, looks_ahead=False) as session:
        report = commands.retry(request.settings, only or None, observer=session.observer, stop=session.stop)
        session.run_ended(report)
    _conclude(request, report, session.exit_code)


def watch(**given: Any) -> None:
    """Run now, and again whenever the sources change, until Ctrl-C or SIGTERM (exit code 0)."""
    request = _request(given)
    from vecdb.cli.ingest_output import changed_something, print_round  # noqa: PLC0415 - see _session
    from vecdb.ingest.operation.watching import Watch  # noqa: PLC0415 - see _session

    with _session(request, looks_ahead=False) as session:
        first = True
        for report in Watch(request.settings, session.observer, session.stop).rounds():
            session.run_ended(report, watching=True)
            if request.as_json:
                print_line(compact_json(report.to_dict()))
            elif first or changed_something(report.counts) or report.error is not None:
                print_round(report)
            first = False


def status(**given: Any) -> None:
    """Tell of pipelines: what they hold, their last runs, who runs them now. Without arguments, of all."""
    as_json = given.pop("as_json")
    wanted = _wanted(given)
    from vecdb.cli.ingest_output import print_status  # noqa: PLC0415 - see _session
    from vecdb.ingest.operation import history  # noqa: PLC0415 - see _session

    found = history.status(wanted)
    if as_json:
        print_json({"pipelines": [pipeline.to_dict() for pipeline in found]})
    else:
        print_status(found)


def failed(**given: Any) -> None:
    """List what is in quarantine: file and line, id, reason. Exits with 4 when there is anything."""
    as_json = given.pop("as_json")
    wanted = _wanted(given)
    from vecdb.cli.ingest_output import print_failures  # noqa: PLC0415 - see _session
    from vecdb.ingest.operation import history  # noqa: PLC0415 - see _session

    if as_json:
        listed = [history.failure_to_dict(*one) for one in history.failed(wanted)]
        print_json({"failures": listed})
        number = len(listed)
    else:
        number = print_failures(history.failed(wanted))
    raise typer.Exit(EXIT_QUARANTINE if number else 0)


def _request(given: dict[str, Any]) -> Request:
    from vecdb.cli.ingest_session import how_to_show  # noqa: PLC0415 - see _session

    as_json, file, progress = given.pop("as_json"), given.pop("config"), given.pop("progress")
    if progress not in SHOWN:
        raise InvalidRequestError(f"--progress is {progress!r:.40}; choose one of {', '.join(SHOWN)}")
    return Request(load_settings(_told(given), os.environ, file), as_json, how_to_show(progress))


def _wanted(given: dict[str, Any]) -> Wanted:
    from vecdb.ingest.operation.history import Wanted  # noqa: PLC0415 - see _session

    values = gathered(_told(given), os.environ, given.pop("config", None))
    return Wanted(sources=values.get("sources", ()), **{name: values.get(name) for name in IDENTIFYING})


def _told(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "config" and value not in (None, [], ())}


def _session(request: Request, **options: Any) -> Any:
    """The surroundings of a run. Imported late, as all that works is: other commands are not to wait for it."""
    from vecdb.cli.ingest_session import Session  # noqa: PLC0415 - as said

    return Session(request.settings, request.show, **options)


def _conclude(request: Request, report: RunReport, signalled: int | None) -> None:
    """Print what a run did, and exit."""
    from vecdb.cli.ingest_output import print_report  # noqa: PLC0415 - see _session

    if request.as_json and report.error is None:
        print_json(report.to_dict())
    elif not request.as_json:
        print_report(request.settings, report)
    if report.error is not None:
        report.error.details["report"] = report.to_dict()
        raise report.error
    if report.stopped:
        raise typer.Exit(signalled or 0)
    raise typer.Exit(0 if report.succeeded else EXIT_QUARANTINE)


# --- options --------------------------------------------------------------------------------------------------------


def _sources() -> inspect.Parameter:
    meaning = (
        "Files, folders, globs, -, sqlite:FILE?query=…, vecdb:PLACE?collection=NAME, dbapi:MODULE:FUNCTION?query=…"
    )
    argument = typer.Argument(metavar="SOURCE", help=meaning, show_default=False)
    return inspect.Parameter(
        "sources",
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[list[str] | None, argument],
    )


ONLY_MEANINGS: Final = {
    "to": "Only pipelines to this directory or server.",
    "collection": "Only pipelines to collections of this name.",
    "field": "Only pipelines that fill this vector field.",
}
"""What a setting that chooses among pipelines means."""


SUMMARIES: Final = {
    plan: "Say what a run would do, and about what it would cost.",
    run: "Embed and store what is new or changed, delete what is gone.",
    watch: "Run now, and again whenever the sources change.",
    status: "Tell of pipelines and their last runs.",
    failed: "List what is in quarantine, and why.",
    retry: "Try again what is in quarantine.",
}
"""The commands in the order of the help, with a line for each."""


def _declare() -> None:
    names = [name for name in settings() if name != "sources"]
    progress = progress_option()
    only = typer.Option("--only", metavar="ID", help="Only this item; may be given several times.", show_default=False)
    once = [name for name in names if name not in WATCH_ONLY]
    for command in (plan, run):  # the same for both, so that a plan is what its run would do
        give_options(command, _sources(), once, progress)
    give_options(watch, _sources(), names, progress)
    give_options(retry, _sources(), once, keyword("only", Annotated[list[str] | None, only], None), progress)
    for command in (status, failed):
        identifying = [name for name in names if name in IDENTIFYING]
        give_options(command, _sources(), identifying, meanings=ONLY_MEANINGS)
    for command, summary in SUMMARIES.items():
        ingest_app.command(epilog=f"{WHERE_SETTINGS_ARE} {EXIT_CODES}", short_help=summary)(command)


_declare()
