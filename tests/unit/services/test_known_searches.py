"""Searches that were asked before: their replies are those of the servicer, and what is not plain is left to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest

import vecdb
from tests.unit.services.asking import DIM, PACKED, fake_call, rows
from tests.unit.services.conftest import CONFIG
from vecdb import F
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb._pb.v1 import vectors_pb2
from vecdb.engine import packed, quick_batch
from vecdb.server.backing import Backing
from vecdb.server.config import KNOWN_SEARCHES_MAX
from vecdb.server.known_searches import KnownSearches
from vecdb.server.principals import LOCAL, Principal
from vecdb.server.services_search import SearchService
from vecdb.server.settings import ServerConfig
from vecdb.wire.hits import read_hits
from vecdb.wire.search_requests import SearchRequests
from vecdb.wire.searches import put_options
from vecdb.wire.vectors import put_query

RECORDS = 60
IDS: Final[dict[str, Callable[[int], Any]]] = {
    "ints": lambda row: 2**64 - 1 - row,
    "texts": lambda row: f"{row}" + "é" * (row % 25),
    "long texts": lambda row: f"{row}" + "é" * (2 * row),
    "uuids": lambda row: uuid.UUID(int=row),
    "mixed": lambda row: row if row % 2 else f"id-{row}",
}
METADATA: Final[dict[str, Callable[[int], Any]]] = {
    "none": lambda _row: None,
    "some": lambda row: {"n": row, "text": "x" * row} if row % 3 else None,
    "all": lambda row: {"n": row, "deep": [{"a": [1.5, -row, None, True]}, "é" * 300], "long": list(range(row))},
}
OPTIONS: Final[dict[str, Any]] = {
    "field": None,
    "ef": None,
    "target_recall": None,
    "exact": False,
    "filter": None,
    "strict": False,
    "with_metadata": False,
    "with_vectors": False,
    "min_seq": None,
    "model": None,
}


class Both:
    """The servicer of a database, and what knows its requests."""

    def __init__(self, db: vecdb.Database) -> None:
        backing = Backing.of(db, ServerConfig(data=":memory:"))
        self.servicer, self.known = SearchService(backing), KnownSearches(backing, "read")

    def ordinary(self, body: bytes) -> bytes:
        """The reply of the servicer, from which what knows requests learns."""
        message = pb.SearchRequest.FromString(body)
        reply: bytes = self.servicer.Search(message, fake_call()).SerializeToString()
        self.known.learn(body, message)
        return reply

    def again(self, body: bytes, principal: Principal = LOCAL) -> bytes | None:
        """The reply to a request that was made three times before."""
        for _ in range(3):
            self.ordinary(body)
        return self.known.answer(body, principal)


def body_of(query: Any, limit: int = 10, **options: Any) -> bytes:
    """A request as vecdb's client sends it."""
    return SearchRequests("docs").one(query, limit, OPTIONS | options, explain=False)


def filled(db: vecdb.Database, ids: str = "texts", metadata: str = "some", metric: Any = "l2") -> vecdb.Collection:
    """A collection of one segment."""
    docs = db.create_collection("docs", dim=DIM, metric=metric, m=4, ef_construction=16)
    made = list(map(METADATA[metadata], range(RECORDS)))
    docs.upsert([IDS[ids](row) for row in range(RECORDS)], rows(RECORDS), made)
    docs.optimize()
    return docs


@pytest.fixture
def empty() -> Iterator[vecdb.Database]:
    """A database in memory."""
    with vecdb.open(":memory:", config=CONFIG) as database:
        yield database


@pytest.fixture
def both(empty: vecdb.Database) -> Both:
    """A served database with one collection at rest."""
    filled(empty)
    return Both(empty)


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("ids", IDS)
def test_known_replies_are_byte_by_byte_those_of_the_servicer(
    empty: vecdb.Database, ids: str, metadata: str, metric: str
) -> None:
    filled(empty, ids, metadata, metric)
    both = Both(empty)
    for options in ({}, {"with_metadata": True}, {"ef": 40}, {"target_recall": 0.9, "with_metadata": True}):
        if ids == "long texts" and "with_metadata" not in options:  # they are in no column of ids
            continue
        for limit in (1, 10, 200):
            both.again(body_of(rows(1)[0], limit, **options))
            # vectors that are stored, too: their distance is 0, and their score -0.0 under l2
            for query in (*rows(20, seed=1), *rows(5)):
                body = body_of(query, limit, **options)
                found = both.known.answer(body, LOCAL)
                assert found is not None
                assert found == both.ordinary(body)


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("ids", IDS)
def test_a_batch_is_answered_as_its_searches_are(empty: vecdb.Database, ids: str, metric: str) -> None:
    filled(empty, ids, metric=metric)
    servicer, queries = Both(empty).servicer, rows(7)
    request = pb.SearchBatchRequest.FromString(SearchRequests("docs").batch(queries, 9, OPTIONS))
    reply: Any = servicer.SearchBatch(request, fake_call())
    assert isinstance(reply, bytes) == (ids != "long texts")  # they are in no column of ids
    message = pb.SearchBatchResponse.FromString(reply) if isinstance(reply, bytes) else reply
    assert message.SerializeToString(deterministic=True) == (
        reply if isinstance(reply, bytes) else message.SerializeToString()
    )
    for query, found in zip(queries, read_hits(message.hits, 7, with_metadata=False), strict=True):
        assert found == empty.collection("docs").search(query, 9, with_metadata=False)


