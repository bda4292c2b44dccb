"""Puts the commands together and turns every outcome into an exit code.

Exit codes: 0 done; 1 something was not found, or `verify` found problems; 2 the request is wrong; 3 the storage failed;
5 a server or a provider of embeddings cannot be reached, or refuses. `ingest` has more, see there.
Promises: an error of vecdb is one line on stderr (with `--json`: a document on stdout), never a traceback.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterable
from typing import Annotated, Final

import typer

import vecdb
from vecdb.cli.output import print_json, print_line, printable
from vecdb.errors import (
    AlreadyExistsError,
    ConflictError,
    DeadlineExceededError,
    EmbeddingError,
    InternalError,
    InvalidRequestError,
    MissingExtraError,
    NotConfiguredError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ReadOnlyError,
    UnauthenticatedError,
    UnavailableError,
    VecDBError,
)

EXIT_NOT_FOUND = 1
EXIT_REQUEST = 2
EXIT_STORAGE = 3
EXIT_PROVIDER = 5
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_PIPE = 128 + signal.SIGPIPE

WRONG_REQUESTS = (
    InvalidRequestError,
    AlreadyExistsError,
    ConflictError,
    ReadOnlyError,
    MissingExtraError,
    NotConfiguredError,
    PermissionDeniedError,
    UnauthenticatedError,
)
FAILED_SERVICES = (DeadlineExceededError, EmbeddingError, InternalError, OverloadedError, UnavailableError)

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The base of typer's usage errors, of which typer exports only this subclass."""

COMMANDS: Final = {
    "info": ("inspect", "Show what a database holds, and how large it is."),
    "get": ("inspect", "Print records by id."),
    "count": ("inspect", "Count records, all or those that match a filter."),
    "search": ("query", "Find the records nearest to a text, a record or a vector."),
    "recall": ("query", "Measure the recall of searches against exact ones."),
    "export": ("export", "Write records to JSON Lines or Parquet."),
    "verify": ("upkeep", "Read everything and check it."),
    "optimize": ("upkeep", "Index everything and give back the room of what was deleted."),
    "backup": ("upkeep", "Copy a database while it is read and written."),
    "calibrate": ("upkeep", "Measure target_recall with queries of your own, and keep them."),
    "serve": ("serve", "Serve a database over gRPC."),
    "ingest": ("ingest", "Read documents, embed them, keep a collection true to them."),
    "reembed": ("reembed", "Move a collection to another embedding model, and back."),
    "keys": ("keys", "Look after the API keys of a server."),
}
"""The modules of the commands and a line for each, in the order of the help."""

GROUPS: Final = frozenset({"ingest", "reembed", "keys"})
"""Commands that have commands of their own."""


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run one command line and return its exit code. Without words, the help."""
    as_json = "--json" in words
    try:
        code = _ran(words)
        sys.stdout.flush()
    except VecDBError as error:
        _report(error.message, error.reason, error.details, as_json=as_json)
        return _exit_code(error)
    except USAGE_ERROR as error:
        _report(_usage_message(error), "USAGE", {}, as_json=as_json)
        return EXIT_REQUEST
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _without_reader()
    except OSError as error:  # of the output, or of a file that was named: the disk is full, it may not be read
        place = "" if error.filename is None else f": {error.filename}"
        if not place:
            _without_reader()
        _report(f"{error.strerror or error}{place}", "STORAGE", {}, as_json=as_json and bool(place))
        return EXIT_STORAGE
    except SystemExit as error:
        # what typer makes of a broken pipe that a command runs into, as it does when output is not buffered
        if isinstance(error.__context__, BrokenPipeError):
            return _without_reader()
        raise
    return code if isinstance(code, int) else 0


def _ran(words: list[str]) -> object:
    """Run the command; what it returns or exits with."""
    if words[:2] == ["ingest", "run"]:
        from vecdb.cli import ingest, plain_words  # noqa: PLC0415 - commands are loaded when they are asked for

        given = plain_words.read(words[2:], ingest.WATCH_ONLY)
        if given is not None:
            try:
                ingest.run(**given)
            except typer.Exit as ended:
                return ended.exit_code
            return 0
    if not words or (len(words) == 1 and words[0] in GROUPS):
        words = [*words, "--help"]
    app = app_of(_needed(words))
    return typer.main.get_command(app).main(args=words, prog_name="vecdb", standalone_mode=False)


def _needed(words: list[str]) -> Iterable[str]:
    """The commands that have to be loaded for a command line."""
    if words == ["--version"]:
        return ()
    return words[:1] if words[0] in COMMANDS else COMMANDS


def app_of(names: Iterable[str]) -> typer.Typer:
    """The command line with these commands; what others need is not loaded."""
    app = typer.Typer(
        name="vecdb",
        help="Inspect, search, look after and serve vecdb databases.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name in names:
        home, summary = COMMANDS[name]
        module = importlib.import_module(f"vecdb.cli.{home}")
        if name in GROUPS:
            app.add_typer(getattr(module, f"{name}_app"), short_help=summary)
        else:
            app.command(short_help=summary)(getattr(module, name))
    return app


def _without_reader() -> int:
    """The reader of the output is gone; a closed stdout would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE


def print_version(asked: bool) -> None:
    """Print the version and exit, when asked."""
    if asked:
        print_line(f"vecdb {vecdb.__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Inspect, search, look after and serve vecdb databases."""


def _exit_code(error: VecDBError) -> int:
    if isinstance(error, NotFoundError):
        return EXIT_NOT_FOUND
    if isinstance(error, WRONG_REQUESTS):
        return EXIT_REQUEST
    if isinstance(error, FAILED_SERVICES):
        return EXIT_PROVIDER
    return EXIT_STORAGE


def _usage_message(error: Exception) -> str:
    describe = getattr(error, "format_message", None)
    return str(describe() if describe else error)


def _report(message: str, reason: str, details: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"reason": reason, "message": message, "details": details}})
    else:
        sys.stderr.write(f"vecdb: {printable(message)}\n")
