"""Receives the messages of a stream ahead of their use, in a thread of its own, within bounds.

Promises: messages come out in order, then the error of the stream at its place. No more are received than the bounds
say, those in hand counted, and none while all streams together hold as many bytes as the server takes; one always is. A
server that drains ends the stream with UnavailableError once what was received is used up.
Concurrency: one thread takes; the receiving thread ends with the call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vecdb.server.config import INGEST_BYTES_MAX, STREAM_POLL_S
from vecdb.server.refusals import stopping

if TYPE_CHECKING:
    from vecdb.server.call import Call

Item = TypeVar("Item")


def _itself(message: Any) -> Any:
    return message


class HeldBytes:
    """Bytes of requests that the streams of a server hold together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count more, or (below 0) fewer."""
        with self._lock:
            self._count += count

    @property
    def is_full(self) -> bool:
        """True when there is no room for another message."""
        return self._count >= self._most


class Received(Generic[Item]):
    """The messages of one stream, each turned into what is wanted of it as it comes."""

    def __init__(
        self,
        source: Iterator[Any],
        prepare: Callable[[Any], Item] = _itself,
        *,
        all_held: HeldBytes,
        items_max: int,
        bytes_max: int = INGEST_BYTES_MAX,
    ) -> None:
        self._source = source
        self._prepare = prepare
        self._all_held = all_held
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Item]] = deque()
        self._held = self._held_bytes = 0
        self._in_hand: list[int] = []
        self._end: BaseException | None = None
        self._has_ended = self._is_closed = False
        threading.Thread(target=self._receive, name="vecdb-receive", daemon=True).start()

    def take(self, most: int) -> list[Item] | None:
        """Up to `most` items, after a short wait; none when none came in that time, None at the end of the stream.

        What was taken before counts as used up. Raises the error that ended the stream.
        """
        with self._changed:
            self._release(self._in_hand)
            self._in_hand = []
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._has_ended, STREAM_POLL_S)
            taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._in_hand = [size for size, _ in taken]
            if taken or not self._has_ended:
                return [item for _, item in taken]
            if self._end is not None:
                raise self._end
            return None

    def each(self, call: Call) -> Iterator[Item]:
        """The items one by one, until the stream ends, its caller is gone, or the server drains."""
        while True:
            call.check()
            items = self.take(1)
            if items is None:
                return
            if not items and call.is_draining:
                raise stopping()
            yield from items

    def close(self) -> None:
        """Receive no more, and let go of what was received."""
        with self._changed:
            self._is_closed = True
            self._release([*self._in_hand, *(size for size, _ in self._waiting)])
            self._in_hand = []
            self._waiting.clear()
            self._changed.notify_all()

    def _release(self, sizes: list[int]) -> None:
        self._held -= len(sizes)
        self._held_bytes -= sum(sizes)
        self._all_held.add(-sum(sizes))

    def _receive(self) -> None:
        end: BaseException | None = None
        try:
            for message in self._source:
                if not self._put(message.ByteSize(), self._prepare(message)):
                    return
        except BaseException as error:  # noqa: BLE001 - whoever takes is told at the place
            end = error
        with self._changed:
            self._end, self._has_ended = end, True
            self._changed.notify_all()

    def _put(self, size: int, item: Item) -> bool:
        """Keep an item, then wait until there is room for another; False when nobody wants it."""
        with self._changed:
            if self._is_closed:
                return False
            self._held, self._held_bytes = self._held + 1, self._held_bytes + size
            self._all_held.add(size)
            self._waiting.append((size, item))
            self._changed.notify_all()
            while not self._has_room():
                self._changed.wait(STREAM_POLL_S)  # other streams do not tell when they let go
            return not self._is_closed

    def _has_room(self) -> bool:
        if self._is_closed or self._held == 0:
            return True
        return self._held < self._items_max and self._held_bytes < self._bytes_max and not self._all_held.is_full
