"""The four ways to write records, for whoever takes writes: a collection sends them, a transaction gathers them.

Promises: what the caller changes after a call (an array, a dict) changes nothing that is sent. What needs no knowledge
of what is stored is checked before anything is sent, in the engine's words.
Concurrency: as the front that `_submit` belongs to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from vecdb._pb.v1 import record_service_pb2 as pb
from vecdb.checks.ids import is_single_id, listed_ids
from vecdb.checks.rows import check_delete, read_conditions
from vecdb.client import methods
from vecdb.client.calling import call
from vecdb.client.ingesting import Load, ingest
from vecdb.client.parts import cut
from vecdb.client.plans import Plan
from vecdb.client.session import new_request_id
from vecdb.client.targets import Target
from vecdb.config import BATCH_RECORDS_MAX, ID_BYTES_MAX
from vecdb.filters import FilterLike
from vecdb.types import Expiry, Metadata, Models, RecordId, VectorLike, WriteResult
from vecdb.wire.writes import Batch, put_batch, put_deletion, put_update, put_vector_update, read_batch

Answer = TypeVar("Answer")
Mode: TypeAlias = Literal["upsert", "insert"]

DELETION_BYTES: Final = 2 * ID_BYTES_MAX
"""More than an id and its condition take in a message."""


@dataclass(frozen=True, slots=True)
class Put:
    """An upsert or an insert."""

    mode: Mode
    batch: Batch

    def fill(self, message: pb.WriteOperation) -> None:
        """Fill a write of a transaction."""
        put_batch(message.upsert if self.mode == "upsert" else message.insert, self.batch)

    def plan(self, target: Target) -> Plan[WriteResult]:
        """Send it: in one message, or as a stream of parts."""
        parts = cut(self.batch, target.session.room_bytes, BATCH_RECORDS_MAX)
        if len(parts) > 1:
            load = Load(target, self.mode, None, total=len(self.batch))
            return (yield from ingest(load, iter([self.batch])))
        if self.mode == "upsert":
            upsert = pb.UpsertRecordsRequest(collection=target.name, request_id=new_request_id())
            put_batch(upsert.records, self.batch)
            return (yield from _write(target, methods.UPSERT_RECORDS, upsert))
        insert = pb.InsertRecordsRequest(collection=target.name, request_id=new_request_id())
        put_batch(insert.records, self.batch)
        return (yield from _write(target, methods.INSERT_RECORDS, insert))


@dataclass(frozen=True, slots=True)
class VectorUpdate:
    """Vectors of records that exist."""

    batch: Batch
    skip_changed: bool

    def fill(self, message: pb.WriteOperation) -> None:
        """Fill a write of a transaction."""
        put_vector_update(message.set_vectors, self.batch, skip_changed=self.skip_changed)

    def plan(self, target: Target) -> Plan[WriteResult]:
        """Send it: in one message, or in parts."""
        seq = count = 0
        for part in cut(self.batch, target.session.room_bytes, BATCH_RECORDS_MAX):
            request = pb.SetVectorsRequest(collection=target.name, request_id=new_request_id())
            put_vector_update(request.update, part, skip_changed=self.skip_changed)
            result = yield from _write(target, methods.SET_VECTORS, request)
            seq, count = max(seq, result.seq), count + result.count
        return WriteResult(seq=seq, count=count)


@dataclass(frozen=True, slots=True)
class Update:
    """An update: the arguments of `put_update`."""

    record_id: object
    arguments: Mapping[str, Any]

    def fill(self, message: pb.WriteOperation) -> None:
        """Fill a write of a transaction."""
        put_update(message.update, self.record_id, **self.arguments)

    def plan(self, target: Target) -> Plan[WriteResult]:
        """Send it."""
        request = pb.UpdateRecordsRequest(collection=target.name, request_id=new_request_id())
        put_update(request.update, self.record_id, **self.arguments)
        return (yield from _write(target, methods.UPDATE_RECORDS, request))


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion: the arguments of `put_deletion`."""

    ids: Any
    wanted: FilterLike | None
    if_version: Any

    def fill(self, message: pb.WriteOperation) -> None:
        """Fill a write of a transaction."""
        put_deletion(message.delete, self.ids, filter=self.wanted, if_version=self.if_version)

    def plan(self, target: Target) -> Plan[WriteResult]:
        """Send it: in one message, or in parts."""
        check_delete(self.ids, self.wanted, self.if_version)
        if self.wanted is not None or is_single_id(self.ids):
            return (yield from self._part(target, self.ids, self.if_version))
        ids = listed_ids(self.ids, "give a str, int or UUID, or a list of them")
        conditions = read_conditions(self.if_version, len(ids))
        size = min(BATCH_RECORDS_MAX, target.session.room_bytes // DELETION_BYTES)
        seq = count = 0
        for start in range(0, max(1, len(ids)), size):
            part = slice(start, start + size)
            result = yield from self._part(target, ids[part], None if conditions is None else conditions[part])
            seq, count = max(seq, result.seq), count + result.count
        return WriteResult(seq=seq, count=count)

    def _part(self, target: Target, ids: Any, if_version: Any) -> Plan[WriteResult]:
        request = pb.DeleteRecordsRequest(collection=target.name, request_id=new_request_id())
        put_deletion(request.deletion, ids, filter=self.wanted, if_version=if_version)
        return (yield from _write(target, methods.DELETE_RECORDS, request))


Write: TypeAlias = Put | VectorUpdate | Update | Deletion


def _write(target: Target, method: methods.Method[Any], request: Any) -> Plan[WriteResult]:
    reply = yield from call(target.caller, method, request)
    return WriteResult(seq=target.session.saw(reply.seq), count=reply.count)


class RecordWrites(ABC, Generic[Answer]):
    """Upsert, insert, update and delete of records of one collection."""

    _target: Target

    @abstractmethod
    def _submit(self, make: Callable[[], Write]) -> Answer:
        """Take a write, which `make` checks and makes."""

    def upsert(
        self,
        ids: Sequence[RecordId | Mapping[str, Any]],
        vectors: VectorLike | Mapping[str, Any] | None = None,
        metadata: Sequence[Metadata | None] | None = None,
        *,
        if_version: int | Sequence[int | None] | None = None,
        expires_at: Expiry | Sequence[Expiry | None] | None = None,
        model: Models | None = None,
    ) -> Answer:
        """Store records, replacing those whose ids exist; see `Collection.upsert` for all forms.

        What fits one message (32 MiB, unless the server says otherwise) is stored as a whole or not at all. What does
        not is streamed in parts, each of which is: when one is refused, those before it are stored, and `details` of
        the error has how many records they are (`stored`) and where the refused part begins (`first`).
        """
        return self._submit(
            lambda: self._put(
                "upsert", ids, vectors, metadata, if_version=if_version, expires_at=expires_at, model=model
            )
        )

    def insert(
        self,
        ids: Sequence[RecordId | Mapping[str, Any]],
        vectors: VectorLike | Mapping[str, Any] | None = None,
        metadata: Sequence[Metadata | None] | None = None,
        *,
        expires_at: Expiry | Sequence[Expiry | None] | None = None,
        model: Models | None = None,
    ) -> Answer:
        """Like `upsert`, but RecordExistsError (and nothing of the part stored) when any of the ids exists."""
        return self._submit(lambda: self._put("insert", ids, vectors, metadata, expires_at=expires_at, model=model))

    def set_vectors(
        self,
        ids: Sequence[RecordId],
        vectors: VectorLike | Mapping[str, Any],
        *,
        if_version: int | Sequence[int | None] | None = None,
        skip_changed: bool = False,
        model: Models | None = None,
    ) -> Answer:
        """Store vectors of records that exist; see `Collection.set_vectors`.

        What does not fit one message is sent in parts, each of which is stored as a whole or not at all.
        """

        def make() -> VectorUpdate:
            options = {"if_version": if_version, "model": model}
            return VectorUpdate(read_batch(self._target.main_field, ids, vectors, None, **options), bool(skip_changed))

        return self._submit(make)

    def update(
        self,
        id: RecordId | None = None,  # noqa: A002 - the field is called id everywhere
        *,
        filter: FilterLike | None = None,  # noqa: A002 - the word for it everywhere
        vector: VectorLike | None = None,
        vectors: Mapping[str, VectorLike] | None = None,
        metadata: Metadata | None = None,
        expires_at: Expiry | None = None,
        if_version: int | None = None,
        model: Models | None = None,
    ) -> Answer:
        """Change one record, or the metadata of every record that matches a filter; see `Collection.update`."""
        arguments = {
            "filter": filter,
            "vector": vector,
            "vectors": vectors,
            "metadata": metadata,
            "expires_at": expires_at,
            "if_version": if_version,
            "model": model,
        }
        return self._submit(lambda: Update(id, arguments))

    def delete(
        self,
        ids: RecordId | Sequence[RecordId] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see update
        if_version: int | Sequence[int | None] | None = None,
    ) -> Answer:
        """Delete records by id, or (`filter=`) all that match; see `Collection.delete`."""
        return self._submit(lambda: Deletion(ids, filter, if_version))

    def _put(self, mode: Mode, ids: object, vectors: object, metadata: object, **options: Any) -> Put:
        return Put(mode, read_batch(self._target.main_field, ids, vectors, metadata, **options))
