"""The threads that answer calls, and the turns that calls take to work.

What nobody waits for is done after a reply has gone out, so that a client who calls again at once finds it done.
Promises: what was left for afterwards is done by the same thread, before its next call, whatever the call came to. A
call goes to the thread that became free last, whose memory is still in the caches. There is no future with its locks:
nobody waits for a call but gRPC, which wants to be told of its end.
Invariants: a thread is either in `_free` or busy; work waits in `_waiting` only while as many as may be are busy.
Concurrency: what is to be done belongs to the thread that said so; all else may be used by any thread.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")
Ended: TypeAlias = Callable[[Any], object]


class _Afterwards(threading.local):
    work: Callable[[], None] | None = None


_afterwards = _Afterwards()


def do_afterwards(work: Callable[[], None]) -> None:
    """Have `work` done once this thread of an AnsweringThreads has sent the reply. It must not raise."""
    _afterwards.work = work


class Answering:
    """One call being answered; as much of a future as gRPC asks for."""

    __slots__ = ("_arguments", "_callbacks", "_function", "_has_ended")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments
        self._callbacks: list[Ended] = []
        self._has_ended = False

    def add_done_callback(self, callback: Ended) -> None:
        """Have `callback` called when the call was answered, at once if it was."""
        self._callbacks.append(callback)
        if self._has_ended:
            self._tell()

    def run(self) -> None:
        """Answer, then do what was left for afterwards."""
        try:
            self._function(*self._arguments)
        except BaseException:
            logger.exception("a call could not be answered")
        work, _afterwards.work = _afterwards.work, None
        if work is not None:
            try:
                work()
            except Exception:
                logger.exception("what was left for after an answer failed")
        self._has_ended = True
        self._tell()

    def _tell(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:  # another thread was told in between
                return
            callback(self)


class AnsweringThreads(ThreadPoolExecutor):
    """Threads of which each, having answered, does what was left for afterwards. gRPC wants an executor of this class,
    which never uses what it inherits.
    """

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._most, self._name = max_workers, thread_name_prefix
        self._guard = threading.Lock()
        self._free: list[queue.SimpleQueue[Answering | None]] = []
        self._waiting: deque[Answering] = deque()
        self._started: list[threading.Thread] = []
        self._is_closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Answer by `fn`, which also sends the reply."""
        assert not kwargs
        answering = Answering(fn, args)
        with self._guard:
            if self._is_closed:
                raise RuntimeError("the server has stopped")
            thread = self._free.pop() if self._free else None
            if thread is None and len(self._started) >= self._most:
                self._waiting.append(answering)
            elif thread is None:
                self._start(answering)
        if thread is not None:
            thread.put(answering)
        return answering  # type: ignore[return-value]  # gRPC needs no more of it

    @property
    def started(self) -> int:
        """Threads that there are."""
        return len(self._started)

    @property
    def free(self) -> int:
        """Threads that wait for something to do."""
        return len(self._free)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads once what they were given is answered; what waits is not begun with `cancel_futures`."""
        with self._guard:
            self._is_closed = True
            if cancel_futures:
                self._waiting.clear()
            free, self._free = self._free, []
        for thread in free:
            thread.put(None)
        for started in self._started if wait else ():
            started.join()

    def _start(self, first: Answering) -> None:
        name = f"{self._name}_{len(self._started)}"
        thread = threading.Thread(target=self._answer, args=(first,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more; those that there are will do
            if not self._started:
                raise
            self._waiting.append(first)
        else:
            self._started.append(thread)

    def _answer(self, first: Answering) -> None:
        mine: queue.SimpleQueue[Answering | None] = queue.SimpleQueue()
        answering: Answering | None = first
        while answering is not None:
            answering.run()
            answering = None  # else it would live as long as the thread has nothing to do
            with self._guard:
                if self._waiting:
                    answering = self._waiting.popleft()
                elif self._is_closed:
                    return
                else:
                    self._free.append(mine)
            if answering is None:
                answering = mine.get()


class Turns:
    """A number of turns; whoever has none waits. A semaphore whose free turns cost a tenth of a microsecond."""

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def take_free(self) -> bool:
        """Take a turn if one is free."""
        try:
            self._free.get_nowait()
        except queue.Empty:
            return False
        return True

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
