"""Gives the bad-input tests a small filled database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.security.unchanged import CONFIG, DIM, sample_rows
from vecdb.types import Field


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Any]:
    """A database with segments and a tail: `docs` (cosine), `plain` (float16, l2) and `both` (two fields)."""
    rng = np.random.default_rng(1)
    with vecdb.open(tmp_path / "db", config=CONFIG, durability="async") as database:
        docs = database.create_collection("docs", dim=DIM)
        docs.upsert(list(range(100)), sample_rows(rng, 100), [{"n": n} for n in range(100)])
        docs.optimize()
        docs.upsert(["a", "b"], sample_rows(rng, 2), [{"t": "tail"}, {}])
        plain = database.create_collection("plain", dim=DIM, metric="l2", dtype="float16")
        plain.upsert(["a"], sample_rows(rng, 1))
        both = database.create_collection("both", fields={"text": Field(dim=4), "image": Field(dim=6, metric="dot")})
        both.upsert(["a"], {"text": sample_rows(rng, 1, 4), "image": sample_rows(rng, 1, 6)})
        yield database


@pytest.fixture
def docs(db: Any) -> Any:
    """The cosine collection."""
    return db.collection("docs")


@pytest.fixture
def plain(db: Any) -> Any:
    """The float16 l2 collection."""
    return db.collection("plain")


@pytest.fixture
def both(db: Any) -> Any:
    """The collection with two fields."""
    return db.collection("both")
