"""Gives every conformance test a database of every front."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.fronts import FRONTS, SERVED, CollectionLike, DatabaseLike, Front

DIM = 16


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave each test one server, unless all are asked for: three times the suite is more than anybody waits for."""
    if config.getoption("--fronts") == "all":
        return
    spare = [item for item in items if _is_spare(item)]
    config.hook.pytest_deselected(items=spare)
    items[:] = [item for item in items if item not in set(spare)]


def _is_spare(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    front = None if call is None or "tests/conformance/" not in item.nodeid else call.params.get("db")
    if front not in SERVED:
        return False
    number = zlib.crc32(item.nodeid.replace(front, "").encode())
    return bool(front != list(SERVED)[number % len(SERVED)])


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
