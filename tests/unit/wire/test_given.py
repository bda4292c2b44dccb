"""What callers give is checked before it is sent, in the words of the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from vecdb import F, errors
from vecdb._pb.v1 import (
    collection_service_pb2,
    export_service_pb2,
    record_pb2,
    record_service_pb2,
    search_service_pb2,
    vectors_pb2,
)
from vecdb.types import Field
from vecdb.wire import collections, reads, searches, vectors, writes
from vecdb.wire.config import OPTIONS_KEPT_MAX

ONE = "default"
TWO = None
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def arguments(batch: writes.Batch) -> Any:
    """What a server passes to the engine."""
    message = record_pb2.RecordBatch()
    writes.put_batch(message, batch)
    return writes.upsert_arguments(record_pb2.RecordBatch.FromString(message.SerializeToString()))


def test_records_and_columns_are_two_spellings_of_one_batch() -> None:
    rows = np.array([[1, 2], [3, 4]], np.float32)
    columns = writes.read_batch(ONE, ["a", "b"], rows, [{"x": 1}, None], expires_at=[NOON, None])
    records = writes.read_batch(
        ONE,
        [
            {"id": "a", "vector": [1, 2], "metadata": {"x": 1}, "expires_at": NOON},
            {"id": "b", "vectors": {"default": [3, 4]}},
        ],
        None,
        None,
    )
    one, other = arguments(columns), arguments(records)
    assert one.pop("vectors").tolist() == rows.tolist()
    assert np.stack(other.pop("vectors")["default"]).tolist() == rows.tolist()
    assert one == other


def test_a_batch_of_nothing_arrives_as_one() -> None:
    assert arguments(writes.read_batch(ONE, [], [], [])) == {
        "ids": [],
        "vectors": {},
        "metadata": None,
        "if_version": None,
        "expires_at": None,
        "model": None,
    }


def test_a_batch_without_vectors_is_left_to_the_engine_to_refuse() -> None:
    assert arguments(writes.read_batch(ONE, ["a"], None, None))["vectors"] is None


def test_a_field_in_which_no_record_has_a_vector_is_not_sent() -> None:
    batch = writes.read_batch(TWO, ["a"], {"text": [[1.0]], "image": [None]}, None)
    assert set(batch.vectors) == {"text"}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"ids": "a"}, errors.InvalidIdError),
        ({"ids": ["a", "a"], "vectors": np.ones((2, 2))}, errors.DuplicateIdError),
        ({"ids": [1, np.int64(1)], "vectors": np.ones((2, 2))}, errors.DuplicateIdError),
        ({"ids": [None], "vectors": np.ones((1, 2))}, errors.InvalidIdError),
        ({"ids": ["a"], "vectors": [["x"]]}, errors.InvalidVectorError),
        ({"ids": ["a", "b"], "vectors": [[1.0], [1.0, 2.0]]}, errors.InvalidVectorError),
        ({"ids": ["a", "b"], "vectors": np.ones((3, 2))}, errors.InvalidVectorError),
        ({"ids": ["a", "b"], "vectors": np.ones(2)}, errors.InvalidVectorError),
        ({"ids": ["a"], "vectors": [[1e300]]}, errors.InvalidVectorError),
        ({"ids": ["a"], "vectors": [[]]}, errors.DimensionMismatchError),
        ({"ids": ["a"], "vectors": np.ones((1, 2)), "metadata": [{"x": {1}}]}, errors.InvalidMetadataError),
        ({"ids": ["a"], "vectors": np.ones((1, 2)), "metadata": {"x": 1}}, errors.InvalidMetadataError),
        ({"ids": ["a"], "vectors": np.ones((1, 2)), "if_version": -1}, errors.LimitExceededError),
        ({"ids": ["a"], "vectors": np.ones((1, 2)), "if_version": [1, 2]}, errors.InvalidRequestError),
        ({"ids": ["a"], "vectors": np.ones((1, 2)), "expires_at": "tomorrow"}, errors.InvalidRequestError),
        ({"ids": [{"id": "a", "vektor": 1}]}, errors.InvalidRequestError),
        ({"ids": [{"id": "a", "vectors": {7: [1.0]}}]}, errors.FieldNotFoundError),
        ({"ids": [{"id": "a", "vector": [1.0], "vectors": {"text": [1.0]}}]}, errors.InvalidRequestError),
    ],
)
def test_a_batch_that_is_none_is_refused_before_it_is_sent(given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        writes.read_batch(TWO, given.pop("ids"), given.pop("vectors", None), given.pop("metadata", None), **given)


@pytest.mark.parametrize(
    ("record_id", "given"),
    [
        (None, {"metadata": {}}),
        ("a", {}),
        ("a", {"filter": F("x").exists(), "metadata": {}}),
        (None, {"filter": F("x").exists()}),
        (None, {"filter": F("x").exists(), "metadata": {}, "if_version": 1}),
        ("a", {"vector": [1.0], "vectors": {"text": [1.0]}}),
        ("a", {"metadata": [1]}),
        ("a", {"metadata": {}, "if_version": "1"}),
        ("a", {"expires_at": 5}),
        ("a", {"vector": np.ones((2, 2))}),
    ],
)
def test_an_update_that_is_none_is_refused_before_it_is_sent(record_id: Any, given: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequestError):
        writes.put_update(record_pb2.RecordUpdate(), record_id, **given)


def test_an_update_arrives_with_what_it_names_and_nothing_else() -> None:
    message = record_pb2.RecordUpdate()
    writes.put_update(message, "a", vectors={"text": [1, 2]}, expires_at="never", if_version=0)
    read = writes.update_arguments(record_pb2.RecordUpdate.FromString(message.SerializeToString()))
    assert read.pop("vectors")["text"].tolist() == [1, 2]
    assert read == {"id": "a", "expires_at": "never", "if_version": 0}


def test_an_update_by_filter_arrives_as_one() -> None:
    message = record_pb2.RecordUpdate()
    writes.put_update(message, None, filter={"x": 1}, metadata={"y": 2})
    read = writes.update_arguments(record_pb2.RecordUpdate.FromString(message.SerializeToString()))
    assert (repr(read.pop("filter")), read) == (repr(F("x") == 1), {"metadata": {"y": 2}})


def test_a_deletion_arrives_with_its_conditions() -> None:
    message = record_pb2.RecordDeletion()
    writes.put_deletion(message, ["a", 2], if_version=[None, 5])
    assert writes.delete_arguments(message) == {"ids": ["a", 2], "if_version": [None, 5]}


@pytest.mark.parametrize("given", [{}, {"ids": ["a"], "filter": F("x").exists()}, {"ids": 1.5}, {"filter": "x = 1"}])
def test_a_deletion_that_is_none_is_refused_before_it_is_sent(given: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequestError):
        writes.put_deletion(record_pb2.RecordDeletion(), given.pop("ids", None), **given)


@pytest.mark.parametrize("method", ["upsert", "insert"])
def test_writes_of_a_transaction_arrive_as_calls(method: str) -> None:
    message = record_service_pb2.WriteOperation(collection="docs")
    writes.put_batch(getattr(message, method), writes.read_batch(ONE, [7], [[1.0]], None))
    operation = writes.read_operation(message, "operations[0]")
    assert (operation.collection, operation.method, operation.arguments["ids"]) == ("docs", method, [7])


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("limit", 0, errors.LimitExceededError),
        ("limit", 2**70, errors.LimitExceededError),
        ("limit", "5", errors.InvalidRequestError),
        ("ef", -1, errors.LimitExceededError),
        ("target_recall", 1.5, errors.InvalidRequestError),
        ("min_seq", -1, errors.LimitExceededError),
        ("filter", "x = 1", errors.InvalidFilterError),
        ("field", 5, errors.FieldNotFoundError),
        ("field", "\ud800", errors.FieldNotFoundError),
    ],
)
def test_an_option_out_of_range_is_refused_before_it_is_sent(option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        searches.put_options(search_service_pb2.SearchOptions(), **{"limit": 10, option: value})


def test_both_kinds_of_effort_are_refused() -> None:
    with pytest.raises(errors.InvalidRequestError, match="not both"):
        searches.put_options(search_service_pb2.SearchOptions(), 10, ef=5, target_recall=0.9)


def test_a_search_arrives_with_what_it_names_and_the_engine_has_the_defaults() -> None:
    request = search_service_pb2.SearchRequest()
    vectors.put_query(request.query, [1.0, 2.0])
    assert vectors.read_query(request.query, "query").tolist() == [1.0, 2.0]
    read = searches.read_options(request.options).arguments
    assert not any(read.values())
    assert not {"limit", "ef", "target_recall", "field", "filter"} & set(read)


def test_options_are_kept_by_all_that_they_say() -> None:
    def read(limit: int, **given: Any) -> Any:
        message = search_service_pb2.SearchOptions()
        searches.put_options(message, limit, **given)
        return searches.read_options(message).arguments

    assert read(3) is read(3)
    assert (read(3)["limit"], read(4)["limit"]) == (3, 4)
    assert str(read(3, filter={"a": 1})["filter"]) != str(read(3, filter={"a": 2})["filter"])


def test_no_more_options_are_kept_than_said() -> None:
    message = search_service_pb2.SearchOptions()
    for limit in range(3 * OPTIONS_KEPT_MAX):
        searches.put_options(message, limit + 1)
        assert searches.read_options(message).arguments["limit"] == limit + 1
    assert len(searches._known_options) <= OPTIONS_KEPT_MAX


@pytest.mark.parametrize("query", [np.ones((1, 2)), np.ones((2, 2)), 1.0, "a", None, [[]]])
def test_a_query_that_is_no_vector_is_refused_before_it_is_sent(query: Any) -> None:
    with pytest.raises(errors.InvalidRequestError):
        vectors.put_query(vectors_pb2.Vectors(), query)


@pytest.mark.parametrize("cursor", ["", "ä", 5])
def test_a_cursor_that_is_none_is_refused_before_it_is_sent(cursor: Any) -> None:
    with pytest.raises(errors.InvalidRequestError, match="cursor"):
        reads.put_list(record_service_pb2.ListRecordsRequest(), 10, cursor)


def test_a_scroll_arrives_with_its_order() -> None:
    message = record_service_pb2.ListRecordsRequest()
    reads.put_list(message, 5, order_by="year", descending=True, strict=True, min_seq=3)
    assert reads.scroll_arguments(message) == {
        "limit": 5,
        "filter": None,
        "strict": True,
        "order_by": "year",
        "descending": True,
        "with_vectors": False,
        "min_seq": 3,
    }


def test_a_slice_of_an_export_joins_its_filter() -> None:
    message = record_service_pb2.ListRecordsRequest()
    reads.put_list(message, 5, filter=F("x") == 1)
    export = export_service_pb2.ExportRequest(filter=message.filter)
    export.slice.index, export.slice.count = 1, 4
    assert repr(reads.export_arguments(export)["filter"]) == repr((F("x") == 1) & F.slice(1, 4))


def test_membership_is_a_count_of_one_id() -> None:
    message = record_service_pb2.CountRecordsRequest()
    reads.put_contains(message, 5)
    assert repr(reads.count_arguments(message)["filter"]) == repr(F.id == 5)


@pytest.mark.parametrize(
    ("name", "field", "error"),
    [
        ("UPPER", Field(dim=3), errors.InvalidNameError),
        ("docs", Field(dim=2**40), errors.LimitExceededError),
        ("docs", Field(dim="3"), errors.InvalidRequestError),  # type: ignore[arg-type]
        ("docs", Field(dim=3, metric="hamming"), errors.InvalidRequestError),  # type: ignore[arg-type]
        ("docs", {"dim": 3}, errors.InvalidRequestError),
    ],
)
def test_a_declaration_that_is_none_is_refused_before_it_is_sent(name: str, field: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        collections.put_declaration(collection_service_pb2.CreateCollectionRequest(), name, {"default": field})
