"""IngestService: acknowledgements in order, refusals in place, several batches in one commit, and each stored once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.services.asking import DIM, Asked, asking, batch, error_from, fake_call, rows
from vecdb import errors
from vecdb._pb.v1 import ingest_service_pb2 as pb
from vecdb.server.backing import Backing
from vecdb.server.config import INGEST_BATCHES_MAX
from vecdb.server.services_ingest import IngestService, Load
from vecdb.server.settings import ServerConfig
from vecdb.wire.ids import put_ids
from vecdb.wire.status import read_error

INSERT = pb.INGEST_MODE_INSERT


def start(**options: Any) -> pb.IngestRequest:
    return pb.IngestRequest(start=pb.IngestStart(**{"collection": "docs", **options}))


def numbered(number: int, ids: list[Any], **options: Any) -> pb.IngestRequest:
    return pb.IngestRequest(batch=pb.IngestBatch(number=number, records=batch(ids, **options)))


def answers(asked: Asked, *requests: pb.IngestRequest) -> list[pb.IngestResponse]:
    return list(asked.ingest.Ingest(iter(requests)))


def test_the_start_is_answered_with_a_window(asked: Asked) -> None:
    [reply] = answers(asked, start())
    assert reply.started.batches_max == INGEST_BATCHES_MAX
    assert reply.started.bytes_max > 0


def test_every_batch_is_acknowledged_in_its_order(asked: Asked) -> None:
    _, *acks = answers(asked, start(), *(numbered(n, [n, f"x{n}"]) for n in range(1, 31)))
    assert [(one.ack.number, one.ack.count) for one in acks] == [(n, 2) for n in range(1, 31)]
    assert [one.ack.seq for one in acks] == sorted(one.ack.seq for one in acks)
    assert acks[-1].ack.seq == asked.db.seq
    assert asked.db.collection("docs").count() == 60


def test_later_batches_replace_what_earlier_ones_stored(asked: Asked) -> None:
    answers(asked, start(), *(numbered(n, ["same"], metadata=[{"n": n}]) for n in range(1, 31)))
    found = asked.db.collection("docs").get("same")
    assert found is not None
    assert found.metadata == {"n": 30}


def test_a_batch_that_is_wrong_fails_in_its_place_and_the_stream_goes_on(asked: Asked) -> None:
    wrong = numbered(2, [2], vectors=[[1.0] * (DIM + 1)])
    _, first, second, third = answers(asked, start(), numbered(1, [1]), wrong, numbered(3, [3]))
    assert (first.ack.number, second.failure.number, third.ack.number) == (1, 2, 3)
    assert isinstance(read_error(second.failure.error), errors.DimensionMismatchError)
    assert asked.db.collection("docs").count() == 2


def test_an_insert_of_an_id_that_exists_fails_its_batch(asked: Asked) -> None:
    requests = (start(mode=INSERT), numbered(1, [1]), numbered(2, [1, 2]), numbered(3, [3]))
    _, first, second, third = answers(asked, *requests)
    assert (first.WhichOneof("event"), second.WhichOneof("event"), third.WhichOneof("event")) == (
        "ack",
        "failure",
        "ack",
    )
    assert isinstance(read_error(second.failure.error), errors.RecordExistsError)


def swap(number: int, ids: list[Any], delete: list[Any]) -> pb.IngestRequest:
    request = numbered(number, ids)
    put_ids(request.batch.delete, delete)
    return request


def test_what_a_batch_deletes_goes_in_the_commit_that_stores_its_records(asked: Asked) -> None:
    docs = asked.db.collection("docs")
    before = docs.upsert([1, 2, 3], rows(3)).seq
    _, reply = answers(asked, start(), swap(1, [3, 4], [1, 2, "never there"]))
    assert (reply.ack.seq, reply.ack.count) == (before + 1, 2)
    assert asked.db.seq == before + 1
    assert [record.id for record in docs.iterate()] == [3, 4]


def test_a_batch_may_do_nothing_but_delete(asked: Asked) -> None:
    docs = asked.db.collection("docs")
    docs.upsert([1, 2, 3], rows(3))
    request = pb.IngestRequest(batch=pb.IngestBatch(number=1))
    put_ids(request.batch.delete, [1, 2])
    _, reply = answers(asked, start(), request)
    assert (reply.ack.number, reply.ack.count, docs.count()) == (1, 0, 1)


def test_nothing_is_deleted_by_a_batch_that_is_refused(asked: Asked) -> None:
    asked.db.collection("docs").upsert([1, 2], rows(2))
    _, reply = answers(asked, start(mode=INSERT), swap(1, [2, 3], [1]))
    assert isinstance(read_error(reply.failure.error), errors.RecordExistsError)
    assert asked.db.collection("docs").count() == 2


def test_an_id_that_is_stored_and_deleted_at_once_fails_its_batch(asked: Asked) -> None:
    _, reply = answers(asked, start(), swap(1, [2, 3], [3]))
    assert isinstance(read_error(reply.failure.error), errors.DuplicateIdError)
    assert asked.db.collection("docs").count() == 0


def test_a_swap_that_is_sent_again_is_done_once(asked: Asked) -> None:
    docs = asked.db.collection("docs")
    docs.upsert([1], rows(1))
    requests = [start(request_id="load"), swap(1, [2], [1])]
    first = answers(asked, *requests)
    docs.upsert([1], rows(1))
    assert answers(asked, *requests) == first
    assert docs.count() == 2


def test_swaps_share_one_commit(db: vecdb.Database) -> None:
    load = Load(Backing.of(db, ServerConfig(data=":memory:")), start().start, fake_call())
    before = db.seq
    acks = list(load.store([load.prepare(swap(n, [n], [n + 100])) for n in range(1, 5)]))
    assert [one.ack.seq for one in acks] == [before + 1] * 4


WRONG_STREAMS = {
    "start": [numbered(1, [1])],
    "event": [start(), start()],
    "batch.number": [start(), numbered(2, [1]), numbered(2, [2])],
    "start.mode": [pb.IngestRequest(start=pb.IngestStart(collection="docs", mode=77))],  # type: ignore[arg-type]
    "request_id": [start(request_id="x" * 65)],
}


@pytest.mark.parametrize("where", WRONG_STREAMS)
def test_a_stream_that_breaks_the_rules_ends_with_an_error_that_says_which(asked: Asked, where: str) -> None:
    error = error_from(lambda: answers(asked, *WRONG_STREAMS[where]))
    assert isinstance(error, errors.InvalidRequestError)
    assert error.details["where"] == where


def test_the_first_number_is_one_at_least(asked: Asked) -> None:
    assert error_from(lambda: answers(asked, start(), numbered(0, [1]))).details["where"] == "batch.number"


def test_an_empty_message_after_the_start_is_refused(asked: Asked) -> None:
    assert error_from(lambda: answers(asked, start(), pb.IngestRequest())).details["where"] == "event"


def test_a_collection_that_does_not_exist_ends_the_stream(asked: Asked) -> None:
    assert isinstance(error_from(lambda: answers(asked, start(collection="none"))), errors.CollectionNotFoundError)


def test_a_collection_that_is_dropped_meanwhile_fails_the_batches_after_that(asked: Asked) -> None:
    dropped = threading.Event()

    def requests() -> Iterator[pb.IngestRequest]:
        yield start()
        yield numbered(1, [1])
        assert dropped.wait(10)
        yield numbered(2, [2])

    replies = asked.ingest.Ingest(requests())
    assert next(replies).HasField("started")
    assert next(replies).ack.number == 1
    asked.db.drop_collection("docs")
    dropped.set()
    assert next(replies).failure.number == 2


def test_batches_sent_again_under_the_same_request_id_are_stored_once(asked: Asked) -> None:
    requests = [start(mode=INSERT, request_id="load"), numbered(1, [1]), numbered(2, [2])]
    first, again = answers(asked, *requests), answers(asked, *requests)
    assert first == again
    assert [one.ack.count for one in again[1:]] == [1, 1]


def test_another_batch_under_the_same_number_and_request_id_fails(asked: Asked) -> None:
    answers(asked, start(request_id="load"), numbered(1, [1]))
    _, reply = answers(asked, start(request_id="load"), numbered(1, [2]))
    assert reply.failure.number == 1
    assert read_error(reply.failure.error).details["where"] == "request_id"
    assert 2 not in asked.db.collection("docs")


def test_a_batch_that_failed_may_be_sent_again(asked: Asked) -> None:
    asked.db.collection("docs").upsert([1], rows(1))
    requests = [start(mode=INSERT, request_id="load"), numbered(1, [1])]
    assert answers(asked, *requests)[1].HasField("failure")
    asked.db.collection("docs").delete([1])
    assert answers(asked, *requests)[1].HasField("ack")


def test_batches_that_are_there_share_one_commit(db: vecdb.Database) -> None:
    load = Load(Backing.of(db, ServerConfig(data=":memory:")), start().start, fake_call())
    before = db.seq
    acks = list(load.store([load.prepare(numbered(n, [n])) for n in range(1, 5)]))
    assert [one.ack.seq for one in acks] == [before + 1] * 4


def test_batches_with_the_same_id_do_not_share_a_commit(db: vecdb.Database) -> None:
    load = Load(Backing.of(db, ServerConfig(data=":memory:")), start().start, fake_call())
    before = db.seq
    acks = list(load.store([load.prepare(numbered(n, ["same"])) for n in range(1, 4)]))
    assert [one.ack.seq for one in acks] == [before + 1, before + 2, before + 3]


def test_a_server_that_drains_stores_what_was_received_and_says_so(db: vecdb.Database) -> None:
    call, hold = fake_call(), threading.Event()

    def requests() -> Iterator[pb.IngestRequest]:
        yield start()
        yield numbered(1, [1])
        yield numbered(2, [2])
        hold.wait(10)

    replies = IngestService(Backing.of(db, ServerConfig(data=":memory:"))).Ingest(requests(), call)
    seen = [next(replies)]
    call.is_draining = True
    seen += [next(replies) for _ in range(3)]
    hold.set()
    assert [one.WhichOneof("event") for one in seen] == ["started", "ack", "ack", "draining"]
    assert seen[-1].draining.last_number == 2
    with pytest.raises(errors.UnavailableError):
        next(replies)


def test_a_stream_whose_caller_is_gone_ends(db: vecdb.Database) -> None:
    requests = [start(), *(numbered(n, [n]) for n in range(1, 50))]
    service = IngestService(Backing.of(db, ServerConfig(data=":memory:")))
    with pytest.raises(errors.CancelledError):
        list(service.Ingest(iter(requests), fake_call(left=2)))
    assert db.collection("docs").count() < 49


def test_over_a_reader_a_stream_is_refused(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as writer:
        writer.create_collection("docs", dim=DIM)
        with vecdb.open(tmp_path / "db", mode="r") as reader, asking(reader) as asked:
            assert isinstance(error_from(lambda: answers(asked, start())), errors.ReadOnlyError)
