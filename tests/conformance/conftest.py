"""Gives every conformance test a database of every front."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.fronts import FRONTS, CollectionLike, DatabaseLike

DIM = 16


@pytest.fixture(params=list(FRONTS))
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseLike]:
    """An empty database."""
    with FRONTS[request.param]().open(tmp_path) as database:
        yield database


@pytest.fixture
def docs(db: DatabaseLike) -> CollectionLike:
    """An empty collection with one cosine field of 16 dimensions."""
    return db.create_collection("docs", dim=DIM)