@pytest.mark.parametrize("limit", ["LATE_BYTES_MAX", "LATE_HITS_MAX"])
def test_a_batch_that_is_too_much_to_copy_is_answered_alike(
    both: Both, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    body = SearchRequests("docs").batch(rows(30), 9, OPTIONS | {"with_metadata": True})
    request = pb.SearchBatchRequest.FromString(body)
    copied: Any = both.servicer.SearchBatch(request, fake_call())
    monkeypatch.setattr(packed if limit == "LATE_HITS_MAX" else quick_batch, limit, 200)
    made: Any = both.servicer.SearchBatch(request, fake_call())
    assert isinstance(copied, bytes)
    assert not isinstance(made, bytes)
    assert made.SerializeToString() == copied


def test_a_filter_that_was_asked_before_is_known(both: Both) -> None:
    wanted = F("n") >= 7
    body = body_of(rows(1)[0], filter=wanted, with_metadata=True)
    known = both.again(body)
    assert known is not None
    assert known == both.ordinary(body)
    assert both.again(body_of(rows(1)[0], filter=F("n") >= 50, with_metadata=True)) not in {None, known}


def test_the_vector_may_lie_anywhere_in_a_request(both: Both) -> None:
    message = pb.SearchRequest(collection="docs")
    put_query(message.query, rows(1)[0])
    put_options(message.options, 5)
    body = message.SerializeToString(deterministic=True)
    assert not body.endswith(rows(1)[0].tobytes())
    assert both.again(body) == both.ordinary(body)


def test_a_request_is_known_when_it_came_twice(both: Both) -> None:
    body = body_of(rows(1)[0])
    assert both.known.answer(body, LOCAL) is None
    both.ordinary(body)
    assert both.known.answer(body, LOCAL) is None
    both.ordinary(body)
    both.ordinary(body)
    assert both.known.answer(body, LOCAL) is not None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_a_vector_that_is_none_is_left_to_the_servicer(both: Both, bad: float) -> None:
    query = rows(1)[0]
    assert both.again(body_of(query)) is not None
    query[2] = bad
    body = body_of(query)
    assert both.known.answer(body, LOCAL) is None
    with pytest.raises(vecdb.VecDBError):
        both.ordinary(body)


def test_who_may_not_read_the_collection_is_left_to_the_servicer(both: Both) -> None:
    body = body_of(rows(1)[0])
    assert both.again(body, Principal("one", {"docs": "read"})) is not None
    assert both.again(body, Principal("other", {"others": "admin"})) is None


def test_what_has_changed_since_is_found(empty: vecdb.Database, both: Both) -> None:
    query = rows(1, seed=2)[0]
    body = body_of(query, 1)
    assert both.again(body) is not None
    docs = empty.collection("docs")
    docs.upsert(["newest"], query.reshape(1, -1))
    assert both.known.answer(body, LOCAL) is None  # a tail is the servicer's to search
    assert b"newest" in both.ordinary(body)
    docs.optimize()
    assert b"newest" in (both.again(body) or b"")
    docs.delete(["newest"])
    assert b"newest" not in (both.known.answer(body, LOCAL) or b"")


def test_a_collection_that_was_made_anew_is_another(empty: vecdb.Database, both: Both) -> None:
    body = body_of(rows(1)[0])
    before = both.again(body)
    empty.drop_collection("docs")
    assert both.known.answer(body, LOCAL) is None
    filled(empty, "ints")
    assert both.known.answer(body, LOCAL) is None
    assert both.again(body) == both.ordinary(body) != before


def test_a_commit_that_is_not_there_yet_is_waited_for_by_the_servicer(empty: vecdb.Database, both: Both) -> None:
    assert both.again(body_of(rows(1)[0], min_seq=empty.seq)) is not None
    body = body_of(rows(1)[0], min_seq=empty.seq + 1)
    empty.create_collection("other", dim=2)
    assert both.again(body) is not None
    both.known._known = {key: known and known._replace(min_seq=99) for key, known in both.known._known.items()}
    assert both.known.answer(body, LOCAL) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"explain": True},
        {"options": {"limit": 10, "encoding": vectors_pb2.ENCODING_PLAIN}},
        {"options": {"limit": 10, "encoding": PACKED, "with_vectors": True}},
        {"options": {"limit": 10, "encoding": PACKED, "exact": True}},
    ],
)
def test_what_only_the_servicer_can_answer_is_not_known(both: Both, changed: dict[str, Any]) -> None:
    message = pb.SearchRequest(**({"collection": "docs", "options": {"limit": 10, "encoding": PACKED}} | changed))
    put_query(message.query, rows(1)[0])
    assert both.again(message.SerializeToString()) is None


def test_no_more_requests_are_kept_than_there_is_room_for(both: Both) -> None:
    for number in range(3 * KNOWN_SEARCHES_MAX):
        message = pb.SearchRequest.FromString(body_of(rows(1)[0], 1 + number))
        both.known.learn(message.SerializeToString(), message)
    assert 0 < len(both.known._known) <= KNOWN_SEARCHES_MAX
    assert len(both.known._places) <= KNOWN_SEARCHES_MAX
