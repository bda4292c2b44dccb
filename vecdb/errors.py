"""Defines every exception vecdb raises, in one tree.

    VecDBError                              base; `.reason` is a stable UPPER_SNAKE word, `.details` a dict
    ├─ InvalidRequestError (ValueError)     the request itself is wrong; nothing was read or written
    │  ├─ DimensionMismatchError            a vector has another dimension than its field
    │  ├─ NonFiniteVectorError              NaN or infinity in a vector
    │  ├─ InvalidVectorError                wrong dtype, ragged, zero under cosine, not an array of numbers
    │  ├─ InvalidIdError                    not str, int (u64) or UUID; empty or too long
    │  ├─ DuplicateIdError                  one id twice in one batch
    │  ├─ InvalidNameError                  a collection or field name breaks the name rule
    │  ├─ InvalidMetadataError              not JSON-like, too deep or too large
    │  ├─ InvalidFilterError                a filter that cannot mean anything; says where, and what to write instead
    │  ├─ UnindexedFilterError              strict=True and a condition without an index
    │  ├─ LimitExceededError                a documented limit is exceeded
    │  ├─ MalformedRequestError             a message of the wire that cannot be read at all
    │  ├─ InvalidConfigError                a setting of the server that is unknown, ill-formed or unsafe
    │  ├─ InvalidSourceError                a source to ingest that is ill-formed; the message says what to write
    │  ├─ InvalidDocumentError              damaged, undecodable, too large, or a row without its id or text
    │  ├─ InvalidTextError                  a text that cannot be embedded: nothing in it, or too much
    │  ├─ ModelMismatchError                vectors of one model where those of another are stored
    │  └─ TransactionEndedError             a transaction is used before, after or outside its block
    ├─ NotFoundError (LookupError)
    │  ├─ DatabaseNotFoundError             no database at that path
    │  ├─ CollectionNotFoundError
    │  ├─ FieldNotFoundError
    │  ├─ IndexNotFoundError
    │  ├─ KeyNotFoundError                  no API key of that id in the key file
    │  ├─ RecordNotFoundError
    │  └─ SourceNotFoundError              no file, folder or match where a source was said to be
    ├─ AlreadyExistsError
    │  ├─ CollectionExistsError
    │  ├─ IndexExistsError
    │  └─ RecordExistsError                 insert of an id that is there
    ├─ ConflictError                        the state is not the one that the request builds on
    │  └─ VersionConflictError              a record has another version than if_version says
    ├─ ReadOnlyError                        a write on a database opened with mode="r"
    ├─ ClosedError                          the database was closed, or this process is a fork of its opener
    ├─ NotConfiguredError                   the server was not told what this needs
    ├─ WaitTimeoutError (TimeoutError)      min_seq or wait_indexed did not come true in time
    ├─ UnauthenticatedError                 no API key or certificate, or none that is known
    ├─ PermissionDeniedError                the key is known, and does not allow this
    ├─ OverloadedError                      the server has as much to do as it takes; try again after `retry_after_s`
    ├─ UnavailableError                     the server cannot be reached, or is shutting down; try again
    ├─ DeadlineExceededError (TimeoutError) the call's time was over before its work was
    ├─ CancelledError                       the caller gave the call up
    ├─ InternalError                        a defect of the server; `details` has the `incident` that its log explains
    ├─ EmbeddingError                       a provider of embeddings did not do its work
    │  ├─ ProviderUnavailableError          it cannot be reached or has too much to do; try again, after `retry_after_s`
    │  ├─ ProviderRefusedError              it refused the request, and would refuse it again
    │  └─ InvalidEmbeddingError             what came back has the wrong count or dimension, or NaN
    ├─ MissingExtraError (ImportError)      a library that is not installed; the message has the command
    ├─ KernelError                          the compiled kernels cannot be built on this machine
    └─ StorageError (OSError)
       ├─ NotADatabaseError                 the directory holds something else
       ├─ FormatVersionError                written by a newer vecdb
       ├─ DatabaseLockedError               another process is the writer
       ├─ StorageFullError                  no room on the disk or in the map; reads go on, nothing was lost
       ├─ StoragePoisonedError              a sync or meta write failed; reopen before trusting the file again
       └─ CorruptionError                   damaged bytes, always with the place and how to restore

Promises: this is the only module that defines exceptions; each class also is the builtin that callers expect;
messages name the thing and the fix and never contain vectors, metadata or secrets.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AlreadyExistsError",
    "CancelledError",
    "ClosedError",
    "CollectionExistsError",
    "CollectionNotFoundError",
    "ConflictError",
    "CorruptionError",
    "DatabaseLockedError",
    "DatabaseNotFoundError",
    "DeadlineExceededError",
    "DimensionMismatchError",
    "DuplicateIdError",
    "EmbeddingError",
    "FieldNotFoundError",
    "FormatVersionError",
    "IndexExistsError",
    "IndexNotFoundError",
    "InternalError",
    "InvalidConfigError",
    "InvalidDocumentError",
    "InvalidEmbeddingError",
    "InvalidFilterError",
    "InvalidIdError",
    "InvalidMetadataError",
    "InvalidNameError",
    "InvalidRequestError",
    "InvalidSourceError",
    "InvalidTextError",
    "InvalidVectorError",
    "KernelError",
    "KeyNotFoundError",
    "LimitExceededError",
    "MalformedRequestError",
    "MissingExtraError",
    "ModelMismatchError",
    "NonFiniteVectorError",
    "NotADatabaseError",
    "NotConfiguredError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "ProviderRefusedError",
    "ProviderUnavailableError",
    "ReadOnlyError",
    "RecordExistsError",
    "RecordNotFoundError",
    "SourceNotFoundError",
    "StorageError",
    "StorageFullError",
    "StoragePoisonedError",
    "TransactionEndedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnindexedFilterError",
    "VecDBError",
    "VersionConflictError",
    "WaitTimeoutError",
]


class VecDBError(Exception):
    """Base of all vecdb errors.

    `details` holds the facts of the message as data (names, shapes, numbers), never user content.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)


