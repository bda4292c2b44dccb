"""What a server tells gRPC by the environment."""

from __future__ import annotations

import pytest

from vecdb.server.grpc_setup import ONE_THREAD, set_grpc_up


@pytest.mark.parametrize(("release", "is_told"), [("1.79.1", False), ("1.80.0", True), ("1.85.3", True)])
def test_releases_that_read_by_a_pool_of_threads_are_told_not_to(
    monkeypatch: pytest.MonkeyPatch, release: str, is_told: bool
) -> None:
    monkeypatch.setattr("vecdb.server.grpc_setup.version", lambda _name: release)
    environment: dict[str, str] = {}
    set_grpc_up(environment)
    assert environment.get("GRPC_EXPERIMENTS") == (ONE_THREAD if is_told else None)


@pytest.mark.parametrize("release", ["1.99.0", "2.0", "1.8x", "unknown"])
def test_releases_that_nobody_has_tried_are_left_alone(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    monkeypatch.setattr("vecdb.server.grpc_setup.version", lambda _name: release)
    environment: dict[str, str] = {}
    set_grpc_up(environment)
    assert set(environment) == {"GRPC_VERBOSITY"}


def test_what_the_environment_says_already_stays() -> None:
    environment = {"GRPC_VERBOSITY": "DEBUG", "GRPC_EXPERIMENTS": "mine"}
    set_grpc_up(environment)
    assert environment == {"GRPC_VERBOSITY": "DEBUG", "GRPC_EXPERIMENTS": "mine"}
