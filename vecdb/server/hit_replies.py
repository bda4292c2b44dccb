"""Makes replies of searches from what they have copied, without a list or a message in between.

A kernel writes all but the metadata, which is put behind it as it was copied.
Promises: the bytes are those of the message that the servicer would have made. None for what the kernel leaves to it:
ids of several types, and very many.
Concurrency: any thread; each has a room of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from vecdb._pb.v1 import metadata_pb2, search_service_pb2
from vecdb.kernels.column import aligned_empty
from vecdb.kernels.native import bound
from vecdb.server.config import REPLY_FORMS_MAX, REPLY_SOURCE_BYTES
from vecdb.wire.metadata import ARRAY, array_head
from vecdb.wire.search_requests import tag, varint

if TYPE_CHECKING:
    from vecdb.engine.found_hits import FoundHits
    from vecdb.kernels.native import Call

HEAD: Final = 8
SLACK: Final = 16
"""Bytes that may be read behind the last."""

ROOM: Final = 2 * REPLY_SOURCE_BYTES
"""Bytes of hits: scores are added to what there is, tags and lengths take less than msgpack's."""

MIDDLE: Final = 4
"""Bytes of a copy of records before its ids, which say where its metadata begins."""

REPLY: Final = tag(search_service_pb2.SearchResponse.HITS_FIELD_NUMBER)
"""In front of the hits, in a SearchResponse and in a SearchBatchResponse."""

STREAM_REPLY: Final = tag(search_service_pb2.SearchStreamResponse.HITS_FIELD_NUMBER)
METADATA: Final = tag(search_service_pb2.Hits.METADATA_FIELD_NUMBER)
JOINED: Final = tag(metadata_pb2.MetadataColumn.JOINED_FIELD_NUMBER)


class _Room(threading.local):
    """What a kernel call of this thread reads and writes."""

    def __init__(self) -> None:
        self.source, self.target = (aligned_empty((size + SLACK,), np.uint8) for size in (REPLY_SOURCE_BYTES, ROOM))
        self.size = memoryview(self.source[:HEAD].view(np.int64))  # type: ignore[arg-type]  # an array is a buffer
        self.content = memoryview(self.source[HEAD:REPLY_SOURCE_BYTES])  # type: ignore[arg-type]  # as above
        self.hits = memoryview(self.target)  # type: ignore[arg-type]  # as above
        self.calls: dict[tuple[int, int, bool], Call] = {}

    def call(self, queries: int, each: int, is_cosine: bool) -> Call:
        """The kernel for hits of one form."""
        form = queries, each, is_cosine
        found = self.calls.get(form)
        if found is None:
            if len(self.calls) >= REPLY_FORMS_MAX:
                self.calls.clear()
            addresses = int(self.source.ctypes.data), int(self.target.ctypes.data), ROOM
            found = self.calls[form] = bound("write_hits", *addresses, *form)
        return found


_room = _Room()


def reply_of(hits: FoundHits, queries: int = 1, front: bytes = REPLY) -> bytes | None:
    """A SearchResponse as bytes; or a SearchBatchResponse of so many queries, that have found as many hits each.

    `front` are the bytes before the hits' length.
    """
    form, kept, records = hits.copied
    if records:
        kept, metadata = _taken_apart(kept, records, form.size)
    else:
        metadata = ()
    size, room = len(kept), _room
    if size > len(room.content):
        return None
    room.size[0] = size
    room.content[:size] = kept
    end = room.call(queries, form.size // queries, form.metric == "cosine")()
    if end < 0:
        return None
    return b"".join((front, varint(end + sum(map(len, metadata))), room.hits[:end], *metadata))


def stream_reply_of(number: int, hits: FoundHits, queries: int) -> bytes | None:
    """A SearchStreamResponse as bytes, to the batch of that number."""
    front = search_service_pb2.SearchStreamResponse(number=number).SerializeToString()
    return reply_of(hits, queries, front + STREAM_REPLY)


def _taken_apart(distances: bytes, records: Sequence[bytes], count: int) -> tuple[bytes, Sequence[bytes]]:
    """Distances and ids of copied records, and the field of their metadata in parts; none when all of it is empty."""
    ids, column = [distances, array_head(count)], [array_head(count)]
    for content in records:
        middle = int.from_bytes(content[:MIDDLE], "little")
        ids.append(content[MIDDLE + ARRAY.size : middle])
        column.append(content[middle + ARRAY.size :])
    size = sum(map(len, column))
    if size == ARRAY.size + count:  # an empty map takes one byte, no other does
        return b"".join(ids), ()
    head = varint(size)
    return b"".join(ids), (METADATA, varint(len(JOINED) + len(head) + size), JOINED, head, *column)
