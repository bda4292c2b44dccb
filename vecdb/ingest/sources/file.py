"""Opens what is read: files, compressed ones among them, and standard input, with limits on size and unpacking.

Promises: a file is never larger in memory than its reader's limit; a compressed one is given up where it unpacks to
more than INFLATED_RATIO_MAX times its size. Damage is an InvalidDocumentError.
Concurrency: a SourceFile is a value; each stream belongs to one reader.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, cast

from vecdb.errors import InvalidDocumentError
from vecdb.ingest.sources.config import (
    CONTENT_HASH_BYTES,
    INFLATED_BYTES_FREE,
    INFLATED_RATIO_MAX,
    SETTLE_NS,
)
from vecdb.ingest.sources.item import Position
from vecdb.ingest.sources.options import ReadOptions

COMPRESSED = ".gz"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source; `path` is None for standard input. `name` is its id, `part` its key in the journal."""

    path: Path | None
    name: str
    part: str
    options: ReadOptions

    def position(self, *, line: int | None = None, page: int | None = None, row: int | None = None) -> Position:
        """A place in this file, by the path that the user gave."""
        return Position("standard input" if self.path is None else str(self.path), line, page, row)

    @property
    def suffix(self) -> str:
        """Its extension in small letters, that of what is compressed."""
        return extension_of(self.path) if self.path else ""

    def digest(self, other: str | None = None) -> str | None:
        """Hash of content and options, at a GB a second; None, unread, where it cannot be `other` by its size."""
        if self.path is None:
            return None
        with open_regular(self.path) as raw:
            head = f"{os.fstat(raw.fileno()).st_size}-{self.options.fingerprint}-"
            if other is not None and not other.startswith(head):
                return None
            content = hashlib.file_digest(cast(io.BufferedReader, raw), lambda: blake2b(digest_size=CONTENT_HASH_BYTES))
            return head + content.hexdigest()

    def fingerprint(self) -> str | None:
        """Changes when the file or the options do; None where that cannot be told without reading."""
        if self.path is None:
            return None
        status = self.path.stat()
        if abs(time.time_ns() - status.st_mtime_ns) < SETTLE_NS:
            return None
        return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}-{self.options.fingerprint}"

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The content as a stream, unpacked."""
        if self.path is None:
            with _standard_input() as stream:
                yield stream
            return
        with open_regular(self.path) as raw:
            if self.path.suffix.lower() == COMPRESSED:
                with io.BufferedReader(cast(io.RawIOBase, _Inflated(raw))) as stream:
                    yield cast(BinaryIO, stream)
            else:
                yield raw

    def read(self, bytes_max: int) -> bytes:
        """All of the content, if it is no more than `bytes_max`."""
        with self.open() as stream:
            data = stream.read(bytes_max + 1)
        if len(data) > bytes_max:
            raise InvalidDocumentError(f"is larger than {bytes_max:,} bytes, the most for a file of its kind; split it")
        return data


@contextmanager
def _standard_input() -> Iterator[BinaryIO]:
    """Standard input by a descriptor of its own.

    A thread that still waits for a pipe when the interpreter ends holds the lock of its stream, and the interpreter
    wants that of `sys.stdin` for its last breath.
    """
    try:
        descriptor = os.dup(sys.stdin.fileno())
    except (OSError, ValueError):  # something else was put in its place
        yield sys.stdin.buffer
        return
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def extension_of(path: Path) -> str:
    """`.jsonl` of `a.JSONL.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:-1]) if suffixes[-1:] == [COMPRESSED] else "".join(suffixes[-1:])


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; a pipe or device in its place is an error instead of a wait without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidDocumentError("is not a regular file")
    return os.fdopen(descriptor, "rb")


class _Inflated(io.RawIOBase):
    """Unpacks gzip, counting what comes out against what went in."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._stream = gzip.GzipFile(fileobj=raw, mode="rb")
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        try:
            data = self._stream.read1(len(view))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidDocumentError(
                f"is damaged or cut off: its compressed data cannot be read after {self._given:,} bytes ({error})"
            ) from None
        self._given += len(data)
        if self._given > max(INFLATED_BYTES_FREE, INFLATED_RATIO_MAX * self._raw.tell()):
            raise InvalidDocumentError(
                f"unpacks to more than {INFLATED_RATIO_MAX} times its size, as nothing but a trap does; unpack it first"
            )
        view[: len(data)] = data
        return len(data)
