"""Bounds the work a server takes on: calls running and waiting, calls of one principal, and bytes of requests held.

Promises: what does not fit is refused at once with OverloadedError, never queued; what was taken is given back exactly
once, by `Ticket.leave`. A call that has left takes nothing any more, though a thread of it may still ask.
Invariants: single-reply calls and streams are counted apart, so that open streams never shut out single calls.
Concurrency: any thread; one lock held for a few additions.
"""

from __future__ import annotations

import threading
from typing import Literal, NoReturn, TypeAlias

from vecdb.config import RETRY_AFTER_S
from vecdb.errors import OverloadedError

Lane: TypeAlias = Literal["calls", "streams"]


class Ticket:
    """The place of one call among those that are running or waiting."""

    __slots__ = ("_admission", "bytes", "has_left", "lane", "principal")

    def __init__(self, admission: Admission, lane: Lane, principal: str | None = None) -> None:
        self._admission = admission
        self.has_left = False
        self.lane: Lane = lane
        self.principal = principal
        self.bytes = 0

    def belong(self, principal: str) -> None:
        """Count the call among those of `principal`. OverloadedError when it has too many."""
        self._admission.assign(self, principal)

    def hold(self, count: int) -> None:
        """Say that the call now holds `count` bytes of requests. OverloadedError when all calls hold too much."""
        self._admission.hold(self, count)

    def leave(self) -> None:
        """Give the place back; a second time does nothing."""
        self._admission.leave(self)


class Admission:
    """Counts what is under way, against the limits of a configuration."""

    def __init__(
        self, *, calls: int, streams: int, principal_calls: int, principal_streams: int, request_bytes: int
    ) -> None:
        self._limits: dict[Lane, int] = {"calls": calls, "streams": streams}
        self._principal_limits: dict[Lane, int] = {"calls": principal_calls, "streams": principal_streams}
        self._request_bytes = request_bytes
        self._lock = threading.Lock()
        self._under_way: dict[Lane, int] = {"calls": 0, "streams": 0}
        self._of_principal: dict[tuple[Lane, str], int] = {}
        self._bytes = 0

    @property
    def under_way(self) -> int:
        """Calls and streams that have not ended."""
        return sum(self._under_way.values())

    @property
    def bytes_held(self) -> int:
        """Bytes of requests held by all calls."""
        return self._bytes

    def enter(self, lane: Lane, principal: str | None = None) -> Ticket:
        """Take a place for one call, of `principal` where it is known yet (else see `Ticket.belong`).

        OverloadedError when there is none, or no room for its body.
        """
        with self._lock:
            if self._under_way[lane] >= self._limits[lane]:
                refuse(f"the server has {self._limits[lane]} {lane} under way, as many as it takes")
            if self._bytes >= self._request_bytes:
                refuse(f"the server holds {self._bytes} bytes of requests, as many as it takes")
            if principal is not None:
                self._count(lane, principal)
            self._under_way[lane] += 1
        return Ticket(self, lane, principal)

    def assign(self, ticket: Ticket, principal: str) -> None:
        """See `Ticket.belong`."""
        with self._lock:
            if ticket.has_left:
                return
            self._count(ticket.lane, principal)
            ticket.principal = principal

    def _count(self, lane: Lane, principal: str) -> None:
        limit, count = self._principal_limits[lane], self._of_principal.get((lane, principal), 0)
        if count >= limit:
            refuse(f"this key has {limit} {lane} under way, as many as one may have")
        self._of_principal[lane, principal] = count + 1

    def hold(self, ticket: Ticket, count: int) -> None:
        """See `Ticket.hold`."""
        with self._lock:
            if ticket.has_left:
                return
            others = self._bytes - ticket.bytes
            if count and others and others + count > self._request_bytes:
                refuse(f"the server holds {others} bytes of requests; these {count} are too many at the moment")
            self._bytes = others + count
            ticket.bytes = count

    def leave(self, ticket: Ticket) -> None:
        """See `Ticket.leave`."""
        with self._lock:
            if ticket.has_left:
                return
            ticket.has_left = True
            self._under_way[ticket.lane] -= 1
            self._bytes -= ticket.bytes
            if ticket.principal is not None:
                place = ticket.lane, ticket.principal
                count = self._of_principal.pop(place) - 1
                if count:
                    self._of_principal[place] = count


def refuse(message: str) -> NoReturn:
    """Raise OverloadedError with the time after which to try again."""
    raise OverloadedError(f"{message}; try again in {RETRY_AFTER_S:g} s", retry_after_s=RETRY_AFTER_S)
