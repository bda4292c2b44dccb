"""Turns every error of vecdb into a google.rpc.Status (or an Error within a stream) and back into the same class.

The status carries ErrorInfo (reason, domain), ErrorDetails (the details as values of their types), BadRequest where a
part of the request is at fault, and RetryInfo where it helps to try again.
Promises: class, message, reason and details come back as they were, but for tuples (lists) and what is no value
(its text). A status is never larger than STATUS_BYTES_MAX: details, and then the end of the message, are left out.
A reason that this version does not know becomes the class that its code means.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from vecdb import errors
from vecdb._pb.v1 import error_pb2
from vecdb.checks.metadata import plain_utc
from vecdb.config import METADATA_DEPTH_MAX, SECONDS_MAX, STATUS_BYTES_MAX
from vecdb.errors import VecDBError
from vecdb.wire.ids import put_ids, read_ids
from vecdb.wire.metadata import put_value, read_value

DOMAIN: Final = "vecdb"
MICROSECONDS: Final = 1e6
BASE64_IN: Final = 3
BASE64_OUT: Final = 4
MISSING: Final = "…"
PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""What gRPC sends of a message as it is; each other byte takes three."""

TAKEN: Final = frozenset({"self", "message"})
"""Names that cannot be those of details."""

INT64_LOW: Final = -(2**63)
UINT64_HIGH: Final = 2**64 - 1

CODES: Final[tuple[tuple[type[VecDBError], int], ...]] = (
    (errors.StorageFullError, code_pb2.RESOURCE_EXHAUSTED),
    (errors.CorruptionError, code_pb2.DATA_LOSS),
    (errors.StoragePoisonedError, code_pb2.UNAVAILABLE),
    (errors.DatabaseLockedError, code_pb2.FAILED_PRECONDITION),
    (errors.NotADatabaseError, code_pb2.FAILED_PRECONDITION),
    (errors.FormatVersionError, code_pb2.FAILED_PRECONDITION),
    (errors.StorageError, code_pb2.INTERNAL),
    (errors.InvalidRequestError, code_pb2.INVALID_ARGUMENT),
    (errors.NotFoundError, code_pb2.NOT_FOUND),
    (errors.AlreadyExistsError, code_pb2.ALREADY_EXISTS),
    (errors.ConflictError, code_pb2.ABORTED),
    (errors.ReadOnlyError, code_pb2.FAILED_PRECONDITION),
    (errors.ClosedError, code_pb2.FAILED_PRECONDITION),
    (errors.NotConfiguredError, code_pb2.FAILED_PRECONDITION),
    (errors.WaitTimeoutError, code_pb2.DEADLINE_EXCEEDED),
    (errors.DeadlineExceededError, code_pb2.DEADLINE_EXCEEDED),
    (errors.CancelledError, code_pb2.CANCELLED),
    (errors.UnauthenticatedError, code_pb2.UNAUTHENTICATED),
    (errors.PermissionDeniedError, code_pb2.PERMISSION_DENIED),
    (errors.OverloadedError, code_pb2.RESOURCE_EXHAUSTED),
    (errors.UnavailableError, code_pb2.UNAVAILABLE),
    (errors.VecDBError, code_pb2.INTERNAL),
)
"""The code of each class and of those below it; the first that fits counts."""

NEAREST: Final[dict[int, type[VecDBError]]] = {
    code_pb2.INVALID_ARGUMENT: errors.InvalidRequestError,
    code_pb2.OUT_OF_RANGE: errors.InvalidRequestError,
    code_pb2.NOT_FOUND: errors.NotFoundError,
    code_pb2.ALREADY_EXISTS: errors.AlreadyExistsError,
    code_pb2.ABORTED: errors.ConflictError,
    code_pb2.UNAUTHENTICATED: errors.UnauthenticatedError,
    code_pb2.PERMISSION_DENIED: errors.PermissionDeniedError,
    code_pb2.RESOURCE_EXHAUSTED: errors.OverloadedError,
    code_pb2.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    code_pb2.CANCELLED: errors.CancelledError,
    code_pb2.UNAVAILABLE: errors.UnavailableError,
    code_pb2.DATA_LOSS: errors.CorruptionError,
    code_pb2.INTERNAL: errors.InternalError,
    code_pb2.UNKNOWN: errors.InternalError,
}
"""What a code means where there is no reason, or one that only a newer server knows."""

