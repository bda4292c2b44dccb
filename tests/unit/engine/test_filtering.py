"""Checks what a View remembers of the filters that were asked of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import vecdb
from vecdb import F
from vecdb.config import EngineConfig
from vecdb.engine.filtering import KEY_LETTERS, filter_key


@pytest.fixture
def docs() -> Iterator[vecdb.Collection]:
    with vecdb.open(":memory:", config=EngineConfig(background=False, progress=False)) as db:
        docs = db.create_collection("docs", dim=1, metric="l2")
        docs.upsert(list(range(10)), np.ones((10, 1)), [{"n": number} for number in range(10)])
        yield docs


def test_a_long_list_of_ids_is_remembered_by_a_short_key(docs: vecdb.Collection) -> None:
    wanted = F.id.in_(range(5, 5_000))
    assert len(filter_key(wanted)) <= KEY_LETTERS
    assert filter_key(wanted) == filter_key(F.id.in_(range(5, 5_000))) != filter_key(F.id.in_(range(6, 5_000)))
    first, second = (docs.search([1.0], 20, filter=wanted, explain=True) for _ in range(2))
    assert first.ids == second.ids == [5, 6, 7, 8, 9]
    assert first.explain is not None
    assert second.explain is not None
    assert second.explain.remembered
    assert not first.explain.remembered


def test_a_long_str_to_compare_with_is_remembered_by_a_short_key() -> None:
    assert len(filter_key(F("a") == "x" * 4_000)) <= KEY_LETTERS
    assert filter_key(F("a") == "x" * 4_000) != filter_key(F("a") == "x" * 3_999)
