"""Makes the options of commands from the settings of the ingestor, so that file, environment, flags and Python agree.

Concurrency: pure functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from vecdb.ingest.operation.settings import flag_of, settings

METAVARS: Final = {"bool": None, "int": "NUMBER", "float": "SECONDS", "Mapping": "NAME=VALUE"}
"""What stands for the value of an option, by the type of its setting."""

SHOWN: Final = ("auto", "bar", "json", "none")
WHERE_SETTINGS_ARE: Final = """Every option may also be given in the environment (VECDB_INGEST_CHUNK_TOKENS=128) or in a
TOML file (chunk_tokens = 128); flags win over the environment, and that over the file."""


def option_of(name: str, entry: Field[Any], meaning: str) -> inspect.Parameter:
    """The option of one setting: a switch for a bool, else a text that `load_settings` reads."""
    flag = flag_of(name)
    repeated = "tuple" in str(entry.type) or "Mapping" in str(entry.type)
    if isinstance(entry.default, bool):
        kind, words = bool, (f"{flag}/--no-{name.replace('_', '-')}",)
    else:
        kind, words = (list[str] if repeated else str), (flag,)  # type: ignore[assignment]
    metavar = next((shown for word, shown in METAVARS.items() if word in str(entry.type)), "TEXT")
    shown = isinstance(entry.default, int | float | str) and not isinstance(entry.default, bool) and entry.default != ""
    meaning = f"{meaning}{f' [{entry.default}]' if shown else ''}"
    option = typer.Option(*words, metavar=metavar, help=meaning, show_default=False)
    return keyword(name, Annotated[kind | None, option], None)


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A parameter that typer makes an option of."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def progress_option() -> inspect.Parameter:
    """How progress is shown."""
    shown = typer.Option(
        "--progress", metavar="|".join(SHOWN), help="On stderr; auto: a bar on terminals, else JSON lines."
    )
    return keyword("progress", Annotated[str, shown], "auto")


def give_options(
    command: Callable[..., None],
    argument: inspect.Parameter,
    names: Sequence[str],
    *more: inspect.Parameter,
    meanings: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Declare what a command takes, which typer reads from its signature: an argument, settings by name, and more.

    `meanings`: what settings mean to this command, where that is not what they mean to a run.
    """
    known = settings()
    file = typer.Option("--config", metavar="FILE.toml", help="TOML file with settings.", show_default=False)
    as_json = typer.Option("--json", help="Print the result as one JSON document, errors included.")
    parameters = [
        argument,
        *(option_of(name, known[name], meanings.get(name, known[name].metadata["help"])) for name in names),
        *more,
        keyword("config", Annotated[Path | None, file], None),
        keyword("as_json", Annotated[bool, as_json], False),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
