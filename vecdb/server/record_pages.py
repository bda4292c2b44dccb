"""Reads records page by page, in messages of bounded size: for listings and exports.

Promises: a message has as many records as were asked for, or fewer where they would make it much larger than
PAGE_BYTES_TARGET; at least one while there are any. Nothing is held between pages.
Concurrency: a reader belongs to one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecdb._pb.v1 import record_pb2
from vecdb.errors import LimitExceededError
from vecdb.server.config import PAGE_BYTES_TARGET
from vecdb.wire.records import put_records

if TYPE_CHECKING:
    from vecdb.engine.collection import Collection
    from vecdb.wire.writes import Arguments

COMPONENT_BYTES = 4
OVERSHOOT = 2
"""A page this many times larger than the target is read again with fewer records, so a message may be so large."""


class PageReader:
    """Reads the pages of one request."""

    def __init__(self, collection: Collection, arguments: Arguments, *, packed: bool, bytes_max: int) -> None:
        """`arguments` are those of `Collection.scroll`, but for the cursor; a message takes `bytes_max` at most."""
        self._collection = collection
        self._packed = packed
        self._target = min(PAGE_BYTES_TARGET, bytes_max // OVERSHOOT)
        self._arguments = arguments
        self._most: int = arguments["limit"]
        if arguments["with_vectors"]:
            arguments["limit"] = min(self._most, rows_that_fit(collection, self._target))

    def page(self, cursor: str | None) -> tuple[record_pb2.Records, str | None]:
        """The records after a cursor, and the cursor to continue from; None at the end."""
        while True:
            try:
                page = self._collection.scroll(cursor=cursor, **self._arguments)
            except LimitExceededError as error:
                asked, size = self._arguments["limit"], error.details.get("reply_bytes")
                if size is None or asked <= 1:
                    raise
                self._arguments["limit"] = max(1, min(asked // 2, asked * self._target // size))
                continue
            message = record_pb2.Records()
            put_records(message, page.records, packed=self._packed)
            count, size = len(page.records), message.ByteSize()
            self._arguments["limit"] = min(self._most, max(1, count * self._target // max(size, 1)))
            if count <= 1 or size <= OVERSHOOT * self._target:
                return message, page.cursor


def rows_that_fit(collection: Collection, size: int) -> int:
    """How many records' vectors fit `size` bytes; at least one."""
    row = sum(field.dim for field in collection.fields.values()) * COMPONENT_BYTES
    return max(1, size // row)
