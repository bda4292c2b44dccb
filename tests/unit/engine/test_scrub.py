"""The scrub: damage in chunks is found and listed, and does no harm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import vecdb
from tests.unit.engine.filling import damage_chunk, fill, stored_keys
from vecdb.engine import scrub
from vecdb.engine.scrub import Scrubber
from vecdb.errors import CorruptionError
from vecdb.storage.keys import Table
from vecdb.storage.transactions import ReadTransaction


@pytest.fixture
def indexed(db: vecdb.Database, docs: vecdb.Collection) -> vecdb.Database:
    """A database with one segment."""
    fill(docs, 50)
    docs.optimize()
    return db


def scrubber_of(db: vecdb.Database) -> Scrubber:
    """The scrubber of a database."""
    assert db._indexer is not None
    return db._indexer.scrubber


def test_a_sound_database_has_no_problems(indexed: vecdb.Database) -> None:
    scrubber_of(indexed).step()
    assert indexed.problems == ()


@pytest.mark.parametrize("position", [0, 2, -1])
def test_a_flipped_byte_is_found_named_and_listed_once(position: int, indexed: vecdb.Database) -> None:
    key = damage_chunk(indexed, position)
    for _ in range(3):
        scrubber_of(indexed).step()
    (problem,) = indexed.problems
    assert f"segment {int.from_bytes(key[6:10], 'big')}" in problem
    assert "restore a backup" in problem


def test_a_scrub_goes_on_where_it_stopped_until_it_has_seen_every_chunk(
    indexed: vecdb.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "SCRUB_BYTES", 1)
    seen: list[bytes] = []
    monkeypatch.setattr(scrub, "check_chunk", lambda key, _: seen.append(key))
    stored = stored_keys(indexed, Table.CHUNKS)[Table.CHUNKS]
    for _ in range(2 * len(stored)):
        scrubber_of(indexed).step()
    assert seen == stored * 2


def test_a_table_that_cannot_be_read_is_a_problem_and_no_error(
    indexed: vecdb.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: Any) -> Iterator[Any]:
        raise CorruptionError("page 7 is damaged")

    monkeypatch.setattr(ReadTransaction, "items", damaged)
    scrubber_of(indexed).step()
    assert indexed.problems == ("page 7 is damaged",)


def test_the_list_of_problems_ends_somewhere(indexed: vecdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "PROBLEMS_MAX", 2)
    for position in range(4):
        damage_chunk(indexed, position)
    scrubber_of(indexed).step()
    assert len(indexed.problems) == 2
