"""Lets whoever runs engine calls for somebody else stop a long one when that somebody is gone.

A server calls the engine inside `interruptible(check)`; the engine asks `check_interruption()` between pieces of long
reads (scans, large batches, waits), and what the check raises ends the read. Nobody else notices: without a check there
is nothing to ask. He may also say how many bytes of records he has a use for: more are refused before they are decoded,
which takes several times their size.
Concurrency: a check concerns the thread that set it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TypeAlias

from vecdb.config import SEARCH_PIECE_EXACT_ROWS, SEARCH_PIECE_ROWS
from vecdb.errors import LimitExceededError
from vecdb.types import FloatArray

Check: TypeAlias = Callable[[], None]


class _Current(threading.local):
    check: Check | None = None
    bytes_max: int | None = None


_current = _Current()


class interruptible:  # noqa: N801 - reads as a statement; a class, because a generator would cost a search 1 µs
    """Context manager: engine calls of this thread end with what `check` raises, or at more than `bytes_max`."""

    __slots__ = ("_before", "_bytes_before", "_bytes_max", "_check")

    def __init__(self, check: Check, bytes_max: int | None = None) -> None:
        self._check = check
        self._bytes_max = bytes_max

    def __enter__(self) -> None:
        self._before, self._bytes_before = _current.check, _current.bytes_max
        _current.check, _current.bytes_max = self._check, self._bytes_max

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.check, _current.bytes_max = self._before, self._bytes_before


def check_interruption() -> None:
    """Raise what the check of this thread raises; cheap, and nothing where there is none."""
    check = _current.check
    if check is not None:
        check()


def may_take(size: int) -> bool:
    """Whether this thread has a use for so many bytes of records."""
    most = _current.bytes_max
    return most is None or size <= most


def check_bytes(values: Sequence[memoryview | bytes]) -> None:
    """LimitExceededError when these stored values are more than this thread has a use for."""
    most = _current.bytes_max
    if most is not None and (size := sum(map(len, values))) > most:
        raise LimitExceededError(
            f"the {len(values)} records asked for take {size} bytes; at most {most} are read at once: ask for fewer",
            reply_bytes=size,
        )


def pieces(matrix: FloatArray, *, exact: bool) -> Iterator[FloatArray]:
    """The rows of a batch in pieces short enough to be stopped between; all at once where nobody would stop them."""
    check = _current.check
    step = len(matrix) if check is None else SEARCH_PIECE_EXACT_ROWS if exact else SEARCH_PIECE_ROWS
    for start in range(0, len(matrix), max(step, 1)):
        if check is not None:
            check()
        yield matrix[start : start + step]
