"""What a worker passes on to the writer, as whom, and what comes back. Both are servers of this process."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from google.rpc import status_pb2

from tests.unit.server.echo import METHODS, bindings, call_raw, code_of
from vecdb._pb.v1 import ingest_service_pb2, ingest_service_pb2_grpc, record_service_pb2, record_service_pb2_grpc
from vecdb.errors import RecordExistsError
from vecdb.server.app import Role, Service
from vecdb.server.identity import PASS, PASSED_PRINCIPAL
from vecdb.server.keyfile import change_keys, make_key
from vecdb.server.pool.forwarding import DETAILS, Forwarder, is_passed_on, worker_rules
from vecdb.server.settings import ServerConfig
from vecdb.wire.status import error_of

SECRET = "0123456789abcdef" * 4
WAIT_S = 20
ROUNDED_S = 0.5
"""gRPC sends a deadline rounded up, in units that grow with it."""

UPSERT = "/vecdb.v1.RecordService/UpsertRecords"


@dataclass
class Pair:
    """A worker, the writer behind it, and a connection to each."""

    worker: Service
    writer: Service
    to_worker: Any
    to_writer: Any
    logs: dict[str, io.StringIO] = field(default_factory=dict)


Start: TypeAlias = Callable[..., Pair]


@contextlib.contextmanager
def running_pair(folder: Path, **given: Any) -> Iterator[Pair]:
    """`running_pair(folder, config_setting=..., UpsertRecords=function of the writer)`."""
    behaviors = {name: given.pop(name) for name in list(given) if name[0].isupper()}
    settings = {"data": str(folder), "drain_s": 5.0, **given}
    logs = {"worker": io.StringIO(), "writer": io.StringIO()}
    socket = f"unix:{folder}/writer"
    config = ServerConfig(listen=("127.0.0.1:0",), **settings)
    with contextlib.ExitStack() as stack:
        writer = Service(
            ServerConfig(listen=(socket,), **settings),
            bindings(**behaviors),
            log_stream=logs["writer"],
            role=Role(pass_secret=SECRET),
        )
        stack.callback(writer.stop)
        forwarder = Forwarder(socket, SECRET, config)
        stack.callback(forwarder.close)
        worker = Service(
            config, forwarder.bindings(bindings()), log_stream=logs["worker"], role=Role(rules=worker_rules())
        )
        stack.callback(worker.stop)
        writer.start(), worker.start()
        to_worker = stack.enter_context(grpc.insecure_channel(worker.address))
        to_writer = stack.enter_context(grpc.insecure_channel(writer.address))
        yield Pair(worker, writer, to_worker, to_writer, logs)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:
        yield lambda **given: stack.enter_context(running_pair(tmp_path, **given))


RECORDS: Any = record_service_pb2_grpc.RecordServiceStub
INGEST: Any = ingest_service_pb2_grpc.IngestServiceStub


def stub(channel: Any) -> Any:
    return RECORDS(channel)


UPSERT_ONE = record_service_pb2.UpsertRecordsRequest(collection="docs", request_id="one")


def test_all_that_writes_is_passed_on_and_reads_are_not() -> None:
    passed = {method.rpartition("/")[2] for method in METHODS if is_passed_on(method)}
    assert {"UpsertRecords", "CreateCollection", "Ingest", "Optimize", "WaitIndexed", "Backup", "Sync"} < passed
    assert not passed & {"Search", "SearchBatch", "SearchStream", "GetRecords", "ListRecords", "Export", "GetStats"}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_is_answered_through_a_worker(shared: Pair, method: str) -> None:
    assert code_of(lambda: call_raw(shared.to_worker, method, b"")) is grpc.StatusCode.OK


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that tests leave as it is."""
    with running_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def test_the_writer_gets_the_bytes_the_principal_and_the_name_of_the_call(start: Start) -> None:
    seen = []

    def upsert(request: Any, call: Any) -> Any:
        seen.append((request, call.principal.id, call.request_id, call.remaining_s))
        return record_service_pb2.UpsertRecordsResponse(seq=7)

    pair = start(UpsertRecords=upsert)
    reply = stub(pair.to_worker).UpsertRecords(UPSERT_ONE, timeout=WAIT_S, metadata=[("x-request-id", "mine")])
    [(request, principal, name, remaining)] = seen
    assert (request, principal, name, reply.seq) == (UPSERT_ONE, "local", "mine", 7)
    assert remaining is not None
    assert remaining <= WAIT_S + ROUNDED_S


