"""Finds where in the bytes of a request the components of its vectors lie, without making a message of it.

Two requests that differ in those bytes alone mean the same but for the vector: components are the content of a field of
bytes, which no parser looks into.
Promises: of bytes that are a message, the place is that of the content that a parser takes. None where there is none,
or where the bytes have what no message of vecdb has (groups).
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb._pb.v1 import vectors_pb2

VARINT, FIXED_64, DELIMITED, FIXED_32 = 0, 1, 2, 5
"""Types of fields on the wire; the two others are the ends of groups, which proto3 does not have."""

SIZES: Final = {FIXED_64: 8, FIXED_32: 4}


class Place(NamedTuple):
    """Where bytes begin and end."""

    start: int
    stop: int


def place_of_query(body: bytes) -> Place | None:
    """The place of `query.data` of a SearchRequest: of the last one, which counts."""
    return _place(body, pb.SearchRequest.QUERY_FIELD_NUMBER)


def place_of_queries(body: bytes) -> Place | None:
    """The place of `queries.data` of a SearchBatchRequest, as `place_of_query`."""
    return _place(body, pb.SearchBatchRequest.QUERIES_FIELD_NUMBER)


def _place(body: bytes, wanted: int) -> Place | None:
    """The place of `data` of the vectors that are a field of a message."""
    place = None
    try:
        for vectors in _contents(body, Place(0, len(body)), wanted):
            for data in _contents(body, vectors, vectors_pb2.Vectors.DATA_FIELD_NUMBER):
                place = data
    except (IndexError, ValueError):
        return None
    return place


def _contents(body: bytes, message: Place, wanted: int) -> Iterator[Place]:
    """The places of all contents of one field of a message; ValueError or IndexError where it is none."""
    at, stop = message
    while at < stop:
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == VARINT:
            _, at = _varint(body, at)
        elif kind == DELIMITED:
            size, at = _varint(body, at)
            if tag >> 3 == wanted:
                yield Place(at, at + size)
            at += size
        elif kind in SIZES:
            at += SIZES[kind]
        else:
            raise ValueError(f"a field of type {kind}")
    if at != stop:
        raise ValueError("a field is longer than its message")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    number = shift = 0
    while True:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
