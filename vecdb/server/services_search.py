"""Answers vecdb.v1.SearchService: single searches, batches, and streams of batches.

Promises: one batch is answered from one state of the collection. A caller who gives up stops a batch after at most
SEARCH_PIECE_ROWS more queries. A search whose hits no reply can hold is refused before it takes memory for them. In a
stream the next batches are received while one is searched, never more than SEARCHES_AHEAD_MAX; what is wrong with one
batch ends that batch, not the stream.
Concurrency: any thread; a stream has one more thread, which receives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final

from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb._pb.v1 import search_service_pb2_grpc as pb_grpc
from vecdb.config import LIMIT_MAX
from vecdb.engine.found_hits import PackedHits
from vecdb.engine.interruption import interruptible
from vecdb.errors import CancelledError, ClosedError, DeadlineExceededError, LimitExceededError, VecDBError
from vecdb.server.config import HITS_DEFAULT, SEARCHES_AHEAD_MAX
from vecdb.server.hit_replies import reply_of, stream_reply_of
from vecdb.server.receiving import Received
from vecdb.server.record_pages import COMPONENT_BYTES
from vecdb.server.refusals import discreet
from vecdb.wire.searches import put_columns, put_explain, read_options
from vecdb.wire.status import put_error
from vecdb.wire.vectors import read_queries, read_query

if TYPE_CHECKING:
    from vecdb.engine.packed import HitColumns, PackedCollection
    from vecdb.server.backing import Backing
    from vecdb.server.call import Call
    from vecdb.types import SearchResult
    from vecdb.wire.writes import Arguments

HIT_BYTES: Final = 8
"""What a hit takes in a reply at least: its score and its distance."""


class SearchService(pb_grpc.SearchServiceServicer):
    """All of SearchService."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def Search(self, request: pb.SearchRequest, call: Call) -> pb.SearchResponse:
        backing = self._backing
        arguments, packed = read_options(request.options)
        query = read_query(request.query, "query")
        collection = backing.collection(request.collection)
        check_hits((1, len(query)), arguments, collection, backing.config.max_message_bytes)
        with interruptible(call.check, backing.read_bytes_max):
            result = collection.search(query, explain=request.explain, **arguments)
        response = pb.SearchResponse()
        put_columns(response.hits, (len(result.ids),), result, packed=packed)
        if result.explain is not None:
            put_explain(response.explain, result.explain)
        return response

    def SearchBatch(self, request: pb.SearchBatchRequest, call: Call) -> pb.SearchBatchResponse | bytes:
        found, packed = self._found(request, call)
        if packed and type(found.hits) is PackedHits:
            return reply_of(found.hits, len(found.counts))
        response = pb.SearchBatchResponse()
        put_columns(response.hits, found.counts, found.hits, packed=packed)
        response.hits.SetInParent()
        return response

    def SearchStream(
        self, requests: Iterator[pb.SearchStreamRequest], call: Call
    ) -> Iterator[pb.SearchStreamResponse | bytes]:
        source: Received[pb.SearchStreamRequest] = Received(
            requests, all_held=self._backing.held, items_max=1 + SEARCHES_AHEAD_MAX
        )
        with closing(source) as received:
            for request in received.each(call):
                try:
                    reply = self._batch(request, call)
                except (CancelledError, ClosedError, DeadlineExceededError):
                    raise
                except VecDBError as error:
                    reply = failed = pb.SearchStreamResponse(number=request.number)
                    put_error(failed.error, discreet(error, call.principal))
                yield reply

    def _batch(self, request: pb.SearchStreamRequest, call: Call) -> pb.SearchStreamResponse | bytes:
        found, packed = self._found(request.search, call)
        if packed and type(found.hits) is PackedHits:
            return stream_reply_of(request.number, found.hits, len(found.counts))
        response = pb.SearchStreamResponse(number=request.number)
        put_columns(response.hits, found.counts, found.hits, packed=packed)
        response.hits.SetInParent()
        return response

    def _found(self, request: pb.SearchBatchRequest, call: Call) -> tuple[HitColumns, bool]:
        """The hits of a batch, and whether they are wanted in the packed form."""
        arguments, packed = read_options(request.options)
        queries = read_queries(request.queries, "queries")
        collection, bytes_max = self._backing.collection(request.collection), self._backing.config.max_message_bytes
        check_hits(queries.shape, arguments, collection, bytes_max)
        with interruptible(call.check, self._backing.read_bytes_max):
            found = collection.search_columns(queries, **arguments)
        call.check()
        if arguments["with_metadata"]:
            check_metadata(found.hits, bytes_max)
        return found, packed


def check_hits(shape: tuple[int, ...], arguments: Arguments, collection: PackedCollection, bytes_max: int) -> None:
    """Refuse a search for more hits than `bytes_max` can hold, before it is made. `shape` is that of its queries."""
    row = HIT_BYTES + (COMPONENT_BYTES * shape[-1] if arguments["with_vectors"] else 0)
    limit = arguments.get("limit", HITS_DEFAULT)
    if limit > LIMIT_MAX or shape[0] * limit * row <= bytes_max:  # a limit that cannot be is the engine's business
        return
    size = shape[0] * min(limit, collection.count()) * row
    if size > bytes_max:
        raise LimitExceededError(
            f"{shape[0]} queries with limit {limit} may find what takes {size} bytes; the server sends at most "
            f"{bytes_max}: ask for less at a time",
            reply_bytes=size,
        )


def check_metadata(found: SearchResult, bytes_max: int) -> None:
    """Refuse to repeat the metadata of records that many queries found, which they share until they are sent."""
    size = sum(map(len, found.copied[2] if type(found) is PackedHits else found.metadata or ()))
    if size > bytes_max:
        raise LimitExceededError(
            f"metadata of the hits takes {size} bytes; the server sends at most {bytes_max}: ask for less at a time",
            reply_bytes=size,
        )
