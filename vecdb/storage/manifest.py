"""Reads, checks and writes MANIFEST, the small JSON file that makes a directory a vecdb database.

    {"magic": "vecdb", "format_version": 1, "uuid": "...", "map_bytes": ..., "created": "...", "crc32": ...}

`crc32` covers the other members as compact JSON with sorted keys; every format keeps magic, format_version and crc32.

Promises: a directory without a sound MANIFEST is never opened, and never turned into a new database by accident.
Invariants: the file is replaced whole (temporary file, fsync, rename), so it is never half written.
Concurrency: written only by the holder of LOCK; read by anybody.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vecdb.errors import CorruptionError, DatabaseNotFoundError, FormatVersionError, NotADatabaseError, StorageError
from vecdb.storage.layout import DATABASE, Layout
from vecdb.storage.lock import LOCK_NAME

__all__ = [
    "INSIDE_PREFIX",
    "MANIFEST_NAME",
    "Manifest",
    "new_manifest",
    "read_manifest",
    "sync_directory",
    "write_manifest",
]

MANIFEST_NAME = "MANIFEST"
INSIDE_PREFIX = ".creating-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What identifies a database: `map_bytes` is the largest map a writer reserved, so readers reserve as much."""

    uuid: uuid.UUID
    format_version: int
    map_bytes: int
    created: str

    def with_map_bytes(self, map_bytes: int) -> Manifest:
        """The same database with another map size."""
        return replace(self, map_bytes=map_bytes)


def new_manifest(map_bytes: int, layout: Layout = DATABASE) -> Manifest:
    """Manifest of a directory created now."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(uuid.uuid4(), layout.format_version, map_bytes, created)


def write_manifest(directory: Path, manifest: Manifest, layout: Layout = DATABASE) -> None:
    """Write MANIFEST so that a crash leaves the old or the new one."""
    body: dict[str, Any] = {
        "magic": layout.magic,
        "format_version": manifest.format_version,
        "uuid": str(manifest.uuid),
        "map_bytes": manifest.map_bytes,
        "created": manifest.created,
    }
    body["crc32"] = _checksum(body)
    temporary = directory / f"{MANIFEST_NAME}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(json.dumps(body, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / MANIFEST_NAME)
    sync_directory(directory)


def read_manifest(directory: Path, layout: Layout = DATABASE) -> Manifest:
    """Read and check MANIFEST of a directory that should be such as `layout` says.

    DatabaseNotFoundError: nothing is there. NotADatabaseError: something else is. FormatVersionError: a newer vecdb
    wrote it. CorruptionError: it is damaged.
    """
    path = directory / MANIFEST_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        problem = _no_manifest(directory, layout)
        if path.exists():
            # Somebody's creation was completed between the two looks.
            return read_manifest(directory, layout)
        raise problem from None
    except NotADirectoryError:
        raise NotADatabaseError(
            f"{directory} is a file, not the directory of a {layout.noun}", path=str(directory)
        ) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", path=str(path)) from None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise _damaged(path, layout) from None
    if not isinstance(body, dict):
        raise _damaged(path, layout)
    if body.get("magic") != layout.magic:
        raise _not_ours(path, body.get("magic"), layout)
    checksum = body.pop("crc32", None)
    if checksum != _checksum(body):
        raise _damaged(path, layout)
    version = body.get("format_version")
    if isinstance(version, int) and version > layout.format_version:
        raise FormatVersionError(
            f"{directory} is in format {version}; this vecdb reads up to {layout.format_version}: install a newer one",
            path=str(directory),
            format_version=version,
        )
    if isinstance(version, int) and 0 < version < layout.format_version:
        raise FormatVersionError(
            f"{directory} is in format {version}, of a vecdb before its first release, which this one no longer reads; "
            "write its records anew, or install the version that wrote it",
            path=str(directory),
            format_version=version,
        )
    return _parse(path, body, layout)


def _parse(path: Path, body: dict[str, Any], layout: Layout) -> Manifest:
    try:
        manifest = Manifest(
            uuid.UUID(body["uuid"]), int(body["format_version"]), int(body["map_bytes"]), str(body["created"])
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged(path, layout) from None
    if manifest.format_version < 1 or manifest.map_bytes < 1:
        raise _damaged(path, layout)
    return manifest


def _no_manifest(directory: Path, layout: Layout) -> DatabaseNotFoundError | NotADatabaseError:
    if not directory.exists() or (directory.is_dir() and not any(map(_is_foreign, directory.iterdir()))):
        return DatabaseNotFoundError(f"there is no {layout.noun} at {directory}", path=str(directory))
    return NotADatabaseError(
        f"{directory} exists but is no {_by_vecdb(layout)} (it has no MANIFEST); choose another directory, "
        f"or {'restore a backup' if layout is DATABASE else 'remove it'} if it used to be one",
        path=str(directory),
    )


def _is_foreign(path: Path) -> bool:
    """False for what a creation inside an empty directory leaves when it dies."""
    return path.name != LOCK_NAME and not path.name.startswith(INSIDE_PREFIX)


def _by_vecdb(layout: Layout) -> str:
    return f"vecdb {layout.noun}" if layout is DATABASE else layout.noun


def _not_ours(path: Path, magic: object, layout: Layout) -> NotADatabaseError:
    if isinstance(magic, str) and magic.startswith(DATABASE.magic):
        problem = f"{path.parent} is of another kind ({magic}) and no {layout.noun}; choose another directory"
    else:
        problem = f"{path} was not written by vecdb; choose another directory"
    return NotADatabaseError(problem, path=str(path))


def _damaged(path: Path, layout: Layout) -> CorruptionError:
    return CorruptionError(f"{path} is damaged; {layout.remedy}", path=str(path))


def _checksum(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


def sync_directory(directory: Path) -> None:
    """Fsync a directory, so that the names in it survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
