"""Replies made of what kernels have copied are those that protobuf makes of the same hits."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies_wire import COLUMNS, METADATA
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb.checks.metadata import encode_metadata
from vecdb.engine.found_hits import Form, PackedHits, found_hits
from vecdb.kernels.layout import UUID_EXTENSION
from vecdb.server.hit_replies import reply_of, stream_reply_of
from vecdb.wire.searches import put_columns


def array_of(items: Sequence[bytes]) -> bytes:
    """An array of msgpack, as kernels write it."""
    return struct.pack(">BI", 0xDD, len(items)) + b"".join(items)


def packed_id(record_id: Any) -> bytes:
    """An id as kernels write it."""
    if isinstance(record_id, int):
        return struct.pack(">BQ", 0xCF, record_id)
    if isinstance(record_id, uuid.UUID):
        return bytes([0xD8, UUID_EXTENSION]) + record_id.bytes
    text: bytes = str(record_id).encode()
    return struct.pack(">BH", 0xDA, len(text)) + text


def records_of(ids: list[Any], metadata: Sequence[bytes]) -> bytes:
    """A copy of records, as kernels make it."""
    named = array_of(list(map(packed_id, ids)))
    return struct.pack("<I", 4 + len(named)) + named + array_of(metadata)


def hits_of(metric: Any, ids: list[Any], distances: list[float], records: Sequence[bytes]) -> PackedHits:
    """Hits with the metadata that is in copies of `records`, or without."""
    kept = np.array(distances, np.float32).tobytes()
    form = Form(metric, len(ids))
    if records:
        found = found_hits(PackedHits, (form, kept, records))
    else:
        found = found_hits(PackedHits, (form, kept + array_of(list(map(packed_id, ids))), ()))
    assert isinstance(found, PackedHits)
    return found


@given(st.data(), st.sampled_from(["l2", "dot", "cosine"]), COLUMNS.filter(bool), st.booleans())
def test_a_reply_is_what_protobuf_makes_of_the_same_hits(
    data: st.DataObject, metric: str, ids: list[Any], with_metadata: bool
) -> None:
    count = len(ids)
    distances = data.draw(st.lists(st.floats(width=32), min_size=count, max_size=count))
    column = [encode_metadata(data.draw(METADATA), 0) for _ in ids] if with_metadata else []
    step = data.draw(st.integers(1, count))  # records are copied so many at a time
    starts = range(0, count, step) if with_metadata else ()
    pieces = [records_of(ids[start : start + step], column[start : start + step]) for start in starts]
    hits = hits_of(metric, ids, distances, pieces)
    expected = pb.SearchResponse()
    put_columns(expected.hits, (count,), hits, packed=True)
    assert reply_of(hits) == expected.SerializeToString()


@given(st.integers(0, 2**64 - 1), st.integers(1, 5), st.booleans())
def test_a_reply_of_a_stream_is_what_protobuf_makes_of_the_same_hits(
    number: int, queries: int, with_metadata: bool
) -> None:
    ids = [f"id-{each}" for each in range(3 * queries)]
    pieces = [records_of(ids, [encode_metadata({"id": one}, 0) for one in ids])] if with_metadata else []
    hits = hits_of("l2", ids, [0.5] * len(ids), pieces)
    expected = pb.SearchStreamResponse(number=number)
    put_columns(expected.hits, [3] * queries, hits, packed=True)
    assert stream_reply_of(number, hits, queries) == expected.SerializeToString()


def test_metadata_of_any_length_is_passed_on_as_it_was_copied() -> None:
    column = [encode_metadata({"text": "x" * size}, 0) for size in (0, 1, 70, 300, 40_000, 65_000)]
    reply = reply_of(hits_of("l2", list(range(6)), [0.0] * 6, [records_of(list(range(6)), column)]))
    assert pb.SearchResponse.FromString(reply).hits.metadata.joined == array_of(column)
