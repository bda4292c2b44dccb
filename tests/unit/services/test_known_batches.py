"""Batches that were asked before: their replies are those of the servicer, and what is not plain is left to it."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

import vecdb
from tests.unit.services.asking import PACKED, asking, code_from, fake_call, rows
from tests.unit.services.test_known_searches import IDS, METADATA, OPTIONS, RECORDS, empty, filled
from vecdb import F
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb._pb.v1 import vectors_pb2
from vecdb.engine import quick_batch
from vecdb.server.backing import Backing
from vecdb.server.known_searches import KnownBatches
from vecdb.server.principals import LOCAL, Principal
from vecdb.server.services_search import SearchService
from vecdb.server.settings import ServerConfig
from vecdb.types import FloatArray
from vecdb.wire.search_requests import SearchRequests
from vecdb.wire.searches import put_options
from vecdb.wire.vectors import put_queries

__all__ = ["empty"]  # a fixture


class Both:
    """The servicer of a database, and what knows its batches."""

    def __init__(self, db: vecdb.Database) -> None:
        backing = Backing.of(db, ServerConfig(data=":memory:"))
        self.servicer, self.known = SearchService(backing), KnownBatches(backing, "read")

    def ordinary(self, body: bytes) -> bytes:
        """The reply of the servicer, from which what knows batches learns."""
        message = pb.SearchBatchRequest.FromString(body)
        reply: Any = self.servicer.SearchBatch(message, fake_call())
        self.known.learn(body, message)
        return reply if isinstance(reply, bytes) else bytes(reply.SerializeToString())

    def again(self, body: bytes, principal: Principal = LOCAL) -> bytes | None:
        """The reply to a request that was made three times before."""
        for _ in range(3):
            self.ordinary(body)
        return self.known.answer(body, principal)


@pytest.fixture
def both(empty: vecdb.Database) -> Both:
    """A served database with one collection at rest."""
    filled(empty)
    return Both(empty)


def body_of(queries: FloatArray, limit: int = 9, **options: Any) -> bytes:
    """A request as vecdb's client sends it."""
    return SearchRequests("docs").batch(queries, limit, OPTIONS | options)


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
        for limit, count in ((1, 1), (10, 7), (RECORDS, 20)):
            both.again(body_of(rows(count), limit, **options))
            for seed in (1, 2):  # vectors that are stored, too: their distance is 0, and their score -0.0 under l2
                body = body_of(np.concatenate((rows(count, seed=seed)[:-1], rows(1))), limit, **options)
                found = both.known.answer(body, LOCAL)
                assert found is not None
                assert found == both.ordinary(body)


def test_batches_of_many_pieces_on_several_threads_are_answered_alike(both: Both) -> None:
    both.known._backing.database.threads = 3
    body = body_of(rows(700), 5)
    found = both.again(body)
    assert found is not None
    assert found == both.ordinary(body)


def test_batches_of_another_size_are_known_apart(both: Both) -> None:
    assert both.again(body_of(rows(5))) is not None
    assert both.known.answer(body_of(rows(6)), LOCAL) is None
    assert both.again(body_of(rows(6))) == both.ordinary(body_of(rows(6)))


def test_the_vectors_may_lie_anywhere_in_a_request(both: Both) -> None:
    message = pb.SearchBatchRequest(collection="docs")
    put_queries(message.queries, rows(3))
    put_options(message.options, 5)
    body = message.SerializeToString(deterministic=True)
    assert not body.endswith(rows(3).tobytes())
    assert both.again(body) == both.ordinary(body)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_a_vector_that_is_none_is_left_to_the_servicer(both: Both, bad: float) -> None:
    queries = rows(4)
    assert both.again(body_of(queries)) is not None
    queries[2, 1] = bad
    body = body_of(queries)
    assert both.known.answer(body, LOCAL) is None
    with pytest.raises(vecdb.VecDBError):
        both.ordinary(body)


def test_who_may_not_read_the_collection_is_left_to_the_servicer(both: Both) -> None:
    body = body_of(rows(2))
    assert both.again(body, Principal("one", {"docs": "read"})) is not None
    assert both.again(body, Principal("other", {"others": "admin"})) is None


def test_what_has_changed_since_is_found(empty: vecdb.Database, both: Both) -> None:
    queries = rows(2, seed=2)
    body = body_of(queries, 1)
    assert both.again(body) is not None
    docs = empty.collection("docs")
    docs.upsert(["newest"], queries[:1])
    assert both.known.answer(body, LOCAL) is None  # a tail is the servicer's to search
    assert b"newest" in both.ordinary(body)
    docs.optimize()
    assert b"newest" in (both.again(body) or b"")
    docs.delete(["newest"])
    assert b"newest" not in (both.known.answer(body, LOCAL) or b"")


def test_fewer_hits_than_asked_for_are_left_to_the_servicer(both: Both) -> None:
    assert both.again(body_of(rows(2), RECORDS + 1)) is None


@pytest.mark.parametrize("limit", ["LATE_BYTES_MAX", "LATE_HITS_MAX"])
def test_a_batch_that_is_too_much_to_copy_is_left_to_the_servicer(
    both: Both, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    body = body_of(rows(30), with_metadata=True)
    assert both.again(body) is not None
    monkeypatch.setattr(quick_batch, limit, 200)
    assert both.known.answer(body, LOCAL) is None


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 9, "encoding": vectors_pb2.ENCODING_PLAIN},
        {"limit": 9, "encoding": PACKED, "with_vectors": True},
        {"limit": 9, "encoding": PACKED, "strict": True},
        {"limit": 9, "encoding": PACKED, "exact": True},
    ],
)
def test_what_only_the_servicer_can_answer_is_not_known(both: Both, options: dict[str, Any]) -> None:
    message = pb.SearchBatchRequest(collection="docs", options=pb.SearchOptions(**options))
    put_queries(message.queries, rows(2))
    assert both.again(message.SerializeToString()) is None


def test_a_batch_with_a_filter_is_left_to_the_servicer(both: Both) -> None:
    assert both.again(body_of(rows(2), filter=F("n") >= 7)) is None


def test_a_server_asks_the_servicer_no_more_for_a_batch_that_it_knows(
    empty: vecdb.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(empty)
    asked_for: list[object] = []
    ordinary = SearchService.SearchBatch

    def counting(servicer: SearchService, request: Any, call: Any) -> Any:
        asked_for.append(request)
        return ordinary(servicer, request, call)

    monkeypatch.setattr(SearchService, "SearchBatch", counting)
    with asking(empty, threads=1) as asked:
        request = pb.SearchBatchRequest.FromString(body_of(rows(6), 8))
        replies = [asked.search.SearchBatch(request) for _ in range(8)]  # a turn that is kept would hold the second up
        answered = len(asked_for)
        request.queries.data = b"short"
        assert code_from(lambda: asked.search.SearchBatch(request)) is grpc.StatusCode.INVALID_ARGUMENT
    assert all(reply == replies[0] for reply in replies)
    assert answered < len(replies)
