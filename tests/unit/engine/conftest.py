"""Databases for the engine tests: nothing runs in the background, one thread builds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import vecdb
from tests.unit.engine.filling import CONFIG


@pytest.fixture
def db() -> Iterator[vecdb.Database]:
    """An empty database in memory."""
    with vecdb.open(":memory:", config=CONFIG) as database:
        yield database


@pytest.fixture
def docs(db: vecdb.Database) -> vecdb.Collection:
    """An empty collection with one l2 field of four dimensions."""
    return db.create_collection("docs", dim=4, metric="l2", m=4, ef_construction=16)
