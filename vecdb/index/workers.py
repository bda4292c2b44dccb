"""Runs kernel calls over ranges of rows or queries in Python threads.

Promises: every range runs exactly once; the first error stops the rest and is raised; one thread means no pool at all.
How many threads there are may change from one call to the next: who gives a function is asked each time.
Concurrency: kernels release the GIL; the calling thread takes its share of the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Threads: TypeAlias = int | Callable[[], int]
"""How many threads work, the caller being one of them, or who knows it."""


class Workers:
    """A pool of `threads` workers, the caller being one of them. A context manager; one `run` at a time."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._room = 0
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _others(self, most: int) -> int:
        """How many others take part in work that `most` can share, with room for them in the pool."""
        threads = self._threads if isinstance(self._threads, int) else self._threads()
        others = min(max(threads, 1) - 1, most)
        if others > self._room:
            self._close()
            self._pool, self._room = _pool_of(others), others
        return others

    def run(self, total: int, size: int, work: Callable[[int, int], None]) -> None:
        """Call work(first, last) over [0, total) in pieces of `size`."""
        pieces = -(-total // size)
        numbers = count()
        failures: list[BaseException] = []

        def take_pieces() -> None:
            while not failures and (piece := next(numbers)) < pieces:
                try:
                    work(piece * size, min((piece + 1) * size, total))
                except BaseException as error:
                    failures.append(error)
                    raise

        others = self._others(pieces - 1)
        futures = [self._pool.submit(take_pieces) for _ in range(others)] if self._pool is not None else []
        try:
            take_pieces()
        finally:
            for future in futures:
                future.exception()
        if failures:
            raise failures[0]


def _pool_of(threads: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 4 ms that opening a database need not wait for

    return ThreadPoolExecutor(threads, thread_name_prefix="vecdb-kernel")


def run_ranges(total: int, size: int, threads: int, work: Callable[[int, int], None]) -> None:
    """Call work(first, last) over [0, total) in pieces of `size`, on up to `threads` threads."""
    with Workers(min(threads, -(-total // size))) as workers:
        workers.run(total, size, work)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
