"""Lets whoever runs engine calls for somebody else stop a long one when that somebody is gone.

A server calls the engine inside `interruptible(check)`; the engine asks `check_interruption()` between pieces of long
reads (scans, large batches, waits), and what the check raises ends the read. Nobody else notices: without a check there
is nothing to ask.
Concurrency: a check concerns the thread that set it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeAlias

from vecdb.config import SEARCH_PIECE_EXACT_ROWS, SEARCH_PIECE_ROWS
from vecdb.types import FloatArray

Check: TypeAlias = Callable[[], None]


class _Current(threading.local):
    check: Check | None = None


_current = _Current()


class interruptible:  # noqa: N801 - reads as a statement; a class, because a generator would cost a search 1 µs
    """Context manager: engine calls of this thread end with what `check` raises."""

    __slots__ = ("_before", "_check")

    def __init__(self, check: Check) -> None:
        self._check = check

    def __enter__(self) -> None:
        self._before = _current.check
        _current.check = self._check

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.check = self._before


def check_interruption() -> None:
    """Raise what the check of this thread raises; cheap, and nothing where there is none."""
    check = _current.check
    if check is not None:
        check()


def pieces(matrix: FloatArray, *, exact: bool) -> Iterator[FloatArray]:
    """The rows of a batch in pieces short enough to be stopped between; all at once where nobody would stop them."""
    check = _current.check
    step = len(matrix) if check is None else SEARCH_PIECE_EXACT_ROWS if exact else SEARCH_PIECE_ROWS
    for start in range(0, len(matrix), max(step, 1)):
        if check is not None:
            check()
        yield matrix[start : start + step]
