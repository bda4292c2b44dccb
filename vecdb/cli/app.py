"""Puts the commands together and turns every outcome into an exit code.

Exit codes: 0 done; 1 something was not found, or `verify` found problems; 2 the request is wrong; 3 the storage failed;
5 a server or a provider of embeddings cannot be reached, or refuses. `ingest` has more, see there.
Promises: an error of vecdb is one line on stderr (with `--json`: a document on stdout), never a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

import vecdb
from vecdb.cli import inspect, query, serve, upkeep
from vecdb.cli.ingest import ingest_app
from vecdb.cli.keys import keys_app
from vecdb.cli.output import print_json, print_line, printable
from vecdb.cli.reembed import reembed_app
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

app = typer.Typer(
    name="vecdb",
    help="Inspect, search, look after and serve vecdb databases.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    inspect.info,
    inspect.get,
    inspect.count,
    query.search,
    query.recall,
    upkeep.verify,
    upkeep.optimize,
    upkeep.backup,
    serve.serve,
):
    app.command()(command)
app.add_typer(ingest_app)
app.add_typer(reembed_app)
app.add_typer(keys_app)


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run one command line and return its exit code. Without words, the help."""
    as_json = "--json" in words
    try:
        code = typer.main.get_command(app).main(args=words or ["--help"], prog_name="vecdb", standalone_mode=False)
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
    except SystemExit as error:
        # what typer makes of a broken pipe that a command runs into, as it does when output is not buffered
        if isinstance(error.__context__, BrokenPipeError):
            return _without_reader()
        raise
    return code if isinstance(code, int) else 0


def _without_reader() -> int:
    """The reader of the output is gone; a closed stdout would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE


def print_version(asked: bool) -> None:
    """Print the version and exit, when asked."""
    if asked:
        print_line(f"vecdb {vecdb.__version__}")
        raise typer.Exit


@app.callback()
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
