"""Processes that embed, started by what a command line says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vecdb.ingest.embedders import spawning
from vecdb.ingest.embedders.beside import beside
from vecdb.ingest.embedders.config import HELPED_BYTES_MIN
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.embedders.spawning import Spawned, dismiss, start_ahead, take_ahead
from vecdb.ingest.embedders.static import builtin

TEXTS = [f"text number {number} of a walk by the river" for number in range(200)]


@pytest.fixture
def much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file with much to read, on a machine of two processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    (tmp_path / "much.jsonl").write_bytes(b" " * HELPED_BYTES_MIN)
    yield str(tmp_path / "much.jsonl")
    dismiss()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads each of the processes has that would have been started."""
    threads: list[int] = []

    def spawn(count: int) -> Spawned:
        threads.append(count)
        raise OSError

    monkeypatch.setattr(spawning, "spawn", spawn)
    return threads


def test_a_run_with_much_to_read_has_its_helper_from_the_beginning(much: str) -> None:
    start_ahead(["ingest", "run", much, "--to", "data"], {}, 2)
    helped = beside(builtin(), 2)
    assert helped is not None
    try:
        assert len(helped.helper_pids()) == 1
        assert np.array_equal(helped.embed(TEXTS), builtin().embed(TEXTS))
    finally:
        helped.close()
    assert not take_ahead(1)


@pytest.mark.parametrize(
    "words", [["--model", "builtin"], ["--model=builtin"], ["--model", "onnx:m", "--model", "builtin"], []]
)
def test_the_builtin_model_is_helped_however_it_is_named(words: list[str], much: str, started: list[int]) -> None:
    start_ahead(["ingest", "run", f"{much}?encoding=utf-8", *words], {}, 2)
    assert started == [2]


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["--model", "openai:m"], {}),
        (["--model=onnx:m"], {}),
        ([], {"VECDB_INGEST_MODEL": "openai:m"}),
        (["--config", "x.toml"], {}),
        ([], {"VECDB_INGEST_CONFIG": "x.toml"}),
    ],
)
def test_what_may_be_another_model_has_no_helper(
    words: list[str], environ: dict[str, str], much: str, started: list[int]
) -> None:
    start_ahead(["ingest", "run", much, *words], environ, 2)
    assert not started


@pytest.mark.usefixtures("much")
def test_little_to_read_is_not_worth_a_process(tmp_path: Path, started: list[int]) -> None:
    (tmp_path / "little.jsonl").write_text("{}", encoding="utf-8")
    start_ahead(["ingest", "run", str(tmp_path / "little.jsonl"), str(tmp_path), "no\0file", "--to", "data"], {}, 2)
    assert not started


def test_what_was_started_for_another_model_ends(much: str) -> None:
    start_ahead([much], {}, 2)
    (pid,) = [one.pid for one in spawning._ahead]

    class Other:
        fingerprint = ModelFingerprint(provider="openai", name="m", dim=3)

    other: Embedder = Other()  # type: ignore[assignment]  # that is all that is looked at
    assert beside(other, 2) is None
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
