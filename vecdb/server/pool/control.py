"""The line between the supervisor and one process of its pool: small JSON documents over a pair of sockets.

Promises: the end of either side is seen by the other at once, as None from `receive`, however it came about.
Concurrency: any thread may send; one thread receives.
"""

from __future__ import annotations

import json
import socket
import threading
from multiprocessing.connection import Connection
from typing import Any, Self, TypeAlias

Message: TypeAlias = dict[str, Any]


class Control:
    """One end of the line."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor of a socket."""
        self._connection = Connection(fd)
        self._sending = threading.Lock()

    @classmethod
    def pair(cls) -> tuple[Self, int]:
        """One end, and the descriptor of the other, which a process that is spawned now inherits."""
        mine, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        return cls(mine.detach()), theirs.detach()

    def fileno(self) -> int:
        """For selectors."""
        return self._connection.fileno()

    def send(self, event: str, **facts: Any) -> None:
        """Send one message; does nothing when nobody is there any more."""
        try:
            with self._sending:
                self._connection.send_bytes(json.dumps({"event": event, **facts}).encode())
        except OSError:
            # whoever receives learns of the end there
            pass

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other side is gone."""
        try:
            message: Message = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return None
        return message

    def close(self) -> None:
        """End the line."""
        self._connection.close()
