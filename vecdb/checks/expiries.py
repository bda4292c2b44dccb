"""Checks when records expire, as callers give it.

Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from vecdb.checks.metadata import plain_utc
from vecdb.errors import InvalidRequestError
from vecdb.types import Expiry


def check_expiry(expires_at: object, position: int) -> Expiry:
    """Check one `expires_at`: a datetime or "never". `position` is that of its record in the batch."""
    if isinstance(expires_at, str) and expires_at == "never":
        return "never"
    if not isinstance(expires_at, datetime):
        what = "a str other than 'never'" if isinstance(expires_at, str) else type(expires_at).__name__
        raise InvalidRequestError(
            f"expires_at of record {position} is {what}; give a datetime (without a zone: UTC) or 'never'",
            position=position,
        )
    try:
        return plain_utc(expires_at)
    except (OverflowError, TypeError, ValueError):
        raise InvalidRequestError(
            f"expires_at of record {position} is no instant of the years 1 to 9999 in UTC; use 'never'",
            position=position,
        ) from None


def check_expiries(expires_at: object, count: int) -> list[Expiry | None] | None:
    """Check `expires_at` of a batch: one for all, or one (or None) per record."""
    if expires_at is None:
        return None
    if isinstance(expires_at, (datetime, str)):
        return [check_expiry(expires_at, 0)] * count
    if not isinstance(expires_at, (Sequence, np.ndarray)):
        raise InvalidRequestError(
            f"expires_at is {type(expires_at).__name__}; give a datetime, 'never', or a list with one (or None) per id"
        )
    given = expires_at.tolist() if isinstance(expires_at, np.ndarray) else expires_at
    if not isinstance(given, Sequence) or len(given) != count:
        raise InvalidRequestError(
            f"expires_at has {np.size(expires_at)} entries for {count} ids; give one (or None) per id, or one for all"
        )
    return [None if item is None else check_expiry(item, position) for position, item in enumerate(given)]
