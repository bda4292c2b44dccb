"""The commands of re-embedding: `vecdb reembed COLLECTION --to PLACE --model NEW`, and what belongs to it.

`vecdb reembed COLLECTION …` is `vecdb reembed run COLLECTION …`. A collection whose name is that of a command needs the
command written out. Options are settings of the ingestor, so one file serves both; only the model is never taken from
it, since the file names the one of now.
Exit codes: those of `vecdb ingest`; 4 when a record is left without a vector of the new model.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from vecdb.cli.ingest import EXIT_QUARANTINE
from vecdb.cli.output import print_json
from vecdb.cli.setting_options import SHOWN, give_options, keyword, progress_option
from vecdb.errors import ConflictError, InvalidRequestError
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.reembedding.config import COMPARE_K_DEFAULT, COMPARE_QUERIES_DEFAULT
from vecdb.ingest.reembedding.settings import EMBEDDING, PLACED, read_settings

if TYPE_CHECKING:
    from vecdb.cli.ingest_session import Session
    from vecdb.ingest.pipeline.reports import RunReport
    from vecdb.ingest.reembedding.reports import FillReport, SwitchReport
    from vecdb.ingest.reembedding.roles import Roles

DEFAULT: Final = "run"
HELP: Final = "Move a collection to another embedding model, beside the old one, and back."
STEPS: Final = """Steps: run adds a field with the new model's vectors beside the old ones and fills it, while searches
and writes go on; give it again to go on after a stop, or for what was written since. compare tells what both models
find. switch lets the name of the field stand for the new model, in one commit, when no record lacks a vector of it.
rollback takes that back. finish drops the old vectors, cancel the new ones. What was embedded is kept in a cache
(--state), so nothing is paid for twice."""


class RunsByDefault(TyperGroup):
    """A group whose first word may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in {"-h", "--help"}:
            args = [DEFAULT, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


reembed_app = typer.Typer(
    name="reembed", help=HELP, epilog=STEPS, rich_markup_mode=None, no_args_is_help=True, cls=RunsByDefault
)


@dataclass(frozen=True)
class Request:
    """What was asked on the command line."""

    settings: IngestSettings
    as_json: bool
    show: str
    more: dict[str, Any]


def run(**given: Any) -> None:
    """Embed all texts with the new model, beside the vectors of the old one; give it again to go on."""
    request = _request(given)
    from vecdb.cli.reembed_output import print_fill, print_switch  # noqa: PLC0415 - see _request
    from vecdb.ingest.reembedding import commands  # noqa: PLC0415 - see _request

    options = {name: bool(request.more.get(name)) for name in ("retry_failed", "follow")}
    due: list[int] = []
    with _session(request, lambda: due[0] if due else None) as session:
        report = commands.run(
            request.settings, observer=session.observer, stop=session.stop, expected=due.append, **options
        )
        session.run_ended(_as_run(report))
        switched = None
        if request.more.get("switch") and not session.stop.is_set():
            switched = commands.switch(request.settings, observer=session.observer, stop=session.stop)
    if request.as_json:
        print_json(report.to_dict() | ({} if switched is None else {"switched": switched.to_dict()}))
    else:
        print_fill(request.settings, report, is_switched=switched is not None)
        if switched is not None:
            print_switch(request.settings, switched, "switched")
    if report.stopped and not options["follow"]:
        raise typer.Exit(session.exit_code or 0)
    raise typer.Exit(EXIT_QUARANTINE if report.given_up or report.overtaken else 0)


def status(**given: Any) -> None:
    """Tell how far it is: which models, how many records are due, how many could not be embedded."""
    request = _request(given)
    from vecdb.cli.reembed_output import print_status  # noqa: PLC0415 - see _request
    from vecdb.ingest.reembedding import commands  # noqa: PLC0415 - see _request

    report = commands.status(request.settings)
    if request.as_json:
        print_json(report.to_dict())
    else:
        print_status(request.settings, report)


def failed(**given: Any) -> None:
    """List the records that could not be embedded, and why."""
    request = _request(given)
    from vecdb.cli.reembed_output import print_failures  # noqa: PLC0415 - see _request
    from vecdb.ingest.reembedding import commands  # noqa: PLC0415 - see _request

    found = commands.failed(request.settings)
    if request.as_json:
        print_json({"failures": [{"id": one.id, "reason": one.reason, "message": one.message} for one in found]})
    else:
        print_failures(found)
    raise typer.Exit(EXIT_QUARANTINE if found else 0)


def compare(**given: Any) -> None:
    """Compare what the two models find: by stored records, which costs nothing, or by the queries of a file."""
    request = _request(given)
    from vecdb.cli.reembed_output import print_comparison  # noqa: PLC0415 - see _request
    from vecdb.ingest.reembedding import commands  # noqa: PLC0415 - see _request

    options = {name: request.more[name] for name in ("k", "sample", "seed")}
    report = commands.compare(request.settings, request.more["queries"], **options)
    if request.as_json:
        print_json(asdict(report))
    else:
        print_comparison(request.settings.collection, report)


def switch(**given: Any) -> None:
    """Let searches use the new model, from one commit on, once it is indexed and no record lacks a vector of it."""
    _turn(_request(given), "switch", "switched")


def rollback(**given: Any) -> None:
    """Let searches use the old model again. What was written since the switch is embedded by it first."""
    request = _request(given)
    _turn(request, "rollback", "rolled back", fill_first=not request.more["now"])


def finish(**given: Any) -> None:
    """Drop the old model's vectors after a switch. There is no way back from that but to embed anew."""
    _drop(_request(given), "finish", "the vectors of {model} are dropped; the re-embedding is finished")


def cancel(**given: Any) -> None:
    """Drop the new model's vectors before a switch. They stay in the cache, so that a new start pays nothing."""
    _drop(_request(given), "cancel", "the vectors of {model} are dropped; nothing was switched")


def _turn(request: Request, name: str, done: str, **options: Any) -> None:
    from vecdb.cli.reembed_output import print_switch  # noqa: PLC0415 - see _request
    from vecdb.ingest.reembedding import commands  # noqa: PLC0415 - see _request

    options["allow_missing"] = bool(request.more["allow_missing"])
    with _session(request) as session:
        act = getattr(commands, name)
        try:
            report: SwitchReport = act(request.settings, observer=session.observer, stop=session.stop, **options)
        except ConflictError as error:
            if session.exit_code is None:
                raise
            typer.echo(f"vecdb: {error.message}", err=True)
            raise typer.Exit(session.exit_code) from error
    if request.as_json:
        print_json(report.to_dict())
    else:
        print_switch(request.settings, report, done)
    raise typer.Exit(EXIT_QUARANTINE if report.missing else 0)


def _drop(request: Request, name: str, told: str) -> None:
    from vecdb.cli.output import print_line  # noqa: PLC0415 - see _request
    from vecdb.ingest.reembedding import commands  # noqa: PLC0415 - see _request

    roles: Roles = getattr(commands, name)(request.settings)
    if request.as_json:
        print_json({"collection": roles.collection, "field": roles.name, "dropped": roles.shadow_name})
    else:
        print_line(f"{roles.collection}: " + told.format(model=roles.shadow_model or roles.shadow_name))


def _as_run(report: FillReport) -> RunReport:
    """The report as that of a run of the ingestor, for the log."""
    from vecdb.ingest.pipeline.reports import RunReport  # noqa: PLC0415 - see _request

    return RunReport(
        counts=report.counts,
        failures=len(report.given_up),
        seconds=report.seconds,
        stopped=report.stopped,
        complete=report.level,
    )


def _session(request: Request, total: Callable[[], int | None] = lambda: None) -> Session:
    from vecdb.cli.ingest_session import Session  # noqa: PLC0415 - see _request

    return Session(request.settings, request.show, looks_ahead=False, total=total)


def _request(given: dict[str, Any]) -> Request:
    """What was asked. What works is imported late: other commands are not to wait for it."""
    from vecdb.cli.ingest_session import how_to_show  # noqa: PLC0415 - as said

    as_json, file, shown = given.pop("as_json"), given.pop("config"), given.pop("progress", "none")
    if shown not in SHOWN:
        raise InvalidRequestError(f"--progress is {shown!r:.40}; choose one of {', '.join(SHOWN)}")
    told: dict[str, Any] = {name: given.pop(name) for name in (*PLACED, *EMBEDDING, "collection") if name in given}
    return Request(read_settings(told, os.environ, file), as_json, how_to_show(shown), given)


# --- options ----------------------------------------------------------------------------------------------------------


def _flag(name: str, meaning: str) -> inspect.Parameter:
    option = typer.Option(f"--{name.replace('_', '-')}", help=meaning, show_default=False)
    return keyword(name, Annotated[bool, option], False)


def _number(name: str, default: int, meaning: str) -> inspect.Parameter:
    return keyword(name, Annotated[int, typer.Option(f"--{name}", help=meaning)], default)


MEANINGS: Final = {
    "field": "Vector field that is moved to the new model; needed when the collection has several.",
    "collection": "Name of the collection.",
}
"""What settings mean to these commands, where that is not what they mean to a run of the ingestor."""


SUMMARIES: Final = {
    run: "Embed all texts with the new model, beside the old vectors.",
    status: "Tell how far it is.",
    failed: "List the records that could not be embedded, and why.",
    compare: "Compare what the two models find.",
    switch: "Let searches use the new model.",
    rollback: "Let searches use the old model again.",
    finish: "Drop the old model's vectors after a switch.",
    cancel: "Drop the new model's vectors before a switch.",
}
"""The commands in the order of the help, with a line for each."""


def _declare() -> None:
    give = partial(give_options, meanings=MEANINGS)
    argument = typer.Argument(metavar="COLLECTION", help="Name of the collection.", show_default=False)
    collection = inspect.Parameter(
        "collection", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[str, argument]
    )
    missing = _flag("allow_missing", "Even if records that cannot be embedded will not be found any more.")
    queries = typer.Option(
        "--queries",
        metavar="FILE",
        help="Queries: a text a line; or .jsonl or .csv with query and, for pairs that are known, id.",
        show_default=False,
    )
    model = typer.Option(
        "--model",
        metavar="MODEL",
        help="The new model: builtin, onnx:DIR, openai:NAME …; may be left out when going on.",
        show_default=False,
    )
    text = typer.Option(
        "--text-field",
        metavar="PATH",
        help="Where in the metadata the text is, 'a.b' for a nested key; default: where the ingestor puts it.",
        show_default=False,
    )
    progress = progress_option()
    working = (*PLACED, *(name for name in EMBEDDING if name not in {"model", "text_field"}))
    give(
        run,
        collection,
        working,
        keyword("model", Annotated[str | None, model], None),
        keyword("text_field", Annotated[str | None, text], None),
        _flag("retry_failed", "Try again what could not be embedded before."),
        _flag("follow", "Go on with what is written meanwhile, until Ctrl-C or SIGTERM."),
        _flag("switch", "Switch when all is embedded."),
        progress,
    )
    give(
        compare,
        collection,
        (*PLACED, "model_option", "cache_bytes"),
        keyword("queries", Annotated[Path | None, queries], None),
        _number("k", COMPARE_K_DEFAULT, "Compare the best k hits."),
        _number("sample", COMPARE_QUERIES_DEFAULT, "Stored records that ask, where no queries are given."),
        _number("seed", 0, "Seed of the choice of these records."),
    )
    give(switch, collection, working, missing, progress)
    now = _flag("now", "Without embedding what was written since the switch: it will not be found.")
    give(rollback, collection, working, missing, now, progress)
    for command in (status, failed, finish, cancel):
        give(command, collection, PLACED)
    for command, summary in SUMMARIES.items():
        reembed_app.command(short_help=summary)(command)


_declare()
