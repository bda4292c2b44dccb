"""Bulk loads: windows, acknowledgements, streams that break, batches that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.unit.client.scripted import scripted
from vecdb._pb.v1 import ingest_service_pb2 as pb
from vecdb.errors import (
    DuplicateIdError,
    InvalidRequestError,
    LimitExceededError,
    RecordExistsError,
    UnavailableError,
)
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import WriteResult
from vecdb.wire.status import put_error


def batches(count: int, rows: int = 2) -> Iterator[Any]:
    for number in range(count):
        yield [f"{number}-{row}" for row in range(rows)], np.ones((rows, 4), dtype=np.float32)


class Store:
    """Acknowledges batches; `window` at a time may be unanswered, and `trouble` says what happens to a batch."""

    def __init__(self, window: int = 2, trouble: Callable[[int], Exception | None] = lambda _: None) -> None:
        self.window, self.trouble = window, trouble
        self.starts: list[pb.IngestStart] = []
        self.numbers: list[int] = []
        self.stored: dict[int, int] = {}
        self.unanswered_most = 0

    def __call__(self, requests: Iterator[pb.IngestRequest]) -> Iterator[pb.IngestResponse]:
        self.starts.append(next(requests).start)
        yield pb.IngestResponse(started=pb.IngestWindow(batches_max=self.window, bytes_max=1 << 20))
        for request in requests:
            number = request.batch.number
            self.numbers.append(number)
            trouble = self.trouble(number)
            if isinstance(trouble, UnavailableError):
                raise trouble
            if trouble is not None:
                response = pb.IngestResponse(failure=pb.IngestFailure(number=number))
                put_error(response.failure.error, trouble)  # type: ignore[arg-type]  # of vecdb
                yield response
                continue
            self.stored[number] = count = len(request.batch.records.ids.texts.values)
            yield pb.IngestResponse(ack=pb.IngestAck(number=number, seq=100 + number, count=count))


def load(store: Store, source: Any, **options: Any) -> WriteResult:
    with scripted(Ingest=store) as script, vecdb.connect(script.address) as db:
        return db.collection("docs").ingest(source, **options)


def test_every_batch_is_stored_once_and_counted() -> None:
    store = Store()
    assert load(store, batches(7)) == WriteResult(seq=107, count=14)
    assert (store.numbers, store.starts[0].collection) == (list(range(1, 8)), "docs")


def test_no_batches_are_no_error() -> None:
    assert load(Store(), []) == WriteResult(seq=0, count=0)


def test_progress_counts_the_records_stored() -> None:
    told: list[tuple[int, int]] = []
    load(Store(), batches(5), progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == [2, 4, 6, 8, 10]
    assert all(done <= total <= 10 for done, total in told)


def test_no_more_is_sent_than_the_window_allows() -> None:
    """The server acknowledges the first batch only when the window is full; what came by then is all that may come."""
    came: list[int] = []

    def slow(requests: Iterator[pb.IngestRequest]) -> Iterator[pb.IngestResponse]:
        next(requests)
        yield pb.IngestResponse(started=pb.IngestWindow(batches_max=3, bytes_max=1 << 20))
        pending: list[int] = []
        for request in requests:
            pending.append(request.batch.number)
            if len(pending) == 3:
                came.append(len(pending))
                while pending:
                    yield pb.IngestResponse(ack=pb.IngestAck(number=pending.pop(0), seq=1, count=1))

    with scripted(Ingest=slow) as script, vecdb.connect(script.address) as db:
        db.collection("docs").ingest(batches(9))
    assert came == [3, 3, 3]


def test_what_was_not_acknowledged_is_sent_again_after_the_stream_broke() -> None:
    broken: list[int] = []

    def trouble(number: int) -> Exception | None:
        if number == 3 and not broken:
            broken.append(number)
            return UnavailableError("the server is stopping")
        return None

    store = Store(trouble=trouble)
    assert load(store, batches(6)).count == 12
    assert sorted(store.stored) == list(range(1, 7))
    assert len(store.starts) == 2
    assert store.starts[0].request_id == store.starts[1].request_id != ""


def test_a_server_that_drains_gets_no_more_batches() -> None:
    streams: list[int] = []

    def drain_once(requests: Iterator[pb.IngestRequest]) -> Iterator[pb.IngestResponse]:
        streams.append(1)
        if len(streams) > 1:
            yield from store(requests)
            return
        next(requests)
        yield pb.IngestResponse(started=pb.IngestWindow(batches_max=2, bytes_max=1 << 20))
        yield pb.IngestResponse(draining=pb.IngestDraining())

    store = Store()
    with scripted(Ingest=drain_once) as script, vecdb.connect(script.address) as db:
        assert db.collection("docs").ingest(batches(4)).count == 8


def test_the_first_batch_that_is_refused_ends_the_load() -> None:
    store = Store(trouble=lambda number: RecordExistsError("there is 'x'") if number == 3 else None)
    with pytest.raises(RecordExistsError, match="'x'") as caught:
        load(store, batches(50))
    assert caught.value.details["first"] == 4
    assert caught.value.details["stored"] == 2 * len(store.stored)
    assert max(store.numbers) < 8


def test_a_batch_that_cannot_be_sent_ends_the_load_after_those_before_it() -> None:
    def source() -> Iterator[Any]:
        yield from batches(2)
        yield ["a", "a"], np.ones((2, 4))

    store = Store()
    with pytest.raises(DuplicateIdError) as caught:
        load(store, source())
    assert (caught.value.details["stored"], caught.value.details["first"], len(store.stored)) == (4, 4, 2)


def test_an_exception_of_the_source_passes_through() -> None:
    def source() -> Iterator[Any]:
        yield from batches(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load(Store(), source())


def test_batches_may_be_spelt_in_every_way() -> None:
    x = np.ones((1, 4))
    source = [
        (["a"], x),
        (["b"], x, [{"n": 1}]),
        {"ids": ["c"], "vectors": x, "expires_at": "never"},
        [{"id": "d", "vector": x[0]}],
    ]
    assert load(Store(), source).count == 4


def test_a_batch_that_also_deletes_is_sent_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.client.ingesting.INGEST_PART_BYTES", 4 << 10)
    ids, x = [str(number) for number in range(300)], np.ones((300, 4), dtype=np.float32)
    store = Store(window=9)
    load(store, [{"ids": ids, "vectors": x}, {"ids": ids, "vectors": x, "delete": ["old"]}])
    *parts, last = store.stored.values()
    assert (len(parts) > 1, sum(parts), last) == (True, 300, 300)


def test_what_a_batch_deletes_is_sent_with_its_records() -> None:
    vectors, model = np.ones((1, 4)), ModelFingerprint(provider="builtin", name="m", dim=4)
    source: list[Any] = [
        {"ids": ["a"], "vectors": vectors, "delete": ["x", "y", "x"], "model": model},
        {"records": [{"id": "b", "vector": vectors[0]}], "delete": []},
        {"delete": ["z"]},
    ]
    with scripted(Ingest=Store()) as script, vecdb.connect(script.address) as db:
        db.collection("docs").ingest(source)
        batches = [request.batch for request in script.asked("Ingest")[1:]]
    assert [list(batch.delete.texts.values) for batch in batches] == [["x", "y"], [], ["z"]]
    assert [list(batch.records.ids.texts.values) for batch in batches] == [["a"], ["b"], []]
    assert [batch.HasField("delete") for batch in batches] == [True, True, True]
    assert batches[0].records.vectors[0].model.name == "m"


def test_an_id_both_stored_and_deleted_is_refused_before_it_is_sent() -> None:
    with pytest.raises(DuplicateIdError):
        load(Store(), [{"ids": ["a"], "vectors": np.ones((1, 4)), "delete": ["a"]}])


def test_a_batch_that_must_be_whole_and_fits_no_message_is_refused() -> None:
    source = {"ids": ["a", "b"], "vectors": np.ones((2, 60_000), dtype=np.float32), "delete": []}
    with (
        scripted(message_bytes_max=256 << 10, Ingest=Store()) as script,
        vecdb.connect(script.address) as db,
        pytest.raises(LimitExceededError, match="one commit"),
    ):
        db.collection("docs").ingest([source])


@pytest.mark.parametrize("wrong", [5, "ab", (["a"],), {"ids": ["a"], "vector": [1]}])
def test_what_is_no_batch_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="a batch "):
        load(Store(), [wrong])


def test_the_async_client_takes_an_async_iterable() -> None:
    async def source() -> AsyncIterator[Any]:
        for batch in batches(5):
            yield batch

    async def run(address: str) -> WriteResult:
        async with await vecdb.connect_async(address) as db:
            return await (await db.collection("docs")).ingest(source())

    with scripted(Ingest=Store()) as script:
        assert asyncio.run(run(script.address)).count == 10


# --- large batches ----------------------------------------------------------------------------------------------------


def test_a_batch_that_fits_no_message_is_streamed_in_parts() -> None:
    store = Store(window=4)
    ids = [f"{number:05}" for number in range(20_000)]
    with scripted(message_bytes_max=256 << 10, Ingest=store) as script, vecdb.connect(script.address) as db:
        assert db.collection("docs").upsert(ids, np.ones((20_000, 4), dtype=np.float32)).count == 20_000
    sizes = [request.ByteSize() for request in script.asked("Ingest")]
    assert len(sizes) > 2
    assert max(sizes) <= 256 << 10


def test_a_refused_part_of_a_large_batch_says_where_it_begins() -> None:
    store = Store(window=1, trouble=lambda number: RecordExistsError("exists") if number == 2 else None)
    ids = [f"{number:05}" for number in range(20_000)]
    with (
        scripted(message_bytes_max=256 << 10, Ingest=store) as script,
        vecdb.connect(script.address) as db,
        pytest.raises(RecordExistsError) as caught,
    ):
        db.collection("docs").insert(ids, np.ones((20_000, 4), dtype=np.float32))
    assert caught.value.details["stored"] == caught.value.details["first"] == store.stored[1]
