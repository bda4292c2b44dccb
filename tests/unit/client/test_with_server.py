"""The client and the server together, where a script would prove nothing: TLS, keys, and a server that restarts."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme

import vecdb
from vecdb._pb.v1 import search_service_pb2, search_service_pb2_grpc
from vecdb.client import reading
from vecdb.config import EngineConfig
from vecdb.errors import (
    CollectionNotFoundError,
    LimitExceededError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from vecdb.server.app import Service, serving
from vecdb.server.keyfile import change_keys, make_key
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig

QUIET = EngineConfig(progress=False, background=False, map_bytes=1 << 32)
WAIT_S = 60


@contextlib.contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Service]:
    """A server of the directory, in this process."""
    config = ServerConfig(**{"data": str(folder / "db"), "listen": ("127.0.0.1:0",), **settings})
    with (
        vecdb.open(config.data, config=QUIET) as database,
        serving(config, bind_services(database, config), database=database, log_stream=io.StringIO()) as service,
    ):
        yield service


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A CA; its certificate, and one of a server called vecdb.example.com, are in files."""
    authority = trustme.CA()
    issued = authority.issue_cert("vecdb.example.com")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return authority


def server_files(folder: Path) -> dict[str, str]:
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


@pytest.mark.usefixtures("authority")
def test_a_server_is_trusted_by_its_authority_and_name(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    with running(tmp_path, **server_files(tmp_path)) as service:
        with vecdb.connect(service.address, tls=vecdb.TLSConfig(ca=ca, server_name="vecdb.example.com")) as db:
            assert db.list_collections() == []
        for wrong in (ca, True, None, vecdb.TLSConfig(ca=ca, server_name="other.example.com")):
            with pytest.raises(UnavailableError):
                vecdb.connect(service.address, tls=wrong, retries=0, timeout_s=5)


def test_a_client_may_show_a_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    mine = authority.issue_cert("loader.example.com")
    mine.private_key_pem.write_to_path(tmp_path / "my-key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "my-cert.pem")
    name: dict[str, Any] = {"ca": tmp_path / "ca.pem", "server_name": "vecdb.example.com"}
    shown = vecdb.TLSConfig(**name, cert=tmp_path / "my-cert.pem", key=tmp_path / "my-key.pem")
    with running(tmp_path, **server_files(tmp_path), tls_client_ca=str(tmp_path / "ca.pem")) as service:
        with vecdb.connect(service.address, tls=shown) as db:
            assert db.list_collections() == []
        with pytest.raises(UnavailableError):
            vecdb.connect(service.address, tls=vecdb.TLSConfig(**name), retries=0, timeout_s=5)


def test_a_key_says_what_its_client_may_do(tmp_path: Path) -> None:
    reader, spoken = make_key("reader", {"docs": "read"})
    admin, words = make_key("admin", {"*": "admin"})
    change_keys(str(tmp_path / "keys.json"), lambda _held: [reader, admin])
    with running(tmp_path, keys=str(tmp_path / "keys.json")) as service:
        with vecdb.connect(service.address, api_key=words) as db:
            db.create_collection("docs", dim=4).upsert(["a"], np.ones((1, 4)))
        with vecdb.connect(service.address, api_key=spoken) as db:
            assert db.collection("docs").search(np.ones(4)).ids == ["a"]
            with pytest.raises(PermissionDeniedError):
                db.collection("docs").delete("a")
        for wrong in (None, spoken + "x"):
            with pytest.raises(UnauthenticatedError):
                vecdb.connect(service.address, api_key=wrong)


def test_a_key_is_not_told_the_names_of_what_it_may_not_read(tmp_path: Path) -> None:
    reader, spoken = make_key("reader", {"mine": "read"})
    admin, words = make_key("admin", {"*": "admin"})
    change_keys(str(tmp_path / "keys.json"), lambda _held: [reader, admin])
    search = search_service_pb2.SearchBatchRequest(collection="mine")
    search.queries.dim = 1
    search.queries.floats.values.append(1.0)
    asked = iter([search_service_pb2.SearchStreamRequest(search=search)])
    with running(tmp_path, keys=str(tmp_path / "keys.json")) as service:
        with vecdb.connect(service.address, api_key=words) as db:
            db.create_collection("secret", dim=4)
            with pytest.raises(CollectionNotFoundError, match="secret"):
                db.collection("mine")
        with vecdb.connect(service.address, api_key=spoken) as db:
            with pytest.raises(CollectionNotFoundError) as caught:
                db.collection("mine")
            assert "secret" not in caught.value.message
            assert caught.value.details == {"collection": "mine"}
        with grpc.insecure_channel(service.address) as channel:
            stub: Any = search_service_pb2_grpc.SearchServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
            (reply,) = stub.SearchStream(asked, metadata=(("x-api-key", spoken),))
    assert reply.error.reason == CollectionNotFoundError.reason
    assert "secret" not in reply.error.message


def test_a_load_ends_when_its_key_is_withdrawn(tmp_path: Path) -> None:
    writer, spoken = make_key("writer", {"*": "admin"})
    keys = str(tmp_path / "keys.json")
    change_keys(keys, lambda _held: [writer])

    def batches() -> Iterator[Any]:
        yield [1], np.ones((1, 4))
        change_keys(keys, lambda _held: [])
        yield [2], np.ones((1, 4))

    with running(tmp_path, keys=keys) as service, vecdb.connect(service.address, api_key=spoken) as db:
        docs = db.create_collection("docs", dim=4)
        with pytest.raises(UnauthenticatedError):
            docs.ingest(batches())


def test_a_load_ends_when_its_key_loses_the_grant(tmp_path: Path) -> None:
    """The stream names its collection once; the grant counts for each batch."""
    writer, spoken = make_key("writer", {"*": "admin"})
    keys = str(tmp_path / "keys.json")
    change_keys(keys, lambda _held: [writer])

    def batches() -> Iterator[Any]:
        yield [1], np.ones((1, 4))
        change_keys(keys, lambda _held: [dataclasses.replace(writer, grants={"*": "read"})])
        yield [2], np.ones((1, 4))

    with running(tmp_path, keys=keys) as service, vecdb.connect(service.address, api_key=spoken) as db:
        docs = db.create_collection("docs", dim=4)
        with pytest.raises(PermissionDeniedError):
            docs.ingest(batches())
        assert 2 not in docs


def test_a_connection_outlives_a_restart_of_its_server(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/socket"
    with running(tmp_path, listen=(address,)):
        db = vecdb.connect(address)
        docs = db.create_collection("docs", dim=4)
        docs.upsert(["a"], np.ones((1, 4)))
    with db:
        counts: list[int] = []
        reader = threading.Thread(target=lambda: counts.append(docs.count()))
        reader.start()  # while there is no server
        with running(tmp_path, listen=(address,)):
            reader.join(WAIT_S)
            assert counts == [1]
            assert docs.upsert(["b"], np.ones((1, 4))).count == 1


def test_a_load_outlives_a_restart_of_its_server(tmp_path: Path) -> None:
    """Each batch is stored once: `insert` would refuse a second time."""
    address = f"unix:{tmp_path}/socket"
    with contextlib.ExitStack() as first:
        first.enter_context(running(tmp_path, listen=(address,), drain_s=5.0))
        db = vecdb.connect(address)
        docs = db.create_collection("docs", dim=4)
        half, restarted = threading.Event(), threading.Event()

        def batches() -> Iterator[Any]:
            for number in range(40):
                if number == 20:
                    half.set()
                    assert restarted.wait(WAIT_S)
                yield [number], np.ones((1, 4))

        results: list[vecdb.WriteResult] = []
        loader = threading.Thread(target=lambda: results.append(docs.ingest(batches(), mode="insert")))
        loader.start()
        assert half.wait(WAIT_S)
    with db, running(tmp_path, listen=(address,)):
        restarted.set()
        loader.join(WAIT_S)
        assert [result.count for result in results] == [40]
        assert docs.count() == 40


def test_a_request_that_grpc_finds_too_large_is_a_limit_error_that_says_how_large(tmp_path: Path) -> None:
    limit = 64 * 1024
    with running(tmp_path, max_message_bytes=limit) as service, vecdb.connect(service.address) as db:
        docs = db.create_collection("docs", dim=4)
        with pytest.raises(LimitExceededError, match=f"takes at most {limit}: send less") as caught:
            docs.search(np.ones(limit, dtype=np.float32))
        assert caught.value.details["request_bytes"] > 4 * limit
        assert caught.value.details["limit"] == limit


def test_a_reply_that_grpc_finds_too_large_is_asked_for_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecdb.client.connecting.MESSAGE_BYTES_MAX", 64 * 1024)
    with running(tmp_path) as service, vecdb.connect(service.address) as db:
        docs = db.create_collection("docs", dim=4)
        docs.upsert(list(range(40)), np.ones((40, 4)), [{"text": "x" * 4_000}] * 40)
        found = docs.get(list(range(40)))
        assert [record.id for record in found if record is not None] == list(range(40))
        assert [hit.id for hit in docs.search(np.ones(4), 40)] == list(range(40))


SMALL_MESSAGES = 64 * 1024
LARGE_HITS = 60


@pytest.fixture
def large(tmp_path: Path) -> Iterator[tuple[vecdb.RemoteCollection, vecdb.SearchResult]]:
    """A collection whose search does not fit a message of its server, and what the engine itself finds."""
    vectors = np.random.default_rng(5).normal(size=(LARGE_HITS, 4)).astype(np.float32)
    with vecdb.open(tmp_path / "db", config=QUIET) as embedded:
        docs = embedded.create_collection("docs", dim=4)
        docs.upsert(list(range(LARGE_HITS)), vectors, [{"text": f"{row}" * 3_000} for row in range(LARGE_HITS)])
        wanted = docs.search(np.ones(4), LARGE_HITS, with_vectors=True)
    with running(tmp_path, max_message_bytes=SMALL_MESSAGES) as service, vecdb.connect(service.address) as db:
        yield db.collection("docs"), wanted


def test_hits_that_fit_no_message_are_fetched_in_parts(
    large: tuple[vecdb.RemoteCollection, vecdb.SearchResult],
) -> None:
    docs, wanted = large
    assert docs.search(np.ones(4), LARGE_HITS, with_vectors=True) == wanted
    assert docs.search(np.ones(4), LARGE_HITS, explain=True).explain is not None
    found = docs.search_batch(np.ones((2, 4)), LARGE_HITS, with_metadata=True, with_vectors=True)
    assert list(found.results) == [wanted, wanted]


@pytest.mark.parametrize("times", [1, 100])
def test_hits_that_are_written_to_meanwhile_are_asked_for_again_and_in_the_end_refused(
    large: tuple[vecdb.RemoteCollection, vecdb.SearchResult], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs, _ = large
    get, left = reading.get, iter(range(times))

    def meddled(target: Any, ids: Any, **options: Any) -> Any:
        if next(left, None) is not None:
            docs.update(7, metadata={"text": "new"})
        return (yield from get(target, ids, **options))

    monkeypatch.setattr("vecdb.client.reading.get", meddled)
    if times == 1:
        [metadata] = [hit.metadata for hit in docs.search(np.ones(4), LARGE_HITS) if hit.id == 7]
        assert metadata == {"text": "new"}
    else:
        with pytest.raises(LimitExceededError, match="with_metadata=False"):
            docs.search(np.ones(4), LARGE_HITS)
