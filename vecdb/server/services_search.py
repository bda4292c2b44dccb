"""Answers vecdb.v1.SearchService: single searches, batches, and streams of batches.

Promises: one batch is answered from one state of the collection. A caller who gives up stops a batch after at most
SEARCH_PIECE_ROWS more queries. In a stream the next batches are received while one is searched, never more than
SEARCHES_AHEAD_MAX; what is wrong with one batch ends that batch, not the stream.
Concurrency: any thread; a stream has one more thread, which receives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb._pb.v1 import search_service_pb2_grpc as pb_grpc
from vecdb.engine.interruption import interruptible
from vecdb.errors import CancelledError, ClosedError, DeadlineExceededError, VecDBError
from vecdb.server.config import SEARCHES_AHEAD_MAX
from vecdb.server.receiving import Received
from vecdb.server.refusals import discreet
from vecdb.wire.choices import is_packed
from vecdb.wire.searches import batch_arguments, put_explain, put_hits, search_arguments
from vecdb.wire.status import put_error

if TYPE_CHECKING:
    from vecdb.server.backing import Backing
    from vecdb.server.call import Call


class SearchService(pb_grpc.SearchServiceServicer):
    """All of SearchService."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def Search(self, request: pb.SearchRequest, call: Call) -> pb.SearchResponse:
        packed = is_packed(request.options.encoding)
        arguments = search_arguments(request)
        with interruptible(call.check):
            result = self._backing.collection(request.collection).search(**arguments)
        response = pb.SearchResponse()
        put_hits(response.hits, [result], packed=packed)
        if result.explain is not None:
            put_explain(response.explain, result.explain)
        return response

    def SearchBatch(self, request: pb.SearchBatchRequest, call: Call) -> pb.SearchBatchResponse:
        response = pb.SearchBatchResponse()
        self._batch(request, call, response.hits)
        return response

    def SearchStream(self, requests: Iterator[pb.SearchStreamRequest], call: Call) -> Iterator[pb.SearchStreamResponse]:
        source: Received[pb.SearchStreamRequest] = Received(
            requests, all_held=self._backing.held, items_max=1 + SEARCHES_AHEAD_MAX
        )
        with closing(source) as received:
            for request in received.each(call):
                response = pb.SearchStreamResponse(number=request.number)
                try:
                    self._batch(request.search, call, response.hits)
                except (CancelledError, ClosedError, DeadlineExceededError):
                    raise
                except VecDBError as error:
                    put_error(response.error, discreet(error, call.principal))
                yield response

    def _batch(self, request: pb.SearchBatchRequest, call: Call, hits: pb.Hits) -> None:
        packed = is_packed(request.options.encoding)
        arguments = batch_arguments(request)
        with interruptible(call.check):
            found = self._backing.collection(request.collection).search_batch(**arguments)
        call.check()
        put_hits(hits, found.results, packed=packed)
        hits.SetInParent()
