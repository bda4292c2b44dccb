"""Puts requests of searches together: what is the same for many of them once, and behind it the bytes of the vectors.

A field that holds a message may come in parts, which whoever reads it merges (protobuf's encoding says so). So a
request is a head (collection, options, type and dimension of the vectors), which is kept, and one more part of `query`
or `queries` that has nothing but the components. A request costs one copy of the vectors that way, not four.
Promises: what is read from such bytes is the message with all its fields; options are checked as `put_options` does.
Concurrency: any thread; two that meet the same options at once both make the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb._pb.v1 import vectors_pb2
from vecdb.wire.config import HEADS_KEPT_MAX
from vecdb.wire.searches import put_options
from vecdb.wire.vectors import IS_LITTLE, PACKED, Rows, as_query

LENGTH_DELIMITED: Final = 2
VARINT_BITS: Final = 7

Request: TypeAlias = type[pb.SearchRequest] | type[pb.SearchBatchRequest]


class SearchRequests:
    """The requests of searches of one collection."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._heads: dict[Any, bytes] = {}

    def one(self, query: object, limit: object, options: Mapping[str, Any], *, explain: bool) -> bytes:
        """A SearchRequest as bytes; `options` are the keyword arguments of `put_options`."""
        row = as_query(query)
        head = self._head(pb.SearchRequest, row, limit, options, explain=explain)
        return head + (row if IS_LITTLE else little_endian(row)).tobytes()

    def batch(self, rows: Rows, limit: object, options: Mapping[str, Any]) -> bytes:
        """A SearchBatchRequest as bytes, for vectors (n, dim)."""
        return b"".join((self._head(pb.SearchBatchRequest, rows, limit, options), little_endian(rows).data))

    def _head(
        self, kind: Request, rows: Rows, limit: object, options: Mapping[str, Any], *, explain: bool = False
    ) -> bytes:
        if options["filter"] is not None:  # F("a") == 1 equals F("a") == True, and means something else
            return self._made(kind, rows, limit, options, explain=explain)
        values = (limit, *options.values())
        key = kind, explain, rows.shape, rows.dtype.char, values, tuple(map(type, values))  # types: True equals 1, too
        try:
            found = self._heads.get(key)
        except TypeError:  # something unhashable, which will be refused
            return self._made(kind, rows, limit, options, explain=explain)
        if found is None:
            found = self._made(kind, rows, limit, options, explain=explain)
            if len(self._heads) >= HEADS_KEPT_MAX:
                self._heads.clear()
            self._heads[key] = found
        return found

    def _made(self, kind: Request, rows: Rows, limit: object, options: Mapping[str, Any], *, explain: bool) -> bytes:
        message: Any = kind(collection=self._collection)
        if explain:
            message.explain = True
        put_options(message.options, limit, **options)
        place = "query" if kind is pb.SearchRequest else "queries"
        vectors = getattr(message, place)
        vectors.dim, vectors.type = rows.shape[-1], PACKED[rows.dtype][0]
        data = tag(vectors_pb2.Vectors.DATA_FIELD_NUMBER) + varint(rows.nbytes)
        number = kind.DESCRIPTOR.fields_by_name[place].number
        head: bytes = message.SerializeToString()
        return head + tag(number) + varint(len(data) + rows.nbytes) + data


def stream_request(number: int, search: bytes) -> bytes:
    """A SearchStreamRequest as bytes, around those of a SearchBatchRequest."""
    head = pb.SearchStreamRequest(number=number).SerializeToString()
    return b"".join((head, tag(pb.SearchStreamRequest.SEARCH_FIELD_NUMBER), varint(len(search)), search))


def little_endian(rows: Rows) -> Rows:
    """The components as the protocol has them."""
    return rows if IS_LITTLE else rows.astype(PACKED[rows.dtype][1])


def tag(number: int) -> bytes:
    """The tag of a field of bytes or of a message."""
    return varint(number << 3 | LENGTH_DELIMITED)


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    if number < 1 << VARINT_BITS:  # most are short
        return bytes((number,))
    if number < 1 << 2 * VARINT_BITS:
        return bytes((number & 0x7F | 0x80, number >> VARINT_BITS))
    groups = bytearray()
    while number >> VARINT_BITS:
        groups.append(number & 0x7F | 0x80)
        number >>= VARINT_BITS
    groups.append(number)
    return bytes(groups)
