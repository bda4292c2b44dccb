"""Gives every conformance test a database of every front."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.fronts import FRONTS, CollectionLike, DatabaseLike, Front

DIM = 16


@pytest.fixture(scope="session")
def fronts() -> Iterator[dict[str, Front]]:
    """The fronts that tests have used so far; a server starts with the first test that wants it."""
    started: dict[str, Front] = {}
    try:
        yield started
    finally:
        for front in started.values():
            front.close()


@pytest.fixture(params=list(FRONTS))
def db(request: pytest.FixtureRequest, fronts: dict[str, Front], tmp_path: Path) -> Iterator[DatabaseLike]:
    """An empty database."""
    if request.param not in fronts:
        fronts[request.param] = FRONTS[request.param]()
    with fronts[request.param].open(tmp_path) as database:
        yield database


@pytest.fixture
def docs(db: DatabaseLike) -> CollectionLike:
    """An empty collection with one cosine field of 16 dimensions."""
    return db.create_collection("docs", dim=DIM)
