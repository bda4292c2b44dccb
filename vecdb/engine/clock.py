"""Tells the time that expiry goes by, and turns instants into microseconds since 1970 UTC and back.

Promises: this is the only place that asks, so a test can set the time of the whole engine. Callers name the module
(`clock.now_micros()`), else they would keep the function that a test replaces. An instant survives both ways.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def now_micros() -> int:
    """Microseconds since 1970 UTC, by the system's clock: where it is set back, what had expired exists again."""
    return time.time_ns() // 1_000


def micros(moment: datetime) -> int:
    """Return the microseconds at a datetime with a zone."""
    return (moment - EPOCH) // MICROSECOND


def datetime_at(microseconds: int) -> datetime:
    """Return the datetime in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)
