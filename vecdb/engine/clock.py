"""Tells the time that expiry goes by.

Promises: this is the only place that asks, so a test can set the time of the whole engine. Callers name the module
(`clock.now_micros()`), else they would keep the function that a test replaces.
"""

from __future__ import annotations

import time


def now_micros() -> int:
    """Microseconds since 1970 UTC, by the system's clock: where it is set back, what had expired exists again."""
    return time.time_ns() // 1_000
