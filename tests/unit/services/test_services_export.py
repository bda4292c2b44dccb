"""ExportService: every record once, in parts, and continued where a stream broke."""

from __future__ import annotations

from typing import Any

import pytest

import vecdb
from tests.unit.services.asking import DIM, PACKED, Asked, error_from, fake_call, rows
from vecdb import F, errors
from vecdb._pb.v1 import export_service_pb2 as pb
from vecdb._pb.v1 import filter_pb2, record_service_pb2
from vecdb.config import LIMIT_MAX
from vecdb.server.backing import Backing
from vecdb.server.services_export import ExportService
from vecdb.server.settings import ServerConfig
from vecdb.wire.filters import put_filter
from vecdb.wire.records import read_records


@pytest.fixture(autouse=True)
def filled(db: vecdb.Database) -> vecdb.Collection:
    docs = db.collection("docs")
    docs.upsert(list(range(50)), rows(50), [{"n": n} for n in range(50)])
    return docs


def request(filter_: vecdb.filters.Filter | None = None, **options: Any) -> pb.ExportRequest:
    message = pb.ExportRequest(**{"collection": "docs", **options})
    if filter_ is not None:
        put_filter(message.filter, filter_)
    return message


def ids(replies: Any) -> list[Any]:
    return [one.id for reply in replies for one in read_records(reply.records)]


def test_every_record_is_sent_once_in_pages(asked: Asked) -> None:
    replies = list(asked.export.Export(request(page_size=20)))
    assert [len(reply.records.versions) for reply in replies] == [20, 20, 10]
    assert ids(replies) == list(range(50))
    assert replies[-1].page_token == ""


def test_records_are_sent_with_their_vectors_where_asked_for(asked: Asked) -> None:
    [reply] = asked.export.Export(request(with_vectors=True, encoding=PACKED))
    records = read_records(reply.records)
    assert all((one.vector == row).all() for one, row in zip(records, rows(50), strict=True))
    assert [one.metadata for one in records] == [{"n": n} for n in range(50)]


def test_only_records_that_match_are_sent(asked: Asked) -> None:
    assert ids(asked.export.Export(request(F("n") >= 30, page_size=7))) == list(range(30, 50))


def test_records_are_sent_in_the_order_of_an_index(asked: Asked) -> None:
    asked.db.collection("docs").create_index("n", "int")
    order = record_service_pb2.OrderBy(path="n", descending=True)
    assert ids(asked.export.Export(request(page_size=20, order_by=order))) == list(range(49, -1, -1))


def test_slices_hold_every_record_once_together(asked: Asked) -> None:
    parts = [
        ids(asked.export.Export(request(F("n") >= 10, slice=filter_pb2.SliceFilter(index=n, count=3))))
        for n in range(3)
    ]
    assert sorted(one for part in parts for one in part) == list(range(10, 50))


@pytest.mark.parametrize("part", [(3, 3), (0, 0), (7, 3)])
def test_a_slice_that_cannot_be_is_refused(asked: Asked, part: tuple[int, int]) -> None:
    wrong = request(slice=filter_pb2.SliceFilter(index=part[0], count=part[1]))
    assert isinstance(error_from(lambda: list(asked.export.Export(wrong))), errors.InvalidFilterError)


def test_a_stream_that_broke_is_continued_with_the_token_of_its_last_message(asked: Asked) -> None:
    stream = asked.export.Export(request(page_size=20))
    first = next(stream)
    stream.cancel()
    rest = asked.export.Export(request(page_size=7, page_token=first.page_token))
    assert ids([first]) + ids(rest) == list(range(50))


def test_a_token_continues_on_another_server_of_the_same_data(db: vecdb.Database) -> None:
    config = ServerConfig(data="/tmp/of-both")
    one, two = (ExportService(Backing.of(db, config)) for _ in range(2))
    first = next(one.Export(request(page_size=20), fake_call()))
    rest = two.Export(request(page_token=first.page_token), fake_call())
    assert ids(rest) == list(range(20, 50))


def test_a_secret_of_its_own_makes_tokens_that_others_refuse(db: vecdb.Database) -> None:
    one, two = (
        ExportService(Backing.of(db, ServerConfig(data=":memory:", token_secret=secret))) for secret in ("a", "b")
    )
    first = next(one.Export(request(page_size=20), fake_call()))
    with pytest.raises(errors.InvalidRequestError, match="page_token"):
        next(two.Export(request(page_token=first.page_token), fake_call()))


@pytest.mark.parametrize(
    "changed",
    [
        {"filter_": F("n") >= 1},
        {"slice": filter_pb2.SliceFilter(index=0, count=2)},
        {"collection": "more"},
        {"strict": True},
    ],
)
def test_a_token_of_another_export_is_refused(asked: Asked, changed: dict[str, Any]) -> None:
    asked.db.create_collection("more", dim=DIM)
    token = next(asked.export.Export(request(page_size=20))).page_token
    wrong = request(changed.pop("filter_", None), page_token=token, **changed)
    assert error_from(lambda: list(asked.export.Export(wrong))).details["where"] == "page_token"


@pytest.mark.parametrize("size", [-1, -(2**31), LIMIT_MAX + 1, 2**31 - 1])
def test_a_page_size_beyond_the_limits_is_refused(asked: Asked, size: int) -> None:
    error = error_from(lambda: list(asked.export.Export(request(page_size=size))))
    assert isinstance(error, errors.LimitExceededError)


def test_messages_stay_small_whatever_the_records_hold(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.server.record_pages.PAGE_BYTES_TARGET", 4_000)
    texts = [{"text": "x" * (10 if n < 40 else 2_000)} for n in range(50)]
    asked.db.collection("docs").upsert(list(range(50)), rows(50), texts)
    replies = list(asked.export.Export(request()))
    assert ids(replies) == list(range(50))
    assert max(reply.ByteSize() for reply in replies) <= 2 * 4_000 + 100


def test_records_written_meanwhile_disturb_nothing(asked: Asked) -> None:
    stream = asked.export.Export(request(page_size=1))
    seen = ids([next(stream)])
    asked.db.collection("docs").delete([49])
    asked.db.collection("docs").upsert([1_000], rows(1))
    asked.db.collection("docs").optimize()
    seen += ids(stream)
    assert set(range(49)) <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_stream_whose_caller_is_gone_ends_before_the_next_page(db: vecdb.Database) -> None:
    service, seen = ExportService(Backing.of(db, ServerConfig(data=":memory:"))), []
    with pytest.raises(errors.CancelledError):
        seen += list(service.Export(request(page_size=1), fake_call(left=0)))
    assert seen == []


def test_a_server_that_drains_ends_a_stream_after_a_page(db: vecdb.Database) -> None:
    call = fake_call()
    stream = ExportService(Backing.of(db, ServerConfig(data=":memory:"))).Export(request(page_size=1), call)
    assert next(stream).page_token
    call.is_draining = True
    with pytest.raises(errors.UnavailableError):
        next(stream)


def test_an_empty_collection_is_one_empty_message(asked: Asked) -> None:
    asked.db.create_collection("empty", dim=DIM)
    [reply] = asked.export.Export(request(collection="empty"))
    assert (len(reply.records.versions), reply.page_token) == (0, "")
