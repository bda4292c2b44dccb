"""Converts instants: datetimes in UTC to google.protobuf.Timestamp and back, to the microsecond.

Concurrency: pure functions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from vecdb.checks.metadata import plain_utc
from vecdb.errors import InvalidRequestError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_SECOND: Final = -62_135_596_800
"""The year 1."""
LAST_SECOND: Final = 253_402_300_799
"""The year 9999."""
DAY_SECONDS: Final = 86_400
NANOSECONDS: Final = 1_000_000_000


def put_instant(message: Timestamp, value: datetime) -> None:
    """Fill a message with an instant; a datetime without a zone is UTC.

    OverflowError, TypeError or ValueError when it is none of the years 1 to 9999.
    """
    since = plain_utc(value) - EPOCH
    message.seconds = since.days * DAY_SECONDS + since.seconds
    message.nanos = since.microseconds * 1_000


def read_instant(message: Timestamp, where: str, error: type[InvalidRequestError] = InvalidRequestError) -> datetime:
    """The instant, its nanoseconds cut to microseconds; an `error` when it is none of the years 1 to 9999."""
    seconds, nanos = message.seconds, message.nanos
    if not (FIRST_SECOND <= seconds <= LAST_SECOND and 0 <= nanos < NANOSECONDS):
        raise error(
            f"{where} is {seconds} s and {nanos} ns since 1970; it must be an instant of the years 1 to 9999, "
            f"with 0 to {NANOSECONDS - 1} ns",
            where=where,
        )
    return EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1_000)
