"""Reads what users write for a source: a path, folder or glob, `-`, `sqlite:FILE`, `dbapi:MODULE:FUNCTION`, `vecdb:`.

Options follow behind `?` as `name=value` joined by `&`; values are taken as they are written, so that queries need no
escapes. A name that has a colon or such an ending itself is written with `./` or `file:` in front.
Promises: what cannot be a source is an InvalidSourceError or SourceNotFoundError that says what to write. Nothing is
read here.
"""

from __future__ import annotations

import glob
import importlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from vecdb.checks.addresses import parse_address
from vecdb.errors import InvalidSourceError, SourceNotFoundError, VecDBError
from vecdb.ingest.sources.collection import CollectionSource
from vecdb.ingest.sources.config import SHOWN_CHARS_MAX, SPEC_CHARS_MAX
from vecdb.ingest.sources.database import QuerySource, SqliteSource, checked_query
from vecdb.ingest.sources.folder import FileSource, FolderSource, open_file
from vecdb.ingest.sources.formats import STREAMED
from vecdb.ingest.sources.options import NAMES, ReadOptions, read_options
from vecdb.ingest.sources.source import Source

STANDARD_INPUT: Final = "-"
OPTIONS: Final = re.compile(r"\?(?=[a-z][a-z_-]{1,20}=)")
NEXT_OPTION: Final = re.compile(rf"&(?=(?:{'|'.join(NAMES)}|{'|'.join(NAMES).replace('-', '_')})=)")
SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{1,20}):(?!\\)")
SCHEMES: Final = ("file:", "sqlite:", "dbapi:", "vecdb:")


def open_source(spec: str, options: Mapping[str, Any] | None = None) -> Source:
    """The source that `spec` names. `options` hold where the spec itself says nothing else."""
    if not spec or len(spec) > SPEC_CHARS_MAX or "\x00" in spec:
        raise InvalidSourceError(f"a source is {spec!r:.{SHOWN_CHARS_MAX}}; write a path, a glob, - or {SCHEMES}")
    place, given = _split(spec)
    read = ReadOptions(**{**read_options(options or {}, "the configuration"), **given})
    if place == STANDARD_INPUT:
        return _standard_input(read)
    try:
        return _placed(place, read)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        if isinstance(error, VecDBError):
            raise
        reason = error.strerror or type(error).__name__
        raise InvalidSourceError(f"{place!r:.{SHOWN_CHARS_MAX}} cannot be looked up: {reason}") from None


def _placed(place: str, options: ReadOptions) -> Source:
    """The source at a place that is not standard input."""
    scheme = SCHEME.match(place)
    name = options.name_of(place)
    if scheme is None or Path(place).exists():
        return _path_source(name, place, options)
    rest = place[scheme.end() :]
    opener = _OPENERS.get(scheme[1])
    if opener is None:
        raise InvalidSourceError(_unknown_scheme(place, scheme[1]))
    if not rest:
        raise InvalidSourceError(f"{place!r} names nothing behind {scheme[0]!r}")
    return opener(name, rest, options)


def _split(spec: str) -> tuple[str, dict[str, Any]]:
    """The place and the options of a spec."""
    found = OPTIONS.search(spec)
    if found is None:
        return spec, {}
    pairs = [pair.partition("=") for pair in NEXT_OPTION.split(spec[found.end() :])]
    return spec[: found.start()], read_options({name: value for name, _, value in pairs}, repr(spec[:SHOWN_CHARS_MAX]))


def _standard_input(options: ReadOptions) -> Source:
    kind = options.format or "jsonl"
    if kind not in STREAMED:
        raise InvalidSourceError(f"standard input cannot be {kind}; it is one of {', '.join(STREAMED)}")
    return FileSource(options.name_of(STANDARD_INPUT), None, kind, options)


def _path_source(name: str, text: str, options: ReadOptions) -> Source:
    path = _at_home(text)
    if path.is_dir():
        return FolderSource(name, path, options)
    if path.exists():
        return open_file(name, path, options)
    if glob.has_magic(text):
        if not any(True for _ in glob.iglob(str(path), recursive=True)):  # noqa: PTH207 - as in folder
            raise SourceNotFoundError(f"nothing matches {text!r}; a shell needs quotes around it, ** is any folder")
        root = _fixed_part(path)
        return FolderSource(name, root, options, path.relative_to(root).parts)
    raise SourceNotFoundError(f"there is no file or folder {text!r}")


def _at_home(text: str) -> Path:
    """The path with `~` replaced, if there is such a home."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib's raises for users that there are not


def _fixed_part(path: Path) -> Path:
    """The folders of a pattern before its first wildcard."""
    fixed = Path()
    for piece in path.parts[:-1]:
        if glob.has_magic(piece):
            break
        fixed /= piece
    return fixed


def _file_url(name: str, rest: str, options: ReadOptions) -> Source:
    return _path_source(name, rest.removeprefix("//"), options)


def _sqlite(name: str, rest: str, options: ReadOptions) -> Source:
    checked_query(options, name)
    path = _at_home(rest.removeprefix("//") if rest.startswith("///") else rest)
    if not path.is_file():
        raise SourceNotFoundError(f"there is no file {str(path)!r}")
    return SqliteSource(name, path, options)


def _dbapi(name: str, rest: str, options: ReadOptions) -> Source:
    module, colon, function = rest.partition(":")
    if not colon or not function.isidentifier() or not all(map(str.isidentifier, module.split("."))):
        raise InvalidSourceError(f"{name!r} names no function; write dbapi:MODULE:FUNCTION, which gives a connection")
    try:
        connect = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidSourceError(f"{name!r} cannot be found: {error}") from error
    return QuerySource(name, connect, options)


def _vecdb(name: str, rest: str, options: ReadOptions) -> Source:
    rest = rest.removeprefix("//")
    if not Path(rest).is_dir():
        parse_address(rest, f"{name!r}, which is no directory,", InvalidSourceError)
    return CollectionSource(name, rest, options)


def _unknown_scheme(place: str, scheme: str) -> str:
    if scheme in {"http", "https", "ftp", "s3", "gs"}:
        return f"{place!r:.200} would have to be fetched; fetch it first, or pipe it: curl … | vecdb ingest run - …"
    if scheme in {"postgres", "postgresql", "mysql", "mariadb", "oracle", "mssql"}:
        return f"{scheme} is read by a function that connects: dbapi:MODULE:FUNCTION?query=SELECT …"
    return f"{place!r:.200} begins with {scheme!r}, which is none of {', '.join(SCHEMES)}; a file is ./{place:.100}"


_OPENERS: Final[dict[str, Callable[[str, str, ReadOptions], Source]]] = {
    "file": _file_url, "sqlite": _sqlite, "dbapi": _dbapi, "vecdb": _vecdb,
}  # fmt: skip
