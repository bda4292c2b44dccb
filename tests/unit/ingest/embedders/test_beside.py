"""The built-in model in processes beside the one that ingests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest

from vecdb.errors import InvalidTextError
from vecdb.ingest.embedders.beside import BesideEmbedder, beside
from vecdb.ingest.embedders.config import HELPED_AFTER_TEXTS, HELPED_CALLS
from vecdb.ingest.embedders.static import builtin

TEXTS = [f"text number {number} of a walk by the river" for number in range(200)]
WITHIN_S = 60.0


@pytest.fixture
def embedder() -> Iterator[BesideEmbedder]:
    made = BesideEmbedder(builtin(), 1)
    made.embed(["one text"] * HELPED_AFTER_TEXTS)
    deadline = time.monotonic() + WITHIN_S
    while made.helpers_idle() < 1:
        assert time.monotonic() < deadline, "no helper became ready"
        time.sleep(0.01)
    yield made
    made.close()


def test_a_helper_gives_the_bits_that_the_model_gives(
    embedder: BesideEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = builtin().embed(TEXTS)
    monkeypatch.setattr(embedder, "_model", None)  # so that nothing but the helper can have made them
    assert np.array_equal(embedder.embed(TEXTS), expected)
    assert np.array_equal(embedder.embed(TEXTS), expected)


def test_an_error_is_that_of_the_model_and_the_helper_goes_on(embedder: BesideEmbedder) -> None:
    for bad in ("  ", "\ud800"):
        with pytest.raises(InvalidTextError, match="text 200 "):
            embedder.embed([*TEXTS, bad])
        assert embedder.helpers_idle() == 1


def test_all_callers_of_a_helper_that_dies_have_their_texts_embedded_here(embedder: BesideEmbedder) -> None:
    (pid,) = embedder.helper_pids()
    expected = builtin().embed(TEXTS)
    os.kill(pid, signal.SIGSTOP)  # so that both wait for it
    with ThreadPoolExecutor(2) as callers:
        asked = [callers.submit(embedder.embed, TEXTS) for _ in range(2)]
        os.kill(pid, signal.SIGKILL)
        assert all(np.array_equal(one.result(), expected) for one in asked)


def test_what_a_dead_helper_does_not_embed_is_embedded_here(embedder: BesideEmbedder) -> None:
    (pid,) = embedder.helper_pids()
    os.kill(pid, signal.SIGKILL)
    assert np.array_equal(embedder.embed(TEXTS), builtin().embed(TEXTS))
    assert embedder.helpers_idle() == 0


def test_answers_come_in_the_order_of_what_was_asked_however_long_each_takes(embedder: BesideEmbedder) -> None:
    given = [TEXTS * (40 if number % 2 == 0 else 1) for number in range(8)]
    with ThreadPoolExecutor(len(given)) as callers:
        found = list(callers.map(embedder.embed, given))
    assert [len(rows) for rows in found] == [len(texts) for texts in given]
    assert all(np.array_equal(rows, builtin().embed(texts)) for texts, rows in zip(given, found, strict=True))


def test_several_callers_share_a_helper_and_each_gets_its_own_rows(embedder: BesideEmbedder) -> None:
    given = [TEXTS[start : start + 100] for start in range(100)]
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(embedder.embed, given))
    assert all(np.array_equal(rows, builtin().embed(texts)) for texts, rows in zip(given, found, strict=True))
    assert embedder.helpers_idle() == 1


def test_when_nothing_else_is_left_to_do_a_call_waits_for_no_helper(embedder: BesideEmbedder) -> None:
    (pid,) = embedder.helper_pids()
    os.kill(pid, signal.SIGSTOP)  # it takes its calls, and answers none
    with ThreadPoolExecutor(HELPED_CALLS + 1) as callers:
        try:
            asked = [callers.submit(embedder.embed, TEXTS) for _ in range(HELPED_CALLS + 1)]
            embedder.free()
            answered, _ = wait(asked, WITHIN_S, FIRST_COMPLETED)
        finally:
            os.kill(pid, signal.SIGKILL)
        assert [np.array_equal(one.result(), builtin().embed(TEXTS)) for one in answered] == [True]


def test_a_small_run_starts_no_process() -> None:
    embedder = BesideEmbedder(builtin(), 2)
    embedder.embed(TEXTS)
    assert not embedder.helper_pids()


def test_without_the_right_to_start_processes_the_model_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    embedder = BesideEmbedder(builtin(), 2)
    assert len(embedder.embed(["one text"] * HELPED_AFTER_TEXTS)) == HELPED_AFTER_TEXTS
    assert not embedder.helper_pids()


def test_on_one_cpu_nothing_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    assert beside(builtin(), 2) is None


@pytest.mark.parametrize("callers", [0, 4])
def test_a_helper_ends_with_an_owner_that_is_killed(callers: int) -> None:
    """Idle, or with several calls under way, of which each waits for the answer before it."""
    code = (
        "import threading, time\n"
        "from vecdb.ingest.embedders.beside import BesideEmbedder\n"
        "from vecdb.ingest.embedders.static import builtin\n"
        "embedder = BesideEmbedder(builtin(), 1)\n"
        f"embedder.embed(['one text'] * {HELPED_AFTER_TEXTS})\n"
        "def ask():\n"
        "    while True:\n"
        "        embedder.embed([f'text number {n}' for n in range(4_000)])\n"
        "while not embedder.helpers_idle():\n"
        "    time.sleep(0.01)\n"
        f"for _ in range({callers}):\n"
        "    threading.Thread(target=ask, daemon=True).start()\n"
        "time.sleep(0.5)\n"
        "print(*embedder.helper_pids(), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    deadline = time.monotonic() + WITHIN_S
    while _is_running(pid):
        assert time.monotonic() < deadline, "the helper outlives its owner"
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
