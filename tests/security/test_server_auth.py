"""Every RPC of every kind against every kind of key: 0 ways around, and nothing of a refused body is looked at."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.unit.server.conftest import Serve, Served, running, serve
from tests.unit.server.echo import METHODS, call_raw, code_of, message_of
from vecdb.server.keyfile import change_keys, make_key
from vecdb.server.principals import Scope

__all__ = ["serve"]  # the fixture

DENIED = grpc.StatusCode.PERMISSION_DENIED
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED
WAIT_S = 20

WRITES = {
    "UpsertRecords",
    "InsertRecords",
    "UpdateRecords",
    "DeleteRecords",
    "CommitTransaction",
    "Ingest",
    "WaitIndexed",
}
WRITES |= {"Sync", "SetVectors"}
ADMINS = {"AddField", "DropField", "SwitchField", "SetModel", "Calibrate"}
ADMINS |= {
    "CreateCollection",
    "DeleteCollection",
    "CreateIndex",
    "DropIndex",
    "Optimize",
    "ValidateGraphs",
    "Calibrate",
}
OF_THE_DATABASE = {"Verify", "Backup"}
OF_NO_COLLECTION = {"ListCollections", "GetServerInfo", "Sync"}
"""Written down once more, apart from the table of the server: who changes one must look at the other."""


def _needed(path: str) -> Scope:
    name = path.rpartition("/")[2]
    return "admin" if name in ADMINS | OF_THE_DATABASE else "write" if name in WRITES else "read"


def _body(path: str, collection: str = "docs") -> bytes:
    """A request about `collection`."""
    message = message_of(METHODS[path].input_type)()
    place = {"CommitTransaction": "operations", "Ingest": "start", "SearchStream": "search"}.get(
        path.rpartition("/")[2]
    )
    target: Any = message
    if place:
        target = getattr(message, place)
        target = target.add() if hasattr(target, "add") else target
    for name in ("collection", "name"):
        if name in target.DESCRIPTOR.fields_by_name:
            setattr(target, name, collection)
            break
    return bytes(message.SerializeToString())


class Guarded:
    """A server with a key of every kind, and how calls with them end."""

    def __init__(self, served: Served, keys: dict[str, str]) -> None:
        self.served = served
        self.keys = keys

    def code(self, path: str, key: str | None, collection: str = "docs") -> grpc.StatusCode:
        metadata = None if key is None else [("authorization", f"Bearer {self.keys.get(key, key)}")]
        return code_of(lambda: call_raw(self.served.channel, path, _body(path, collection), metadata=metadata))


@contextlib.contextmanager
def _guarded(folder: Path) -> Iterator[Guarded]:
    path = str(folder / "keys.json")
    grants: dict[str, dict[str, Scope]] = {
        "read": {"docs": "read"},
        "write": {"docs": "write"},
        "admin": {"docs": "admin"},
        "database": {"*": "admin"},
        "reader of all": {"*": "read"},
    }
    made = {name: make_key(name, granted) for name, granted in grants.items()}
    made["expired"] = make_key("expired", {"*": "admin"}, expires=datetime.now(UTC) - timedelta(seconds=5))
    change_keys(path, lambda _held: [key for key, _ in made.values()])
    keys = {name: spoken for name, (_, spoken) in made.items()}
    keys["wrong secret"] = keys["database"][:-1] + ("A" if keys["database"][-1] != "A" else "B")
    with running(folder, keys=path) as served:
        yield Guarded(served, keys)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all tests that leave it as it is."""
    with _guarded(tmp_path_factory.mktemp("guarded")) as one:
        yield one


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Guarded]:
    """One of its own."""
    with _guarded(tmp_path) as one:
        yield one


EVERY_RPC = pytest.mark.parametrize("path", sorted(METHODS))


@EVERY_RPC
def test_no_rpc_is_answered_without_a_valid_key(guarded: Guarded, path: str) -> None:
    presented = (None, "", "vk_", "wrong secret", "expired", "vk_00000000_" + "A" * 43)
    assert [guarded.code(path, key) for key in presented] == [UNKNOWN] * len(presented)


@EVERY_RPC
def test_an_rpc_needs_its_scope_on_its_collection(guarded: Guarded, path: str) -> None:
    scopes: tuple[Scope, ...] = ("read", "write", "admin")
    enough = scopes[scopes.index(_needed(path)) :]
    allowed = {scope for scope in scopes if guarded.code(path, scope) not in {DENIED, UNKNOWN}}
    assert allowed == (set() if path.rpartition("/")[2] in OF_THE_DATABASE else set(enough))


@EVERY_RPC
def test_a_key_for_one_collection_is_denied_on_another(guarded: Guarded, path: str) -> None:
    expected = grpc.StatusCode.OK if path.rpartition("/")[2] in OF_NO_COLLECTION else DENIED
    assert guarded.code(path, "admin", collection="other") == expected


@EVERY_RPC
def test_a_key_for_everything_may_do_everything(guarded: Guarded, path: str) -> None:
    assert guarded.code(path, "database", collection="other") == grpc.StatusCode.OK


@EVERY_RPC
def test_a_reader_of_everything_still_only_reads(guarded: Guarded, path: str) -> None:
    expected = grpc.StatusCode.OK if _needed(path) == "read" else DENIED
    assert guarded.code(path, "reader of all") == expected


