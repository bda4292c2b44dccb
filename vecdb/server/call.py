"""What a servicer knows of the call that it answers: who calls, how long there is, and whether it still matters.

Promises: `check` raises as soon as going on is pointless; it costs about a microsecond, so it belongs between any two
pieces of work.
Concurrency: the flags may be read from any thread that works for the call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vecdb.errors import CancelledError, DeadlineExceededError

if TYPE_CHECKING:
    import grpc

    from vecdb.server.principals import Principal, Scope

NO_DEADLINE_S = 1e8
"""gRPC reports a call without a deadline as one of many years."""


class Call:
    """One call being answered. Servicers get it where gRPC's generated code has `context`."""

    __slots__ = ("_context", "_deadline", "_draining", "method", "principal", "request_id")

    def __init__(
        self,
        context: grpc.ServicerContext,
        method: str,
        principal: Principal,
        request_id: str,
        draining: threading.Event,
    ) -> None:
        self._context = context
        self._draining = draining
        self.method = method
        self.principal = principal
        self.request_id = request_id
        left = context.time_remaining()
        self._deadline = None if left > NO_DEADLINE_S else time.monotonic() + left

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the deadline (0 when it passed); None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def is_cancelled(self) -> bool:
        """True when the caller gave up, went away, or the deadline passed."""
        return not self._context.is_active()

    @property
    def is_draining(self) -> bool:
        """True when the server is about to stop: end a stream at the next good place."""
        return self._draining.is_set()

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from any thread, when the call ends for its caller; at once if it has ended."""
        if not self._context.add_callback(callback):
            callback()

    def check(self) -> None:
        """Raise DeadlineExceededError or CancelledError when nobody waits for the rest of the work."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineExceededError(f"the deadline of {self.method} passed before its work was done")
        if not self._context.is_active():
            raise CancelledError(f"{self.method} was cancelled by its caller")

    def require(self, scope: Scope, collection: str | None = None) -> None:
        """Raise PermissionDeniedError unless the caller has `scope` on the collection (None: on the database)."""
        self.principal.require(scope, collection)