def _rebuild(cls: type[VecDBError], message: str, details: dict[str, Any]) -> VecDBError:
    return cls(message, **details)


class InvalidRequestError(VecDBError, ValueError):
    """The request is wrong in itself; nothing was read or written."""

    reason = "INVALID_REQUEST"


class DimensionMismatchError(InvalidRequestError):
    """A vector has another number of components than its field."""

    reason = "DIMENSION_MISMATCH"


class NonFiniteVectorError(InvalidRequestError):
    """A vector holds NaN or infinity."""

    reason = "NON_FINITE_VECTOR"


class InvalidVectorError(InvalidRequestError):
    """A vector is ragged, not numeric, out of range, or zero where cosine needs a direction."""

    reason = "INVALID_VECTOR"


class InvalidIdError(InvalidRequestError):
    """An id is not a str, an int in 0..2^64-1 or a UUID, or it is empty or too long."""

    reason = "INVALID_ID"


class DuplicateIdError(InvalidRequestError):
    """One id occurs twice in one batch, so its result would depend on order."""

    reason = "DUPLICATE_ID"


class InvalidNameError(InvalidRequestError):
    """A collection or field name breaks the name rule."""

    reason = "INVALID_NAME"


class InvalidMetadataError(InvalidRequestError):
    """Metadata is not JSON-like, too deeply nested or too large."""

    reason = "INVALID_METADATA"


class InvalidFilterError(InvalidRequestError):
    """A filter, or a path, that cannot mean anything; the message says where and what to write instead."""

    reason = "INVALID_FILTER"


class UnindexedFilterError(InvalidRequestError):
    """`strict=True`, and a condition of the filter has no index that answers it."""

    reason = "UNINDEXED_FILTER"


class LimitExceededError(InvalidRequestError):
    """A documented limit (vecdb.config) is exceeded."""

    reason = "LIMIT_EXCEEDED"


class MalformedRequestError(InvalidRequestError):
    """A message of the wire is not the protobuf message that the method takes."""

    reason = "MALFORMED_REQUEST"


class InvalidConfigError(InvalidRequestError):
    """A setting of the server is unknown, ill-formed, out of range or unsafe; the message says where it was read."""

    reason = "INVALID_CONFIG"


class InvalidSourceError(InvalidRequestError):
    """What was named as a source of documents cannot be one as it is written; the message says what to write."""

    reason = "INVALID_SOURCE"


class InvalidDocumentError(InvalidRequestError):
    """A file or row of a source cannot be used: damaged, undecodable, too large, or without its id or text."""

    reason = "INVALID_DOCUMENT"


class InvalidTextError(InvalidRequestError):
    """A text has nothing that could be embedded, or is too long; `details` has its `index` in the batch."""

    reason = "INVALID_TEXT"


class ModelMismatchError(InvalidRequestError):
    """Vectors or a query of one embedding model meet a collection that holds those of another."""

    reason = "MODEL_MISMATCH"


class TransactionEndedError(InvalidRequestError):
    """A transaction is used outside its `with` block, or a second time."""

    reason = "TRANSACTION_ENDED"


class NotFoundError(VecDBError, LookupError):
    """A named thing does not exist."""

    reason = "NOT_FOUND"


class DatabaseNotFoundError(NotFoundError):
    """No database at the given path."""

    reason = "DATABASE_NOT_FOUND"


class CollectionNotFoundError(NotFoundError):
    """No collection of that name."""

    reason = "COLLECTION_NOT_FOUND"


class FieldNotFoundError(NotFoundError):
    """The collection has no vector field of that name."""

    reason = "FIELD_NOT_FOUND"


class IndexNotFoundError(NotFoundError):
    """The collection has no metadata index of that path and kind."""

    reason = "INDEX_NOT_FOUND"


