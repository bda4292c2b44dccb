"""Collects the figures of the crash tests and prints them after the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Add a line to the summary of the run."""
    lines = request.config.stash.setdefault(_FIGURES, [])
    return lines.append


@pytest.fixture
def artefacts(tmp_path: Path, seed: int) -> Path:
    """A directory that a failed test leaves behind: database, journals, logs. Its name is printed with the seed."""
    print(f"artefacts={tmp_path} seed={seed}")
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was survived."""
    lines = config.stash.get(_FIGURES, [])
    if lines:
        terminalreporter.section("crash figures")
        for line in lines:
            terminalreporter.write_line(line)
