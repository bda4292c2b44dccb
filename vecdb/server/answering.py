"""The threads that answer calls, and the turns that calls take to work.

What nobody waits for is done after a reply has gone out, so that a client who calls again at once finds it done.
Promises: what was left for afterwards is done by the same thread, before its next call, whatever the call came to.
Concurrency: what is to be done belongs to the thread that said so; turns may be taken and given back by any thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class _Afterwards(threading.local):
    work: Callable[[], None] | None = None


_afterwards = _Afterwards()


def do_afterwards(work: Callable[[], None]) -> None:
    """Have `work` done once this thread of an AnsweringThreads has sent the reply. It must not raise."""
    _afterwards.work = work


class AnsweringThreads(ThreadPoolExecutor):
    """Threads of which each, having answered, does what was left for afterwards."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Answer by `fn`, which also sends the reply."""
        return super().submit(_answer, fn, args, kwargs)


def _answer(fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    try:
        return fn(*args, **kwargs)
    finally:
        work, _afterwards.work = _afterwards.work, None
        if work is not None:
            work()


class Turns:
    """A number of turns; whoever has none waits. A semaphore whose free turns cost a tenth of a microsecond."""

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def take(self, timeout_s: float | None) -> bool:
        """Wait for a turn, at most so long (None: for as long as it takes); False when there was none."""
        try:
            self._free.get(timeout=timeout_s)
        except queue.Empty:
            return False
        return True

    def give_back(self) -> None:
        """Let another have it."""
        self._free.put(None)