class KeyNotFoundError(NotFoundError):
    """No API key of that id, or no key file."""

    reason = "KEY_NOT_FOUND"


class RecordNotFoundError(NotFoundError):
    """No record with that id."""

    reason = "RECORD_NOT_FOUND"


class SourceNotFoundError(NotFoundError):
    """Nothing is where a source of documents was said to be."""

    reason = "SOURCE_NOT_FOUND"


class AlreadyExistsError(VecDBError):
    """A thing of that name or id exists already."""

    reason = "ALREADY_EXISTS"


class CollectionExistsError(AlreadyExistsError):
    """A collection of that name exists already."""

    reason = "COLLECTION_EXISTS"


class IndexExistsError(AlreadyExistsError):
    """The collection has a metadata index of that path and kind already."""

    reason = "INDEX_EXISTS"


class RecordExistsError(AlreadyExistsError):
    """`insert` met an id that is already stored."""

    reason = "RECORD_EXISTS"


class ConflictError(VecDBError):
    """The stored state is not the one that the request builds on: read again, then repeat it."""

    reason = "CONFLICT"


class VersionConflictError(ConflictError):
    """A record has another version than `if_version` says; `details` has the first `ids` and the `count` of all."""

    reason = "VERSION_CONFLICT"


class ReadOnlyError(VecDBError):
    """A write was tried on a database opened with mode="r"."""

    reason = "READ_ONLY"


class ClosedError(VecDBError):
    """The database was closed or dropped, or this process was forked from the one that opened it."""

    reason = "CLOSED"


class NotConfiguredError(VecDBError):
    """The server was started without what this call needs; the message names the setting."""

    reason = "NOT_CONFIGURED"


class WaitTimeoutError(VecDBError, TimeoutError):
    """Something waited for did not come true within the time allowed."""

    reason = "WAIT_TIMEOUT"


class UnauthenticatedError(VecDBError):
    """The call has no API key and no client certificate, or none that is known. The message never says which."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(VecDBError):
    """The API key does not allow the call, whether or not what it asks for exists."""

    reason = "PERMISSION_DENIED"


class OverloadedError(VecDBError):
    """The server has as much work as it takes; nothing was done. `details` has `retry_after_s`."""

    reason = "OVERLOADED"


class UnavailableError(VecDBError):
    """The server cannot be reached or is shutting down. What is idempotent may be tried again."""

    reason = "UNAVAILABLE"


class DeadlineExceededError(VecDBError, TimeoutError):
    """The deadline of a call passed. A write may have been stored or not; never in part."""

    reason = "DEADLINE_EXCEEDED"


class CancelledError(VecDBError):
    """The caller gave the call up."""

    reason = "CANCELLED"


class InternalError(VecDBError):
    """A defect of the server. `details` has the `incident` under which its log tells what happened."""

    reason = "INTERNAL_ERROR"


class EmbeddingError(VecDBError):
    """A provider of embeddings, the caller's own function among them, did not do its work."""

    reason = "EMBEDDING"


class ProviderUnavailableError(EmbeddingError):
    """The provider cannot be reached, failed, or refuses for now. Try again, after `retry_after_s` if that is known."""

    reason = "PROVIDER_UNAVAILABLE"


class ProviderRefusedError(EmbeddingError):
    """The provider refused the request as such; repeating it helps nobody. `details` has the HTTP `status`."""

    reason = "PROVIDER_REFUSED"


class InvalidEmbeddingError(EmbeddingError):
    """A provider gave another number of vectors or components than asked for, or NaN, infinity or zero vectors."""

    reason = "INVALID_EMBEDDING"


class MissingExtraError(VecDBError, ImportError):
    """A library that this needs is not installed; the message has the command that installs it."""

    reason = "MISSING_EXTRA"


class KernelError(VecDBError):
    """The compiled kernels cannot be built or loaded on this machine."""

    reason = "KERNEL"


class StorageError(VecDBError, OSError):
    """The file layer failed."""

    reason = "STORAGE"


class NotADatabaseError(StorageError):
    """The directory exists but does not hold a vecdb database."""

    reason = "NOT_A_DATABASE"


class FormatVersionError(StorageError):
    """The database was written in a newer on-disk format than this version reads."""

    reason = "FORMAT_VERSION"


class DatabaseLockedError(StorageError):
    """Another process (or another object in this one) holds the writer lock."""

    reason = "DATABASE_LOCKED"


class StorageFullError(StorageError):
    """No space left on the device, or the reserved map is used up. Reads go on; nothing acknowledged is lost."""

    reason = "STORAGE_FULL"


class StoragePoisonedError(StorageError):
    """A sync or a meta-page write failed: what is on disk is uncertain until the database is reopened."""

    reason = "STORAGE_POISONED"


class CorruptionError(StorageError):
    """Stored bytes are damaged. The message names the place and how to restore."""

    reason = "CORRUPTION"
