"""Collects the figures of the crash tests and prints them after the run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

_FAILED = pytest.StashKey[bool]()
_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Add a line to the summary of the run."""
    lines = request.config.stash.setdefault(_FIGURES, [])
    return lines.append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tests failed, so that their artefacts are kept."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture
def artefacts(request: pytest.FixtureRequest, seed: int) -> Iterator[Path]:
    """A directory of database, journals and logs. A failed test leaves it behind; its name is printed with the seed."""
    directory = Path(tempfile.mkdtemp(prefix="vecdb-crash-"))
    print(f"artefacts={directory} seed={seed}")
    yield directory
    if not request.node.stash.get(_FAILED, False):
        shutil.rmtree(directory)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was survived."""
    lines = config.stash.get(_FIGURES, [])
    if lines:
        terminalreporter.section("crash figures")
        for line in lines:
            terminalreporter.write_line(line)
