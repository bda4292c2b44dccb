"""SearchService: what the engine finds, in both encodings, alone, in batches and in streams."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

import vecdb
from tests.unit.services.asking import (
    DIM,
    PACKED,
    Asked,
    asking,
    code_from,
    error_from,
    fake_call,
    rows,
    search,
    search_batch,
)
from vecdb import F, errors
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb.config import EF_MAX, LIMIT_MAX, MESSAGE_BYTES_MIN, SEARCH_BATCH_MAX
from vecdb.server.backing import Backing
from vecdb.server.services_search import SearchService
from vecdb.server.settings import ServerConfig
from vecdb.wire.filters import put_filter
from vecdb.wire.hits import read_hits
from vecdb.wire.searches import read_explain
from vecdb.wire.status import read_error

INT64_LEAST, INT64_MOST = -(2**63), 2**63 - 1


@pytest.fixture(autouse=True)
def filled(db: vecdb.Database) -> vecdb.Collection:
    """Forty records in a segment and ten in the tail; one of three has no metadata."""
    docs = db.collection("docs")
    ids: list[Any] = [n if n % 2 else f"id-{n}" for n in range(50)]
    metadata = [{"n": n, "text": "x" * n} if n % 3 else None for n in range(50)]
    docs.upsert(ids[:40], rows(50)[:40], metadata[:40])
    docs.optimize()
    docs.upsert(ids[40:], rows(50)[40:], metadata[40:])
    return docs


OPTIONS: list[dict[str, Any]] = [
    {},
    {"limit": 3},
    {"with_metadata": True},
    {"with_vectors": True},
    {"with_vectors": True, "with_metadata": True},
    {"exact": True},
    {"ef": 17},
    {"target_recall": 0.5},
    {"field": "default"},
]


@pytest.mark.parametrize("encoding", [0, PACKED])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_search_finds_what_the_engine_finds(asked: Asked, options: dict[str, Any], encoding: int) -> None:
    query = rows(1, seed=5)[0]
    reply = asked.search.Search(search(query, encoding=encoding, **options))
    [found] = read_hits(reply.hits, 1, with_metadata=options.get("with_metadata", False))
    expected = asked.db.collection("docs").search(query, **{"with_metadata": False, **options})
    assert_same(found, expected)


@pytest.mark.parametrize("encoding", [0, PACKED])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_batch_finds_what_the_engine_finds(asked: Asked, options: dict[str, Any], encoding: int) -> None:
    queries = rows(7, seed=5)
    reply = asked.search.SearchBatch(search_batch(queries, encoding=encoding, **options))
    found = read_hits(reply.hits, 7, with_metadata=options.get("with_metadata", False))
    expected = asked.db.collection("docs").search_batch(queries, **options)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


def assert_same(found: vecdb.types.SearchResult, expected: vecdb.types.SearchResult) -> None:
    assert found.ids == expected.ids
    assert found.metadata == expected.metadata
    for name in ("scores", "distances"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    if expected.vectors is None:
        assert found.vectors is None
    else:
        np.testing.assert_array_equal(found.vectors, expected.vectors)


def test_only_records_that_match_the_filter_are_found(asked: Asked) -> None:
    request = search(rows(1)[0], limit=50)
    put_filter(request.options.filter, F("n") >= 40)
    assert sum(asked.search.Search(request).hits.counts) == 7


def test_a_search_in_an_empty_collection_finds_nothing(asked: Asked) -> None:
    asked.db.create_collection("empty", dim=DIM)
    request = search(rows(1)[0])
    request.collection = "empty"
    assert list(asked.search.Search(request).hits.counts) == [0]


def test_a_batch_of_no_queries_finds_nothing(asked: Asked) -> None:
    reply = asked.search.SearchBatch(search_batch(np.zeros((0, DIM), np.float32)))
    assert list(reply.hits.counts) == []


def test_an_explained_search_says_how_it_was_done(asked: Asked) -> None:
    request = search(rows(1)[0], with_metadata=True)
    request.explain = True
    reply = asked.search.Search(request)
    assert read_explain(reply.explain).segments == 1
    assert not asked.search.Search(search(rows(1)[0])).HasField("explain")


LIMITS = [
    ("limit", 0),
    ("limit", -1),
    ("limit", INT64_LEAST),
    ("limit", LIMIT_MAX + 1),
    ("limit", INT64_MOST),
    ("ef", 0),
    ("ef", -1),
    ("ef", EF_MAX + 1),
    ("ef", INT64_MOST),
]


@pytest.mark.parametrize(("option", "value"), LIMITS)
def test_a_number_beyond_its_limits_is_refused_by_name(asked: Asked, option: str, value: int) -> None:
    for call in (
        lambda: asked.search.Search(search(rows(1)[0], **{option: value})),
        lambda: asked.search.SearchBatch(search_batch(rows(2), **{option: value})),
    ):
        error = error_from(call)
        assert isinstance(error, errors.LimitExceededError)
        assert error.details["option"] == option


@pytest.mark.parametrize(("option", "value"), [("limit", LIMIT_MAX), ("ef", EF_MAX), ("target_recall", 1.0)])
def test_a_number_at_its_limit_is_taken(asked: Asked, option: str, value: float) -> None:
    assert sum(asked.search.Search(search(rows(1)[0], **{option: value})).hits.counts) >= 10


@pytest.mark.parametrize("target", [0.0, -1.0, 1.5, float("nan"), float("inf")])
def test_a_recall_that_cannot_be_is_refused(asked: Asked, target: float) -> None:
    error = error_from(lambda: asked.search.Search(search(rows(1)[0], target_recall=target)))
    assert isinstance(error, errors.InvalidRequestError)


def test_more_queries_than_one_batch_takes_are_refused(asked: Asked) -> None:
    queries = np.zeros((SEARCH_BATCH_MAX + 1, DIM), np.float32)
    assert isinstance(error_from(lambda: asked.search.SearchBatch(search_batch(queries))), errors.LimitExceededError)


@pytest.mark.parametrize(("with_vectors", "hit"), [(False, 8), (True, 8 + 4 * DIM)])
def test_more_hits_than_a_reply_can_hold_are_refused_before_they_are_looked_for(
    db: vecdb.Database, *, with_vectors: bool, hit: int
) -> None:
    request = search_batch(rows(1_000), limit=LIMIT_MAX, encoding=PACKED, with_vectors=with_vectors)
    with asking(db, max_message_bytes=MESSAGE_BYTES_MIN) as asked:
        error = error_from(lambda: asked.search.SearchBatch(request))
    assert isinstance(error, errors.LimitExceededError)
    assert error.details["reply_bytes"] == 1_000 * 50 * hit  # fifty records, whatever the limit


def test_metadata_that_many_queries_find_is_refused_before_it_is_repeated(
    db: vecdb.Database, filled: vecdb.Collection
) -> None:
    filled.update("id-0", metadata={"text": "x" * 40_000})
    request = search_batch(np.repeat(rows(1), 90, axis=0), limit=1, encoding=PACKED, with_metadata=True)
    with asking(db, max_message_bytes=MESSAGE_BYTES_MIN) as asked:
        error = error_from(lambda: asked.search.SearchBatch(request))
    assert isinstance(error, errors.LimitExceededError)
    assert error.message.startswith("metadata of the hits takes 3")


def test_as_many_queries_as_a_batch_takes_are_answered(asked: Asked) -> None:
    asked.db.create_collection("empty", dim=DIM)
    request = search_batch(np.ones((SEARCH_BATCH_MAX, DIM), np.float32), encoding=PACKED)
    request.collection = "empty"
    assert len(asked.search.SearchBatch(request).hits.counts) == SEARCH_BATCH_MAX


@pytest.mark.parametrize("query", [[np.nan] * DIM, [1.0] * (DIM + 1), [np.inf] + [0.0] * (DIM - 1)])
def test_a_query_that_is_no_vector_of_the_field_is_refused(asked: Asked, query: list[float]) -> None:
    error = error_from(lambda: asked.search.Search(search(np.array(query, np.float32))))
    assert isinstance(error, (errors.NonFiniteVectorError, errors.DimensionMismatchError))


def test_a_field_that_does_not_exist_is_named(asked: Asked) -> None:
    assert isinstance(error_from(lambda: asked.search.Search(search(rows(1)[0], field="x"))), errors.FieldNotFoundError)


def test_a_deadline_that_passes_ends_the_call(asked: Asked) -> None:
    request = search_batch(rows(20_000), exact=True)
    assert code_from(lambda: asked.search.SearchBatch(request, timeout=1e-3)) == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("exact", [False, True])
def test_a_batch_whose_caller_is_gone_stops_between_two_pieces(
    db: vecdb.Database, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecdb.engine.interruption.SEARCH_PIECE_ROWS", 10)
    monkeypatch.setattr("vecdb.engine.interruption.SEARCH_PIECE_EXACT_ROWS", 10)
    call = fake_call(left=3)
    service = SearchService(Backing.of(db, ServerConfig(data=":memory:")))
    with pytest.raises(errors.CancelledError):
        service.SearchBatch(search_batch(rows(1_000), exact=exact), call)
    assert call.left == -1, "the first look at a caller who is gone was the last"


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_answers_each_batch_in_its_turn(asked: Asked) -> None:
    batches = [rows(3, seed=n) for n in range(20)]
    requests = (pb.SearchStreamRequest(number=n * 7, search=search_batch(one)) for n, one in enumerate(batches))
    replies = list(asked.search.SearchStream(requests))
    assert [reply.number for reply in replies] == [n * 7 for n in range(20)]
    for reply, queries in zip(replies, batches, strict=True):
        expected = asked.db.collection("docs").search_batch(queries)
        assert [one.ids for one in read_hits(reply.hits, 3, with_metadata=False)] == [one.ids for one in expected]


def test_a_batch_that_is_wrong_has_an_error_in_its_place_and_the_stream_goes_on(asked: Asked) -> None:
    wrong = search_batch(rows(2), limit=0)
    requests = [search_batch(rows(1)), wrong, search_batch(np.zeros((0, DIM), np.float32)), search_batch(rows(1))]
    replies = list(asked.search.SearchStream(pb.SearchStreamRequest(search=one) for one in requests))
    assert [reply.WhichOneof("outcome") for reply in replies] == ["hits", "error", "hits", "hits"]
    assert isinstance(read_error(replies[1].error), errors.LimitExceededError)


def test_a_stream_of_nothing_ends_well(asked: Asked) -> None:
    assert list(asked.search.SearchStream(iter(()))) == []
