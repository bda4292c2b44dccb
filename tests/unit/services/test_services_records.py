"""RecordService: writes with their seq, reads by id, pages, counts, facets and sums; and what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

import vecdb
from tests.unit.services.asking import DIM, PACKED, Asked, asking, batch, code_from, error_from, fake_call, rows, upsert
from vecdb import F, errors
from vecdb._pb.v1 import record_pb2 as record
from vecdb._pb.v1 import record_service_pb2 as pb
from vecdb.config import BATCH_RECORDS_MAX, FACET_VALUES_MAX, LIMIT_MAX, MESSAGE_BYTES_MIN, SEQ_MAX
from vecdb.engine import database as engine_database
from vecdb.server.backing import Backing
from vecdb.server.services_records import RecordReading
from vecdb.server.settings import ServerConfig
from vecdb.wire.filters import put_filter
from vecdb.wire.ids import put_id, put_ids
from vecdb.wire.records import read_found, read_records
from vecdb.wire.writes import put_deletion, put_update

INT32_LEAST, INT32_MOST, INT64_MOST = -(2**31), 2**31 - 1, 2**63 - 1


def update(record_id: Any = None, **options: Any) -> pb.UpdateRecordsRequest:
    request = pb.UpdateRecordsRequest(collection="docs")
    put_update(request.update, record_id, **options)
    return request


def delete(*arguments: Any, **options: Any) -> pb.DeleteRecordsRequest:
    request = pb.DeleteRecordsRequest(collection="docs")
    put_deletion(request.deletion, *arguments, **options)
    return request


def get(*ids: Any, **options: Any) -> pb.GetRecordsRequest:
    request = pb.GetRecordsRequest(collection="docs", **options)
    put_ids(request.ids, ids)
    return request


def listing(filter_: vecdb.filters.Filter | None = None, **options: Any) -> pb.ListRecordsRequest:
    request = pb.ListRecordsRequest(collection="docs", **options)
    if filter_ is not None:
        put_filter(request.filter, filter_)
    return request


def pages(asked: Asked, **options: Any) -> list[list[Any]]:
    found, token = [], ""
    while True:
        reply = asked.records.ListRecords(listing(page_token=token, **options))
        found.append([one.id for one in read_records(reply.records)])
        token = reply.next_page_token
        if not token:
            return found


# --- writes -----------------------------------------------------------------------------------------------------------


def test_an_upsert_is_answered_with_the_seq_of_its_commit_and_its_count(asked: Asked) -> None:
    reply = asked.records.UpsertRecords(upsert(["a", "b", "c"]))
    assert (reply.seq, reply.count) == (asked.db.seq, 3)


def test_an_insert_of_an_id_that_exists_stores_nothing(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert(["a"]))
    request = pb.InsertRecordsRequest(collection="docs", records=batch(["b", "a"]))
    assert isinstance(error_from(lambda: asked.records.InsertRecords(request)), errors.RecordExistsError)
    assert code_from(lambda: asked.records.InsertRecords(request)) == grpc.StatusCode.ALREADY_EXISTS
    assert "b" not in asked.db.collection("docs")


def test_an_insert_of_new_ids_is_stored(asked: Asked) -> None:
    reply = asked.records.InsertRecords(pb.InsertRecordsRequest(collection="docs", records=batch([1, 2])))
    assert (reply.count, asked.db.collection("docs").count()) == (2, 2)


def test_an_update_by_id_replaces_the_keys_it_names(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert(["a"], [{"x": 1, "y": 2}]))
    reply = asked.records.UpdateRecords(update("a", metadata={"x": 5}))
    found = asked.db.collection("docs").get("a")
    assert found is not None
    assert (found.metadata, found.version) == ({"x": 5, "y": 2}, reply.seq)


def test_an_update_by_filter_counts_the_records_it_changed(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1, 2, 3], [{"x": n} for n in range(3)]))
    assert asked.records.UpdateRecords(update(filter=F("x") >= 1, metadata={"seen": True})).count == 2


def test_an_update_of_no_record_is_not_found(asked: Asked) -> None:
    error = error_from(lambda: asked.records.UpdateRecords(update("none", metadata={})))
    assert isinstance(error, errors.RecordNotFoundError)


def test_an_update_that_names_no_record_at_all_is_refused(asked: Asked) -> None:
    error = error_from(lambda: asked.records.UpdateRecords(pb.UpdateRecordsRequest(collection="docs")))
    assert isinstance(error, errors.InvalidIdError)


def test_deletions_by_id_and_by_filter_count_what_there_was(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1, 2, 3, 4], [{"x": n} for n in range(4)]))
    assert asked.records.DeleteRecords(delete([1, 99])).count == 1
    assert asked.records.DeleteRecords(delete(filter=F("x") >= 2)).count == 2
    assert asked.db.collection("docs").count() == 1


def test_a_version_that_differs_aborts_the_write_and_names_the_ids(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert(["a"]))
    error = error_from(lambda: asked.records.UpsertRecords(upsert(["a"], if_version=0)))
    assert isinstance(error, errors.VersionConflictError)
    assert error.details["ids"] == ["a"]


def test_a_vector_of_another_dimension_is_refused_and_nothing_is_stored(asked: Asked) -> None:
    request = upsert(["a"], vectors=[[1.0] * (DIM + 1)])
    assert isinstance(error_from(lambda: asked.records.UpsertRecords(request)), errors.DimensionMismatchError)
    assert asked.db.collection("docs").count() == 0


def test_a_collection_that_does_not_exist_is_named_beside_those_that_do(asked: Asked) -> None:
    request = pb.UpsertRecordsRequest(collection="dogs", records=batch(["a"]))
    error = error_from(lambda: asked.records.UpsertRecords(request))
    assert isinstance(error, errors.CollectionNotFoundError)
    assert "'docs'" in error.message


@pytest.mark.parametrize("name", ["", "../etc", "a" * 64, "Docs", "a\0b"])
def test_a_name_that_breaks_the_rule_is_refused(asked: Asked, name: str) -> None:
    error = error_from(lambda: asked.records.CountRecords(pb.CountRecordsRequest(collection=name)))
    assert isinstance(error, errors.InvalidNameError)


def test_a_repeated_insert_with_its_request_id_gets_the_first_answer(asked: Asked) -> None:
    request = pb.InsertRecordsRequest(collection="docs", records=batch(["a"]), request_id="one")
    first = asked.records.InsertRecords(request)
    asked.records.UpsertRecords(upsert(["b"]))
    assert asked.records.InsertRecords(request) == first


def test_a_request_id_used_for_another_write_is_refused(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert(["a"], request_id="one"))
    error = error_from(lambda: asked.records.UpsertRecords(upsert(["b"], request_id="one")))
    assert isinstance(error, errors.InvalidRequestError)
    assert error.details["where"] == "request_id"


def test_a_request_id_may_have_64_characters_and_not_one_more(asked: Asked) -> None:
    assert asked.records.UpsertRecords(upsert(["a"], request_id="é" * 64)).count == 1
    error = error_from(lambda: asked.records.UpsertRecords(upsert(["a"], request_id="e" * 65)))
    assert error.details["where"] == "request_id"


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_transaction_stores_all_its_writes_with_one_seq(asked: Asked) -> None:
    asked.db.create_collection("more", dim=DIM)
    request = pb.CommitTransactionRequest()
    request.operations.add(collection="docs", upsert=batch([1, 2]))
    request.operations.add(collection="more", insert=batch([3]))
    change = request.operations.add(collection="docs").update
    put_update(change, 1, metadata={"x": 1})
    put_deletion(request.operations.add(collection="docs").delete, [2])
    reply = asked.records.CommitTransaction(request)
    assert (reply.seq, reply.count) == (asked.db.seq, 5)
    assert (asked.db.collection("docs").count(), asked.db.collection("more").count()) == (1, 1)


def test_a_transaction_with_one_write_that_fails_stores_nothing(asked: Asked) -> None:
    request = pb.CommitTransactionRequest()
    request.operations.add(collection="docs", upsert=batch([1]))
    put_update(request.operations.add(collection="docs").update, 99, metadata={})
    assert isinstance(error_from(lambda: asked.records.CommitTransaction(request)), errors.RecordNotFoundError)
    assert asked.db.collection("docs").count() == 0


def test_a_transaction_with_something_that_is_no_write_names_its_place(asked: Asked) -> None:
    request = pb.CommitTransactionRequest()
    request.operations.add(collection="docs", upsert=batch([1]))
    request.operations.add(collection="docs")
    assert error_from(lambda: asked.records.CommitTransaction(request)).details["where"] == "operations[1]"


def test_a_transaction_of_too_many_writes_is_refused_before_any_is_read(asked: Asked) -> None:
    request = pb.CommitTransactionRequest(operations=[pb.WriteOperation()] * (BATCH_RECORDS_MAX + 1))
    assert isinstance(error_from(lambda: asked.records.CommitTransaction(request)), errors.LimitExceededError)


# --- reads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [0, PACKED])
def test_records_are_returned_in_the_order_asked_for_with_the_missing_ones_named(asked: Asked, encoding: int) -> None:
    asked.records.UpsertRecords(upsert([1, "b"], [{"x": 1.5}, {}]))
    reply = asked.records.GetRecords(get("b", "none", 1, encoding=encoding, with_vectors=True))
    assert list(reply.missing) == [1]
    last, none, first = read_found(reply)
    assert none is None
    assert first is not None
    assert last is not None
    assert (last.id, first.id, first.metadata) == ("b", 1, {"x": 1.5})
    assert first.vector is not None
    assert (first.vector == rows(2)[0]).all()


def test_more_vectors_than_a_reply_holds_are_refused_before_they_are_read(db: vecdb.Database) -> None:
    with asking(db, max_message_bytes=64 * 1024) as asked:
        most = 64 * 1024 // (4 * DIM)
        assert len(asked.records.GetRecords(get(*range(most), with_vectors=True)).missing) == most
        error = error_from(lambda: asked.records.GetRecords(get(*range(most + 1), with_vectors=True)))
    assert isinstance(error, errors.LimitExceededError)


def test_pages_hold_every_record_once_in_the_order_of_ids(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert(["b", 2, "a", 1, 3]))
    assert pages(asked, page_size=2) == [[1, 2], [3, "a"], ["b"]]


def test_pages_come_in_the_order_of_an_index(asked: Asked) -> None:
    asked.db.collection("docs").create_index("x", "int")
    asked.records.UpsertRecords(upsert([1, 2, 3], [{"x": 5}, {"x": 9}, {"x": 1}]))
    order = pb.OrderBy(path="x", descending=True)
    assert pages(asked, page_size=1, order_by=order) == [[2], [1], [3]]


def test_a_page_without_a_size_has_a_hundred_records(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert(list(range(150))))
    assert [len(page) for page in pages(asked)] == [100, 50]


def test_a_page_that_would_be_much_too_large_has_fewer_records(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.server.record_pages.PAGE_BYTES_TARGET", 2_000)
    asked.records.UpsertRecords(upsert(list(range(20)), [{"text": "x" * 1_000}] * 20))
    found = pages(asked, page_size=20)
    assert [record_id for page in found for record_id in page] == list(range(20))
    assert max(map(len, found)) <= 4


def test_records_that_no_reply_can_hold_are_refused_before_they_are_decoded(db: vecdb.Database) -> None:
    db.collection("docs").upsert([1], rows(1), [{"text": "x" * 50_000}])
    with asking(db, max_message_bytes=MESSAGE_BYTES_MIN) as asked:
        error = error_from(lambda: asked.records.GetRecords(get(*[1] * 30)))
    assert isinstance(error, errors.LimitExceededError)
    assert f"at most {2 * MESSAGE_BYTES_MIN} are read at once" in error.message
    assert error.details["reply_bytes"] > 30 * 50_000


def test_a_page_of_records_that_cannot_be_read_at_once_has_fewer(db: vecdb.Database) -> None:
    db.collection("docs").upsert(list(range(9)), rows(9), [{"text": "x" * 50_000}] * 9)
    with asking(db, max_message_bytes=MESSAGE_BYTES_MIN) as asked:
        assert pages(asked, page_size=9) == [[n] for n in range(9)]


@pytest.mark.parametrize("size", [-1, INT32_LEAST, LIMIT_MAX + 1, INT32_MOST])
def test_a_page_size_beyond_the_limits_is_refused(asked: Asked, size: int) -> None:
    error = error_from(lambda: asked.records.ListRecords(listing(page_size=size)))
    assert isinstance(error, errors.LimitExceededError)
    assert error.details["option"] == "page_size"


def test_the_largest_page_size_is_taken(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1]))
    assert pages(asked, page_size=LIMIT_MAX) == [[1]]


@pytest.mark.parametrize(
    "changed",
    [
        {"filter_": F("x") >= 1},
        {"strict": True},
        {"order_by": pb.OrderBy(path="x")},
        {"collection": "more"},
    ],
)
def test_a_page_token_continues_only_the_request_that_it_came_from(asked: Asked, changed: dict[str, Any]) -> None:
    docs = asked.db.collection("docs")
    docs.create_index("x", "int")
    asked.db.create_collection("more", dim=DIM)
    asked.records.UpsertRecords(upsert([1, 2, 3], [{"x": n} for n in range(3)]))
    token = asked.records.ListRecords(listing(page_size=1)).next_page_token
    request = listing(changed.pop("filter_", None), page_token=token)
    request.MergeFrom(pb.ListRecordsRequest(**changed))
    error = error_from(lambda: asked.records.ListRecords(request))
    assert error.details["where"] == "page_token"
    assert [one.id for one in read_records(asked.records.ListRecords(listing(page_token=token)).records)] == [2, 3]


def test_a_page_token_that_was_changed_anywhere_is_refused(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1, 2]))
    token = asked.records.ListRecords(listing(page_size=1)).next_page_token
    for place in range(len(token)):
        wrong = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        if wrong.rstrip("=") != token.rstrip("="):
            request = listing(page_token=wrong)
            error = error_from(partial(asked.records.ListRecords, request))
            assert error.details["where"] == "page_token"


@pytest.mark.parametrize("token", ["x", "====", "é", "A" * 5_000, "A" * 100_000, "AAAA"])
def test_a_page_token_that_is_none_is_refused(asked: Asked, token: str) -> None:
    assert error_from(lambda: asked.records.ListRecords(listing(page_token=token))).details["where"] == "page_token"


def test_counts_are_exact_with_and_without_a_filter(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1, 2, 3], [{"x": n} for n in range(3)]))
    request = pb.CountRecordsRequest(collection="docs")
    assert asked.records.CountRecords(request).count == 3
    put_filter(request.filter, F("x") >= 1)
    assert asked.records.CountRecords(request).count == 2


def test_a_filter_without_an_index_is_refused_where_that_is_asked_for(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1], [{"x": 1}]))
    request = pb.CountRecordsRequest(collection="docs", strict=True)
    put_filter(request.filter, F("x") >= 1)
    assert isinstance(error_from(lambda: asked.records.CountRecords(request)), errors.UnindexedFilterError)


def test_facets_count_each_value(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1, 2, 3], [{"x": "a"}, {"x": "b"}, {"x": "b"}]))
    reply = asked.records.FacetRecords(pb.FacetRecordsRequest(collection="docs", path="x"))
    assert [(one.value.text, one.count) for one in reply.counts] == [("b", 2), ("a", 1)]


@pytest.mark.parametrize("limit", [0, -1, -INT64_MOST, FACET_VALUES_MAX + 1, INT64_MOST])
def test_a_facet_of_no_or_too_many_values_is_refused(asked: Asked, limit: int) -> None:
    request = pb.FacetRecordsRequest(collection="docs", path="x", limit=limit)
    assert isinstance(error_from(lambda: asked.records.FacetRecords(request)), errors.LimitExceededError)


def test_numbers_are_summed_up(asked: Asked) -> None:
    asked.records.UpsertRecords(upsert([1, 2], [{"x": 1}, {"x": 4}]))
    reply = asked.records.AggregateRecords(pb.AggregateRecordsRequest(collection="docs", path="x"))
    assert (reply.count, reply.min.integer, reply.max.integer, reply.sum.integer) == (2, 1, 4, 5)
    assert reply.mean == 2.5


def test_the_figures_of_no_numbers_are_absent(asked: Asked) -> None:
    reply = asked.records.AggregateRecords(pb.AggregateRecordsRequest(collection="docs", path="x"))
    assert not reply.HasField("min")
    assert not reply.HasField("mean")


@pytest.mark.parametrize("path", ["", "a" * 513, "a..b"])
def test_a_path_that_means_nothing_is_refused(asked: Asked, path: str) -> None:
    request = pb.FacetRecordsRequest(collection="docs", path=path)
    assert isinstance(error_from(lambda: asked.records.FacetRecords(request)), errors.InvalidFilterError)


READS: dict[str, Any] = {
    "GetRecords": get(1),
    "ListRecords": listing(),
    "CountRecords": pb.CountRecordsRequest(collection="docs"),
    "FacetRecords": pb.FacetRecordsRequest(collection="docs", path="x"),
    "AggregateRecords": pb.AggregateRecordsRequest(collection="docs", path="x"),
}


@pytest.mark.parametrize("name", READS)
def test_a_read_waits_for_the_commit_that_it_names(asked: Asked, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_database, "MIN_SEQ_WAIT_S", 0.01)
    request = type(READS[name])()
    request.CopyFrom(READS[name])
    request.min_seq = asked.db.seq
    getattr(asked.records, name)(request)
    request.min_seq = asked.db.seq + 1
    assert isinstance(error_from(lambda: getattr(asked.records, name)(request)), errors.WaitTimeoutError)


@pytest.mark.parametrize("name", READS)
def test_a_seq_that_cannot_be_is_refused(asked: Asked, name: str) -> None:
    request = type(READS[name])()
    request.CopyFrom(READS[name])
    request.min_seq = SEQ_MAX + 1
    assert isinstance(error_from(lambda: getattr(asked.records, name)(request)), errors.LimitExceededError)


def test_a_wait_for_a_commit_ends_when_its_caller_is_gone(db: vecdb.Database) -> None:
    reading = RecordReading(Backing.of(db, ServerConfig(data=":memory:")))
    with pytest.raises(errors.CancelledError):
        reading.CountRecords(pb.CountRecordsRequest(collection="docs", min_seq=db.seq + 1), fake_call(left=3))


@pytest.mark.parametrize("name", ["CountRecords", "FacetRecords", "AggregateRecords", "ListRecords"])
def test_a_scan_ends_when_its_caller_is_gone(db: vecdb.Database, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.engine.records.SCAN_RECORDS", 10)
    db.collection("docs").upsert(list(range(100)), rows(100), [{"x": n} for n in range(100)])
    request = type(READS[name])()
    request.CopyFrom(READS[name])
    put_filter(request.filter, F("x") >= 1)
    reading, call = RecordReading(Backing.of(db, ServerConfig(data=":memory:"))), fake_call(left=3)
    with pytest.raises(errors.CancelledError):
        getattr(reading, name)(request, call)


def test_over_a_reader_reads_work_and_writes_are_refused(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as writer:
        writer.create_collection("docs", dim=DIM).upsert([1], rows(1))
        with vecdb.open(tmp_path / "db", mode="r") as reader, asking(reader) as asked:
            assert asked.records.CountRecords(pb.CountRecordsRequest(collection="docs")).count == 1
            write = pb.CommitTransactionRequest(operations=[pb.WriteOperation(collection="docs", upsert=batch([2]))])
            assert isinstance(error_from(lambda: asked.records.UpsertRecords(upsert([2]))), errors.ReadOnlyError)
            assert isinstance(error_from(lambda: asked.records.CommitTransaction(write)), errors.ReadOnlyError)


def test_an_id_that_is_none_is_refused(asked: Asked) -> None:
    request = pb.UpdateRecordsRequest(collection="docs", update=record.RecordUpdate())
    put_id(request.update.id, "x" * 257)
    request.update.metadata.packed.append(b"\x80")
    assert isinstance(error_from(lambda: asked.records.UpdateRecords(request)), errors.InvalidIdError)
