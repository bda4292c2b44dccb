"""Makes one call of a plan: with a deadline over all its attempts, again where that is safe, following its progress.

Concurrency: as plans.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from vecdb.client.methods import Method, Reply
from vecdb.client.plans import Invoke, Open, Plan, Receive, Sleep
from vecdb.client.retrying import Attempts
from vecdb.client.session import Caller
from vecdb.errors import VecDBError

Progress = Callable[[int, int], None]


def call(
    caller: Caller,
    method: Method[Reply],
    request: Any,
    *,
    timeout_s: float | None = None,
    surely_not_done: bool = False,
) -> Plan[Reply]:
    """Call a method; `surely_not_done` says that it must not run twice, see `retrying`."""
    limit = caller.timeout_s if timeout_s is None else timeout_s
    begun, left = time.monotonic(), limit
    attempts: Attempts | None = None
    while True:
        try:
            reply: Reply = yield Invoke(method, request, left)
        except VecDBError as error:
            if attempts is None:  # nearly all calls need but one
                attempts = Attempts(caller.session.retries, limit, surely_not_done=surely_not_done, begun=begun)
            pause = attempts.pause_after(error)
            if pause is None:
                raise
        else:
            return reply
        yield Sleep(pause)
        left = attempts.remaining_s()


def follow(
    caller: Caller,
    method: Method[Reply],
    request: Any,
    progress: Progress | None,
    *,
    timeout_s: float | None = None,
) -> Plan[Reply | None]:
    """Call a method that answers with its progress; returns its last message."""
    limit = caller.long_timeout_s if timeout_s is None else timeout_s
    attempts = Attempts(caller.session.retries, limit)
    while True:
        try:
            stream = yield Open(method, request, attempts.remaining_s())
            try:
                last: Reply | None = yield from _to_the_end(stream, progress)
            finally:
                stream.cancel()
        except VecDBError as error:
            pause = attempts.pause_after(error)
            if pause is None:
                raise
        else:
            return last
        yield Sleep(pause)


def _to_the_end(stream: Any, progress: Progress | None) -> Plan[Any]:
    last = None
    while (message := (yield Receive(stream))) is not None:
        if progress is not None and message.HasField("progress"):
            progress(message.progress.done, message.progress.total)
        last = message
    return last