def test_an_error_of_the_writer_arrives_with_its_details(start: Start) -> None:
    def upsert(_request: Any, _call: Any) -> Any:
        raise RecordExistsError("it is there", collection="docs", count=3)

    pair = start(UpsertRecords=upsert)
    answers = []
    for channel in (pair.to_worker, pair.to_writer):
        with pytest.raises(grpc.RpcError) as caught:
            stub(channel).UpsertRecords(UPSERT_ONE)
        error: Any = caught.value
        status = status_pb2.Status.FromString(dict(error.trailing_metadata())[DETAILS])
        told = error_of(status)
        answers.append((error.code(), error.details(), type(told), str(told), told.details))
    assert answers[0] == answers[1]
    assert answers[0][0] is grpc.StatusCode.ALREADY_EXISTS


def test_a_call_is_logged_once_by_the_worker_that_took_it(start: Start) -> None:
    pair = start()
    stub(pair.to_worker).UpsertRecords(UPSERT_ONE)
    pair.worker.stop(), pair.writer.stop()
    lines = {name: [line for line in log.getvalue().splitlines() if UPSERT in line] for name, log in pair.logs.items()}
    assert not lines["writer"]
    assert [json.loads(line)["code"] for line in lines["worker"]] == ["OK"]


def test_a_caller_who_gives_up_is_gone_for_the_writer_too(start: Start) -> None:
    begun, gone = threading.Event(), threading.Event()

    def upsert(_request: Any, call: Any) -> Any:
        call.on_end(gone.set)
        begun.set()
        assert gone.wait(WAIT_S)
        call.check()

    pair = start(UpsertRecords=upsert)
    answer = stub(pair.to_worker).UpsertRecords.future(UPSERT_ONE)
    assert begun.wait(WAIT_S)
    answer.cancel()
    assert gone.wait(WAIT_S)


def test_a_deadline_holds_at_the_writer(start: Start) -> None:
    begun, ended = threading.Event(), threading.Event()

    def upsert(_request: Any, call: Any) -> Any:
        begun.set()
        call.on_end(ended.set)
        assert ended.wait(WAIT_S)
        call.check()

    pair = start(UpsertRecords=upsert)
    for timeout in (0.2, 2.0, 10.0):  # on a busy machine a short one may pass before the call is there
        call = functools.partial(stub(pair.to_worker).UpsertRecords, UPSERT_ONE, timeout=timeout)
        assert code_of(call) is grpc.StatusCode.DEADLINE_EXCEEDED
        if begun.is_set():
            break
    assert ended.wait(WAIT_S)


