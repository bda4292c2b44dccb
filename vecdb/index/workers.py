"""Runs kernel calls over ranges of rows or queries in Python threads.

Promises: every range runs exactly once; the first error stops the rest and is raised; one thread means no pool at all.
Concurrency: kernels release the GIL; the calling thread takes its share of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import TracebackType
from typing import Self


class Workers:
    """A pool of `threads` workers, the caller being one of them. A context manager; one `run` at a time."""

    def __init__(self, threads: int) -> None:
        self._others = max(threads, 1) - 1
        self._pool = ThreadPoolExecutor(self._others, thread_name_prefix="vecdb-kernel") if self._others else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

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

        shared = [] if self._pool is None else range(min(self._others, pieces - 1))
        futures = [self._pool.submit(take_pieces) for _ in shared] if self._pool is not None else []
        try:
            take_pieces()
        finally:
            for future in futures:
                future.exception()
        if failures:
            raise failures[0]


def run_ranges(total: int, size: int, threads: int, work: Callable[[int, int], None]) -> None:
    """Call work(first, last) over [0, total) in pieces of `size`, on up to `threads` threads."""
    with Workers(min(threads, -(-total // size))) as workers:
        workers.run(total, size, work)