FIELDS: Final[tuple[tuple[type[VecDBError], str], ...]] = (
    (errors.InvalidFilterError, "filter"),
    (errors.UnindexedFilterError, "filter"),
    (errors.InvalidIdError, "ids"),
    (errors.DuplicateIdError, "ids"),
    (errors.InvalidMetadataError, "metadata"),
    (errors.DimensionMismatchError, "vectors"),
    (errors.NonFiniteVectorError, "vectors"),
    (errors.InvalidVectorError, "vectors"),
    (errors.InvalidNameError, "name"),
)
"""The part of a request that a class is about, where the details do not say it more exactly."""


def _all_classes(kind: type[VecDBError]) -> Iterable[type[VecDBError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all_classes(below)


REASONS: Final[dict[str, type[VecDBError]]] = {kind.reason: kind for kind in _all_classes(VecDBError)}


def code_of(error: VecDBError) -> int:
    """The google.rpc.Code (and gRPC status code) of an error."""
    return next(code for kind, code in CODES if isinstance(error, kind))


def class_of(code: int, reason: str) -> type[VecDBError]:
    """The class of an error by its reason, or by its code when the reason is not known here."""
    return REASONS.get(reason) or NEAREST.get(code, VecDBError)


# --- writing ----------------------------------------------------------------------------------------------------------


def status_of(error: VecDBError) -> status_pb2.Status:
    """The status of an error, with as much of its details as fits."""
    text = _text(error.message)[:STATUS_BYTES_MAX]
    for details in (_all_of(error), _some_of(error), _least_of(error)):
        status = status_pb2.Status(code=code_of(error), message=text)
        for detail in details:
            status.details.add().Pack(detail)
        if sent_bytes(status) <= STATUS_BYTES_MAX:
            return status
    while sent_bytes(status) > STATUS_BYTES_MAX:
        status.message = _cut(status.message, STATUS_BYTES_MAX / sent_bytes(status))
    return status


def sent_bytes(status: status_pb2.Status) -> int:
    """Size of a status on the wire: all of it in base 64, and its message, percent-encoded, once more."""
    message = len(quote(status.message, safe=PRINTABLE))
    size: int = status.ByteSize()
    return message + -(-size // BASE64_IN) * BASE64_OUT


def _all_of(error: VecDBError) -> list[Message]:
    facts = error_pb2.ErrorDetails()
    put_details(facts, error.details)
    # Once more as text, for clients of other languages that show ErrorInfo as it is.
    simple = {name: _text(str(value)) for name, value in error.details.items() if isinstance(value, (str, int, float))}
    return [_info(error, simple), *_hints(error), facts]


def _some_of(error: VecDBError) -> list[Message]:
    return [_info(error), *_hints(error)]


def _least_of(error: VecDBError) -> list[Message]:
    return [_info(error), *(hint for hint in _hints(error) if isinstance(hint, error_details_pb2.RetryInfo))]


def _info(error: VecDBError, metadata: Mapping[str, str] | None = None) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)


def _hints(error: VecDBError) -> Iterable[Message]:
    field = _field_of(error)
    if field is not None:
        yield error_details_pb2.BadRequest(field_violations=[{"field": field, "description": _text(error.message)}])
    wait = _retry_after(error.details)
    if wait is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMicroseconds(round(wait * MICROSECONDS))
        yield retry


def _text(text: str) -> str:
    """The text as UTF-8 can hold it."""
    return text.encode(errors="replace").decode()


def _cut(text: str, share: float) -> str:
    """The beginning of a text, shorter by that share and by what tells that something is missing."""
    return text[: max(0, int(len(text) * share) - len(MISSING) - 1)] + MISSING


def _field_of(error: VecDBError) -> str | None:
    if not isinstance(error, errors.InvalidRequestError):
        return None
    named = error.details.get("where") or error.details.get("option")
    if isinstance(named, str):
        return named
    return next((field for kind, field in FIELDS if isinstance(error, kind)), None)


def _retry_after(details: Mapping[str, Any]) -> float | None:
    wait = details.get("retry_after_s")
    return float(wait) if isinstance(wait, (int, float)) and 0 <= wait <= SECONDS_MAX else None


def put_details(message: error_pb2.ErrorDetails, details: Mapping[str, Any]) -> None:
    """Fill a message with the details of an error; a list of ids keeps the types of its ids."""
    for name, value in details.items():
        if name != "ids" or not _put_if_ids(message, value):
            put_value(message.details[_text(name)], _plain(value, METADATA_DEPTH_MAX))


def _put_if_ids(message: error_pb2.ErrorDetails, value: object) -> bool:
    if not isinstance(value, list):
        return False
    try:
        put_ids(message.ids, value)
    except errors.InvalidIdError:
        message.ClearField("ids")
        return False
    return True


def put_error(message: error_pb2.Error, error: VecDBError) -> None:
    """Fill the error of a part of a stream."""
    message.code, message.reason, message.message = code_of(error), error.reason, error.message
    put_details(message.details, error.details)
    wait = _retry_after(error.details)
    if wait is not None:
        message.retry_after.FromMicroseconds(round(wait * MICROSECONDS))


def _plain(value: Any, left: int) -> Any:
    """The value as one that a message can hold; the text of anything else."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return value if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value) if INT64_LOW <= value <= UINT64_HIGH else str(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, datetime):
        return plain_utc(value)
    if isinstance(value, (list, tuple)) and left:
        return [_plain(item, left - 1) for item in value]
    if isinstance(value, Mapping) and left:
        return {_text(str(key)): _plain(item, left - 1) for key, item in value.items()}
    return _text(str(value))


# --- reading ----------------------------------------------------------------------------------------------------------


def error_of(status: status_pb2.Status) -> VecDBError:
    """The error of a status, whoever made it."""
    reason, wait = "", None
    details: dict[str, Any] = {}
    for packed in status.details:
        info, facts, retry = error_details_pb2.ErrorInfo(), error_pb2.ErrorDetails(), error_details_pb2.RetryInfo()
        if packed.Unpack(info) and info.domain == DOMAIN:
            reason = info.reason
        elif packed.Unpack(facts):
            details = read_details(facts)
        elif packed.Unpack(retry):
            wait = retry.retry_delay.ToMicroseconds() / MICROSECONDS
    return _made(status.code, reason, status.message, details, wait)


def read_error(message: error_pb2.Error) -> VecDBError:
    """The error of a part of a stream."""
    wait = message.retry_after.ToMicroseconds() / MICROSECONDS if message.HasField("retry_after") else None
    return _made(message.code, message.reason, message.message, read_details(message.details), wait)


def _made(code: int, reason: str, text: str, details: dict[str, Any], wait: float | None) -> VecDBError:
    kind = class_of(code, reason)
    if wait is not None:
        details.setdefault("retry_after_s", wait)
    if reason and reason not in REASONS:
        details.setdefault("reason", reason)
    return kind(text, **{name: value for name, value in details.items() if name not in TAKEN})


def read_details(message: error_pb2.ErrorDetails) -> dict[str, Any]:
    """The details of an error. What cannot be read is None: a reader must not fail over the details of a failure."""
    details = {
        name: _readable(read_value, value, "details", METADATA_DEPTH_MAX + 1) for name, value in message.details.items()
    }
    if message.HasField("ids"):
        details["ids"] = _readable(read_ids, message.ids, "ids")
    return details


def _readable(read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except errors.InvalidRequestError:
        return None
