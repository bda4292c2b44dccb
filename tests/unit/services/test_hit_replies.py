"""Replies made by a kernel are those that protobuf makes; what cannot be one is declined."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle
from tests.strategies_wire import COLUMNS, METADATA
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb.checks.metadata import encode_metadata
from vecdb.engine.found_hits import Form, PackedHits, found_hits
from vecdb.kernels.layout import UUID_EXTENSION
from vecdb.server.hit_replies import reply_of
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


def hits_of(metric: Any, ids: list[Any], distances: list[float], content: bytes | None) -> PackedHits:
    """Hits with the metadata that is in `content`, or without."""
    kept = np.array(distances, np.float32).tobytes()
    form = Form(metric, len(ids))
    if content is not None:
        found = found_hits(PackedHits, (form, kept, [content]))
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
    hits = hits_of(metric, ids, distances, records_of(ids, column) if with_metadata else None)
    expected = pb.SearchResponse()
    put_columns(expected.hits, (count,), hits, packed=True)
    is_of_one_type = len({type(one) for one in ids}) == 1
    assert reply_of(hits) == (expected.SerializeToString() if is_of_one_type else None)
    if is_of_one_type:
        assert reply_of(hits) == oracle.write_hits(
            ids, distances, list(map(bytes, column)), is_cosine=metric == "cosine"
        )


@given(st.lists(METADATA, min_size=1, max_size=4), st.data())
def test_metadata_that_is_cut_off_or_changed_is_declined_or_passed_on_whole(
    metadata: list[dict[str, Any]], data: st.DataObject
) -> None:
    content = bytearray(records_of(list(range(len(metadata))), [encode_metadata(one, 0) for one in metadata]))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(4, len(content)))])
    reply = reply_of(hits_of("l2", list(range(len(metadata))), [0.0] * len(metadata), cut))
    if reply is not None:
        packed = pb.SearchResponse.FromString(reply).hits.metadata.packed
        assert b"".join(packed) in cut or not packed


def test_values_of_every_form_of_msgpack_are_passed_on() -> None:
    values: list[Any] = ["x" * size for size in (0, 31, 32, 255, 256, 70_000)]
    values += [b"b" * size for size in (0, 255, 256)]
    values += [msgspec.msgpack.Ext(5, b"e" * size) for size in (1, 2, 3, 4, 8, 16, 17, 300)]
    values += [[1] * size for size in (0, 15, 16, 65_536)]
    values += [{str(number): number for number in range(size)} for size in (0, 15, 16)]
    values += [2**number for number in range(64)] + [-(2**number) for number in range(64)] + [1.5, None, True, False]
    column = [msgspec.msgpack.encode(value) for value in values]
    ids = list(range(len(column)))
    reply = reply_of(hits_of("l2", ids[:20], [0.0] * 20, records_of(ids[:20], column[-20:])))
    assert reply is not None
    for value, content in zip(values, column, strict=True):
        reply = reply_of(hits_of("l2", [1], [0.0], records_of([1], [content])))
        found = [] if reply is None else list(pb.SearchResponse.FromString(reply).hits.metadata.packed)
        assert found == ([] if value == {} or len(content) > 128 * 1024 else [content]), value


def test_more_than_there_is_room_for_is_declined() -> None:
    column = [msgspec.msgpack.encode({"text": "x" * 60_000})] * 3
    assert reply_of(hits_of("l2", [1, 2], [0.0] * 2, records_of([1, 2], column[:2]))) is not None
    assert reply_of(hits_of("l2", [1, 2, 3], [0.0] * 3, records_of([1, 2, 3], column))) is None
