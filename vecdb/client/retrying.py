"""Decides whether a call that failed is made again, and when.

A call is made again when the server could not be reached or was stopping, or refused for now and said for how long;
never after any other error, never past its deadline. Pauses grow by powers of two and are drawn anew each time ("full
jitter"), so that clients of a server that restarts do not come back all at once.
Promises: whoever passes `surely_not_done=True` has the call repeated only where the server said that it did nothing.
Concurrency: an Attempts belongs to one call.
"""

from __future__ import annotations

import random
import time

from vecdb.config import RETRY_PAUSE_MAX_S, RETRY_PAUSE_S
from vecdb.errors import DeadlineExceededError, OverloadedError, UnavailableError, VecDBError

_draw = random.SystemRandom().uniform


class Attempts:
    """The attempts of one call: how much time is left, and what an error means for the next."""

    __slots__ = ("_cause", "_deadline", "_made", "_retries", "_surely_not_done", "_timeout_s")

    def __init__(
        self, retries: int, timeout_s: float, *, surely_not_done: bool = False, begun: float | None = None
    ) -> None:
        """`begun` is when, by the monotonic clock; None for now."""
        self._retries = retries
        self._timeout_s = timeout_s
        self._deadline = (time.monotonic() if begun is None else begun) + timeout_s
        self._surely_not_done = surely_not_done
        self._made = 0
        self._cause: VecDBError | None = None

    def remaining_s(self) -> float:
        """Seconds until the deadline; DeadlineExceededError when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_late()
        return left

    def pause_after(self, error: VecDBError) -> float | None:
        """Seconds to wait before the next attempt; None when there must not be one.

        An attempt that only ran out of time says nothing of what failed before it: then that is what is raised.
        """
        if isinstance(error, DeadlineExceededError) and self._cause is not None:
            raise self._too_late() from self._cause
        if self._made >= self._retries or not self._is_worth_it(error):
            return None
        pause = min(RETRY_PAUSE_MAX_S, RETRY_PAUSE_S * 2**self._made)
        self._made, self._cause = self._made + 1, error
        wait = float(error.details.get("retry_after_s") or 0.0) + _draw(0.0, pause)
        return wait if time.monotonic() + wait < self._deadline else None

    def begin_again(self) -> None:
        """Forget earlier failures: there was progress since."""
        self._made, self._cause = 0, None
        self._deadline = time.monotonic() + self._timeout_s

    def _too_late(self) -> DeadlineExceededError:
        advice = "give more with with_timeout(seconds)"
        if self._cause is not None:
            advice = f"the attempts before failed: {self._cause}"
        return DeadlineExceededError(
            f"the call was not done within {self._timeout_s:g} s; {advice}", timeout_s=self._timeout_s
        )

    def _is_worth_it(self, error: VecDBError) -> bool:
        if isinstance(error, OverloadedError):
            return "retry_after_s" in error.details
        return isinstance(error, UnavailableError) and not self._surely_not_done
