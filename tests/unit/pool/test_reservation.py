"""The addresses of a pool: its workers share them, and nobody else gets in."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest

from tests.unit.server.echo import bindings
from vecdb.checks.addresses import Address
from vecdb.errors import InvalidConfigError
from vecdb.server.app import Role, Service
from vecdb.server.pool.reservation import Reservation
from vecdb.server.settings import ServerConfig

ANY_PORT = Address(host="127.0.0.1", port=0)


def a_server(address: Address, folder: Path, role: Role) -> Service:
    return Service(
        ServerConfig(data=str(folder), listen=(str(address),)), bindings(), log_stream=io.StringIO(), role=role
    )


def test_servers_that_share_listen_side_by_side_on_a_reserved_address(tmp_path: Path) -> None:
    with Reservation([ANY_PORT]) as reservation:
        [address] = reservation.addresses
        servers = [a_server(address, tmp_path, Role(share_port=True)).start() for _ in range(2)]
        for server in servers:
            assert server.address == str(address)
            server.stop()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_pool_is_refused_from_the_first_moment(tmp_path: Path, workers: int) -> None:
    with Reservation([ANY_PORT]) as reservation:
        [address] = reservation.addresses
        sharing = [a_server(address, tmp_path, Role(share_port=True)).start() for _ in range(workers)]
        try:
            with pytest.raises(InvalidConfigError, match="choose another address"):
                Reservation([address])
        finally:
            for server in sharing:
                server.stop()


def test_a_server_alone_is_refused_on_a_reserved_address(tmp_path: Path) -> None:
    with Reservation([ANY_PORT]) as reservation, pytest.raises(InvalidConfigError, match="it is taken"):
        a_server(reservation.addresses[0], tmp_path, Role()).start()


def test_an_address_that_somebody_listens_on_cannot_be_reserved() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(InvalidConfigError, match=f"cannot listen on {address}"):
            Reservation([address])


def test_when_one_address_cannot_be_had_none_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = Address(host="127.0.0.1", port=probe.getsockname()[1])
        probe.close()
        with pytest.raises(InvalidConfigError):
            Reservation([free, Address(host="127.0.0.1", port=taken.getsockname()[1])])
    with Reservation([free]) as reservation:
        assert reservation.addresses == (free,)


def test_a_name_that_is_no_host_is_an_error_that_names_the_address() -> None:
    with pytest.raises(InvalidConfigError, match=r"no-such-host\.invalid:1"):
        Reservation([Address(host="no-such-host.invalid", port=1)])


def test_a_name_with_several_addresses_gets_one_port_for_all() -> None:
    with Reservation([Address(host="localhost", port=0)]) as reservation:
        [address] = reservation.addresses
        assert address.host == "localhost"
        with pytest.raises(InvalidConfigError):
            Reservation([Address(host="127.0.0.1", port=address.port)])


def test_a_pool_without_a_port_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"add an address such as 127\.0\.0\.1:50051"):
        ServerConfig(data=str(tmp_path), listen=(f"unix:{tmp_path}/socket",), workers=2)
