"""Reads hits out of replies: whether the columns fit together at once, what is in them when it is first asked for.

To make lists of ids and dicts of metadata of a reply takes longer than all else that a client does for a search, and
not everybody wants all of them.
Promises: hits come back with the same ids, scores and distances, bit by bit. What `read_hits` returns never changes and
needs no connection. That metadata is msgpack is believed of a server until it is asked for: then it is an
InvalidMetadataError.
Concurrency: read freely; two threads that ask first may read a column out twice.
"""

from __future__ import annotations

from typing import Any, cast

from vecdb._pb.v1 import search_service_pb2
from vecdb.errors import InvalidRequestError
from vecdb.types import Explain, FloatArray, Metadata, RecordId, SearchResult
from vecdb.wire.ids import count_ids, read_ids
from vecdb.wire.metadata import count_metadata, read_metadata
from vecdb.wire.vectors import read_numbers, read_vectors

COLUMNS = frozenset({"ids", "scores", "distances", "metadata", "vectors"})


def read_hits(
    message: search_service_pb2.Hits, queries: int, *, with_metadata: bool, explain: Explain | None = None
) -> list[SearchResult]:
    """The results of so many queries; InvalidRequestError when the columns do not fit together."""
    counts = message.counts
    if len(counts) != queries:
        raise InvalidRequestError(f"hits are of {len(counts)} queries; {queries} were asked", where="hits.counts")
    reply = _Reply(message, sum(counts), with_metadata=with_metadata)
    if queries == 1:
        return [_hits(reply, 0, reply.total, explain)]
    results: list[SearchResult] = []
    start = 0
    for count in counts:
        results.append(_hits(reply, start, start + count, explain))
        start += count
    return results


class _Reply:
    """The columns of the hits of all queries of a reply."""

    __slots__ = (
        "_has_metadata",
        "_ids",
        "_message",
        "_metadata",
        "distances",
        "scores",
        "total",
        "vectors",
        "with_metadata",
    )

    def __init__(self, message: search_service_pb2.Hits, total: int, *, with_metadata: bool) -> None:
        self._message, self.total, self.with_metadata = message, total, with_metadata
        self._ids: list[RecordId] | None = None
        ids = count_ids(message.ids, "hits.ids")
        if ids != total:
            raise InvalidRequestError(f"hits has {ids} ids; the counts sum up to {total}", where="hits.ids")
        self.scores = read_numbers(message.scores, total, "hits.scores")
        self.distances = read_numbers(message.distances, total, "hits.distances")
        self.vectors: FloatArray | None = None
        if message.HasField("vectors"):
            self.vectors = cast(FloatArray, read_vectors(message.vectors, "hits.vectors"))
            if len(self.vectors) != total:
                raise InvalidRequestError(f"hits has {len(self.vectors)} vectors for {total} ids", where="hits.vectors")
        self._has_metadata = with_metadata and count_metadata(message.metadata, total, "hits.metadata") > 0
        self._metadata: list[Metadata] | None = None

    def ids(self, start: int, stop: int) -> list[RecordId]:
        """Those of some hits."""
        column = self._message.ids
        if column.WhichOneof("ids") == "texts":
            return list(column.texts.values[start:stop])
        if self._ids is None:
            self._ids = read_ids(column, "hits.ids")
        return self._ids[start:stop]

    def metadata(self, start: int, stop: int) -> list[Metadata] | None:
        """That of some hits; None when it was not asked for."""
        if not self.with_metadata:
            return None
        if not self._has_metadata:
            return [{} for _ in range(start, stop)]
        if self._metadata is None:  # all of it by one decoding: who asked for it will want that of the next query, too
            self._metadata = read_metadata(self._message.metadata, self.total, "hits.metadata", is_reply=True)
            assert self._metadata is not None
        return self._metadata[start:stop]


class ReceivedHits(SearchResult):
    """The hits of one query."""

    __slots__ = ("_reply", "_start", "_stop")
    _reply: _Reply
    _start: int
    _stop: int

    def __getattr__(self, name: str) -> Any:
        """Reached only while a column has not been read out."""
        if name not in COLUMNS:
            raise AttributeError(name)
        reply, start, stop = self._reply, self._start, self._stop
        if name in {"ids", "metadata"}:
            column = getattr(reply, name)(start, stop)
        else:
            whole = getattr(reply, name)
            column = None if whole is None else whole[start:stop]
        object.__setattr__(self, name, column)
        return column


def _hits(reply: _Reply, start: int, stop: int, explain: Explain | None) -> ReceivedHits:
    """A result that has read nothing yet. Calls of C, where `__init__` of a frozen dataclass would take 2 us."""
    hits = _new(ReceivedHits)
    _set_reply(hits, reply)
    _set_start(hits, start)
    _set_stop(hits, stop)
    _set_explain(hits, explain)
    return hits


_new = object.__new__
_set_reply = ReceivedHits.__dict__["_reply"].__set__
_set_start = ReceivedHits.__dict__["_start"].__set__
_set_stop = ReceivedHits.__dict__["_stop"].__set__
_set_explain = SearchResult.__dict__["explain"].__set__
