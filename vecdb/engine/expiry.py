"""Says when records expire: as the caller gives it, or as the metadata that a collection's `ttl_field` names.

An expiry is an int, microseconds since 1970 UTC, or `codec.NEVER`. A record has expired when it is not in the future.
Promises: an expiry that passes can be stored and comes back as a datetime; what is wrong raises an error that names the
record and the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from vecdb.checks.expiries import check_expiries, check_expiry
from vecdb.checks.metadata import Packed, plain_utc
from vecdb.engine.clock import datetime_at, micros
from vecdb.errors import InvalidMetadataError
from vecdb.storage.codec import NEVER
from vecdb.types import Expiry

if TYPE_CHECKING:
    from vecdb.engine.schema import CollectionSchema


def instant(expires: int) -> datetime | None:
    """Return the expiry as a datetime in UTC, None for never."""
    return None if expires == NEVER else datetime_at(expires)


def has_expired(expires: int, now: int) -> bool:
    """True once the record counts as absent. NEVER is the smallest int64, so it must be told apart."""
    return NEVER != expires <= now


def read_expiry(expires_at: object, position: int) -> int:
    """Check one `expires_at`: a datetime or "never". `position` is that of its record in the batch."""
    return _stored(check_expiry(expires_at, position))


def read_expiries(expires_at: object, count: int) -> list[int | None] | None:
    """Check `expires_at` of a batch: one for all, or one (or None) per record."""
    checked = check_expiries(expires_at, count)
    return checked if checked is None else [None if item is None else _stored(item) for item in checked]


def _stored(expires_at: Expiry) -> int:
    return NEVER if expires_at == "never" else micros(expires_at)


def batch_expiries(
    schema: CollectionSchema, explicit: Sequence[int | None] | None, metadata: Sequence[Packed]
) -> list[int] | None:
    """Return the expiry of each record of a batch: what was given, else what its metadata says. None: none expires."""
    if schema.ttl_field is None:
        return None if explicit is None else [NEVER if given is None else given for given in explicit]
    given = explicit if explicit is not None else [None] * len(metadata)
    return [
        read_ttl(schema.ttl_field, msgspec.msgpack.decode(packed), position) if expires is None else expires
        for position, (packed, expires) in enumerate(zip(metadata, given, strict=True))
    ]


def read_ttl(path: str, metadata: Mapping[str, Any], position: int) -> int:
    """Return the expiry at a path of checked metadata; NEVER where there is no value or None."""
    value: Any = metadata
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        return NEVER
    wrong = f"is {type(value).__name__}"
    if isinstance(value, (datetime, str)):
        try:
            parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
            return micros(plain_utc(parsed))
        except (OverflowError, ValueError):
            wrong = f"is a {type(value).__name__} that is no instant of ISO 8601 in the years 1 to 9999"
    raise InvalidMetadataError(
        f"metadata of record {position}, key {path!r:.120} {wrong}; it is the collection's ttl_field, so store a "
        "datetime, an ISO 8601 str, or None for never",
        position=position,
    )
