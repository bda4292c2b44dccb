"""What reads ask for: their parts, the writes they wait for, and the same signatures everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pytest

import vecdb
from tests.conformance.fronts import CollectionLike, DatabaseLike
from tests.strategies_wire import put_hits
from tests.unit.client.scripted import scripted
from vecdb._pb.v1 import record_pb2, record_service_pb2, search_service_pb2
from vecdb.client.methods import METHODS
from vecdb.config import BATCH_RECORDS_MAX
from vecdb.errors import LimitExceededError
from vecdb.types import SearchResult
from vecdb.wire.ids import put_ids, read_ids
from vecdb.wire.vectors import read_vectors

COUNT = record_service_pb2.CountRecordsResponse(count=3)
WRITTEN = record_service_pb2.UpsertRecordsResponse(seq=7, count=1)


def too_large() -> LimitExceededError:
    return LimitExceededError("the reply is too large", reply_bytes=1)


def test_reads_wait_for_the_writes_of_their_connection() -> None:
    with scripted(UpsertRecords=lambda _: WRITTEN, CountRecords=lambda _: COUNT) as script:
        with vecdb.connect(script.address) as db:
            docs = db.collection("docs")
            docs.count()
            docs.upsert(["a"], np.ones((1, 4)))
            docs.count()
            db.collection("docs").count(min_seq=3)
            docs.count(min_seq=0)
        with vecdb.connect(script.address, read_your_writes=False) as db:
            db.collection("docs").upsert(["a"], np.ones((1, 4)))
            db.collection("docs").count()
    assert [request.min_seq for request in script.asked("CountRecords")] == [0, 7, 3, 0, 0]


def found(request: record_service_pb2.GetRecordsRequest) -> Any:
    ids = read_ids(request.ids, "ids")
    reply = record_service_pb2.GetRecordsResponse()
    put_ids(reply.records.ids, ids)
    reply.records.versions.extend([1] * len(ids))
    return reply


def at_most(rows: int, size_of: Callable[[Any], int], answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Answer requests for so many things, and find replies to more of them too large."""

    def limited(request: Any) -> Any:
        if size_of(request) > rows:
            raise too_large()
        return answer(request)

    return limited


def test_get_asks_for_less_where_a_reply_would_be_too_large() -> None:
    answer = at_most(10, lambda request: len(read_ids(request.ids, "ids")), found)
    with scripted(GetRecords=answer) as script, vecdb.connect(script.address) as db:
        assert [record.id for record in db.collection("docs").get(list(range(45))) if record] == list(range(45))


def test_a_page_is_as_long_as_it_was_asked_for_all_the_same() -> None:
    def page(request: record_service_pb2.ListRecordsRequest) -> Any:
        first = int(request.page_token or 0)
        stop = min(first + request.page_size, 50)
        reply = record_service_pb2.ListRecordsResponse(next_page_token=str(stop) if stop < 50 else "")
        put_ids(reply.records.ids, list(range(first, stop)))
        reply.records.versions.extend([1] * (stop - first))
        return reply

    answer = at_most(8, lambda request: request.page_size, page)
    with scripted(ListRecords=answer) as script, vecdb.connect(script.address) as db:
        docs = db.collection("docs")
        got = docs.scroll(30)
        assert ([record.id for record in got], got.cursor) == (list(range(30)), "30")
        assert [record.id for record in docs.iterate()] == list(range(50))


def test_a_reply_that_is_too_large_for_one_record_is_an_error() -> None:
    def refuse(_request: Any) -> Any:
        raise too_large()

    with scripted(GetRecords=refuse, ListRecords=refuse) as script, vecdb.connect(script.address) as db:
        with pytest.raises(LimitExceededError):
            db.collection("docs").get([1, 2])
        with pytest.raises(LimitExceededError):
            db.collection("docs").scroll(2)


def nearest(request: search_service_pb2.SearchBatchRequest) -> Any:
    """One hit for each query: its first component as the id."""
    rows = read_vectors(request.queries, "queries")
    zero = np.zeros(1, dtype=np.float32)
    reply = search_service_pb2.SearchBatchResponse()
    put_hits(reply.hits, [SearchResult([int(row[0])], zero, zero) for row in rows], packed=True)
    return reply


