"""Errors as google.rpc.Status: the code of each class, the hints for clients, and errors of newer servers."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from tests.strategies_wire import ERROR_CLASSES
from vecdb import errors
from vecdb.wire import status

EXPECTED = {
    errors.VecDBError: "INTERNAL",
    errors.InvalidRequestError: "INVALID_ARGUMENT",
    errors.DimensionMismatchError: "INVALID_ARGUMENT",
    errors.LimitExceededError: "INVALID_ARGUMENT",
    errors.MalformedRequestError: "INVALID_ARGUMENT",
    errors.CollectionNotFoundError: "NOT_FOUND",
    errors.RecordNotFoundError: "NOT_FOUND",
    errors.RecordExistsError: "ALREADY_EXISTS",
    errors.VersionConflictError: "ABORTED",
    errors.ReadOnlyError: "FAILED_PRECONDITION",
    errors.ClosedError: "FAILED_PRECONDITION",
    errors.DatabaseLockedError: "FAILED_PRECONDITION",
    errors.StorageFullError: "RESOURCE_EXHAUSTED",
    errors.CorruptionError: "DATA_LOSS",
    errors.StoragePoisonedError: "UNAVAILABLE",
    errors.WaitTimeoutError: "DEADLINE_EXCEEDED",
    errors.DeadlineExceededError: "DEADLINE_EXCEEDED",
    errors.CancelledError: "CANCELLED",
    errors.UnauthenticatedError: "UNAUTHENTICATED",
    errors.PermissionDeniedError: "PERMISSION_DENIED",
    errors.OverloadedError: "RESOURCE_EXHAUSTED",
    errors.UnavailableError: "UNAVAILABLE",
    errors.InternalError: "INTERNAL",
}


def detail(made: status_pb2.Status, kind: type) -> object:
    """The first detail of a type, None when there is none."""
    for packed in made.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


@pytest.mark.parametrize(("kind", "code"), EXPECTED.items(), ids=lambda value: getattr(value, "__name__", value))
def test_each_class_has_the_code_of_the_table(kind: type[errors.VecDBError], code: str) -> None:
    assert status.code_of(kind("no")) == code_pb2.Code.Value(code)


@pytest.mark.parametrize("kind", ERROR_CLASSES)
def test_every_class_comes_back_from_its_reason(kind: type[errors.VecDBError]) -> None:
    error = status.error_of(status.status_of(kind("what is wrong", count=3)))
    assert (type(error), error.message, error.details) == (kind, "what is wrong", {"count": 3})


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (errors.InvalidVectorError("no", where="records.vectors[0]"), "records.vectors[0]"),
        (errors.LimitExceededError("no", option="limit"), "limit"),
        (errors.InvalidFilterError("no"), "filter"),
        (errors.DuplicateIdError("no"), "ids"),
        (errors.NonFiniteVectorError("no"), "vectors"),
    ],
)
def test_a_request_at_fault_names_its_field(error: errors.VecDBError, field: str) -> None:
    found = detail(status.status_of(error), error_details_pb2.BadRequest)
    assert isinstance(found, error_details_pb2.BadRequest)
    assert [violation.field for violation in found.field_violations] == [field]


def test_an_error_that_is_not_about_the_request_blames_no_field() -> None:
    made = status.status_of(errors.CollectionNotFoundError("no", option="limit"))
    assert detail(made, error_details_pb2.BadRequest) is None


def test_overload_says_how_long_to_wait() -> None:
    made = status.status_of(errors.OverloadedError("busy", retry_after_s=1.25))
    found = detail(made, error_details_pb2.RetryInfo)
    assert isinstance(found, error_details_pb2.RetryInfo)
    assert found.retry_delay.ToMilliseconds() == 1250


def test_a_wait_is_read_from_a_status_that_has_nothing_else() -> None:
    made = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message="slow down")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(500)
    made.details.add().Pack(retry)
    error = status.error_of(made)
    assert isinstance(error, errors.OverloadedError)
    assert error.details["retry_after_s"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("code", "nearest"),
    [
        (code_pb2.INVALID_ARGUMENT, errors.InvalidRequestError),
        (code_pb2.NOT_FOUND, errors.NotFoundError),
        (code_pb2.ABORTED, errors.ConflictError),
        (code_pb2.UNAVAILABLE, errors.UnavailableError),
        (code_pb2.FAILED_PRECONDITION, errors.VecDBError),
    ],
)
def test_a_reason_of_a_newer_server_becomes_the_nearest_class(code: int, nearest: type[errors.VecDBError]) -> None:
    made = status_pb2.Status(code=code, message="new")
    made.details.add().Pack(error_details_pb2.ErrorInfo(reason="FROM_THE_FUTURE", domain="vecdb"))
    error = status.error_of(made)
    assert type(error) is nearest
    assert error.details == {"reason": "FROM_THE_FUTURE"}


def test_a_reason_of_another_domain_says_nothing_here() -> None:
    made = status_pb2.Status(code=code_pb2.NOT_FOUND, message="no")
    made.details.add().Pack(error_details_pb2.ErrorInfo(reason="VERSION_CONFLICT", domain="elsewhere"))
    assert type(status.error_of(made)) is errors.NotFoundError


def test_details_of_unusual_types_come_back_as_values() -> None:
    error = errors.VecDBError("no", shape=(2, np.int64(3)), big=2**70, kind=int, flag=np.True_)
    read = status.error_of(status.status_of(error))
    assert read.details == {"shape": [2, 3], "big": str(2**70), "kind": str(int), "flag": True}


def test_a_long_message_is_cut_and_keeps_its_class() -> None:
    error = status.error_of(status.status_of(errors.CorruptionError("x" * 100_000, place="y" * 100_000)))
    assert type(error) is errors.CorruptionError
    assert error.message.endswith("…")
    assert error.details == {}


@pytest.mark.parametrize("letter", ["a", "é", "%", "\0", "😀"])
def test_the_size_of_a_status_is_counted_as_it_is_sent(letter: str) -> None:
    """A client takes 8 KiB of headers; gRPC sends the message percent-encoded and all of the status in base 64."""
    made = status.status_of(errors.InvalidRequestError(letter * 5_000, option=letter * 5_000))
    encoded = sum(1 if 0x20 <= byte < 0x7F and byte != 0x25 else 3 for byte in made.message.encode())
    assert encoded + len(base64.b64encode(made.SerializeToString())) == status.sent_bytes(made) < 8_000
    assert made.message.startswith(letter * 100)
