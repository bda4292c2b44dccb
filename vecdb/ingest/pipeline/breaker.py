"""Spares a provider that fails: pauses that grow, and after several failures in a row one probe at a time.

Closed, calls go through. A failure makes the next call of anybody wait where the provider said for how long.
BREAKER_FAILURES in a row open the breaker: then one caller at a time is admitted, to probe, after each pause. A success
closes it. When nothing has succeeded for `give_up_s` since the first failure, or the provider wants to be left alone
for longer than that, ProviderUnavailableError ends the run.
Concurrency: any thread.
"""

from __future__ import annotations

import random
import threading
import time

from vecdb.errors import ProviderUnavailableError, VecDBError
from vecdb.ingest.pipeline.config import BREAKER_FAILURES, RETRY_PAUSE_MAX_S, RETRY_PAUSE_S, STOP_POLL_S
from vecdb.ingest.pipeline.control import HALTED, Control, Halted
from vecdb.ingest.pipeline.events import BreakerClosed, BreakerOpened
from vecdb.ingest.pipeline.tally import Tally

_draw = random.SystemRandom().uniform


class Breaker:
    """What is known of a provider's health."""

    def __init__(self, give_up_s: float, control: Control, tally: Tally) -> None:
        self._give_up_s, self._control, self._tally = give_up_s, control, tally
        self._changed = threading.Condition()
        self._in_a_row = 0
        self._failing_since: float | None = None
        self._succeeded_at = 0.0
        self._not_before = 0.0
        self._opened_at: float | None = None
        self._is_probed = False

    def admit(self) -> bool:
        """Wait until a call may be made; True when it is a probe, which should cost as little as it can.

        Halted when the run is over, or is to stop while the provider does not answer.
        """
        with self._changed:
            while True:
                now = time.monotonic()
                self._control.check()
                if now >= self._not_before and not (self._opened_at is not None and self._is_probed):
                    self._is_probed = self._opened_at is not None
                    return self._is_probed
                if self._control.is_stopping:
                    raise Halted(HALTED)
                self._changed.wait(min(STOP_POLL_S, max(self._not_before - now, 0.01)))

    def succeeded(self) -> None:
        """A call was answered."""
        with self._changed:
            now = time.monotonic()
            opened, self._opened_at = self._opened_at, None
            self._in_a_row, self._failing_since, self._is_probed = 0, None, False
            self._succeeded_at = now
            self._changed.notify_all()
        if opened is not None:
            self._tally.tell(BreakerClosed(now - opened))

    def failed(self, error: ProviderUnavailableError) -> float:
        """A call failed for now; returns how long nobody asks again. Raises, for good, when it has been too long."""
        with self._changed:
            now = time.monotonic()
            self._is_probed = False
            since = self._failing_since = now if self._failing_since is None else self._failing_since
            left = since + self._give_up_s - now
            if left <= 0 or float(error.details.get("retry_after_s") or 0.0) > left:
                raise gave_up(error, now - since)
            self._in_a_row += 1
            opens = self._opened_at is None and self._in_a_row >= BREAKER_FAILURES
            if opens:
                self._opened_at = now
            wait = pause(self._in_a_row, error)
            wait = min(wait, left)  # the last attempt is made when it is time to give up
            if self._opened_at is not None or "retry_after_s" in error.details:
                self._not_before = max(self._not_before, now + wait)
            self._changed.notify_all()
        if opens:
            self._tally.tell(BreakerOpened(self._in_a_row, error.message))
        return wait

    def withdrawn(self) -> None:
        """A call that was admitted was not made after all."""
        with self._changed:
            self._is_probed = False
            self._changed.notify_all()

    def is_alive_since(self, moment: float) -> bool:
        """Whether a call was answered after that moment (of `time.monotonic`)."""
        return self._succeeded_at > moment


def pause(failures: int, error: VecDBError) -> float:
    """Seconds to wait after so many failures in a row: what was asked for, and a draw below a growing bound."""
    bound = min(RETRY_PAUSE_MAX_S, RETRY_PAUSE_S * 2.0 ** min(failures - 1, 16))
    return float(error.details.get("retry_after_s") or 0.0) + _draw(0.0, bound)


def gave_up(error: ProviderUnavailableError, after_s: float) -> ProviderUnavailableError:
    """The error that ends a run."""
    asked = error.details.get("retry_after_s")
    when = f"; it asks to be left alone for {asked:.0f} s" if asked else ""
    return ProviderUnavailableError(
        f"the provider of embeddings has not answered for {after_s:.0f} s{when}, the last time because: "
        f"{error.message}. Nothing is lost: what was embedded is kept, and the next run goes on from there; "
        "retry_for_s gives it longer",
        **error.details,
    )
