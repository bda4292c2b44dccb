"""What a server listens on, and which limits gRPC is given."""

from __future__ import annotations

import io
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.internal import api_implementation

from tests.unit.server.conftest import Serve
from tests.unit.server.echo import bindings, call_raw
from tests.unit.server.test_dispatch import SEARCH
from vecdb.errors import InvalidConfigError
from vecdb.server.app import Service, channel_options, serving
from vecdb.server.settings import ServerConfig


def test_several_addresses_serve_the_same(serve: Serve, tmp_path: Path) -> None:
    served = serve(listen=("127.0.0.1:0", f"unix:{tmp_path}/s", "[::1]:0"))
    for address in served.service.addresses:
        with grpc.insecure_channel(address) as channel:
            assert call_raw(channel, SEARCH, b"") == [b""]


def test_a_socket_is_for_its_owner_alone_and_goes_with_the_server(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "s"
    served = serve(listen=(f"unix:{path}",))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    served.service.stop()
    assert not path.exists()


def test_a_second_server_never_shares_an_address(serve: Serve, tmp_path: Path) -> None:
    taken = serve().service.address
    config = ServerConfig(data=str(tmp_path), listen=(taken,))
    with pytest.raises(InvalidConfigError, match="taken"), serving(config, bindings(), log_stream=io.StringIO()):
        pass


def test_a_server_that_cannot_listen_leaves_no_socket_behind(serve: Serve, tmp_path: Path) -> None:
    taken = serve().service.address
    config = ServerConfig(data=str(tmp_path), listen=(f"unix:{tmp_path}/s", taken))
    with pytest.raises(InvalidConfigError), serving(config, bindings(), log_stream=io.StringIO()):
        pass
    assert not (tmp_path / "s").exists()


def test_grpc_is_told_every_limit_of_the_configuration() -> None:
    config = ServerConfig(
        data="d", max_message_bytes=1 << 20, max_metadata_bytes=2048, max_connection_rpcs=7, handshake_timeout_s=1.5
    )
    options = dict(channel_options(config))
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == 1 << 20
    assert (options["grpc.max_metadata_size"], options["grpc.absolute_max_metadata_size"]) == (2048, 4096)
    assert options["grpc.max_concurrent_streams"] == 7
    assert options["grpc.server_handshake_timeout_ms"] == 1500
    assert (options["grpc.so_reuseport"], options["grpc.enable_channelz"]) == (0, 0)


def test_a_server_does_not_parse_requests_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    config = ServerConfig(data=str(tmp_path), listen=("127.0.0.1:0",))
    with pytest.raises(InvalidConfigError, match="protobuf"):
        Service(config, bindings(), log_stream=io.StringIO())


def test_reflection_is_there_only_where_it_is_asked_for(serve: Serve) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    def names(channel: grpc.Channel) -> set[str]:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        reply = next(stub.ServerReflectionInfo(iter([request])))
        return {service.name for service in reply.list_services_response.service}

    assert "vecdb.v1.SearchService" in names(serve(reflection=True).channel)
    with pytest.raises(grpc.RpcError) as caught:
        names(serve().channel)
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
