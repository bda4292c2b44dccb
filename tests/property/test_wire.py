"""What is put into a message, sent as bytes and read again is what it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies_filters import filters
from tests.strategies_wire import (
    COLUMNS,
    ERROR_CLASSES,
    ERRORS,
    EXPLAINS,
    IDS,
    INSTANTS,
    METADATA,
    TEXT,
    put_hits,
    records,
    results,
    same_bits,
    vectors,
)
from vecdb._pb.v1 import (
    error_pb2,
    filter_pb2,
    ids_pb2,
    metadata_pb2,
    record_pb2,
    record_service_pb2,
    search_service_pb2,
    vectors_pb2,
)
from vecdb.checks.metadata import encode_metadata
from vecdb.config import STATUS_BYTES_MAX
from vecdb.filters import Filter, read_filter
from vecdb.types import Aggregate, Record, RecordId, SearchResult
from vecdb.wire import filters as wire_filters
from vecdb.wire import hits as wire_hits
from vecdb.wire import ids as wire_ids
from vecdb.wire import metadata as wire_metadata
from vecdb.wire import reads, searches, status, writes
from vecdb.wire import records as wire_records
from vecdb.wire import vectors as wire_vectors

HALF = settings(max_examples=max(1, settings().max_examples // 2))
"""For what draws much: half of what the profile asks for."""

BIG = st.integers(-(2**120), 2**120)
SCALARS = st.one_of(st.booleans(), BIG, st.floats(allow_nan=False), TEXT, INSTANTS)


def sent(message: Any) -> Any:
    """The message as the other side gets it."""
    return type(message).FromString(message.SerializeToString())


def typed(value: Any) -> str:
    """A text that tells values of different types apart, as == does not: 1, 1.0 and True."""
    if isinstance(value, dict):
        return repr({key: typed(item) for key, item in sorted(value.items())})
    return repr([typed(item) for item in value]) if isinstance(value, list) else repr(value)


@given(COLUMNS, st.booleans())
def test_ids_come_back_with_their_types(ids: list[RecordId], packed: bool) -> None:
    message = ids_pb2.RecordIds()
    wire_ids.put_ids(message, ids, packed=packed)
    assert typed(wire_ids.read_ids(sent(message), "ids")) == typed(ids)


@given(COLUMNS)
def test_joined_ids_come_back_with_their_types(ids: list[RecordId]) -> None:
    message = ids_pb2.RecordIds()
    wire_ids.put_joined_ids(message, ids)
    assert typed(wire_ids.read_joined_ids(sent(message), "ids")) == typed(ids)


@HALF
@given(st.lists(METADATA, max_size=4), st.booleans())
def test_metadata_comes_back_with_its_types(column: list[dict[str, Any]], packed: bool) -> None:
    message = metadata_pb2.MetadataColumn()
    wire_metadata.put_stored(message, column, packed=packed)
    read = wire_metadata.read_metadata(sent(message), len(column), "metadata", is_reply=True)
    assert typed([{} for _ in column] if read is None else read) == typed(column)


@HALF
@given(st.lists(METADATA, min_size=1, max_size=4), st.booleans())
def test_stored_metadata_is_sent_in_every_form(column: list[dict[str, Any]], packed: bool) -> None:
    stored = [encode_metadata(item, 0) for item in column]
    reply, request = metadata_pb2.MetadataColumn(), metadata_pb2.MetadataColumn()
    wire_metadata.put_stored(reply, stored, packed=packed)
    wire_metadata.put_sent(request, stored)
    for message, is_reply in ((reply, True), (request, False)):
        read = wire_metadata.read_metadata(sent(message), len(column), "metadata", is_reply=is_reply)
        assert typed(read or [{} for _ in column]) == typed(column)


@given(st.integers(0, 4), st.integers(1, 5), st.sampled_from(("float32", "float16")), st.booleans(), st.data())
def test_vectors_come_back_bit_by_bit(count: int, dim: int, dtype: str, packed: bool, data: Any) -> None:
    rows = data.draw(vectors(count, dim, dtype))
    message = vectors_pb2.Vectors()
    wire_vectors.put_vectors(message, rows, packed=packed)
    read = wire_vectors.read_vectors(sent(message), "vectors")
    wanted = rows if packed else rows.astype(np.float32)
    assert read.shape == wanted.shape
    assert np.array_equal(read, wanted, equal_nan=True)


@given(filters())
def test_filters_come_back_node_by_node(wanted: Filter) -> None:
    message = filter_pb2.Filter()
    wire_filters.put_filter(message, wanted)
    assert repr(wire_filters.read_filter_message(sent(message))) == repr(read_filter(wanted))


@given(SCALARS.filter(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)), st.integers(1, 9))
def test_aggregates_come_back_with_their_types(number: Any, count: int) -> None:
    figures = Aggregate(count=count, min=number, max=number, sum=number, mean=float(number))
    message = record_service_pb2.AggregateRecordsResponse()
    reads.put_figures(message, figures)
    assert repr(reads.read_figures(sent(message))) == repr(figures)


@given(st.dictionaries(SCALARS, st.integers(1, 2**40), max_size=4))
def test_facets_come_back_in_order_with_their_types(counts: dict[Any, int]) -> None:
    message = record_service_pb2.FacetRecordsResponse()
    reads.put_counts(message, counts)
    assert repr(reads.read_counts(sent(message))) == repr(counts)


def same_records(one: list[Record], other: list[Record]) -> bool:
    """Whether records are equal, vectors bit by bit."""
    return len(one) == len(other) and all(
        typed([a.id, a.metadata, a.version, a.expires_at]) == typed([b.id, b.metadata, b.version, b.expires_at])
        and set(a.vectors) == set(b.vectors)
        and all(same_bits(a.vectors[name], b.vectors[name]) for name in a.vectors)
        for a, b in zip(one, other, strict=True)
    )


@HALF
@given(records())
def test_records_come_back_with_the_fields_that_they_have(given_records: list[Record]) -> None:
    message = record_pb2.Records()
    wire_records.put_records(message, given_records, packed=True)
    assert same_records(wire_records.read_records(sent(message)), given_records)


@HALF
@given(records(), st.data())
def test_what_was_not_found_comes_back_as_none_in_its_place(found: list[Record], data: Any) -> None:
    given_list: list[Any] = list(found)
    for _ in range(data.draw(st.integers(0, 4))):
        given_list.insert(data.draw(st.integers(0, len(given_list))), None)
    message = record_service_pb2.GetRecordsResponse()
    wire_records.put_found(message, given_list, packed=True)
    read = wire_records.read_found(sent(message))
    assert [item is None for item in read] == [item is None for item in given_list]
    assert same_records([item for item in read if item is not None], found)


@HALF
@given(results(), st.booleans())
def test_hits_come_back_query_by_query(given_results: list[SearchResult], packed: bool) -> None:
    message = search_service_pb2.Hits()
    put_hits(message, given_results, packed=packed)
    with_metadata = bool(given_results) and given_results[0].metadata is not None
    read = wire_hits.read_hits(sent(message), len(given_results), with_metadata=with_metadata)
    for one, other in zip(read, given_results, strict=True):
        assert typed([one.ids, one.metadata]) == typed([other.ids, other.metadata])
        assert np.array_equal(one.scores, other.scores, equal_nan=True)
        assert np.array_equal(one.distances, other.distances, equal_nan=True)
        assert (one.vectors is None) == (other.vectors is None)
        if one.vectors is not None and other.vectors is not None:
            assert np.array_equal(one.vectors, other.vectors, equal_nan=True)


@given(EXPLAINS)
def test_explanations_come_back_as_they_were(explain: Any) -> None:
    message = search_service_pb2.Explain()
    searches.put_explain(message, explain)
    read = searches.read_explain(sent(message))
    assert read == explain
    assert str(read) == str(explain)


@given(ERRORS)
def test_errors_come_back_with_class_message_and_details(error: Any) -> None:
    read = status.error_of(sent(status.status_of(error)))
    assert type(read) is type(error)
    assert (read.message, read.reason) == (error.message, error.reason)
    assert typed(read.details) == typed(error.details)


@given(ERRORS)
def test_errors_within_a_stream_come_back_the_same(error: Any) -> None:
    message = error_pb2.Error()
    status.put_error(message, error)
    read = status.read_error(sent(message))
    assert type(read) is type(error)
    assert (read.message, typed(read.details)) == (error.message, typed(error.details))


@given(
    st.sampled_from(ERROR_CLASSES),
    st.integers(0, 6_000),
    st.dictionaries(TEXT, TEXT.map(lambda text: text * 200), max_size=3),
)
def test_a_status_is_never_larger_than_allowed(kind: type[Any], length: int, details: dict[str, str]) -> None:
    error = kind("é" * length, **{f"x{name}": value for name, value in details.items()})
    made = status.status_of(error)
    assert status.sent_bytes(made) <= STATUS_BYTES_MAX
    assert type(status.error_of(sent(made))) is kind


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of an upsert, in columns."""
    ids = draw(st.lists(IDS, min_size=1, max_size=6, unique_by=lambda record_id: (type(record_id), record_id)))
    count = len(ids)
    text = draw(vectors(count, 2).map(np.nan_to_num))
    has = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    image = [row if present else None for row, present in zip(draw(vectors(count, 3)), has, strict=True)]

    def each(strategy: Any) -> Any:
        return draw(st.none() | st.lists(strategy, min_size=count, max_size=count))

    return {
        "ids": ids,
        "vectors": {"text": text, "image": image},
        "metadata": each(METADATA),
        "if_version": each(st.none() | st.integers(0, 2**63 - 1)),
        "expires_at": each(st.none() | st.just("never") | INSTANTS),
    }


