"""Checks the options of calls: numbers within the limits of `vecdb.config`, or an error that names option and range.

Concurrency: pure functions.
"""

from __future__ import annotations

import threading

import numpy as np

from vecdb.config import EF_MAX, LIMIT_MAX, SEQ_MAX
from vecdb.errors import InvalidRequestError, LimitExceededError


def check_count(option: str, value: object) -> int:
    """Check `limit`, `k` or `sample`: an int in 1..LIMIT_MAX."""
    return _check_int(option, value, 1, LIMIT_MAX)


def check_ef(ef: object) -> int:
    """Check `ef`: an int in 1..EF_MAX."""
    return _check_int("ef", ef, 1, EF_MAX)


def check_target_recall(target: object) -> float:
    """Check `target_recall`: a number above 0 and at most 1."""
    if isinstance(target, bool) or not isinstance(target, (int, float, np.floating)) or not 0.0 < target <= 1.0:
        raise InvalidRequestError(f"target_recall is {target!r:.40}; give a number above 0 and at most 1")
    return float(target)


def check_seq(min_seq: object) -> int:
    """Check `min_seq`: a seq, that is an int from 0 on."""
    return _check_int("min_seq", min_seq, 0, SEQ_MAX)


def check_version(if_version: object) -> int:
    """Check one `if_version`: the version of a record, 0 for none."""
    return _check_int("if_version", if_version, 0, SEQ_MAX)


def check_timeout(timeout_s: object) -> float:
    """Check `timeout_s`: a number of seconds, 0 or more."""
    if (
        isinstance(timeout_s, bool)
        or not isinstance(timeout_s, (int, float, np.integer, np.floating))
        or not timeout_s >= 0
    ):
        raise InvalidRequestError(f"timeout_s is {timeout_s!r:.40}; give a number of seconds, 0 or more, or None")
    return min(float(timeout_s), threading.TIMEOUT_MAX)


def check_seed(seed: object) -> int:
    """Check `seed`: an int from 0 on."""
    return _check_int("seed", seed, 0, SEQ_MAX)


def _check_int(option: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        kind = type(value).__name__
        raise InvalidRequestError(f"{option} is {kind}; it must be an int in {low}..{high}", option=option)
    if not low <= value <= high:
        raise LimitExceededError(f"{option} is {value}; it must be in {low}..{high}", option=option)
    return int(value)
