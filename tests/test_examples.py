"""Runs every example as a user would: in a process of its own, with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "demo.py")
TIMEOUT_S = 150


def _run(script: Path, folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(script), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_prints(script: Path, tmp_path: Path) -> None:
    assert _run(script, tmp_path).strip()


@pytest.mark.slow
def test_demo_ingests_texts_and_answers_in_words(tmp_path: Path) -> None:
    output = _run(ROOT / "examples" / "demo.py", tmp_path, "--records", "3000", "--dir", str(tmp_path / "demo"))
    assert "3,000 short texts" in output
    assert "3,000 new" in output
    assert "Answers" in output
    assert "exit code 0" in output
    assert "3 changed" in output
    assert "2 deleted" in output
    assert "recall@10" in output
    assert "reopened read-only" in output
    assert "2,998 records" in output
    assert "sound" in output


def test_examples_leave_nothing_in_the_current_directory(tmp_path: Path) -> None:
    _run(ROOT / "examples" / "quickstart.py", tmp_path)
    assert list(tmp_path.iterdir()) == []
