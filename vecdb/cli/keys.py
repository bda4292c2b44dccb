"""Commands that look after the file of API keys: `vecdb keys create|list|revoke|rotate`.

Promises: the text of a key is printed once, when it is made; the file has only its hash. Servers see a change at the
next call, without a restart.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from vecdb.cli.options import AsJson
from vecdb.cli.output import print_json, print_line, print_tables, table
from vecdb.config import KEY_ROTATION_GRACE_S, SECONDS_PER_UNIT
from vecdb.errors import InvalidRequestError, KeyNotFoundError
from vecdb.server.keyfile import Key, change_keys, make_key, read_keys, spell_time
from vecdb.server.principals import EVERYTHING, SCOPES, Scope

keys_app = typer.Typer(name="keys", help="Look after the API keys of a server.", rich_markup_mode=None)

KeyFile: TypeAlias = Annotated[
    Path, typer.Option("--keys", envvar="VECDB_KEYS", metavar="FILE", help="The file of keys.", show_default=False)
]
KeyId: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="ID", help="Id of the key (see list), or its name if no other has it.", show_default=False),
]
Duration: TypeAlias = str


@keys_app.command()
def create(
    keys: KeyFile,
    *,
    name: Annotated[str, typer.Option("--name", help="What the key is for.", show_default=False)],
    scope: Annotated[str, typer.Option("--scope", help="read, write or admin.")] = "read",
    collection: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            help="Only on this collection; may be given several times.",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="Lifetime such as 12h or 90d; default: none.", show_default=False)
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option("--certificate", help="Name in a client certificate that stands for it.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It cannot be shown again."""
    if scope not in SCOPES:
        raise InvalidRequestError(f"--scope is {scope!r:.40}; choose one of {', '.join(SCOPES)}")
    grants: dict[str, Scope] = dict.fromkeys(collection or [EVERYTHING], scope)
    until = None if expires is None else datetime.now(UTC) + read_duration(expires, "--expires")
    key, spoken = make_key(name, grants, expires=until, certificate=certificate)
    change_keys(str(keys), lambda held: [*held, key])
    _show(key, spoken, as_json=as_json)


@keys_app.command(name="list")
def list_keys(keys: KeyFile, *, as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    held = _read(keys)
    if as_json:
        print_json({"keys": [_describe(key) for key in held]})
        return
    columns = ("id", "name", "grants", "created", "expires", "certificate")
    rows = [
        (key.id, key.name, _spell_grants(key), key.created, key.expires or "never", key.certificate or "")
        for key in held
    ]
    print_tables(table(str(keys), columns, rows))


@keys_app.command()
def revoke(key_id: KeyId, keys: KeyFile, *, as_json: AsJson = False) -> None:
    """Remove a key; calls with it are refused from now on."""
    gone: list[str] = []

    def change(held: list[Key]) -> list[Key]:
        gone[:] = [_find(held, key_id).id]
        return [key for key in held if key.id != gone[0]]

    change_keys(str(keys), change)
    if as_json:
        print_json({"revoked": gone[0]})
    else:
        print_line(f"revoked {gone[0]}")


@keys_app.command(short_help="Make a new key in place of one that then expires.")
def rotate(
    key_id: KeyId,
    keys: KeyFile,
    *,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old key stays valid, such as 0s, 12h or 7d.")
    ] = f"{KEY_ROTATION_GRACE_S / SECONDS_PER_UNIT['h']:.0f}h",
    as_json: AsJson = False,
) -> None:
    """Make a new key with the name and grants of an old one, which then expires."""
    ends = datetime.now(UTC) + read_duration(grace, "--grace")
    made: list[tuple[Key, str]] = []

    def change(held: list[Key]) -> list[Key]:
        old = _find(held, key_id)
        made[:] = [make_key(old.name, old.grants, certificate=old.certificate)]
        until = ends if old.expires is None else min(ends, datetime.fromisoformat(old.expires))
        ended = replace(old, expires=spell_time(until), certificate=None)
        return [ended if key.id == old.id else key for key in held] + [made[0][0]]

    change_keys(str(keys), change)
    _show(*made[0], as_json=as_json)


def read_duration(text: str, origin: str) -> timedelta:
    """A length of time spelled as 30s, 10m, 12h or 90d."""
    spelled = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if spelled is None:
        raise InvalidRequestError(f"{origin} is {text!r:.40}; write a number and s, m, h or d, for example 90d")
    return timedelta(seconds=int(spelled[1]) * SECONDS_PER_UNIT[spelled[2]])


def _read(path: Path) -> list[Key]:
    try:
        return read_keys(str(path))
    except OSError as error:
        raise KeyNotFoundError(f"cannot read the key file {str(path)!r}: {error.strerror}") from error


def _find(held: list[Key], key_id: str) -> Key:
    found = [key for key in held if key.id == key_id] or [key for key in held if key.name == key_id]
    if not found:
        raise KeyNotFoundError(f"no key {key_id!r:.40}; see: vecdb keys list")
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise InvalidRequestError(f"{len(found)} keys are called {key_id!r:.40}; say which by its id: {ids}")
    return found[0]


def _show(key: Key, spoken: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"key": spoken, **_describe(key)})
    else:
        print_line(spoken)


def _describe(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "grants": key.grants,
        "created": key.created,
        "expires": key.expires,
        "certificate": key.certificate,
    }


def _spell_grants(key: Key) -> str:
    return ", ".join(f"{scope} {'everything' if name == EVERYTHING else name}" for name, scope in key.grants.items())
