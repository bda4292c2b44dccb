"""Searches over a stream, against a server that a test scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.unit.client.scripted import scripted
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb.client.search_streaming import SEARCH_STREAM_AHEAD
from vecdb.errors import InvalidVectorError, RecordNotFoundError, UnavailableError
from vecdb.types import SearchResult
from vecdb.wire.searches import put_columns
from vecdb.wire.status import put_error
from vecdb.wire.vectors import read_vectors

BATCHES = [np.full((2, 3), number, dtype=np.float32) for number in range(9)]


def answered(request: pb.SearchStreamRequest) -> pb.SearchStreamResponse:
    """One hit for each query: its first component as the id."""
    rows = read_vectors(request.search.queries, "queries")
    reply = pb.SearchStreamResponse(number=request.number)
    zeros = np.zeros(len(rows), dtype=np.float32)
    put_columns(reply.hits, [1] * len(rows), SearchResult([int(row[0]) for row in rows], zeros, zeros), packed=True)
    return reply


def found_by(docs: Any, batches: Any = BATCHES, **options: Any) -> list[Any]:
    return [result.ids[0, 0] for result in docs.search_stream(batches, 1, **options)]


def test_no_more_batches_are_taken_than_may_be_under_way() -> None:
    taken: list[int] = []

    def batches() -> Iterator[Any]:
        for number, one in enumerate(BATCHES):
            taken.append(number)
            yield one

    with scripted(SearchStream=lambda requests: map(answered, requests)) as script, vecdb.connect(script.address) as db:
        for number, _ in enumerate(db.collection("docs").search_stream(batches(), 1)):
            assert len(taken) <= number + SEARCH_STREAM_AHEAD
    assert taken == list(range(9))


def test_what_a_broken_stream_left_unanswered_is_asked_for_on_another() -> None:
    streams: list[int] = []

    def answer(requests: Any) -> Iterator[Any]:
        streams.append(1)
        for number, request in enumerate(requests):
            if len(streams) < 4 and number == 2:
                raise UnavailableError("restarting", retry_after_s=0.0)
            yield answered(request)

    with scripted(SearchStream=answer) as script, vecdb.connect(script.address) as db:
        assert found_by(db.collection("docs")) == list(range(9))
    assert len(streams) == 4


def test_a_stream_that_stays_broken_is_an_error() -> None:
    def answer(_requests: Any) -> Any:
        raise UnavailableError("gone", retry_after_s=0.0)

    with (
        scripted(SearchStream=answer) as script,
        vecdb.connect(script.address, retries=2) as db,
        pytest.raises(UnavailableError),
    ):
        found_by(db.collection("docs"))


def test_an_error_of_one_batch_is_raised_after_the_results_of_those_before() -> None:
    def answer(requests: Any) -> Iterator[Any]:
        for request in requests:
            reply = answered(request)
            if request.number == 3:
                put_error(reply.error, RecordNotFoundError("no"))
            yield reply

    with scripted(SearchStream=answer) as script, vecdb.connect(script.address) as db:
        results = db.collection("docs").search_stream(BATCHES, 1)
        assert [next(results).ids[0, 0] for _ in range(2)] == [0, 1]
        with pytest.raises(RecordNotFoundError):
            next(results)


def test_a_batch_that_is_no_matrix_is_refused_after_the_results_of_those_before() -> None:
    with scripted(SearchStream=lambda requests: map(answered, requests)) as script, vecdb.connect(script.address) as db:
        results = db.collection("docs").search_stream([BATCHES[0], np.ones(3), BATCHES[2]], 1)
        assert next(results).ids[0, 0] == 0
        with pytest.raises(InvalidVectorError):
            next(results)


def test_an_option_that_there_is_not_is_a_mistake_of_the_caller() -> None:
    with (
        scripted(SearchStream=lambda requests: map(answered, requests)) as script,
        vecdb.connect(script.address) as db,
        pytest.raises(TypeError, match="ef_search"),
    ):
        found_by(db.collection("docs"), ef_search=3)
