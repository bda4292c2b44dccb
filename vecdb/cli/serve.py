"""The command that serves a database: `vecdb serve`.

Its options are the settings of `vecdb.server.settings`, one for each, so that file, environment and flags cannot
differ.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecdb.cli.output import print_json, print_line
from vecdb.errors import InvalidConfigError
from vecdb.server.grpc_setup import set_grpc_up
from vecdb.server.settings import load_config, settings

if TYPE_CHECKING:
    from dataclasses import Field

    from vecdb.server.running import Listening


def serve(**given: Any) -> None:
    """Serve a database over gRPC until SIGTERM or Ctrl-C.

    Every setting may also be given in the environment (VECDB_MAX_STREAMS=8) or in a TOML file (max_streams = 8); flags
    win over the environment, and that over the file.
    """
    as_json, file = given.pop("as_json"), given.pop("config")
    flags = {name: value for name, value in given.items() if value not in (None, [])}
    config = load_config(flags, os.environ, file)

    try:
        set_grpc_up(os.environ)
        from vecdb.server.running import run_server  # noqa: PLC0415 - grpc and the engine are only needed here
    except ModuleNotFoundError as error:
        raise InvalidConfigError(f"a server needs {error.name}; run: pip install 'vecdb[server]'") from error

    def announce(service: Listening) -> None:
        if as_json:
            print_json({"listen": list(service.addresses), "metrics_port": service.metrics_port, "pid": os.getpid()})
        else:
            print_line(f"vecdb serves {config.data} on {', '.join(service.addresses)}; stop it with Ctrl-C")

    run_server(config, announce)


def _option(name: str, field: Field[Any]) -> inspect.Parameter:
    """The option of one setting: a switch for a bool, else a text that `load_config` reads."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(field.default, bool):
        kind, words = bool, (f"{flag}/--no-{name.replace('_', '-')}",)
    else:
        kind, words = (list[str] if isinstance(field.default, tuple) else str), (flag,)  # type: ignore[assignment]
    metavar = {int: "NUMBER", float: "SECONDS", bool: None}.get(type(field.default), "TEXT")
    meaning = f"{field.metadata['help']}{_default(field)}"
    option = typer.Option(*words, metavar=metavar, help=meaning, show_default=False)
    return _keyword(name, Annotated[kind | None, option], None)


def _default(field: Field[Any]) -> str:
    if not isinstance(field.default, int | float | str | tuple) or isinstance(field.default, bool):
        return ""
    return f" [{', '.join(field.default) if isinstance(field.default, tuple) else field.default}]"


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _give_options() -> None:
    """Declare the options of `serve`, which typer reads from its signature."""
    file = typer.Option("--config", metavar="FILE.toml", help="TOML file with settings.", show_default=False)
    as_json = typer.Option("--json", help="Print where the server listens as one JSON document, errors included.")
    parameters = [
        *(_option(name, field) for name, field in settings().items()),
        _keyword("config", Annotated[Path | None, file], None),
        _keyword("as_json", Annotated[bool, as_json], False),
    ]
    serve.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    serve.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


_give_options()
