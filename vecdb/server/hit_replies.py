"""Makes replies of searches from what they have copied, without a list or a message in between.

Promises: the bytes are those of the message that the servicer would have made. None for what the kernel leaves to it:
ids of several types, very long replies, and what is damaged.
Concurrency: any thread; each has a room of its own.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from vecdb.kernels.column import aligned_empty
from vecdb.kernels.native import bound
from vecdb.server.config import REPLY_FORMS_MAX, REPLY_SOURCE_BYTES

if TYPE_CHECKING:
    from vecdb.engine.found_hits import FoundHits
    from vecdb.kernels.native import Call

HEAD: Final = 8
SLACK: Final = 16
"""Bytes that may be read behind the last."""

ROOM: Final = 2 * REPLY_SOURCE_BYTES
"""Bytes of a reply: scores are added to what there is, tags and lengths take less than msgpack's."""


class _Room(threading.local):
    """What a kernel call of this thread reads and writes."""

    def __init__(self) -> None:
        self.source, self.target = (aligned_empty((size + SLACK,), np.uint8) for size in (REPLY_SOURCE_BYTES, ROOM))
        self.size = memoryview(self.source[:HEAD].view(np.int64))  # type: ignore[arg-type]  # an array is a buffer
        self.content = memoryview(self.source[HEAD:REPLY_SOURCE_BYTES])  # type: ignore[arg-type]  # as above
        self.reply = memoryview(self.target)  # type: ignore[arg-type]  # as above
        self.calls: dict[tuple[int, int, bool, bool], Call] = {}

    def call(self, queries: int, each: int, is_cosine: bool, with_metadata: bool) -> Call:
        """The kernel for hits of one form."""
        form = queries, each, is_cosine, with_metadata
        found = self.calls.get(form)
        if found is None:
            if len(self.calls) >= REPLY_FORMS_MAX:
                self.calls.clear()
            addresses = int(self.source.ctypes.data), int(self.target.ctypes.data), ROOM
            found = self.calls[form] = bound("write_hits", *addresses, *form)
        return found


_room = _Room()


def reply_of(hits: FoundHits, queries: int = 1) -> bytes | None:
    """A SearchResponse as bytes; or a SearchBatchResponse of so many queries, that have found as many hits each."""
    form, kept, records = hits.copied
    room = _room
    with_metadata = bool(records)
    if with_metadata:
        if len(records) > 1:
            return None
        kept += records[0]
    size = len(kept)
    if size > len(room.content):
        return None
    room.size[0] = size
    room.content[:size] = kept
    end = room.call(queries, form.size // queries, form.metric == "cosine", with_metadata)()
    return None if end < 0 else bytes(room.reply[:end])
