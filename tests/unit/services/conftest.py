"""A served database with one empty collection, "docs"."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import vecdb
from tests.unit.services.asking import DIM, Asked, asking
from vecdb.config import EngineConfig

CONFIG = EngineConfig(background=False, threads=1, progress=False, tail_rows_index=32, map_bytes=1 << 32)


@pytest.fixture
def db() -> Iterator[vecdb.Database]:
    """A database in memory with an empty collection of one l2 field."""
    with vecdb.open(":memory:", config=CONFIG) as database:
        database.create_collection("docs", dim=DIM, metric="l2", m=4, ef_construction=16)
        yield database


@pytest.fixture
def asked(db: vecdb.Database) -> Iterator[Asked]:
    """The database, served."""
    with asking(db) as served:
        yield served
