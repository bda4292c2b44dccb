"""Which texts are addresses, and what may be in the place of a socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vecdb.checks.addresses import parse_address
from vecdb.errors import InvalidConfigError
from vecdb.server.addresses import claim_socket_path


@pytest.mark.parametrize("text", ["127.0.0.1:50051", "[::1]:50051", "db.example.com:0", "unix:/run/vecdb.sock"])
def test_an_address_reads_back_as_it_was_written(text: str) -> None:
    assert str(parse_address(text, "listen")) == text


def test_both_spellings_of_a_socket_are_the_same() -> None:
    assert parse_address("unix:///run/s", "listen") == parse_address("unix:/run/s", "listen")


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "50051",
            ":50051",
            "localhost",
            "localhost:",
            "localhost:x",
            "localhost:65536",
            "localhost:-1",
            "::1:50051",
        ],
        *[
            "a b:1",
            "unix:",
            "unix:relative",
            "unix:/" + "x" * 107,
            "unix:/a\0b",
            "localhost:²",
            "127.0.0.1:" + "1" * 99,
        ],
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="listen"):
        parse_address(text, "listen")


def test_a_socket_left_behind_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    claim_socket_path(str(path))
    assert not path.exists()


def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        with pytest.raises(InvalidConfigError, match="another server"):
            claim_socket_path(str(path))
    assert path.exists()


def test_a_file_in_the_place_of_a_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(InvalidConfigError, match="no socket"):
        claim_socket_path(str(tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "precious"
