"""Requests that were damaged on their way are refused by errors of vecdb, whatever the damage, or mean something."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies_wire import put_hits
from vecdb import F, errors
from vecdb._pb.v1 import (
    collection_service_pb2,
    error_pb2,
    export_service_pb2,
    record_pb2,
    record_service_pb2,
    search_service_pb2,
)
from vecdb.types import Field, Record, SearchResult
from vecdb.wire import collections, reads, records, searches, status, vectors, writes
from vecdb.wire import hits as wire_hits

FILTER = (F("year") >= 2020) & ~(F("tags").contains_any(["a", 1]) | F.id.in_(["a", 7]) | F.slice(1, 3))
METADATA = {"text": "a", "int": 2**63, "list": [1, 2.5, None, True, {"deep": [[]]}]}


def upsert() -> Any:
    """A batch with everything that a batch can have."""
    batch = writes.read_batch(
        None,
        ["a", 1],
        {"text": np.ones((2, 3), np.float32), "image": [None, np.ones(2, np.float16)]},
        [METADATA, None],
        if_version=[None, 3],
        expires_at=["never", None],
    )
    message = record_pb2.RecordBatch()
    writes.put_batch(message, batch)
    return message


def plain_upsert() -> Any:
    """A batch as a client by hand would write it."""
    message = record_pb2.RecordBatch()
    message.ids.mixed.values.add(text="a")
    message.ids.mixed.values.add(uuid=b"0123456789abcdef")
    one = message.metadata.plain.add()
    one.values["a"].list.values.add(integer=1)
    one.values["b"].dict.values["c"].instant.seconds = 5
    message.metadata.plain.add()
    column = message.vectors.add(field="text")
    column.vectors.dim = 2
    column.vectors.floats.values.extend([1, 2, 3, 4])
    return message


def update() -> Any:
    """An update of one record."""
    message = record_pb2.RecordUpdate()
    writes.put_update(message, 5, vector=[1.0, 2.0], metadata=METADATA, expires_at="never", if_version=3)
    return message


def deletion() -> Any:
    """A deletion by filter."""
    message = record_pb2.RecordDeletion()
    writes.put_deletion(message, filter=FILTER)
    return message


def operation() -> Any:
    """A write of a transaction."""
    message = record_service_pb2.WriteOperation(collection="docs")
    writes.put_deletion(message.delete, ["a", 1], if_version=[1, None])
    return message


def search() -> Any:
    """A search with a filter."""
    message = search_service_pb2.SearchRequest(collection="docs", explain=True)
    vectors.put_query(message.query, [1.0, 2.0])
    searches.put_options(message.options, 5, field="text", ef=7, filter=FILTER, min_seq=3)
    return message


def batch() -> Any:
    """A batch of searches."""
    message = search_service_pb2.SearchBatchRequest(collection="docs")
    vectors.put_queries(message.queries, np.ones((3, 2)))
    searches.put_options(message.options, 5, target_recall=0.9)
    return message


def listing() -> Any:
    """A page of a scroll."""
    message = record_service_pb2.ListRecordsRequest(collection="docs")
    reads.put_list(message, 5, "token", filter=FILTER, order_by="year", descending=True)
    return message


def export() -> Any:
    """An export of one slice."""
    message = export_service_pb2.ExportRequest(collection="docs")
    reads.put_export(message, filter=FILTER)
    message.slice.index, message.slice.count = 1, 2
    return message


def creation() -> Any:
    """A declaration of two fields."""
    message = collection_service_pb2.CreateCollectionRequest()
    collections.put_declaration(message, "docs", {"a": Field(dim=3), "b": Field(dim=2, metric="l2")}, ttl_field="x.y")
    return message


def hits() -> Any:
    """The hits of two queries."""
    numbers = np.ones(2, np.float32)
    results = [SearchResult(["a", 1], numbers, numbers, [METADATA, {}], np.ones((2, 3), np.float32))] * 2
    message = search_service_pb2.Hits()
    put_hits(message, results, packed=True)
    return message


def found() -> Any:
    """Two records, and one that is missing."""
    message = record_service_pb2.GetRecordsResponse()
    one = Record("a", METADATA, 5, vectors={"text": np.ones(3, np.float32)})
    records.put_found(message, [one, None, Record(2, {}, 6)], packed=True)
    return message


def failure() -> Any:
    """An error within a stream."""
    message = error_pb2.Error()
    status.put_error(message, errors.VersionConflictError("no", ids=["a", 2], count=2, retry_after_s=1.5))
    return message


def _options(message: Any) -> Any:
    return searches.read_options(message.options)


Reader = Callable[[Any], Any]
CASES: dict[str, tuple[Callable[[], Any], Reader]] = {
    "upsert": (upsert, writes.upsert_arguments),
    "plain upsert": (plain_upsert, writes.upsert_arguments),
    "insert": (plain_upsert, writes.insert_arguments),
    "update": (update, writes.update_arguments),
    "deletion": (deletion, writes.delete_arguments),
    "operation": (operation, lambda message: writes.read_operation(message, "operations[0]")),
    "search": (search, lambda message: (vectors.read_query(message.query, "query"), _options(message))),
    "batch": (batch, lambda message: (vectors.read_queries(message.queries, "queries"), _options(message))),
    "listing": (listing, reads.scroll_arguments),
    "export": (export, reads.export_arguments),
    "creation": (creation, collections.create_arguments),
    "hits": (hits, lambda message: wire_hits.read_hits(message, 2, with_metadata=True)),
    "found": (found, records.read_found),
    "failure": (failure, status.read_error),
}
PART = settings(max_examples=max(1, settings().max_examples // 3))
"""Every test here runs for each of the cases, so a third of what the profile asks for."""

case = pytest.mark.parametrize(("make", "read"), CASES.values(), ids=CASES)


@case
def test_the_undamaged_request_is_read(make: Callable[[], Any], read: Reader) -> None:
    message = make()
    assert read(type(message).FromString(message.SerializeToString())) is not None


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few changes of bytes: replaced, cut off, inserted or repeated."""
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(("replace", "cut", "insert", "repeat")),
                st.floats(0, 1),
                st.binary(min_size=1, max_size=4),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damaged(raw: bytes) -> bytes:
        for kind, share, new in changes:
            place = int(share * len(raw))
            if kind == "replace":
                raw = raw[:place] + new + raw[place + len(new) :]
            elif kind == "cut":
                raw = raw[:place]
            elif kind == "insert":
                raw = raw[:place] + new + raw[place:]
            else:
                raw = raw[:place] + raw[place // 2 :]
        return raw

    return damaged


@case
@PART
@given(damages())
def test_a_damaged_request_is_read_or_refused(
    make: Callable[[], Any], read: Reader, damage: Callable[[bytes], bytes]
) -> None:
    message = make()
    try:
        received = type(message).FromString(damage(message.SerializeToString()))
    except DecodeError:
        return
    try:
        read(received)
    except errors.InvalidRequestError as error:
        assert error.message  # noqa: PT017 - being refused is one of two right outcomes


@case
@PART
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(make: Callable[[], Any], read: Reader, raw: bytes) -> None:
    try:
        received = type(make()).FromString(raw)
    except DecodeError:
        return
    try:
        read(received)
    except errors.InvalidRequestError as error:
        assert error.message  # noqa: PT017 - as above


# --- any fields that the protocol allows ------------------------------------------------------------------------------

INTS = (0, 1, 2, 7, 255, 2**31 - 1)
WIDE = {
    FieldDescriptor.TYPE_INT32: (*INTS, -1, -(2**31)),
    FieldDescriptor.TYPE_INT64: (*INTS, -1, 2**63 - 1, -(2**63)),
    FieldDescriptor.TYPE_UINT32: (*INTS, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (*INTS, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: (0, 1, 2, 3, 99, -1),
    FieldDescriptor.TYPE_DOUBLE: (0.0, -1.0, 1e308, float("inf"), float("nan")),
    FieldDescriptor.TYPE_FLOAT: (0.0, 1.0, float("inf"), float("nan")),
    FieldDescriptor.TYPE_BOOL: (False, True),
    FieldDescriptor.TYPE_STRING: ("", "a", "a.b", "[]", "\\", "9" * 50, "é" * 300),
    FieldDescriptor.TYPE_BYTES: (b"", b"\x80", bytes(7), bytes(8), bytes(16), b"\x81\xa1a\xcb\x7f\xf8" + bytes(6)),
}
"""Values at and beyond what a field of each type should hold."""


def fill(message: Any, random: Random, left: int) -> None:
    """Set some fields of a message to anything that their types allow."""
    fields = list(message.DESCRIPTOR.fields) if left else []
    random.shuffle(fields)  # of a oneof the last one stays
    for field in fields:
        if random.random() < SHARE_UNSET:
            continue
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key in ("a", ""):
                fill(target[key], random, left - 1)
        elif field.message_type is not None:
            parts = [target.add() for _ in range(random.randrange(3))] if field.is_repeated else [target]
            for part in parts:
                part.SetInParent()
                fill(part, random, left - 1)
        elif field.is_repeated:
            target.extend(random.choices(WIDE[field.type], k=random.randrange(4)))
        else:
            setattr(message, field.name, random.choice(WIDE[field.type]))


SHARE_UNSET = 0.3
LEVELS = 6


@case
@PART
@given(st.integers(0, 2**32))
def test_any_fields_that_the_protocol_allows_are_read_or_refused(
    make: Callable[[], Any], read: Reader, seed: int
) -> None:
    message = type(make())()
    fill(message, Random(seed), LEVELS)
    try:
        read(message)
    except errors.InvalidRequestError as error:
        assert error.message  # noqa: PT017 - as above
