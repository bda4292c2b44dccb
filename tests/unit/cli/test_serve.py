"""`vecdb serve`: its options are the settings, and what is unsafe or unknown does not start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.unit.cli.conftest import Shell
from vecdb.server.settings import settings

SERVING = health_pb2.HealthCheckResponse.SERVING


def test_every_setting_has_its_option(shell: Shell) -> None:
    text = shell("serve", "--help").out
    assert not [name for name in settings() if f"--{name.replace('_', '-')}" not in text]


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_a_public_address_needs_tls_and_keys_or_insistence(shell: Shell, tmp_path: Path, listen: str) -> None:
    outcome = shell("serve", "--data", str(tmp_path / "db"), "--listen", listen)
    assert outcome.code == 2
    assert "--insecure" in outcome.err
    assert not (tmp_path / "db").exists()


def test_an_unknown_option_is_a_usage_error_with_a_suggestion(shell: Shell) -> None:
    outcome = shell("serve", "--data", "d", "--max-streems", "3")
    assert outcome.code == 2
    assert "--max-streams" in outcome.err


def test_an_unknown_variable_does_not_start(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECDB_LISTN", "127.0.0.1:0")
    outcome = shell("serve", "--data", "d", "--json")
    assert (outcome.code, outcome.document["error"]["reason"]) == (2, "INVALID_CONFIG")
    assert "did you mean listen?" in outcome.document["error"]["message"]


def test_a_bad_value_names_its_flag(shell: Shell) -> None:
    outcome = shell("serve", "--data", "d", "--threads", "0")
    assert outcome.code == 2
    assert "--threads is 0;" in outcome.err


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [
        (("--reflection",), "grpc_reflection.v1alpha", "server"),
        (("--metrics-listen", "127.0.0.1:0"), "prometheus_client", "server"),
        (("--tracing",), "opentelemetry", "otel"),
    ],
)
def test_a_setting_names_the_extra_that_it_needs(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    outcome = shell("serve", "--data", ":memory:", "--listen", "127.0.0.1:0", *words)
    assert outcome.code == 2
    assert f"pip install 'vecdb[{extra}]'" in outcome.err


def test_a_missing_part_is_named_with_how_to_install_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("grpc_health", "vecdb.server.health", "vecdb.server.app", "vecdb.server.running"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "grpc_health.v1", None)
    outcome = shell("serve", "--data", "d")
    assert outcome.code == 2
    assert "pip install 'vecdb[server]'" in outcome.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_starts_serves_and_ends_cleanly_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "vecdb",
        "serve",
        "--data",
        str(tmp_path / "db"),
        "--listen",
        "127.0.0.1:0",
        "--json",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "VECDB_DATA"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        document = ""
        while not document.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.stderr
            document += line
        address = json.loads(document)["listen"][0]
        with grpc.insecure_channel(address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            reply = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        process.send_signal(number)
        _, log = process.communicate(timeout=60)
    assert reply.status == SERVING
    assert process.returncode == 0
    assert "all calls finished" in log