def test_writes_that_wait_leave_places_for_reads(start: Start) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    def upsert(_request: Any, _call: Any) -> Any:
        begun.release()
        assert go.wait(WAIT_S)
        return record_service_pb2.UpsertRecordsResponse()

    pair = start(UpsertRecords=upsert, max_concurrent_rpcs=4, threads=4)
    waiting = [stub(pair.to_worker).UpsertRecords.future(UPSERT_ONE) for _ in range(2)]
    for _ in waiting:
        assert begun.acquire(timeout=WAIT_S)
    assert code_of(lambda: stub(pair.to_worker).UpsertRecords(UPSERT_ONE)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert code_of(lambda: stub(pair.to_worker).CountRecords(record_service_pb2.CountRecordsRequest())) is (
        grpc.StatusCode.OK
    )
    go.set()
    for answer in waiting:
        answer.result(WAIT_S)


def test_a_stream_goes_both_ways_message_by_message(start: Start) -> None:
    def ingest(requests: Any, _call: Any) -> Iterator[Any]:
        for request in requests:
            yield ingest_service_pb2.IngestResponse(ack={"number": request.batch.number})

    pair = start(Ingest=ingest)
    turn = threading.Semaphore(1)

    def requests() -> Iterator[Any]:
        for number in (1, 2, 3):
            assert turn.acquire(timeout=WAIT_S)
            yield ingest_service_pb2.IngestRequest(batch={"number": number})

    answers = INGEST(pair.to_worker).Ingest(requests(), timeout=WAIT_S)
    numbers = []
    for answer in answers:
        numbers.append(answer.ack.number)
        turn.release()
    assert numbers == [1, 2, 3]


def test_a_stream_that_is_left_ends_at_the_writer(start: Start) -> None:
    ended = threading.Event()

    def ingest(requests: Any, _call: Any) -> Iterator[Any]:
        try:
            for _ in requests:
                yield ingest_service_pb2.IngestResponse()
        finally:
            ended.set()

    pair = start(Ingest=ingest)
    more = threading.Event()

    def requests() -> Iterator[Any]:
        yield ingest_service_pb2.IngestRequest()
        more.wait(WAIT_S)

    answers = INGEST(pair.to_worker).Ingest(requests())
    next(answers)
    answers.cancel()
    assert ended.wait(WAIT_S)
    more.set()


def test_a_draining_writer_ends_the_stream_and_what_it_said_last_arrives(start: Start) -> None:
    begun = threading.Event()

    def ingest(_requests: Any, call: Any) -> Iterator[Any]:
        begun.set()
        while not call.is_draining:
            call.check()
        yield ingest_service_pb2.IngestResponse(draining={"last_number": 9})

    pair = start(Ingest=ingest)
    more = threading.Event()

    def requests() -> Iterator[Any]:
        yield ingest_service_pb2.IngestRequest()
        more.wait(WAIT_S)

    answers = INGEST(pair.to_worker).Ingest(requests())
    assert begun.wait(WAIT_S)
    for service in (pair.worker, pair.writer):
        service.dispatch.draining.set()
    assert next(answers).draining.last_number == 9
    more.set()


# --- who may --------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Pair, Path, str]]:
    """A pair that asks for keys, the file of keys, and one that may write to docs."""
    key, spoken = make_key("docs", {"docs": "write"})
    file = tmp_path / "keys.json"
    change_keys(str(file), lambda _held: [key])
    with running_pair(tmp_path, keys=str(file)) as pair:
        yield pair, file, spoken


def upsert_code(channel: Any, collection: str, *metadata: tuple[str, str]) -> grpc.StatusCode:
    request = record_service_pb2.UpsertRecordsRequest(collection=collection)
    return code_of(lambda: stub(channel).UpsertRecords(request, metadata=metadata))


def test_the_writer_holds_a_call_to_the_grants_of_its_key(guarded: tuple[Pair, Path, str]) -> None:
    pair, _, spoken = guarded
    assert upsert_code(pair.to_worker, "docs", ("x-api-key", spoken)) is grpc.StatusCode.OK
    assert upsert_code(pair.to_worker, "other", ("x-api-key", spoken)) is grpc.StatusCode.PERMISSION_DENIED
    assert upsert_code(pair.to_worker, "docs") is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("secret", ["", SECRET[:-1], SECRET + "0", SECRET.upper()])
def test_a_wrong_secret_of_the_pool_opens_nothing(guarded: tuple[Pair, Path, str], secret: str) -> None:
    pair, _, spoken = guarded
    forged = (PASS, secret), (PASSED_PRINCIPAL, spoken.split("_")[1])
    assert upsert_code(pair.to_writer, "docs", *forged) is grpc.StatusCode.UNAUTHENTICATED


def test_a_worker_does_not_know_the_secret_of_the_pool(guarded: tuple[Pair, Path, str]) -> None:
    pair, _, spoken = guarded
    forged = (PASS, SECRET), (PASSED_PRINCIPAL, spoken.split("_")[1])
    assert upsert_code(pair.to_worker, "docs", *forged) is grpc.StatusCode.UNAUTHENTICATED
    assert upsert_code(pair.to_writer, "docs", *forged) is grpc.StatusCode.OK


@pytest.mark.parametrize("named", [[], ["nobody"], ["local"], ["certificate"], ["-"], ["a", "b"]])
def test_a_passed_call_needs_one_principal_that_the_writer_knows(
    guarded: tuple[Pair, Path, str], named: list[str]
) -> None:
    pair, _, _ = guarded
    metadata = [(PASS, SECRET), *((PASSED_PRINCIPAL, name) for name in named)]
    assert upsert_code(pair.to_writer, "docs", *metadata) is grpc.StatusCode.UNAUTHENTICATED


def test_clients_of_the_writer_itself_need_their_key(guarded: tuple[Pair, Path, str]) -> None:
    pair, _, spoken = guarded
    assert upsert_code(pair.to_writer, "docs", ("x-api-key", spoken)) is grpc.StatusCode.OK
    assert upsert_code(pair.to_writer, "docs") is grpc.StatusCode.UNAUTHENTICATED
