"""Runs the README's code and checks the facts it states against the package."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb import config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
SERVICE_BLOCKS = [block for block in BLOCKS if "vecdb.connect" in block]
INGEST_BLOCKS = [block for block in BLOCKS if "vecdb.ingest" in block]
COMMANDS = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
SERVICE_COMMANDS = next(block for block in COMMANDS if "vecdb serve" in block)
INGEST_COMMANDS = [block for block in COMMANDS if "vecdb ingest" in block]
SERVICE_PORT = "50051"
SERVICE_TIMEOUT_S = 60
QUICKSTART_LINES_MAX = 20
LIMIT_ROWS = re.findall(r"^\| [^|]+ \| ([^|]+) \| `([A-Z_]+)` \|$", README, flags=re.MULTILINE)


def test_readme_code_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All blocks that need no server and no documents, in order, in one namespace and an empty directory."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in BLOCKS:
        if block not in SERVICE_BLOCKS + INGEST_BLOCKS:
            exec(compile(block, "README.md", "exec"), namespace)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "doc-42 1.0 {'page': 42}"
    assert lines[3:5] == ["['new'] None 5000", "(100, 10) (100, 10)"]
    assert set(re.findall(r"'([^']+)'", lines[-1])) == {"doc-7", "fresh"}


@contextlib.contextmanager
def _service_as_printed(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the README's shell commands, the server on a free port; gives its process and the port."""
    python = f"'{sys.executable}' -m vecdb"
    commands = SERVICE_COMMANDS.replace("vecdb keys", f"{python} keys").replace("vecdb serve", f"exec {python} serve")
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            ["sh", "-euc", f"{commands.rstrip()} --listen 127.0.0.1:0 --json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            document = ""
            while not document.endswith("}\n"):
                line = process.stdout.readline()
                assert line, (folder / "log").read_text()
                document += line
            yield process, json.loads(document)["listen"][0].rpartition(":")[2]
        finally:
            process.terminate()
            process.wait(SERVICE_TIMEOUT_S)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the README makes its certificate with openssl")
def test_readme_service_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A certificate, a key and a server by the commands, then the blocks that connect; a log of JSON to the end."""
    monkeypatch.chdir(tmp_path)
    vectors = np.random.default_rng(0).normal(size=(5_000, 64)).astype(np.float32)
    namespace: dict[str, Any] = {"vecdb": vecdb, "F": vecdb.F, "vectors": vectors}  # as the quickstart left them
    with _service_as_printed(tmp_path) as (process, port):
        for block in SERVICE_BLOCKS:
            exec(compile(block.replace(SERVICE_PORT, port), "README.md", "exec"), namespace)
        with socket.create_connection(("127.0.0.1", int(port))) as stranger:  # fails to set up TLS
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.recv(1)
    assert process.returncode == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[-3].split()[0], *lines[-2:]) == ("5000", "[7] 5000", "20")
    assert namespace["many"].ids.shape == (1_000, 10)
    assert (tmp_path / "me.key").stat().st_mode & 0o077 == 0
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if not line.startswith(("-", "."))]
    assert {entry["code"] for entry in log if entry["event"] == "rpc"} == {"OK"}
    assert log[-1]["message"] == "stopped; all calls finished"


def _shell(commands: str, folder: Path) -> str:
    """What the commands print, whatever their exit codes are."""
    commands = re.sub(r"^vecdb ", f"'{sys.executable}' -m vecdb ", commands, flags=re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        ["sh", "-uc", commands],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout


def test_readme_ingests_documents_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two blocks of commands, then the same from Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first, second = (_shell(block, tmp_path) for block in INGEST_COMMANDS)
    assert "which would be made" in first
    assert "Ask the operators" in first
    assert "faq.jsonl:3" in first
    assert "Lunch is from noon to two." in second
    assert "2 unchanged, 1 deleted, 0 failed" in second
    namespace: dict[str, Any] = {"vecdb": vecdb, "F": vecdb.F}
    for block in INGEST_BLOCKS:
        exec(compile(block, "README.md", "exec"), namespace)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["3 unchanged, 0 failed", "leave Holidays are asked for in the staff portal, two weeks ahead."]


def test_quickstart_has_at_most_twenty_lines() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= QUICKSTART_LINES_MAX


@pytest.mark.parametrize(("stated", "name"), LIMIT_ROWS, ids=[name for _, name in LIMIT_ROWS])
def test_stated_limit_is_the_configured_one(stated: str, name: str) -> None:
    assert float(stated.replace(",", "")) == float(getattr(config, name))


def test_limits_table_names_every_limit_of_requests() -> None:
    text = (ROOT / "vecdb" / "config.py").read_text(encoding="utf-8")
    section = text.split("# --- limits")[1].split("# --- ")[0]
    named = re.findall(r"^([A-Z_]+_MAX)\b", section, flags=re.MULTILINE)
    assert set(named) <= {name for _, name in LIMIT_ROWS}


def test_readme_names_the_commands_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{verb}:", makefile, flags=re.MULTILINE)
