"""Keys that are missing, wrong, expired, revoked or for something else, with requests that would be answered well.

What each RPC needs is compared with the table in test_server_auth; here it is what a refusal leaves behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.security.served import PATHS, VALID, Served, served
from vecdb.server.keyfile import change_keys, make_key
from vecdb.server.principals import Scope

UNKNOWN = "UNAUTHENTICATED UNAUTHENTICATED"
DENIED = "PERMISSION_DENIED PERMISSION_DENIED"
OF_NO_COLLECTION = {"ListCollections", "GetServerInfo", "Sync"}
READS = {
    "GetCollection",
    "ListIndexes",
    "GetRecords",
    "ListRecords",
    "CountRecords",
    "FacetRecords",
    "AggregateRecords",
    "Search",
    "SearchBatch",
    "SearchStream",
    "Export",
    "GetStats",
    "MeasureRecall",
}


@dataclass
class Guarded:
    """A server with keys of every kind, by their names."""

    served: Served
    keys: dict[str, str]

    def outcome(self, rpc: str, key: str | None, header: str = "x-api-key") -> str:
        """How a good request with a key ends."""
        bodies = [message.SerializeToString() for message in VALID[rpc][0]] if rpc in VALID else [b""]
        metadata = [] if key is None else [(header, self.keys.get(key, key))]
        return self.served.outcome(rpc, *bodies, metadata=metadata)

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """See that nothing was written, and that a good request with a good key is answered afterwards."""
        database = self.served.db
        before = database.seq, database.list_collections()
        yield
        assert (database.seq, database.list_collections()) == before
        assert self.outcome("Search", "owner") == "OK"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    path = str(folder / "keys.json")
    grants: dict[str, dict[str, Scope]] = {
        "owner": {"*": "admin"},
        "reader": {"*": "read"},
        "stranger": {"other": "admin"},
        "revoked": {"*": "admin"},
    }
    made = {name: make_key(name, granted) for name, granted in grants.items()}
    made["expired"] = make_key("expired", {"*": "admin"}, expires=datetime.now(UTC) - timedelta(seconds=5))
    change_keys(path, lambda _held: [key for key, _ in made.values()])
    with served(folder, keys=path) as one:
        keys = {name: spoken for name, (_, spoken) in made.items()}
        assert Guarded(one, keys).outcome("GetStats", "revoked") == "OK"
        change_keys(path, lambda held: [key for key in held if key.name != "revoked"])
        yield Guarded(one, keys)


every_rpc = pytest.mark.parametrize("rpc", sorted(PATHS))


@every_rpc
def test_a_good_request_without_a_good_key_does_nothing(guarded: Guarded, rpc: str) -> None:
    secret = guarded.keys["owner"]
    flipped = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    wrong = [
        None,
        "",
        "wrong",
        "expired",
        "revoked",
        flipped,
        secret + "A",
        secret[:-1],
        secret.upper(),
        f" {secret} x",
    ]
    with guarded.unchanged():
        assert {guarded.outcome(rpc, key) for key in wrong} == {UNKNOWN}
        assert guarded.outcome(rpc, f"Basic {secret}", header="authorization") == UNKNOWN


@every_rpc
def test_a_good_request_with_a_key_for_something_else_does_nothing(guarded: Guarded, rpc: str) -> None:
    with guarded.unchanged():
        assert guarded.outcome(rpc, "stranger") == ("OK" if rpc in OF_NO_COLLECTION else DENIED)


@pytest.mark.parametrize("rpc", sorted(set(PATHS) - READS - OF_NO_COLLECTION | {"Sync"}))
def test_a_good_request_that_writes_with_a_key_that_only_reads_does_nothing(guarded: Guarded, rpc: str) -> None:
    with guarded.unchanged():
        assert guarded.outcome(rpc, "reader") == DENIED


@pytest.mark.parametrize("rpc", sorted(READS))
def test_a_good_request_that_reads_is_answered_to_a_key_that_reads(guarded: Guarded, rpc: str) -> None:
    assert guarded.outcome(rpc, "reader") == "OK"


@pytest.mark.parametrize(
    "path",
    [
        "/vecdb.v1.SearchService/search",
        "/vecdb.v1.SearchService/Search/",
        "/vecdb.v1.SearchService//Search",
        "/vecdb.v1.SearchService/../AdminService/Verify",
        "/vecdb.v2.SearchService/Search",
        "/SearchService/Search",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/",
    ],
)
@pytest.mark.parametrize("key", [None, "wrong", "owner"])
def test_a_method_that_is_not_there_does_nothing_for_anybody(guarded: Guarded, path: str, key: str | None) -> None:
    with guarded.unchanged():
        assert guarded.outcome(path, key) == "UNIMPLEMENTED -"


def test_health_is_told_to_everybody_and_nothing_else(guarded: Guarded) -> None:
    assert guarded.served.outcome("/grpc.health.v1.Health/Check", b"") == "OK"


def test_what_exists_is_not_told_to_those_who_may_not_see_it(guarded: Guarded) -> None:
    """The same words for a collection that is there and for one that is not."""
    texts = []
    for name in (b"docs", b"none"):
        with pytest.raises(grpc.RpcError) as caught:
            guarded.served.call("GetStats", b"\x0a\x04" + name, metadata=[("x-api-key", guarded.keys["stranger"])])
        error: Any = caught.value
        texts.append((error.code(), error.details().replace(name.decode(), "*")))
    assert texts[0] == texts[1]
