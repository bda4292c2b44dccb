"""Turns whatever ends a call into the status its client gets.

Promises: only a VecDBError speaks to the client; of any other exception it learns the number of an incident, and the
log has the rest. Names of collections are told only to who may read all of them.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_status import rpc_status

from vecdb.config import RETRY_AFTER_S
from vecdb.errors import (
    CancelledError,
    CollectionNotFoundError,
    InternalError,
    OverloadedError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
    VecDBError,
)
from vecdb.server.config import STATUSES_KEPT_MAX
from vecdb.server.principals import Principal
from vecdb.wire.status import status_of as message_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlainStatus(grpc.Status):
    """A status without details."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


STOPPING: Final = "the server is stopping; try again, another will answer"


def as_error(error: BaseException, method: str) -> VecDBError:
    """`error` as one that may be told to a client; what is unexpected is logged here."""
    if isinstance(error, VecDBError):
        if isinstance(error, StorageError):
            logger.error("%s failed: %s", method, error.message)
        return error
    if isinstance(error, grpc.RpcError):
        return CancelledError(f"{method} was cancelled by its caller")
    if isinstance(error, MemoryError):
        return OverloadedError(f"not enough memory for {method} at the moment", retry_after_s=RETRY_AFTER_S)
    incident = secrets.token_hex(8)
    logger.error("incident %s in %s", incident, method, exc_info=error)
    return InternalError(f"the server met a defect in {method}; its log has incident {incident}", incident=incident)


def discreet(error: VecDBError, principal: Principal) -> VecDBError:
    """`error` as `principal` may see it: a collection that is not found brings up the names of others."""
    if isinstance(error, CollectionNotFoundError) and not principal.may("read"):
        name = error.details.get("collection")
        return CollectionNotFoundError(f"no collection {name!r:.80}", collection=name)
    return error


def stopping() -> UnavailableError:
    """The error of a call that the end of the server cuts short."""
    return UnavailableError(STOPPING, retry_after_s=RETRY_AFTER_S)


def status_of(error: VecDBError) -> grpc.Status:
    """The gRPC status, with its details, of an error. Never raises: gRPC would send the text of what is raised.

    A server that refuses many calls refuses them for the same few reasons, so their statuses are kept.
    """
    if not isinstance(error, (OverloadedError, UnauthenticatedError)):
        return _made(error)
    key = type(error), error.message, str(error.details)
    found = _kept.get(key)
    if found is None:
        found = _made(error)
        if len(_kept) >= STATUSES_KEPT_MAX:
            _kept.clear()
        _kept[key] = found
    return found


_kept: dict[Any, grpc.Status] = {}


def _made(error: VecDBError) -> grpc.Status:
    try:
        status: grpc.Status = rpc_status.to_status(message_of(error))
    except Exception as defect:  # noqa: BLE001 - see above
        return PlainStatus(grpc.StatusCode.INTERNAL, as_error(defect, "the report of an error").message, ())
    return status
