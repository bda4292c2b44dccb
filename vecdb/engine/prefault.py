"""Maps the hot columns of an open database ahead of the first searches.

A fresh process would otherwise take a page fault for nearly every row its first thousand searches touch, which makes
them several times slower than later ones. The kernel maps a whole chunk in one call at a fraction of that.
Promises: only a hint: where the system does not know it, nothing happens. At most PREFAULT_BYTES_MAX are asked for.
Concurrency: run in a thread of its own; the caller's gate is passed for every chunk, so closing waits for one at most.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vecdb.config import PREFAULT_BYTES_MAX
from vecdb.errors import ClosedError

if TYPE_CHECKING:
    from vecdb.engine.view import SegmentView, View
    from vecdb.kernels.column import Column

MADV_POPULATE_READ = 22
"""Linux 5.14 and later; anything else answers EINVAL."""


def prefault(view: View, gate: Callable[[], AbstractContextManager[object]]) -> None:
    """Ask the system to map codes, links, ids and slots of all segments, smallest columns first."""
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    left = PREFAULT_BYTES_MAX
    for address, size in _ranges(view):
        left -= size
        if madvise is None or left < 0:
            return
        start = address - address % mmap.PAGESIZE
        try:
            with gate():
                failed = madvise(ctypes.c_void_p(start), ctypes.c_size_t(address + size - start), MADV_POPULATE_READ)
        except ClosedError:
            return
        if failed:
            return


def _ranges(view: View) -> Iterator[tuple[int, int]]:
    for collection in view.collections.values():
        for field in collection.fields:
            for segment in field.segments:
                for column in _hot_columns(segment):
                    yield from _chunks(column)


def _hot_columns(segment: SegmentView) -> list[Column]:
    parts = segment.segment
    columns = [parts.upper_rows, parts.upper_down, parts.upper_links, parts.slots]
    columns += [column for column in (segment.ids, parts.sketches) if column is not None]
    return columns + ([parts.links, parts.codes] if parts.packed is None else [parts.packed])


def _chunks(column: Column) -> Iterator[tuple[int, int]]:
    rows = 1 << column.shift
    for number, address in enumerate(column.table.tolist()):
        yield address, min(rows, column.rows - number * rows) * column.stride