def test_a_batch_of_queries_that_fits_no_message_is_searched_in_parts() -> None:
    queries = np.repeat(np.arange(20_000, dtype=np.float32)[:, None], 4, axis=1)
    with scripted(message_bytes_max=128 << 10, SearchBatch=nearest) as script, vecdb.connect(script.address) as db:
        result = db.collection("docs").search_batch(queries, 1)
    assert result.ids.ravel().tolist() == list(range(20_000))
    assert max(request.ByteSize() for request in script.asked("SearchBatch")) <= 128 << 10


def test_a_batch_with_more_hits_than_a_list_of_ids_holds_is_searched_in_parts() -> None:
    def hundred(request: search_service_pb2.SearchBatchRequest) -> Any:
        reply = search_service_pb2.SearchBatchResponse()
        result = SearchResult(list(range(100)), np.zeros(100, np.float32), np.zeros(100, np.float32))
        put_hits(reply.hits, [result] * len(read_vectors(request.queries, "queries")), packed=True)
        return reply

    queries = np.zeros((BATCH_RECORDS_MAX // 100 + 1, 2), dtype=np.float32)
    with scripted(SearchBatch=hundred) as script, vecdb.connect(script.address) as db:
        assert len(db.collection("docs").search_batch(queries, 100).results) == len(queries)


def test_a_deletion_of_many_ids_is_made_in_parts() -> None:
    def delete(request: record_service_pb2.DeleteRecordsRequest) -> Any:
        return record_service_pb2.DeleteRecordsResponse(seq=9, count=len(read_ids(request.deletion.ids, "ids")))

    with scripted(message_bytes_max=128 << 10, DeleteRecords=delete) as script, vecdb.connect(script.address) as db:
        result = db.collection("docs").delete([f"{number:0200}" for number in range(2_000)])
    assert (result.seq, result.count) == (9, 2_000)
    assert max(request.ByteSize() for request in script.asked("DeleteRecords")) <= 128 << 10


def test_a_transaction_that_fits_no_message_is_refused_at_the_write() -> None:
    with (
        scripted(message_bytes_max=128 << 10) as script,
        vecdb.connect(script.address) as db,
        pytest.raises(LimitExceededError, match="split it"),
        db.transaction() as tx,
    ):
        tx.collection("docs").upsert(list(range(20_000)), np.ones((20_000, 4)))
    assert not script.asked("CommitTransaction")


# --- the same API -----------------------------------------------------------------------------------------------------

PAIRS = [
    (CollectionLike, vecdb.Collection, vecdb.RemoteCollection),
    (CollectionLike, vecdb.Collection, vecdb.AsyncCollection),
    (DatabaseLike, vecdb.Database, vecdb.RemoteDatabase),
    (DatabaseLike, vecdb.Database, vecdb.AsyncDatabase),
]
OF_ANOTHER_KIND = {"backup", "__len__", "__contains__"}
"""A backup has a name on a server, not a path; the others cannot be awaited, and are `count` and `contains`."""


@pytest.mark.parametrize(("what", "local", "remote"), PAIRS, ids=lambda kind: kind.__name__)
def test_a_client_takes_the_arguments_of_the_engine(what: type, local: type, remote: type) -> None:
    names = [name for name, _ in inspect.getmembers(what, inspect.isfunction) if name not in dir(Protocol)]
    assert len(names) > 5
    for name in set(names) - OF_ANOTHER_KIND:
        ours, theirs = (inspect.signature(getattr(side, name)).parameters.values() for side in (local, remote))
        assert [(p.name, p.kind, p.default) for p in theirs] == [(p.name, p.kind, p.default) for p in ours], name


def test_every_method_of_the_protocol_is_named_rightly() -> None:
    for method in METHODS:
        service = method.reply.DESCRIPTOR.file.services_by_name[method.service]
        described = service.methods_by_name[method.name]
        sides = f"{'stream' if described.client_streaming else 'unary'}_"
        assert method.kind == sides + ("stream" if described.server_streaming else "unary")
        assert described.output_type.full_name == method.reply.DESCRIPTOR.full_name
    assert record_pb2.DESCRIPTOR.package == "vecdb.v1"
