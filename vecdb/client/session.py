"""Keeps what the handles of one connection share: limits of the server, and how far its writes have come.

Promises: a read that names no `min_seq` sees every write that a handle of the connection was told of before, whichever
process of the server answers it (unless that was switched off).
Concurrency: any thread.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, replace
from typing import Final, Self

from vecdb.checks.options import check_seq, check_timeout
from vecdb.config import CLIENT_LONG_TIMEOUT_S, CLIENT_TIMEOUT_S, MESSAGE_BYTES_DEFAULT, REQUEST_OVERHEAD_BYTES
from vecdb.errors import InvalidRequestError

REQUEST_ID_BYTES: Final = 16


class Session:
    """What all handles of a connection share."""

    def __init__(self, *, retries: int, reads_own_writes: bool = True) -> None:
        self.retries = retries
        self.message_bytes_max = MESSAGE_BYTES_DEFAULT
        self._reads_own_writes = reads_own_writes
        self._lock = threading.Lock()
        self._seq = 0

    @property
    def seq(self) -> int:
        """The highest seq that a write was answered with."""
        return self._seq

    def saw(self, seq: int) -> int:
        """Remember the seq of a write."""
        with self._lock:
            self._seq = max(self._seq, seq)
        return seq

    def min_seq(self, asked: object) -> int:
        """What a read waits for: what it asks for, else the writes of this connection."""
        if asked is not None:
            return check_seq(asked)
        return self._seq if self._reads_own_writes else 0

    @property
    def room_bytes(self) -> int:
        """Bytes of vectors, metadata and ids that fit one request."""
        return max(self.message_bytes_max - REQUEST_OVERHEAD_BYTES, self.message_bytes_max // 2)


@dataclass(frozen=True, slots=True)
class Caller:
    """A session and the time that calls of one handle may take."""

    session: Session
    timeout_s: float = CLIENT_TIMEOUT_S
    long_timeout_s: float = CLIENT_LONG_TIMEOUT_S

    def with_timeout(self, timeout_s: float) -> Self:
        """The same with another limit for every call."""
        seconds = checked_timeout(timeout_s)
        return replace(self, timeout_s=seconds, long_timeout_s=seconds)


def checked_timeout(timeout_s: object) -> float:
    """Check a `timeout_s` that limits calls: a number of seconds above 0."""
    if timeout_s is None or (seconds := check_timeout(timeout_s)) == 0:
        raise InvalidRequestError(f"timeout_s is {timeout_s!r:.40}; give a number of seconds above 0")
    return seconds


def new_request_id() -> str:
    """A name for a write, the same for all its attempts."""
    return secrets.token_hex(REQUEST_ID_BYTES)
