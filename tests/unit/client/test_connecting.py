"""Opening, closing and forking connections, and what the arguments of `connect` may be."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.client.scripted import Script, scripted
from vecdb._pb.v1 import record_service_pb2
from vecdb.errors import (
    ClosedError,
    DeadlineExceededError,
    InvalidRequestError,
    UnavailableError,
    VecDBError,
)

COUNT = record_service_pb2.CountRecordsResponse(count=3)
WAIT_S = 20


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted(CountRecords=lambda _: COUNT) as running:
        yield running


def test_a_connection_is_a_context_manager_that_closes(script: Script) -> None:
    with vecdb.connect(script.address) as db:
        docs = db.collection("docs")
        assert docs.count() == 3
        assert script.address in repr(db)
        assert "open" in repr(db)
    assert "closed" in repr(db)
    for use in (docs.count, db.list_collections, lambda: db.transaction().__enter__()):
        with pytest.raises(ClosedError, match=r"vecdb\.connect"):
            use()


def test_closing_twice_is_harmless(script: Script) -> None:
    db = vecdb.connect(script.address)
    db.close()
    db.close()


def test_closing_ends_a_call_under_way_with_closed_error() -> None:
    asked, finish = threading.Event(), threading.Event()

    def answer(_request: Any) -> Any:
        asked.set()
        finish.wait(WAIT_S)
        return COUNT

    errors: list[BaseException] = []

    def use() -> None:
        try:
            docs.count()
        except VecDBError as error:
            errors.append(error)

    with scripted(CountRecords=answer) as script:
        db = vecdb.connect(script.address)
        docs = db.collection("docs")
        user = threading.Thread(target=use)
        user.start()
        assert asked.wait(WAIT_S)
        db.close()
        user.join(WAIT_S)
        finish.set()
    assert [type(error) for error in errors] == [ClosedError]


def test_closing_an_async_connection_is_the_same(script: Script) -> None:
    async def use() -> None:
        db = await vecdb.connect_async(script.address)
        docs = await db.collection("docs")
        await db.close()
        await db.close()
        with pytest.raises(ClosedError):
            await docs.count()

    asyncio.run(use())


def test_cancelling_a_task_cancels_its_call() -> None:
    asked, finish = threading.Event(), threading.Event()

    def answer(_request: Any) -> Any:
        asked.set()
        finish.wait(WAIT_S)
        return COUNT

    async def use(address: str) -> None:
        async with await vecdb.connect_async(address) as db:
            docs = await db.collection("docs")
            task = asyncio.create_task(docs.count())
            assert await asyncio.to_thread(asked.wait, WAIT_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with scripted(CountRecords=answer) as script:
        asyncio.run(use(script.address))
        finish.set()


def test_one_connection_serves_many_threads(script: Script) -> None:
    with vecdb.connect(script.address) as db:
        docs, counts = db.collection("docs"), list[int]()
        threads = [threading.Thread(target=lambda: counts.append(docs.count())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    assert counts == [3] * 8


def test_a_call_that_is_not_answered_in_time_ends(script: Script) -> None:
    finish = threading.Event()
    script.answers["CountRecords"] = lambda _: finish.wait(WAIT_S) and COUNT
    with vecdb.connect(script.address) as db:
        with pytest.raises(DeadlineExceededError):
            db.collection("docs").with_timeout(0.05).count()
        with pytest.raises(DeadlineExceededError):
            db.with_timeout(0.05).collection("docs").count()
        finish.set()


def test_a_fork_gets_closed_error_at_once_and_the_parent_goes_on(script: Script) -> None:
    with vecdb.connect(script.address) as db:
        docs = db.collection("docs")
        child = os.fork()
        if child == 0:
            try:
                docs.count()
            except ClosedError as error:
                db.close()
                os._exit(0 if "fork" in str(error) else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert docs.count() == 3


def test_a_fork_may_not_connect_where_grpc_would_hang(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
    with vecdb.connect(script.address):
        monkeypatch.setattr("vecdb.client.connecting._first_pid", os.getppid())  # as a fork would find it
        with pytest.raises(ClosedError, match="forkserver"):
            vecdb.connect(script.address)


def test_nobody_at_the_address_is_an_error_that_names_it() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 .*vecdb serve"):
        vecdb.connect("127.0.0.1:1", retries=0)


def test_a_server_of_another_kind_is_told_apart() -> None:
    with scripted() as script:
        script.answers.clear()
        with pytest.raises(VecDBError):
            vecdb.connect(script.address, retries=0)


def test_a_key_is_sent_with_every_call(script: Script) -> None:
    with vecdb.connect(script.address, api_key="vk_1_secret") as db:
        db.collection("docs").count()
        assert "secret" not in repr(db) + repr(vars(db))
    assert {metadata.get("authorization") for metadata in script.metadata} == {"Bearer vk_1_secret"}


@pytest.mark.parametrize(
    ("address", "options", "match"),
    [
        (5, {}, "address is int"),
        ("", {}, "HOST:PORT"),
        ("localhost", {}, "HOST:PORT"),
        ("localhost:0", {}, "port 0"),
        ("localhost:99999", {}, "65535"),
        ("unix:relative", {}, "absolute path"),
        ("::1:5000", {}, "brackets"),
        ("http://localhost:5000", {}, "before the host"),
        ("localhost:5000", {"api_key": ""}, "api_key"),
        ("localhost:5000", {"api_key": "a\nb"}, "api_key"),
        ("example.com:5000", {"api_key": "vk_1_secret"}, "in the clear"),
        ("localhost:5000", {"tls": 5}, "tls is int"),
        ("localhost:5000", {"tls": "/nowhere/ca.pem"}, "cannot read '/nowhere/ca.pem'"),
        ("localhost:5000", {"tls": vecdb.TLSConfig(cert="c.pem")}, "cert and key"),
        ("localhost:5000", {"timeout_s": 0}, "timeout_s"),
        ("localhost:5000", {"timeout_s": None}, "timeout_s"),
        ("localhost:5000", {"retries": -1}, "retries"),
        ("localhost:5000", {"retries": True}, "retries"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_sent(address: Any, options: Any, match: str) -> None:
    with pytest.raises(InvalidRequestError, match=match) as caught:
        vecdb.connect(address, **options)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(InvalidRequestError, match="no PEM file"):
        vecdb.connect("localhost:5000", tls=tmp_path / "ca.pem")
