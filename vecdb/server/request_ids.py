"""Remembers the answers to writes by their request_id, so that a write that is sent again is not done again.

A client that lost the answer to a write cannot know whether it was done. It repeats the write with the same request_id
and gets the first answer. Upserts and deletions by id come out the same when they are repeated anyway; inserts, writes
with if_version, and whatever others may have written between need this.
Promises: within REQUEST_ID_WINDOW_S, and while no more than REQUEST_IDS_PRINCIPAL_MAX others came after it, a write is
done once for each principal, method and request_id. A repetition that comes while the first is under way waits for it.
A write that failed left no trace and is not remembered. Memory is bounded; it is lost when the process ends.
Concurrency: any thread; the lock is never held while a write is done.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from vecdb.errors import InvalidRequestError
from vecdb.server.config import (
    REQUEST_ID_CHARS_MAX,
    REQUEST_ID_WINDOW_S,
    REQUEST_IDS_MAX,
    REQUEST_IDS_PRINCIPAL_MAX,
    STREAM_POLL_S,
)

Answer = TypeVar("Answer")
Key = tuple[str, str]
"""Method and request_id."""


class Caller(Protocol):
    """What is asked of a call: who makes it, and whether it still matters."""

    @property
    def method(self) -> str: ...
    @property
    def principal(self) -> Any: ...
    def check(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Entry:
    fingerprint: int
    born: float
    answer: Any = None
    is_done: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class Claim(Generic[Answer]):
    """A write that is to be done now by who holds this (`answer` is None), or the answer of the one that was done."""

    __slots__ = ("_entry", "_key", "_table", "answer")

    def __init__(
        self,
        table: RequestIds | None = None,
        key: tuple[str, Key] | None = None,
        entry: _Entry | None = None,
        answer: Any = None,
    ) -> None:
        self._table = table
        self._key = key
        self._entry = entry
        self.answer: Answer | None = answer

    def keep(self, answer: Answer) -> None:
        """Remember the answer to the write, which is done."""
        if self._entry is not None:
            self._entry.answer, self._entry.is_done = answer, True
            self._entry.ended.set()

    def drop(self) -> None:
        """Forget the write, which was not done. Does nothing after `keep`."""
        if self._entry is None or self._entry.is_done:
            return
        assert self._table is not None and self._key is not None  # noqa: PT018 - those of an entry
        self._table.forget(self._key, self._entry)
        self._entry.ended.set()


class RequestIds:
    """The answers of one process that writes."""

    def __init__(self, *, entries: int = REQUEST_IDS_MAX, of_principal: int = REQUEST_IDS_PRINCIPAL_MAX) -> None:
        self._entries_max = entries
        self._of_principal_max = of_principal
        self._lock = threading.Lock()
        self._tables: dict[str, OrderedDict[Key, _Entry]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def once(self, call: Caller, request_id: str, message: Any, work: Callable[[], Answer]) -> Answer:
        """Do `work` and return its answer, or the answer it gave before. Without a request_id it is simply done."""
        if not request_id:
            return work()
        check_request_id(request_id)
        claim: Claim[Answer] = self.claim(call, request_id, fingerprint_of(message))
        if claim.answer is not None:
            return claim.answer
        try:
            answer = work()
            claim.keep(answer)
        finally:
            claim.drop()
        return answer

    def claim(self, call: Caller, request_id: str, fingerprint: int) -> Claim[Any]:
        """Take a write for oneself, or get its answer; waits while another has it.

        InvalidRequestError when the id was used for another message (see `fingerprint_of`).
        """
        key = (call.method, request_id)
        while True:
            with self._lock:
                entry, is_mine = self._find(call.principal.id, key, fingerprint)
            if entry.fingerprint != fingerprint:
                raise InvalidRequestError(
                    f"request_id {request_id!r} was used for another {call.method} before; make a new one for each "
                    "write and keep it only for repetitions of that write",
                    where="request_id",
                )
            if is_mine:
                return Claim(self, (call.principal.id, key), entry, None)
            while not entry.ended.wait(STREAM_POLL_S):
                call.check()
            if entry.is_done:
                return Claim(answer=entry.answer)

    def forget(self, where: tuple[str, Key], entry: _Entry) -> None:
        """Remove an entry; see `Claim.drop`."""
        principal, key = where
        with self._lock:
            table = self._tables.get(principal)
            if table is not None and table.get(key) is entry:
                self._remove(principal, table, key)

    def _find(self, principal: str, key: Key, fingerprint: int) -> tuple[_Entry, bool]:
        """The entry of a key, and whether it was made just now."""
        now = time.monotonic()
        table = self._tables.setdefault(principal, OrderedDict())
        found = table.get(key)
        if found is not None and (not found.is_done or now - found.born < REQUEST_ID_WINDOW_S):
            return found, False
        if found is not None:
            self._remove(principal, table, key)
            table = self._tables.setdefault(principal, OrderedDict())
        entry = table[key] = _Entry(fingerprint, now)
        self._count += 1
        self._make_room(principal, now)
        return entry, True

    def _make_room(self, principal: str, now: float) -> None:
        """Remove what is too old, and the oldest of who has too many. What is under way stays."""
        table = self._tables[principal]
        while len(table) > self._of_principal_max and self._remove_oldest(principal, table):
            pass
        while self._count > self._entries_max:
            largest = max(self._tables, key=lambda name: len(self._tables[name]))
            if not self._remove_oldest(largest, self._tables[largest]):
                break
        oldest = next(iter(table.items()))
        while oldest[1].is_done and now - oldest[1].born >= REQUEST_ID_WINDOW_S:
            self._remove(principal, table, oldest[0])
            oldest = next(iter(table.items()))

    def _remove_oldest(self, principal: str, table: OrderedDict[Key, _Entry]) -> bool:
        for key, entry in table.items():
            if entry.is_done:
                self._remove(principal, table, key)
                return True
        return False

    def _remove(self, principal: str, table: OrderedDict[Key, _Entry], key: Key) -> None:
        del table[key]
        self._count -= 1
        if not table:
            self._tables.pop(principal, None)


def check_request_id(request_id: str) -> None:
    """InvalidRequestError for an id that is too long."""
    if len(request_id) > REQUEST_ID_CHARS_MAX:
        raise InvalidRequestError(
            f"request_id has {len(request_id)} characters; at most {REQUEST_ID_CHARS_MAX} are possible",
            where="request_id",
        )


def fingerprint_of(message: Any) -> int:
    """What tells two messages apart. No secret depends on it: whoever finds a collision only misleads himself."""
    body: bytes = message.SerializeToString(deterministic=True)
    return len(body) << 32 | zlib.crc32(body)
