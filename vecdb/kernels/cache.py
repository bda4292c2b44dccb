"""Keeps the object code of kernels on disk: one file per kernel, in a private directory.

A file is `magic "VDBK" | crc32 u32 | arity u32 | object code`, little-endian, the checksum over the
kernel's name and what follows.
Promises: what is not as it was written is never returned, let alone run; a file appears whole or not at all; an
unwritable home costs a compilation, not an error.
Invariants: the directory is 0700 and ours, and its name is a digest of all that the machine code depends on.
Concurrency: reading needs no lock; `compiling` admits one process at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "VECDB_CACHE_DIR"
SUFFIX: Final = ".kernel"
MAGIC: Final = b"VDBK"
HEAD: Final = struct.Struct("<4sI")
ARITY: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """A compiled kernel: relocatable object code and the number of int64 arguments its function takes."""

    arity: int
    code: bytes


def cache_directory(key: str) -> Path:
    """Return the directory for this key, made if need be; a new temporary one where no private one can be had."""
    named = os.environ.get(CACHE_VARIABLE)
    places = [Path(named)] if named else []
    cache_home = os.environ.get("XDG_CACHE_HOME")
    places.append((Path(cache_home) if cache_home else Path("~/.cache").expanduser()) / "vecdb")
    for place in places:
        directory = place / f"kernels-{key}"
        if _is_private(directory):
            return directory
    import tempfile  # noqa: PLC0415 - hardly ever needed

    return Path(tempfile.mkdtemp(prefix="vecdb-kernels-"))


def _is_private(directory: Path) -> bool:
    """Create `directory` if need be; False unless it is ours, closed to others and writable."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = directory.stat()
        if facts.st_uid != os.getuid():
            return False
        if facts.st_mode & 0o077:
            directory.chmod(0o700)
        return os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        return False


def read_object(directory: Path, name: str) -> ObjectCode | None:
    """Return a kernel as it was written, None when it is missing or damaged."""
    try:
        content = (directory / f"{name}{SUFFIX}").read_bytes()
    except OSError:
        return None
    if len(content) < HEAD.size + ARITY.size:
        return None
    magic, checksum = HEAD.unpack_from(content)
    if magic != MAGIC or zlib.crc32(memoryview(content)[HEAD.size :], zlib.crc32(name.encode())) != checksum:
        return None
    (arity,) = ARITY.unpack_from(content, HEAD.size)
    return ObjectCode(arity, content[HEAD.size + ARITY.size :])


def write_object(directory: Path, name: str, kernel: ObjectCode) -> None:
    """Store a kernel. A full disk costs the saving only."""
    payload = ARITY.pack(kernel.arity) + kernel.code
    partial = directory / f"{name}{SUFFIX}.partial"
    with contextlib.suppress(OSError):
        partial.touch(mode=0o600)
        partial.write_bytes(HEAD.pack(MAGIC, zlib.crc32(payload, zlib.crc32(name.encode()))) + payload)
        partial.replace(directory / f"{name}{SUFFIX}")


@contextmanager
def compiling(directory: Path) -> Iterator[None]:
    """Hold the right to compile into the directory: processes that start together share one compilation."""
    handle = os.open(directory / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