def rows_of(arguments: dict[str, Any]) -> list[Any]:
    """What stands for each record of an upsert."""
    ids, count = arguments["ids"], len(arguments["ids"])
    columns = arguments["vectors"]

    def column(name: str, empty: Any) -> list[Any]:
        value = arguments[name]
        return [empty] * count if value is None else value if isinstance(value, list) else [value] * count

    def vector(name: str, position: int) -> Any:
        found = columns.get(name)
        row = None if found is None else found[position]
        return None if row is None else row.tobytes()

    beside = zip(column("metadata", {}), column("if_version", None), column("expires_at", None), strict=True)
    return [
        [typed(record_id), vector("text", position), vector("image", position), typed(list(others))]
        for position, (record_id, others) in enumerate(zip(ids, beside, strict=True))
    ]


def arguments_of(batch: writes.Batch) -> dict[str, Any]:
    """The batch as a server reads it."""
    message = record_pb2.RecordBatch()
    writes.put_batch(message, batch)
    return writes.upsert_arguments(sent(message))


@HALF
@given(batches(), st.data())
def test_a_batch_arrives_as_it_was_given_whole_or_in_parts(given_batch: dict[str, Any], data: Any) -> None:
    batch = writes.read_batch(None, **given_batch)
    assert rows_of(arguments_of(batch)) == rows_of(given_batch)
    cut = data.draw(st.integers(0, len(batch)))
    parts = [part for part in (batch.part(0, cut), batch.part(cut, len(batch))) if len(part)]
    assert [row for part in parts for row in rows_of(arguments_of(part))] == rows_of(given_batch)


@HALF
@given(batches())
def test_the_size_of_a_batch_is_no_less_than_that_of_its_message(given_batch: dict[str, Any]) -> None:
    batch = writes.read_batch(None, **given_batch)
    message = record_pb2.RecordBatch()
    writes.put_batch(message, batch)
    assert message.ByteSize() <= batch.size_bytes + FRAME_BYTES


FRAME_BYTES = 128
"""Names of fields and frames of columns, however many records there are."""
