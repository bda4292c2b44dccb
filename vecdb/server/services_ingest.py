"""Answers vecdb.v1.IngestService: batches over a stream, acknowledged one by one.

Batches are received and checked in one thread while those before are committed in another, several in one commit.
Promises: answers come in the order of the batches, each after its commit. A batch that is refused is answered by a
failure with its number, and the stream goes on; a storage that fails ends the stream, and what is unanswered then may
be stored or not. What a client sends beyond the window waits in the network. When the server drains, what was received
is stored and acknowledged, then `draining` is sent and the stream ends with UNAVAILABLE.
Concurrency: two threads for each stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecdb._pb.v1 import ingest_service_pb2 as pb
from vecdb._pb.v1 import ingest_service_pb2_grpc as pb_grpc
from vecdb.engine.bulk import BulkWrites
from vecdb.errors import (
    ClosedError,
    InternalError,
    InvalidRequestError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    VecDBError,
)
from vecdb.server.config import INGEST_BATCHES_MAX, INGEST_BYTES_MAX, INGEST_GROUP_MAX
from vecdb.server.receiving import Received
from vecdb.server.refusals import stopping
from vecdb.server.request_ids import Claim, check_request_id, fingerprint_of
from vecdb.wire.choices import INGEST_MODES
from vecdb.wire.ids import read_ids
from vecdb.wire.status import put_error
from vecdb.wire.writes import insert_arguments, upsert_arguments

if TYPE_CHECKING:
    from vecdb.engine.commit import RecordOperation
    from vecdb.server.backing import Backing
    from vecdb.server.call import Call
    from vecdb.types import WriteResult

FATAL = (ClosedError, InternalError, ReadOnlyError, StorageError)
"""Errors that every batch after it would meet as well: they end the stream."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that was received: what stores it, or what is wrong with it."""

    number: int
    fingerprint: int
    outcome: RecordOperation | VecDBError


class IngestService(pb_grpc.IngestServiceServicer):
    """All of IngestService."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def Ingest(self, requests: Iterator[pb.IngestRequest], call: Call) -> Iterator[pb.IngestResponse]:
        first = next(requests, None)
        if first is None:
            return
        if first.WhichOneof("event") != "start":
            raise InvalidRequestError("the first message of an ingest stream must be `start`", where="start")
        load = Load(self._backing, first.start, call)
        window = pb.IngestWindow(batches_max=INGEST_BATCHES_MAX, bytes_max=INGEST_BYTES_MAX)
        yield pb.IngestResponse(started=window)
        source = Received(requests, load.prepare, all_held=self._backing.held, items_max=INGEST_BATCHES_MAX)
        with closing(source) as received:
            try:
                while (batches := received.take(INGEST_GROUP_MAX)) is not None:
                    yield from load.store(batches)
                    call.check()
                    if not batches and call.is_draining:
                        raise stopping()
            except UnavailableError:
                yield pb.IngestResponse(draining=pb.IngestDraining(last_number=load.last_number))
                raise


class Load:
    """One stream of batches into one collection."""

    def __init__(self, backing: Backing, start: pb.IngestStart, call: Call) -> None:
        check_request_id(start.request_id)
        self._mode = INGEST_MODES.word(start.mode, "start.mode")
        self._collection = start.collection
        self._writes = BulkWrites(backing.database, start.collection)
        self._request_ids = backing.request_ids
        self._name = f"{start.collection} {self._mode} {start.request_id}" if start.request_id else ""
        self._call = call
        self._received = 0
        self.last_number = 0

    def prepare(self, request: pb.IngestRequest) -> Prepared:
        """Check a batch, in the thread that receives. What is wrong with the stream itself is raised."""
        if request.WhichOneof("event") != "batch":
            raise InvalidRequestError("after `start`, an ingest stream takes only `batch`", where="event")
        self._call.require("write", self._collection)  # the key may have lost its grant since `start`
        batch = request.batch
        if batch.number <= self._received:
            raise InvalidRequestError(
                f"batch.number is {batch.number} after {self._received}; count up, beginning with 1",
                where="batch.number",
            )
        self._received = batch.number
        fingerprint = fingerprint_of(batch) if self._name else 0
        try:
            return Prepared(batch.number, fingerprint, self._operation(batch))
        except VecDBError as error:
            return Prepared(batch.number, fingerprint, error)

    def _operation(self, batch: pb.IngestBatch) -> RecordOperation:
        """What stores the records of a batch and, with them, deletes others."""
        if batch.HasField("delete") and not batch.HasField("records"):
            put = self._writes.upsert([], [])
        elif self._mode == "insert":
            put = self._writes.insert(**insert_arguments(batch.records))
        else:
            put = self._writes.upsert(**upsert_arguments(batch.records))
        if not batch.HasField("delete"):
            return put
        return self._writes.swapped(put, read_ids(batch.delete, "batch.delete"))

    def store(self, batches: Sequence[Prepared]) -> Iterator[pb.IngestResponse]:
        """Commit what can be committed, and answer every batch."""
        claims: list[Claim[WriteResult]] = []
        try:
            claims += (self._claim(batch) for batch in batches)
            outcomes = self._outcomes(batches, claims)
        finally:
            for claim in claims:
                claim.drop()
        for batch, outcome in zip(batches, outcomes, strict=True):
            yield self._answer(batch.number, outcome)

    def _claim(self, batch: Prepared) -> Claim[WriteResult]:
        if not self._name or isinstance(batch.outcome, VecDBError):
            return Claim()
        try:
            return self._request_ids.claim(self._call, f"{self._name} {batch.number}", batch.fingerprint)
        except InvalidRequestError as error:
            return Claim(answer=error)

    def _outcomes(
        self, batches: Sequence[Prepared], claims: Sequence[Claim[WriteResult]]
    ) -> list[WriteResult | VecDBError]:
        operations = [
            batch.outcome
            for batch, claim in zip(batches, claims, strict=True)
            if claim.answer is None and not isinstance(batch.outcome, VecDBError)
        ]
        results = iter(self._writes.commit(operations) if operations else [])
        outcomes: list[WriteResult | VecDBError] = []
        for batch, claim in zip(batches, claims, strict=True):
            if isinstance(batch.outcome, VecDBError):
                outcomes.append(batch.outcome)
            elif claim.answer is not None:
                outcomes.append(claim.answer)
            else:
                outcomes.append(result := next(results))
                if not isinstance(result, VecDBError):
                    claim.keep(result)
        return outcomes

    def _answer(self, number: int, outcome: WriteResult | VecDBError) -> pb.IngestResponse:
        if isinstance(outcome, FATAL):
            raise outcome
        self.last_number = number
        response = pb.IngestResponse()
        if isinstance(outcome, VecDBError):
            response.failure.number = number
            put_error(response.failure.error, outcome)
        else:
            response.ack.number, response.ack.seq, response.ack.count = number, outcome.seq, outcome.count
        return response
