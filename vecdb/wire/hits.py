"""Reads hits out of replies of searches.

Promises: hits come back with the same ids, scores and distances, bit by bit.
Concurrency: pure functions.
"""

from __future__ import annotations

from typing import Any, Final

from vecdb._pb.v1 import search_service_pb2
from vecdb.errors import InvalidRequestError
from vecdb.types import Explain, SearchResult
from vecdb.wire.ids import read_joined_ids
from vecdb.wire.metadata import read_metadata
from vecdb.wire.vectors import read_numbers, read_vectors


def read_hits(
    message: search_service_pb2.Hits, queries: int, *, with_metadata: bool, explain: Explain | None = None
) -> list[SearchResult]:
    """The results of so many queries; InvalidRequestError when the columns do not fit together."""
    counts = message.counts
    if len(counts) != queries:
        raise InvalidRequestError(f"hits are of {len(counts)} queries; {queries} were asked", where="hits.counts")
    ids = read_joined_ids(message.ids, "hits.ids")
    total = sum(counts)
    if len(ids) != total:
        raise InvalidRequestError(f"hits has {len(ids)} ids; the counts sum up to {total}", where="hits.ids")
    scores = read_numbers(message.scores, total, "hits.scores")
    distances = read_numbers(message.distances, total, "hits.distances")
    vectors: Any = read_vectors(message.vectors, "hits.vectors") if message.HasField("vectors") else None
    if vectors is not None and len(vectors) != total:
        raise InvalidRequestError(f"hits has {len(vectors)} vectors for {total} ids", where="hits.vectors")
    metadata = None
    if with_metadata:
        metadata = read_metadata(message.metadata, total, "hits.metadata", is_reply=True) or [{} for _ in ids]
    if queries == 1:
        return [_made(ids, scores, distances, metadata, vectors, explain)]
    results, start = [], 0
    for count in counts:
        stop = start + count
        results.append(
            _made(
                ids[start:stop],
                scores[start:stop],
                distances[start:stop],
                None if metadata is None else metadata[start:stop],
                None if vectors is None else vectors[start:stop],
                explain,
            )
        )
        start = stop
    return results


def _made(ids: Any, scores: Any, distances: Any, metadata: Any, vectors: Any, explain: Any) -> SearchResult:
    """A SearchResult, field by field: `__init__` of a frozen dataclass takes longer than to cut all its columns."""
    result = _new(SearchResult)
    _set_ids(result, ids)
    _set_scores(result, scores)
    _set_distances(result, distances)
    _set_metadata(result, metadata)
    _set_vectors(result, vectors)
    _set_explain(result, explain)
    return result


_new = object.__new__
FIELDS: Final = ("ids", "scores", "distances", "metadata", "vectors", "explain")
_set_ids, _set_scores, _set_distances, _set_metadata, _set_vectors, _set_explain = (
    SearchResult.__dict__[name].__set__ for name in FIELDS
)
