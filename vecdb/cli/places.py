"""Opens what a command names: the directory of a database, for reading, or a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import vecdb
from vecdb.errors import InvalidRequestError
from vecdb.ingest.operation.places import read_destination
from vecdb.ingest.operation.settings import API_KEY_VARIABLE

if TYPE_CHECKING:
    from vecdb import Collection, Database, RemoteCollection, RemoteDatabase

    AnyDatabase: TypeAlias = Database | RemoteDatabase
    AnyCollection: TypeAlias = Collection | RemoteCollection

Place: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="DIR|HOST:PORT", help="Directory of a database, or address of a server.", show_default=False
    ),
]
ApiKeyEnv: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        metavar="NAME",
        help=f"Variable with the server's API key; {API_KEY_VARIABLE} if set.",
        show_default=False,
    ),
]
Tls: TypeAlias = Annotated[
    str | None,
    typer.Option("--tls", help="CA file that signed the server's certificate, or true.", show_default=False),
]


def open_place(
    place: str, *, api_key_env: str | None = None, tls: str | None = None, writing: bool = False
) -> AnyDatabase:
    """The database that `place` names: its directory, read beside any writer or held as the only one, or its server."""
    destination = read_destination(place, "the database")
    if destination.directory is not None:
        return vecdb.open(destination.directory, mode="rw" if writing else "r", create=False)
    key = os.environ.get(api_key_env or API_KEY_VARIABLE)
    if api_key_env is not None and key is None:
        raise InvalidRequestError(f"--api-key-env names {api_key_env}, and there is no such variable")
    return vecdb.connect(str(destination.address), api_key=key, tls=True if tls == "true" else tls)
