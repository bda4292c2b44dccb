"""Looks ahead at how many items there are, so that progress has an end: counts lines, asks headers, embeds nothing.

Promises: it is an estimate and costs a fraction of reading; where it cannot tell (a pipe, a query, another collection),
or it would take long, it says None. Whatever goes wrong here is left to be said by the run.
Concurrency: `Outlook` counts in a thread of its own; `items` may be read by any.
"""

from __future__ import annotations

import gzip
import os
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, cast

from vecdb.errors import VecDBError
from vecdb.ingest.operation.config import OUTLOOK_BYTES, OUTLOOK_READ_BYTES, OUTLOOK_SECONDS
from vecdb.ingest.sources.file import COMPRESSED, open_regular
from vecdb.ingest.sources.folder import FileSource, FolderSource
from vecdb.ingest.sources.formats import format_in_folder
from vecdb.ingest.sources.source import Part, Source

LINES: Final = frozenset({"jsonl", "csv", "tsv"})
DOCUMENTS: Final = frozenset({"text", "markdown", "html", "code", "image", "pdf"})


class Outlook:
    """Counts the items of sources in the background."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = list(sources)
        self._items: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, name="vecdb-outlook", daemon=True)

    @property
    def items(self) -> int | None:
        """About how many there are; None as long as that is not known, and when it cannot be."""
        return self._items

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def close(self) -> None:
        """Count no further."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _count(self) -> None:
        until = time.monotonic() + OUTLOOK_SECONDS
        found = 0
        try:
            for source in self._sources:
                if not isinstance(source, FileSource | FolderSource):
                    return
                for part in source.parts():
                    if self._ended.is_set() or time.monotonic() > until:
                        return
                    counted = items_of(part, source) if isinstance(part, Part) else 0
                    if counted is None:
                        return
                    found += counted
        except (VecDBError, OSError, EOFError, zlib.error, RecursionError):
            return  # the run will meet it too, and say so
        self._items = found


def items_of(part: Part, source: FileSource | FolderSource) -> int | None:
    """About how many items a part has; None where only reading it would tell."""
    path = Path(part.position.file)
    if isinstance(source, FileSource):
        if source.path is None:
            return None
        kind: str | None = source.format
    else:
        kind = format_in_folder(path) or source.options.format
    if kind in DOCUMENTS:
        return 1
    if kind in LINES:
        return lines_of(path) - (kind != "jsonl")
    if kind == "parquet":
        from pyarrow import parquet  # noqa: PLC0415 - the run is going to load it too

        return cast(int, parquet.read_metadata(path).num_rows)
    return None


def lines_of(path: Path) -> int:
    """About how many lines a file has: counted in its beginning, and taken to go on like that."""
    size = os.stat(path).st_size  # noqa: PTH116 - one call for one number
    lines = unpacked = 0
    last = b"\n"
    with open_regular(path) as raw:
        stream = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == COMPRESSED else raw
        while unpacked < OUTLOOK_BYTES:
            block = stream.read(OUTLOOK_READ_BYTES)
            if not block:
                return lines + (last != b"\n")
            lines += block.count(b"\n")
            unpacked += len(block)
            last = block[-1:]
        return lines * size // max(1, raw.tell())
