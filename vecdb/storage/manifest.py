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

from vecdb.config import FORMAT_VERSION
from vecdb.errors import CorruptionError, DatabaseNotFoundError, FormatVersionError, NotADatabaseError, StorageError
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
_MAGIC = "vecdb"


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


def new_manifest(map_bytes: int) -> Manifest:
    """Manifest of a database created now."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(uuid.uuid4(), FORMAT_VERSION, map_bytes, created)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write MANIFEST so that a crash leaves the old or the new one."""
    body: dict[str, Any] = {
        "magic": _MAGIC,
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


def read_manifest(directory: Path) -> Manifest:
    """Read and check MANIFEST.

    DatabaseNotFoundError: nothing is there. NotADatabaseError: something else is. FormatVersionError: a newer vecdb
    wrote it. CorruptionError: it is damaged.
    """
    path = directory / MANIFEST_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        problem = _no_manifest(directory)
        if path.exists():
            # Somebody's creation was completed between the two looks.
            return read_manifest(directory)
        raise problem from None
    except NotADirectoryError:
        raise NotADatabaseError(f"{directory} is a file, not a database directory", path=str(directory)) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", path=str(path)) from None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(body, dict):
        raise _damaged(path)
    if body.get("magic") != _MAGIC:
        raise NotADatabaseError(f"{path} was not written by vecdb; choose another directory", path=str(path))
    checksum = body.pop("crc32", None)
    if checksum != _checksum(body):
        raise _damaged(path)
    version = body.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise FormatVersionError(
            f"{directory} is in format {version}; this vecdb reads up to {FORMAT_VERSION}: install a newer one",
            path=str(directory),
            format_version=version,
        )
    if isinstance(version, int) and 0 < version < FORMAT_VERSION:
        raise FormatVersionError(
            f"{directory} is in format {version}, of a vecdb before its first release, which this one no longer reads; "
            "write its records anew, or install the version that wrote it",
            path=str(directory),
            format_version=version,
        )
    return _parse(path, body)


def _parse(path: Path, body: dict[str, Any]) -> Manifest:
    try:
        manifest = Manifest(
            uuid.UUID(body["uuid"]), int(body["format_version"]), int(body["map_bytes"]), str(body["created"])
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged(path) from None
    if manifest.format_version < 1 or manifest.map_bytes < 1:
        raise _damaged(path)
    return manifest


def _no_manifest(directory: Path) -> DatabaseNotFoundError | NotADatabaseError:
    if not directory.exists() or (directory.is_dir() and not any(map(_is_foreign, directory.iterdir()))):
        return DatabaseNotFoundError(f"there is no database at {directory}", path=str(directory))
    return NotADatabaseError(
        f"{directory} exists but is no vecdb database (it has no MANIFEST); choose another directory, "
        "or restore a backup if it used to be one",
        path=str(directory),
    )


def _is_foreign(path: Path) -> bool:
    """False for what a creation inside an empty directory leaves when it dies."""
    return path.name != LOCK_NAME and not path.name.startswith(INSIDE_PREFIX)


def _damaged(path: Path) -> CorruptionError:
    return CorruptionError(f"{path} is damaged; restore a backup of the database", path=str(path))


def _checksum(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


def sync_directory(directory: Path) -> None:
    """Fsync a directory, so that the names in it survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
