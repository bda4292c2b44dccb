"""A load is told from writes that the index keeps up with, and what it leaves is indexed when it is over."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb.engine import indexer
from vecdb.engine.config import LOAD_PAUSE_S, LOAD_ROWS_PER_S, LOAD_WINDOW_S
from vecdb.engine.inflow import Inflow

CONFIG = vecdb.EngineConfig(progress=False, map_bytes=1 << 32, tail_rows_index=64)


def test_many_vectors_in_a_short_time_are_a_load() -> None:
    inflow = Inflow(0.0, 100)
    assert not inflow.is_load(0.1, 100 + int(LOAD_ROWS_PER_S * LOAD_WINDOW_S) - 1)
    assert inflow.is_load(0.2, 100 + int(LOAD_ROWS_PER_S * LOAD_WINDOW_S))


def test_a_load_that_pauses_is_none() -> None:
    inflow = Inflow(0.0, 0)
    assert inflow.is_load(1.0, 100 * LOAD_ROWS_PER_S)
    assert inflow.is_load(0.9 + LOAD_PAUSE_S, 100 * LOAD_ROWS_PER_S)
    assert not inflow.is_load(2.1 + LOAD_PAUSE_S, 100 * LOAD_ROWS_PER_S)


def test_vectors_that_came_slowly_while_nobody_asked_are_no_load() -> None:
    inflow = Inflow(0.0, 0)
    assert not inflow.is_load(1_000.0, 10 * LOAD_ROWS_PER_S)


def test_a_load_after_a_long_rest_is_one_from_its_first_second_on() -> None:
    inflow = Inflow(0.0, 0)
    assert not inflow.is_load(1_000.0, 0)
    assert not inflow.is_load(1_000.1, int(LOAD_ROWS_PER_S * LOAD_WINDOW_S) - 1)
    assert inflow.is_load(1_000.2, int(LOAD_ROWS_PER_S * LOAD_WINDOW_S))


def _load(collection: vecdb.Collection, rows: int) -> None:
    collection.upsert(list(range(rows)), np.random.default_rng(1).standard_normal((rows, 4), dtype=np.float32))


def _indexed(collection: vecdb.Collection) -> int:
    return sum(field.segments for field in collection.stats().fields.values())


def test_what_a_load_left_is_indexed_when_it_is_over(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", 4)
        _load(docs, 2 * int(LOAD_ROWS_PER_S * LOAD_WINDOW_S))
        end = time.monotonic() + 60
        while not _indexed(docs):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_tail_that_grows_too_large_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inflow, "is_load", lambda *_: True)
    monkeypatch.setattr(indexer, "LOAD_TAIL_BYTES", 4 * 4 * 1_000)
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", 4)
        _load(docs, 900)
        assert not _indexed(docs)
        _load(docs, 1_100)
        end = time.monotonic() + 60
        while not _indexed(docs):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_who_asks_for_it_has_loads_indexed_while_they_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inflow, "is_load", lambda *_: True)
    with vecdb.open(tmp_path / "db", config=replace(CONFIG, index_loads=True)) as db:
        docs = db.create_collection("docs", 4)
        _load(docs, 900)
        end = time.monotonic() + 60
        while not _indexed(docs):
            assert time.monotonic() < end
            time.sleep(0.01)
