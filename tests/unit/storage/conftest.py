"""Environments for the storage tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.storage.filling import MAP_BYTES
from vecdb.storage.environment import Environment


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a test's database goes; nothing is there yet."""
    return tmp_path / "db"


@pytest.fixture
def environment(directory: Path) -> Iterator[Environment]:
    """A new, empty environment, open for writing."""
    with Environment.open_directory(directory, map_bytes=MAP_BYTES) as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[Environment]:
    """A new environment in memory."""
    with Environment.open_memory(map_bytes=MAP_BYTES) as opened:
        yield opened
