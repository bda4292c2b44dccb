"""Makes replies of searches from what they have copied, without lists or messages in between.

Ids and metadata are copied as arrays in msgpack, which is what a reply has of them. So what is left to do is to put
heads in front of them, and to make scores of distances.
Promises: the bytes are those of the message that the servicer would have made.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from vecdb._pb.v1 import ids_pb2, metadata_pb2, vectors_pb2
from vecdb._pb.v1.search_service_pb2 import Hits, SearchResponse, SearchStreamResponse
from vecdb.engine.found_hits import scores_of
from vecdb.server.config import LENGTHS_KEPT_MAX, REPLY_FORMS_MAX
from vecdb.wire.arrays import ARRAY, array_head
from vecdb.wire.search_requests import tag, varint

if TYPE_CHECKING:
    from vecdb.engine.found_hits import FoundHits

Pieces: TypeAlias = Sequence[bytes | memoryview]
DISTANCE_BYTES: Final = 4
MIDDLE: Final = 4
"""Bytes of a copy of records before its ids, which say where its metadata begins."""

REPLY: Final = tag(SearchResponse.HITS_FIELD_NUMBER)
"""In front of the hits, in a SearchResponse and in a SearchBatchResponse."""

STREAM_REPLY: Final = tag(SearchStreamResponse.HITS_FIELD_NUMBER)
COUNTS, SCORES, DISTANCES = map(tag, (Hits.COUNTS_FIELD_NUMBER, Hits.SCORES_FIELD_NUMBER, Hits.DISTANCES_FIELD_NUMBER))
IDS: Final = tag(Hits.IDS_FIELD_NUMBER), tag(ids_pb2.RecordIds.JOINED_FIELD_NUMBER)
METADATA: Final = tag(Hits.METADATA_FIELD_NUMBER), tag(metadata_pb2.MetadataColumn.JOINED_FIELD_NUMBER)
DATA: Final = tag(vectors_pb2.FloatColumn.DATA_FIELD_NUMBER)


class Heads(NamedTuple):
    """What is the same in all replies with as many queries and hits: the counts, what is in front of numbers, and the
    length of all these with the numbers.
    """

    counts: bytes
    scores: bytes
    distances: bytes
    size: int


@lru_cache(REPLY_FORMS_MAX)
def heads_of(queries: int, each: int) -> Heads:
    """For so many queries, that have found so many hits each."""
    counts, size = varint(each) * queries, DISTANCE_BYTES * queries * each
    column = DATA + varint(size)
    length = varint(len(column) + size)
    heads = COUNTS + varint(len(counts)) + counts, SCORES + length + column, DISTANCES + length + column
    return Heads(*heads, sum(map(len, heads)) + 2 * size)


@lru_cache(LENGTHS_KEPT_MAX)
def head_of(tags: tuple[bytes, bytes], size: int) -> bytes:
    """What is in front of so many bytes that are the one field of a message."""
    outer, inner = tags
    head = inner + varint(size)
    return outer + varint(len(head) + size) + head


length_of: Final = lru_cache(LENGTHS_KEPT_MAX)(varint)


def reply_of(hits: FoundHits, queries: int = 1, front: bytes = REPLY) -> bytes:
    """A SearchResponse as bytes; or a SearchBatchResponse of so many queries, that have found as many hits each.

    `front` are the bytes before the hits' length.
    """
    (metric, count), distances, records = hits.copied
    counts, before_scores, before_distances, size = heads_of(queries, count // queries)
    ids: Pieces
    metadata: Pieces = ()
    if records:
        ids, metadata = _arrays(records, count)
    else:
        numbers = DISTANCE_BYTES * count
        ids, distances = (distances[numbers:],), distances[:numbers]
    ids_size, metadata_size = sum(map(len, ids)), sum(map(len, metadata))
    head, before_metadata = head_of(IDS, ids_size), b""
    if metadata_size == ARRAY.size + count:  # an empty map takes one byte, no other does: all are left out
        metadata, metadata_size = (), 0
    elif metadata_size:
        before_metadata = head_of(METADATA, metadata_size)
    return b"".join(
        (
            front,
            length_of(size + len(head) + ids_size + len(before_metadata) + metadata_size),
            counts,
            head,
            *ids,
            before_scores,
            scores_of(np.frombuffer(distances, np.float32), metric).data,
            before_distances,
            distances,
            before_metadata,
            *metadata,
        )
    )


def stream_reply_of(number: int, hits: FoundHits, queries: int) -> bytes:
    """A SearchStreamResponse as bytes, to the batch of that number."""
    return reply_of(hits, queries, SearchStreamResponse(number=number).SerializeToString() + STREAM_REPLY)


def _arrays(records: Sequence[bytes], count: int) -> tuple[Pieces, Pieces]:
    """The ids and the metadata of copied records, as arrays in pieces."""
    if len(records) == 1:
        content, middle = records[0], int.from_bytes(records[0][:MIDDLE], "little")
        return (content[MIDDLE:middle],), (content[middle:],)
    ids: list[bytes | memoryview] = [array_head(count)]
    metadata: list[bytes | memoryview] = [array_head(count)]
    for content in records:
        middle, view = int.from_bytes(content[:MIDDLE], "little"), memoryview(content)  # what is cut of it is no copy
        ids.append(view[MIDDLE + ARRAY.size : middle])
        metadata.append(view[middle + ARRAY.size :])
    return ids, metadata
