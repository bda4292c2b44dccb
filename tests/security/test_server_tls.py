"""Which connections come about over TLS, and who their certificates stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from tests.unit.server.conftest import Serve, serve
from tests.unit.server.echo import call_raw, code_of
from vecdb.errors import InvalidConfigError
from vecdb.server.keyfile import change_keys, make_key
from vecdb.server.settings import ServerConfig
from vecdb.server.tls import certificates

__all__ = ["serve"]  # the fixture

SEARCH = "/vecdb.v1.SearchService/Search"
READ_DOCS = b"\x0a\x04docs"
WRITE = "/vecdb.v1.RecordService/UpsertRecords"
OK = grpc.StatusCode.OK
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED


@dataclass
class Authority:
    """A CA whose certificates a server has, and where the files are."""

    ca: trustme.CA
    folder: Path

    def server_files(self, **options: Any) -> dict[str, str]:
        """Write a certificate for localhost and return the settings that name it."""
        issued = self.ca.issue_cert("localhost", **options)
        issued.private_key_pem.write_to_path(self.folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(self.folder / "cert.pem")
        return {"tls_cert": str(self.folder / "cert.pem"), "tls_key": str(self.folder / "key.pem")}

    def client_ca(self) -> dict[str, str]:
        """Write the CA's own certificate and return the setting that asks clients for one of it."""
        self.ca.cert_pem.write_to_path(self.folder / "ca.pem")
        return {"tls_client_ca": str(self.folder / "ca.pem")}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(trustme.CA(), tmp_path)


Connect = Callable[..., grpc.StatusCode]


@pytest.fixture
def code(serve: Serve, authority: Authority) -> Connect:
    """How a call ends: `code(settings, trust=ca, client=certificate)`."""

    def call(
        settings: dict[str, str],
        trust: trustme.CA | None = None,
        client: trustme.LeafCert | None = None,
        path: str = SEARCH,
        key: str | None = None,
    ) -> grpc.StatusCode:
        address = serve(**settings).service.address.replace("127.0.0.1", "localhost")
        credentials = grpc.ssl_channel_credentials(
            (trust or authority.ca).cert_pem.bytes(),
            client.private_key_pem.bytes() if client else None,
            b"".join(pem.bytes() for pem in client.cert_chain_pems) if client else None,
        )
        metadata = [("x-api-key", key)] if key else None
        with grpc.secure_channel(address, credentials) as channel:
            return code_of(lambda: call_raw(channel, path, READ_DOCS, metadata=metadata))

    return call


def test_a_client_that_trusts_the_authority_is_served(code: Connect, authority: Authority) -> None:
    assert code(authority.server_files()) is OK


def test_a_client_that_trusts_another_authority_refuses_the_server(code: Connect, authority: Authority) -> None:
    assert code(authority.server_files(), trust=trustme.CA()) is UNAVAILABLE


def test_an_expired_certificate_is_refused_by_clients(code: Connect, authority: Authority) -> None:
    past = datetime.now(UTC) - timedelta(days=2)
    expired = authority.server_files(not_before=past, not_after=past + timedelta(days=1))
    assert code(expired) is UNAVAILABLE


def test_a_client_without_tls_is_not_served(serve: Serve, authority: Authority) -> None:
    served = serve(**authority.server_files())
    assert code_of(lambda: call_raw(served.channel, SEARCH, READ_DOCS)) is UNAVAILABLE


def test_a_client_with_a_certificate_of_the_authority_is_served(code: Connect, authority: Authority) -> None:
    settings = {**authority.server_files(), **authority.client_ca()}
    assert code(settings, client=authority.ca.issue_cert("loader.example.com")) is OK


def test_a_client_without_a_certificate_is_not_served(code: Connect, authority: Authority) -> None:
    assert code({**authority.server_files(), **authority.client_ca()}) is UNAVAILABLE


def test_a_client_with_a_certificate_of_another_authority_is_not_served(code: Connect, authority: Authority) -> None:
    settings = {**authority.server_files(), **authority.client_ca()}
    assert code(settings, client=trustme.CA().issue_cert("loader.example.com")) is UNAVAILABLE


def _with_keys(authority: Authority, name: str) -> tuple[dict[str, str], str]:
    key, spoken = make_key("loader", {"docs": "read"}, certificate=name)
    path = str(authority.folder / "keys.json")
    change_keys(path, lambda _held: [key])
    return {**authority.server_files(), **authority.client_ca(), "keys": path}, spoken


@pytest.mark.parametrize("by", ["alternative name", "common name"])
def test_a_certificate_has_the_grants_of_the_key_it_stands_for(code: Connect, authority: Authority, by: str) -> None:
    settings, _ = _with_keys(authority, "loader.example.com")
    names = ("loader.example.com",) if by == "alternative name" else ("other.example.com",)
    client = authority.ca.issue_cert(*names, common_name="loader.example.com" if by == "common name" else None)
    assert code(settings, client=client) is OK
    assert code(settings, client=client, path=WRITE) is grpc.StatusCode.PERMISSION_DENIED


def test_a_certificate_that_stands_for_no_key_is_not_enough(code: Connect, authority: Authority) -> None:
    settings, _ = _with_keys(authority, "loader.example.com")
    assert code(settings, client=authority.ca.issue_cert("other.example.com")) is UNKNOWN


def test_a_wrong_key_is_not_made_good_by_a_certificate(code: Connect, authority: Authority) -> None:
    settings, spoken = _with_keys(authority, "loader.example.com")
    client = authority.ca.issue_cert("loader.example.com")
    assert code(settings, client=client, key=spoken[:-2]) is UNKNOWN


def test_a_socket_beside_tls_still_asks_for_a_key(serve: Serve, authority: Authority) -> None:
    settings, spoken = _with_keys(authority, "loader.example.com")
    served = serve(**settings, listen=(f"unix:{authority.folder}/s",))
    assert code_of(lambda: call_raw(served.channel, SEARCH, READ_DOCS)) is UNKNOWN
    assert call_raw(served.channel, SEARCH, READ_DOCS, metadata=[("x-api-key", spoken)]) == [b""]


# --- the files ------------------------------------------------------------------------------------------------------


def _config(settings: dict[str, str]) -> ServerConfig:
    return ServerConfig(data="d", **settings)  # type: ignore[arg-type]


def test_files_that_change_are_read_again(authority: Authority) -> None:
    held = certificates(_config(authority.server_files()))
    assert held is not None
    assert held.renewed() is None
    authority.server_files()
    assert held.renewed() is not None
    assert held.renewed() is None


def test_files_that_break_leave_the_certificates_as_they_were(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    held = certificates(_config(authority.server_files()))
    assert held is not None
    (authority.folder / "cert.pem").write_text("torn")
    assert held.renewed() is None
    assert "the certificates stay as they were" in caplog.text


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"", b"garbage"], ids=["missing", "empty", "garbage"])
def test_a_server_does_not_start_with_a_broken_file(authority: Authority, name: str, content: bytes | None) -> None:
    settings = {**authority.server_files(), **authority.client_ca()}
    if content is None:
        (authority.folder / name).unlink()
    else:
        (authority.folder / name).write_bytes(content)
    with pytest.raises(InvalidConfigError):
        certificates(_config(settings))


def test_a_key_that_belongs_to_another_certificate_is_refused(authority: Authority) -> None:
    settings = authority.server_files()
    authority.ca.issue_cert("localhost").private_key_pem.write_to_path(authority.folder / "key.pem")
    with pytest.raises(InvalidConfigError, match="no certificate and its"):
        certificates(_config(settings))
