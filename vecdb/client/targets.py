"""Says what plans about one collection need to know of it.

Concurrency: immutable, but for what `requests` remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from vecdb.client.plans import Plan, T
from vecdb.client.session import Caller, Session
from vecdb.errors import LimitExceededError
from vecdb.types import Field
from vecdb.wire.search_requests import SearchRequests

FLOAT_BYTES: Final = 4
RECORD_BYTES: Final = 300
"""A guess at what a record of a reply takes without its vectors; where it takes more, the server says so."""


@dataclass(frozen=True, slots=True)
class Target:
    """A collection, and on whose behalf it is called."""

    caller: Caller
    name: str
    fields: Mapping[str, Field]
    ttl_field: str | None
    requests: SearchRequests
    main_field: str | None = None

    @property
    def session(self) -> Session:
        """The session of the caller."""
        return self.caller.session

    def with_timeout(self, timeout_s: float) -> Self:
        """The same with another limit for every call."""
        return replace(self, caller=self.caller.with_timeout(timeout_s))

    def reply_rows(self, *, with_vectors: object) -> int:
        """Records of which a reply will probably not be too large."""
        components = sum(field.dim for field in self.fields.values()) if with_vectors else 0
        return max(1, self.session.room_bytes // (RECORD_BYTES + FLOAT_BYTES * components))


def in_parts(total: int, size: int, ask: Callable[[int, int], Plan[list[T]]]) -> Plan[list[T]]:
    """Ask for things 0 to `total`, at most `size` at a time, and fewer where the server finds a reply too large."""
    found: list[T] = []
    start = 0
    while True:
        stop = min(start + size, total)
        try:
            found += yield from ask(start, stop)
        except LimitExceededError as error:
            if not is_too_large(error) or stop - start <= 1:
                raise
            size = (stop - start + 1) // 2
            continue
        start = stop
        if start >= total:
            return found


def is_too_large(error: LimitExceededError) -> bool:
    """Whether a reply was too large to be sent, so that asking for less helps."""
    return "reply_bytes" in error.details