def test_both_ways_to_send_a_key_are_the_same(guarded: Guarded) -> None:
    path = "/vecdb.v1.SearchService/Search"
    for metadata in ([("x-api-key", guarded.keys["read"])], [("authorization", f"bearer {guarded.keys['read']}")]):
        assert call_raw(guarded.served.channel, path, _body(path), metadata=metadata) == [b""]


@pytest.mark.parametrize("second", ["x-api-key", "authorization"])
def test_two_keys_at_once_are_refused(guarded: Guarded, second: str) -> None:
    """Two doors, two readers of the metadata: whoever takes the other one could be made to let somebody in."""
    path = "/vecdb.v1.SearchService/Search"
    key = guarded.keys["database"]
    metadata = [("authorization", f"Bearer {key}"), (second, key)]
    assert code_of(lambda: call_raw(guarded.served.channel, path, _body(path), metadata=metadata)) == UNKNOWN


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "x-vecdb-internal", "x-principal", "grpc-internal-encoding-request"]
)
def test_no_header_means_that_a_call_is_from_inside(guarded: Guarded, header: str) -> None:
    path = "/vecdb.v1.SearchService/Search"
    metadata = [(header, "127.0.0.1"), (header, "local")]
    assert code_of(lambda: call_raw(guarded.served.channel, path, _body(path), metadata=metadata)) == UNKNOWN


def test_a_stream_is_checked_at_every_message(guarded: Guarded) -> None:
    path = "/vecdb.v1.SearchService/SearchStream"
    bodies = [_body(path, "docs"), _body(path, "docs"), _body(path, "other")]
    call = guarded.served.channel.stream_stream(path)
    replies = call(iter(bodies), metadata=[("x-api-key", guarded.keys["read"])], timeout=WAIT_S)
    assert [next(replies), next(replies)] == [b"", b""]
    assert code_of(lambda: next(replies)) == DENIED


def test_a_refusal_has_the_same_text_whatever_is_wrong(guarded: Guarded) -> None:
    path = "/vecdb.v1.SearchService/Search"
    texts = set()
    for key in ("", "vk_", guarded.keys["wrong secret"], guarded.keys["expired"], "vk_00000000_" + "A" * 43):
        with pytest.raises(grpc.RpcError) as caught:
            call_raw(guarded.served.channel, path, _body(path), metadata=[("x-api-key", key)])
        texts.add(caught.value.details())
    assert len(texts) == 1


@pytest.mark.parametrize("path", ["/vecdb.v1.RecordService/UpsertRecords", "/vecdb.v1.IngestService/Ingest"])
def test_the_body_of_a_refused_call_is_never_received(fresh: Guarded, path: str) -> None:
    """An answer comes although the body never ends, and the server counts no byte of it."""
    hold = threading.Event()

    def bodies() -> Iterator[bytes]:
        yield bytes(1 << 20)
        hold.wait(WAIT_S)

    code = code_of(lambda: list(fresh.served.channel.stream_stream(path)(bodies(), timeout=WAIT_S)))
    hold.set()
    assert code == UNKNOWN
    assert fresh.served.service.dispatch.admission.bytes_held == 0
    assert '"received_bytes":0' in fresh.served.log_text()


@pytest.mark.parametrize(("key", "code"), [("wrong secret", UNKNOWN), ("reader of all", DENIED), ("write", DENIED)])
def test_refused_calls_take_no_place_of_the_others(fresh: Guarded, key: str, code: grpc.StatusCode) -> None:
    for _ in range(100):
        assert fresh.code("/vecdb.v1.RecordService/UpsertRecords", key, collection="other") == code
    assert fresh.served.service.dispatch.admission.under_way == 0


def test_a_revoked_key_is_refused_at_the_next_call(fresh: Guarded, tmp_path: Path) -> None:
    path = "/vecdb.v1.SearchService/Search"
    assert fresh.code(path, "read") == grpc.StatusCode.OK
    change_keys(str(tmp_path / "keys.json"), lambda _held: [])
    assert fresh.code(path, "read") == UNKNOWN


def test_no_key_and_nothing_of_a_request_is_in_the_log(serve: Serve, tmp_path: Path) -> None:
    """A key and texts of requests are sent through every way a call can end, at level debug."""

    def fail(request: Any, _call: Any) -> Any:
        raise ValueError(f"cannot do {request}")

    key, spoken = make_key("test", {"*": "admin"})
    change_keys(str(tmp_path / "k.json"), lambda _held: [key])
    served = serve(keys=str(tmp_path / "k.json"), log_level="debug", Search=fail)
    secret = spoken.rpartition("_")[2]
    for path in ("/vecdb.v1.SearchService/Search", "/vecdb.v1.RecordService/GetRecords"):
        for body in (_body(path, "canary-name"), b"\xffcanary-bytes"):
            for given in (spoken, spoken + "x", "canary-key"):
                code_of(
                    lambda path=path, body=body, given=given: call_raw(  # type: ignore[misc]
                        served.channel, path, body, metadata=[("x-api-key", given)]
                    )
                )
    change_keys(str(tmp_path / "k.json"), lambda _held: [])
    served.service.stop()
    log = served.log_text()
    assert "incident" in log
    assert "canary" not in log
    assert secret not in log
    assert key.sha256 not in log
