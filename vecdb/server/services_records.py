"""Answers vecdb.v1.RecordService: writes, and reads by id, in pages, counted and summed up.

Promises: a write with a request_id is done once (see `request_ids`), its reply has the seq of its commit. Reads see
`min_seq` or later.
Concurrency: any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vecdb._pb.v1 import record_service_pb2 as pb
from vecdb._pb.v1 import record_service_pb2_grpc as pb_grpc
from vecdb.checks.options import check_count
from vecdb.config import BATCH_RECORDS_MAX
from vecdb.engine.interruption import interruptible
from vecdb.errors import LimitExceededError
from vecdb.server.config import PAGE_ROWS_DEFAULT
from vecdb.server.page_tokens import FREE_TO_CHANGE, bound
from vecdb.server.record_pages import PageReader, rows_that_fit
from vecdb.wire.choices import is_packed
from vecdb.wire.reads import (
    aggregate_arguments,
    count_arguments,
    facet_arguments,
    get_arguments,
    put_counts,
    put_figures,
    scroll_arguments,
)
from vecdb.wire.records import put_found
from vecdb.wire.writes import (
    delete_arguments,
    insert_arguments,
    read_operation,
    set_vectors_arguments,
    update_arguments,
    upsert_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from vecdb.engine.packed import PackedCollection
    from vecdb.server.backing import Backing
    from vecdb.server.call import Call
    from vecdb.types import WriteResult


class RecordWriting:
    """The RPCs of RecordService that write."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def UpsertRecords(self, request: pb.UpsertRecordsRequest, call: Call) -> pb.UpsertRecordsResponse:
        result = self._write(request, call, lambda it: it.upsert(**upsert_arguments(request.records)))
        return pb.UpsertRecordsResponse(seq=result.seq, count=result.count)

    def InsertRecords(self, request: pb.InsertRecordsRequest, call: Call) -> pb.InsertRecordsResponse:
        result = self._write(request, call, lambda it: it.insert(**insert_arguments(request.records)))
        return pb.InsertRecordsResponse(seq=result.seq, count=result.count)

    def UpdateRecords(self, request: pb.UpdateRecordsRequest, call: Call) -> pb.UpdateRecordsResponse:
        result = self._write(request, call, lambda it: it.update(**update_arguments(request.update)))
        return pb.UpdateRecordsResponse(seq=result.seq, count=result.count)

    def SetVectors(self, request: pb.SetVectorsRequest, call: Call) -> pb.SetVectorsResponse:
        result = self._write(request, call, lambda it: it.set_vectors(**set_vectors_arguments(request.update)))
        return pb.SetVectorsResponse(seq=result.seq, count=result.count)

    def DeleteRecords(self, request: pb.DeleteRecordsRequest, call: Call) -> pb.DeleteRecordsResponse:
        result = self._write(request, call, lambda it: it.delete(**delete_arguments(request.deletion)))
        return pb.DeleteRecordsResponse(seq=result.seq, count=result.count)

    def _write(self, request: Any, call: Call, write: Callable[[PackedCollection], WriteResult]) -> WriteResult:
        return self._backing.request_ids.once(
            call, request.request_id, request, lambda: write(self._backing.collection(request.collection))
        )

    def CommitTransaction(self, request: pb.CommitTransactionRequest, call: Call) -> pb.CommitTransactionResponse:
        count = len(request.operations)
        if count > BATCH_RECORDS_MAX:
            raise LimitExceededError(
                f"operations has {count} writes; one transaction takes at most {BATCH_RECORDS_MAX}, so split it",
                where="operations",
            )

        def work() -> WriteResult:
            with self._backing.database.transaction() as transaction:
                for place, message in enumerate(request.operations):
                    call.check()
                    operation = read_operation(message, f"operations[{place}]")
                    collection = transaction.collection(operation.collection)
                    getattr(collection, operation.method)(**operation.arguments)
            return transaction.result

        result = self._backing.request_ids.once(call, request.request_id, request, work)
        return pb.CommitTransactionResponse(seq=result.seq, count=result.count)


class RecordReading:
    """The RPCs of RecordService that read."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def GetRecords(self, request: pb.GetRecordsRequest, call: Call) -> pb.GetRecordsResponse:
        packed = is_packed(request.encoding)
        arguments = get_arguments(request)
        collection = self._backing.collection(request.collection)
        if request.with_vectors:
            self._check_size(len(arguments["ids"]), collection)
        with interruptible(call.check, self._backing.read_bytes_max):
            found: Any = collection.get(**arguments)
        response = pb.GetRecordsResponse()
        put_found(response, found, packed=packed)
        return response

    def _check_size(self, count: int, collection: PackedCollection) -> None:
        """Refuse before anything is read what no reply can hold."""
        most = rows_that_fit(collection, self._backing.config.max_message_bytes)
        if count > most:
            raise LimitExceededError(
                f"ids names {count} records; the vectors of about {most} of this collection fit a reply: ask for fewer "
                "at a time, or export",
                where="ids",
            )

    def ListRecords(self, request: pb.ListRecordsRequest, call: Call) -> pb.ListRecordsResponse:
        arguments = {"limit": PAGE_ROWS_DEFAULT, **scroll_arguments(request)}
        check_count("page_size", arguments["limit"])
        packed = is_packed(request.encoding)
        same = bound(request, *FREE_TO_CHANGE)
        cursor = self._backing.tokens.read(request.page_token, same)
        collection, bytes_max = self._backing.collection(request.collection), self._backing.config.max_message_bytes
        reader = PageReader(collection, arguments, packed=packed, bytes_max=bytes_max)
        with interruptible(call.check, self._backing.read_bytes_max):
            records, cursor = reader.page(cursor)
        return pb.ListRecordsResponse(records=records, next_page_token=self._backing.tokens.make(cursor, same))

    def CountRecords(self, request: pb.CountRecordsRequest, call: Call) -> pb.CountRecordsResponse:
        with interruptible(call.check):
            count = self._backing.collection(request.collection).count(**count_arguments(request))
        return pb.CountRecordsResponse(count=count)

    def FacetRecords(self, request: pb.FacetRecordsRequest, call: Call) -> pb.FacetRecordsResponse:
        response = pb.FacetRecordsResponse()
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
            put_counts(response, self._backing.collection(request.collection).facet(**facet_arguments(request)))
        return response

    def AggregateRecords(self, request: pb.AggregateRecordsRequest, call: Call) -> pb.AggregateRecordsResponse:
        response = pb.AggregateRecordsResponse()
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
            put_figures(
                response, self._backing.collection(request.collection).aggregate(**aggregate_arguments(request))
            )
        return response


class RecordService(RecordWriting, RecordReading, pb_grpc.RecordServiceServicer):
    """All of RecordService."""
