"""Which calls are repeated, when, and what stays the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.unit.client.scripted import scripted
from vecdb._pb.v1 import admin_service_pb2, record_service_pb2
from vecdb.client.retrying import Attempts
from vecdb.config import RETRY_PAUSE_MAX_S, RETRY_PAUSE_S
from vecdb.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    RecordExistsError,
    UnavailableError,
    VecDBError,
)

GONE = UnavailableError("the server is stopping")
BUSY = OverloadedError("too much to do", retry_after_s=0.01)


def failing(times: int, error: VecDBError, reply: Any) -> Callable[[Any], Any]:
    """Raise so many times, then answer."""
    left = [error] * times

    def answer(_request: Any) -> Any:
        if left:
            raise left.pop()
        return reply

    return answer


COUNT = record_service_pb2.CountRecordsResponse(count=3)
WRITTEN = record_service_pb2.UpsertRecordsResponse(seq=7, count=1)


@pytest.mark.parametrize("error", [GONE, BUSY], ids=["unavailable", "overloaded"])
def test_a_read_is_repeated_until_it_is_answered(error: VecDBError) -> None:
    with scripted(CountRecords=failing(2, error, COUNT)) as script, vecdb.connect(script.address) as db:
        assert db.collection("docs").count() == 3
    assert len(script.asked("CountRecords")) == 3


def test_a_write_is_repeated_under_the_same_request_id() -> None:
    with scripted(UpsertRecords=failing(2, GONE, WRITTEN)) as script, vecdb.connect(script.address) as db:
        assert db.collection("docs").upsert(["a"], np.ones((1, 4))).seq == 7
    ids = [request.request_id for request in script.asked("UpsertRecords")]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert ids[0]


def test_each_write_has_a_request_id_of_its_own() -> None:
    with scripted(UpsertRecords=lambda _: WRITTEN) as script, vecdb.connect(script.address) as db:
        for _ in range(2):
            db.collection("docs").upsert(["a"], np.ones((1, 4)))
    assert len({request.request_id for request in script.asked("UpsertRecords")}) == 2


def test_the_async_client_repeats_as_well() -> None:
    async def count(address: str) -> int:
        async with await vecdb.connect_async(address) as db:
            return await (await db.collection("docs")).count()

    with scripted(CountRecords=failing(2, GONE, COUNT)) as script:
        assert asyncio.run(count(script.address)) == 3


@pytest.mark.parametrize("error", [InternalError("a defect"), RecordExistsError("exists"), OverloadedError("full")])
def test_no_other_error_is_repeated(error: VecDBError) -> None:
    with (
        scripted(UpsertRecords=failing(1, error, WRITTEN)) as script,
        vecdb.connect(script.address) as db,
        pytest.raises(type(error)),
    ):
        db.collection("docs").upsert(["a"], np.ones((1, 4)))
    assert len(script.asked("UpsertRecords")) == 1


def test_a_deadline_that_passes_after_failed_attempts_names_what_failed() -> None:
    attempts = Attempts(3, 60.0)
    assert attempts.pause_after(UnavailableError("does tls= fit it?")) is not None
    with pytest.raises(DeadlineExceededError, match="within 60 s; the attempts before failed: does tls= fit it"):
        attempts.pause_after(DeadlineExceededError("Count was not answered in time"))


def test_without_retries_the_first_error_is_the_last() -> None:
    with (
        scripted(CountRecords=failing(1, GONE, COUNT)) as script,
        vecdb.connect(script.address, retries=0) as db,
        pytest.raises(UnavailableError),
    ):
        db.collection("docs").count()


def test_a_backup_is_repeated_only_when_it_was_refused() -> None:
    done = admin_service_pb2.BackupResponse(name="one")
    with scripted(Backup=failing(1, BUSY, done)) as script, vecdb.connect(script.address) as db:
        db.backup("one")
        assert len(script.asked("Backup")) == 2
        script.answers["Backup"] = failing(1, GONE, done)
        with pytest.raises(UnavailableError):
            db.backup("one")


def test_a_stream_of_progress_is_followed_again_after_it_broke() -> None:
    def optimize(_request: Any) -> Any:
        yield admin_service_pb2.OptimizeResponse(progress={"done": 1, "total": 2})
        if len(script.asked("Optimize")) == 1:
            raise GONE
        yield admin_service_pb2.OptimizeResponse(progress={"done": 2, "total": 2})

    told: list[tuple[int, int]] = []
    with scripted(Optimize=optimize) as script, vecdb.connect(script.address) as db:
        db.optimize(progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (1, 2), (2, 2)]


def test_the_error_of_the_server_comes_back_as_it_was_raised() -> None:
    error = AlreadyExistsError("there is a backup 'one'", name="one", count=3)
    with (
        scripted(Backup=failing(1, error, None)) as script,
        vecdb.connect(script.address) as db,
        pytest.raises(AlreadyExistsError, match="there is a backup 'one'") as caught,
    ):
        db.backup("one")
    assert caught.value.details == {"name": "one", "count": 3}


# --- the decision itself ----------------------------------------------------------------------------------------------


def test_pauses_grow_up_to_a_limit_and_are_drawn_anew() -> None:
    attempts = Attempts(20, 1_000.0)
    pauses = [attempts.pause_after(GONE) for _ in range(20)]
    bounds = [min(RETRY_PAUSE_MAX_S, RETRY_PAUSE_S * 2**number) for number in range(20)]
    assert all(pause is not None and 0 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses)) == 20


def test_the_server_decides_the_shortest_pause() -> None:
    pause = Attempts(1, 1_000.0).pause_after(OverloadedError("full", retry_after_s=5.0))
    assert pause is not None
    assert 5.0 <= pause <= 5.0 + RETRY_PAUSE_S


def test_there_is_no_attempt_after_the_deadline() -> None:
    assert Attempts(5, 0.001).pause_after(OverloadedError("full", retry_after_s=1.0)) is None
    attempts = Attempts(5, 0.0)
    with pytest.raises(DeadlineExceededError, match="with_timeout"):
        attempts.remaining_s()


def test_a_write_without_a_request_id_is_repeated_only_when_nothing_was_done() -> None:
    attempts = Attempts(5, 10.0, surely_not_done=True)
    assert attempts.pause_after(GONE) is None
    assert attempts.pause_after(BUSY) is not None
