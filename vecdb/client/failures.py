"""Turns what gRPC raises into the errors of vecdb.

Promises: the error is the one that the server raised, with its details, where the server answered; else one that says
which address was called and what to do.
Concurrency: pure functions.
"""

from __future__ import annotations

import re
from typing import Any, Final

import grpc
from google.rpc.status_pb2 import Status

from vecdb.errors import (
    CancelledError,
    DeadlineExceededError,
    InvalidRequestError,
    LimitExceededError,
    UnavailableError,
    VecDBError,
)
from vecdb.wire.status import error_of

DETAILS: Final = "grpc-status-details-bin"
TOO_LARGE: Final = re.compile(r"(SERVER|CLIENT): Received message larger than max \((\d+) vs\. (\d+)\)")
"""What gRPC itself says, on either side, of a message that it does not receive."""


def cut_off(error: CancelledError, address: str) -> UnavailableError:
    """The error of a call that nobody here cancelled: a server that stops does that to calls it has not looked at."""
    return UnavailableError(f"{address} ended the call, as servers that stop do: {error.message}", address=address)


def failure(error: Any, address: str, method: str) -> VecDBError:
    """The error that a grpc.RpcError (of either API) stands for."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            return error_of(Status.FromString(value))
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(
            f"no answer from {address} ({text:.300}); is `vecdb serve` running there, and does tls= fit it?",
            address=address,
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceededError(f"{method} was not answered by {address} in time", address=address)
    if code is grpc.StatusCode.CANCELLED:
        return CancelledError(f"{method} was cancelled", address=address)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return InvalidRequestError(
            f"the server at {address} has no method {method}: it is no vecdb server, or one of another version",
            address=address,
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return _refused(text, address, method)
    return error_of(Status(code=code.value[0], message=text))


def _refused(text: str, address: str, method: str) -> LimitExceededError:
    """The error of a call that gRPC refused without asking vecdb: its messages are too large for it, or its headers."""
    found = TOO_LARGE.search(text)
    if found is None:
        return LimitExceededError(f"{method}: {text:.300}", address=address)
    size, limit = int(found[2]), int(found[3])
    if found[1] == "SERVER":
        return LimitExceededError(
            f"the request of {method} has {size} bytes; the server at {address} takes at most {limit}: send less at a "
            "time, or let it take more with --max-message-bytes",
            address=address,
            request_bytes=size,
            limit=limit,
        )
    return LimitExceededError(
        f"the reply of {method} has {size} bytes; this client takes at most {limit}: ask for less at a time",
        address=address,
        reply_bytes=size,
        limit=limit,
    )
