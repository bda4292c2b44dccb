"""Says where things are: the destination, the sources, and the directory that an ingestor remembers its pipelines in.

A pipeline is a destination, a collection, a field of it and a set of sources. Each has a journal of its own, in
`ROOT/pipelines/COLLECTION-HASH`; all share the embeddings in `ROOT/cache`. ROOT is `--state`, else
`$XDG_STATE_HOME/vecdb/ingest`, else `~/.local/state/vecdb/ingest`.
Promises: the same pipeline has the same directory from whatever directory it is started, and however a path is spelled.
Concurrency: values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from vecdb.checks.addresses import UNIX, Address, parse_address
from vecdb.errors import InvalidConfigError
from vecdb.ingest.operation.config import STATE_NAME_CHARS

PATH_SCHEMES: Final = frozenset({"file", "sqlite", "vecdb"})
"""Schemes behind which a path stands; what stands behind `vecdb:` may be an address instead."""

PIPELINE_HASH_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Destination:
    """Where records go: exactly one of a directory and an address."""

    directory: Path | None = None
    address: Address | None = None

    def __str__(self) -> str:
        return str(self.directory or self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One pipeline and where it is remembered."""

    root: Path
    destination: str
    collection: str
    field: str
    sources: tuple[str, ...]

    @property
    def directory(self) -> Path:
        """Where the journal lies."""
        digest = blake2b(digest_size=PIPELINE_HASH_BYTES, person=b"vecdb pipeline")
        for word in (self.destination, self.collection, self.field, *sorted(set(self.sources))):
            encoded = word.encode("utf-8", "surrogateescape")
            digest.update(b"%d:" % len(encoded) + encoded)
        shown = "".join(char if char.isalnum() or char in "-_" else "_" for char in self.collection)
        return self.root / "pipelines" / f"{shown[:STATE_NAME_CHARS]}-{digest.hexdigest()}"

    @property
    def cache(self) -> Path:
        """Where the embeddings of all pipelines lie."""
        return self.root / "cache"


def read_destination(text: str, origin: str = "to") -> Destination:
    """What `--to` means: `unix:/PATH` and HOST:PORT are servers, anything else, or what exists, is a directory."""
    if text.startswith(UNIX):
        return Destination(address=parse_address(text, origin))
    path = Path(text).expanduser()
    name, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit() and "/" not in name and not path.exists():
        address = parse_address(text, origin)
        if address.port == 0:
            raise InvalidConfigError(f"{origin} is {text!r:.200}: port 0 is no port to connect to")
        return Destination(address=address)
    if "://" in text:
        raise InvalidConfigError(f"{origin} is {text!r:.200}: write HOST:PORT, unix:/PATH or the path of a directory")
    if text == ":memory:":
        raise InvalidConfigError(f"{origin} is ':memory:', which ends with its process; write the path of a directory")
    if path.is_file():
        raise InvalidConfigError(
            f"{origin} is {text!r:.200}, which is a file; write the directory of a database or HOST:PORT"
        )
    return Destination(directory=Path(os.path.realpath(path)))


def state_root(given: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The directory that pipelines are remembered in."""
    if given is not None:
        return Path(os.path.realpath(Path(given).expanduser()))
    home = environment.get("XDG_STATE_HOME", "")
    # a relative one is to be ignored, says the specification of these variables
    base = Path(home) if home.startswith("/") else Path("~/.local/state").expanduser()
    return Path(os.path.realpath(base)) / "vecdb" / "ingest"


def absolute_source(spec: str) -> str:
    """The source with its path made absolute; what has no path stays as it is."""
    from vecdb.ingest.sources.spec import OPTIONS, SCHEME, STANDARD_INPUT  # noqa: PLC0415 - brings all readers with it

    found = OPTIONS.search(spec)
    place, options = (spec, "") if found is None else (spec[: found.start()], spec[found.start() :])
    if not place or place == STANDARD_INPUT or "\0" in place:
        return spec
    scheme = SCHEME.match(place)
    if scheme is None or Path(place).exists():
        return _absolute(place) + options
    rest = place[scheme.end() :]
    if scheme[1] not in PATH_SCHEMES or not rest or (scheme[1] == "vecdb" and not Path(rest).is_dir()):
        return spec
    return f"{scheme[0]}{_absolute(rest.removeprefix('//'))}{options}"


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - links stay; unknown homes do not raise
