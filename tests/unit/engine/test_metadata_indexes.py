"""Checks how metadata indexes live: built over stored records, kept up, followed by readers, dropped, damaged."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, DIM, fill, rows, stored_keys
from vecdb import F
from vecdb.config import BLOCK_SLOTS
from vecdb.engine.filtering import matching
from vecdb.engine.index_operations import CreateIndex
from vecdb.engine.index_values import Entry
from vecdb.engine.index_writing import BuildBlocks
from vecdb.errors import CorruptionError, LimitExceededError
from vecdb.storage.blocks import EXCEPTION
from vecdb.storage.keys import Table

MANY = 3 * BLOCK_SLOTS


def fill_numbered(docs: vecdb.Collection, count: int, first: int = 0) -> None:
    """Records whose metadata has their number."""
    numbers = list(range(first, first + count))
    metadata: list[Any] = [{"n": number, "s": f"s{number % 10}"} for number in numbers]
    docs.upsert(numbers, rows(count), metadata)


def one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a commit build one block."""
    monkeypatch.setattr("vecdb.engine.index_writing.INDEX_BUILD_BLOCKS", 1)


def test_an_index_over_stored_records_reports_its_progress(docs: vecdb.Collection, monkeypatch: Any) -> None:
    one_block(monkeypatch)
    fill_numbered(docs, MANY - 5)
    seen: list[tuple[int, int]] = []
    docs.create_index("n", "int", progress=lambda done, total: seen.append((done, total)))
    assert seen[:3] == [(BLOCK_SLOTS, MANY - 5), (2 * BLOCK_SLOTS, MANY - 5), (MANY - 5, MANY - 5)]
    assert docs.count(F("n") >= 100, strict=True) == MANY - 105


def test_writes_go_on_while_an_index_is_built(db: vecdb.Database, docs: vecdb.Collection, monkeypatch: Any) -> None:
    """Blocks built are kept up, the others are left to the builder, and what is new is in neither's way."""
    one_block(monkeypatch)
    fill_numbered(docs, MANY)
    writer = db._writer
    assert writer is not None
    number = writer.submit(CreateIndex(docs._schema, "n", "int")).count
    writer.submit(BuildBlocks(docs._schema, number))
    docs.update(5, metadata={"n": -5})
    docs.update(MANY - 1, metadata={"n": -6})
    docs.delete([6, MANY - 2])
    fill_numbered(docs, 100, first=MANY)
    [unfinished] = docs.indexes
    assert not unfinished.ready
    assert docs.count(F("n") < 0) == 2
    db._indexer.build_indexes(docs._schema, None)  # type: ignore[union-attr]  # a writer has one
    assert docs.indexes[0].ready
    assert docs.count(F("n") < 0, strict=True) == 2
    assert docs.count(F("n") >= 0, strict=True) == MANY + 100 - 4
    assert db.verify().ok


def test_concurrent_writers_leave_a_right_index(docs: vecdb.Collection, db: vecdb.Database) -> None:
    fill_numbered(docs, 2_000)

    def write(first: int) -> None:
        for step in range(10):
            fill_numbered(docs, 20, first=first + 20 * step)

    threads = [threading.Thread(target=write, args=(10_000 * number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    docs.create_index("s", "keyword")
    docs.create_index("n", "float")
    for thread in threads:
        thread.join()
    assert docs.count((F("s") == "s3") & (F("n") >= 10_000), strict=True) == 60
    assert db.verify().ok


def test_an_index_whose_building_was_interrupted_is_completed_after_the_next_open(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        fill_numbered(docs, MANY)
        assert db._writer is not None
        db._writer.submit(CreateIndex(docs._schema, "n", "int"))
    with vecdb.open(tmp_path / "db", config=replace(CONFIG, background=True)) as db:
        docs = db.collection("docs")
        for _ in range(3_000):
            if docs.indexes[0].ready:
                break
            threading.Event().wait(0.01)
        assert docs.count(F("n") == 7, strict=True) == 1
        assert db.verify().ok


def test_a_reopened_database_has_its_indexes(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        docs.create_index("s", "keyword")
        fill_numbered(docs, 5_000)
    with vecdb.open(tmp_path / "db", mode="r", config=CONFIG) as reader:
        assert reader.collection("docs").count(F("s") == "s3", strict=True) == 500


def test_a_reader_follows_what_an_index_holds(tmp_path: Path) -> None:
    with (
        vecdb.open(tmp_path / "db", config=CONFIG) as db,
        vecdb.open(tmp_path / "db", mode="r", config=CONFIG) as reader,
    ):
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        fill_numbered(docs, 300)
        docs.create_index("n", "int")
        follower = reader.collection("docs")
        assert follower.count(F("n") < 100, strict=True) == 100
        docs.update(5, metadata={"n": 1_000})
        docs.update(6, metadata={"n": 1_000})
        docs.delete([7])
        fill_numbered(docs, 50, first=300)
        assert follower.count(F("n") < 100, strict=True) == 97
        assert [record.id for record in follower.iterate(filter=F("n") == 1_000)] == [5, 6]
        docs.drop_index("n")
        assert follower.count(F("n") < 100) == 97
        assert follower.indexes == ()


def test_a_view_keeps_the_index_of_its_moment(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.create_index("n", "int")
    fill_numbered(docs, 1_000)
    view = db._publisher.view
    collection = view.collections[docs._schema.number]
    for number in range(0, 1_000, 10):
        docs.update(number, metadata={"n": -1})
    fill(docs, 500, first=5_000)
    assert matching(view, collection, F("n") >= 0).count == 1_000
    assert docs.count(F("n") >= 0) == 900


def test_a_dropped_index_gives_its_space_back(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.create_index("s", "keyword")
    docs.create_index("n", "int")
    fill_numbered(docs, 100)
    docs.drop_index("s")
    kept = stored_keys(db, Table.COLUMNS, Table.TERMS)
    assert len(kept[Table.COLUMNS]) == 1
    assert not kept[Table.TERMS]
    docs.create_index("s", "keyword")
    assert docs.count(F("s") == "s1", strict=True) == 10


def test_a_dropped_collection_takes_its_indexes_along(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.create_index("s", "keyword")
    fill_numbered(docs, 100)
    db.drop_collection("docs")
    assert stored_keys(db, Table.COLUMNS, Table.TERMS) == {Table.COLUMNS: [], Table.TERMS: []}


def test_there_are_only_so_many_indexes(docs: vecdb.Collection) -> None:
    for number in range(64):
        docs.create_index(f"p{number}", "int")
    with pytest.raises(LimitExceededError, match="64 indexes"):
        docs.create_index("one more", "int")


def test_terms_are_stored_once_and_found_in_code_point_order(docs: vecdb.Collection) -> None:
    docs.create_index("s", "keyword")
    words = ["b", "a", "é", "日本", "a", "z", "b"]
    docs.upsert(list(range(len(words))), rows(len(words)), [{"s": word} for word in words])
    assert docs.count(F("s") > "b", strict=True) == 3
    assert docs.count(F("s") <= "b", strict=True) == 4
    assert [record.metadata["s"] for record in docs.iterate(order_by="s")] == sorted(words)


def damage_block(db: vecdb.Database, place: int) -> None:
    """Change a byte of a stored block."""
    [key] = stored_keys(db, Table.COLUMNS)[Table.COLUMNS]
    with db._environment.write() as txn:
        stored = txn.get(Table.COLUMNS, key)
        assert stored is not None
        value = bytearray(stored)
        value[place] ^= 1
        txn.put(Table.COLUMNS, key, value)


def test_verify_names_a_damaged_block(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.create_index("n", "int")
    fill_numbered(docs, 100)
    damage_block(db, 1_500)
    assert any("columns, collection" in problem for problem in db.verify().problems)


def test_a_block_with_a_damaged_header_is_refused_when_the_index_is_opened(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        docs.create_index("n", "int")
        fill_numbered(docs, 100)
        damage_block(db, 9)
    with pytest.raises(CorruptionError, match="columns"):
        vecdb.open(tmp_path / "db", config=CONFIG)


def test_verify_notices_an_index_that_tells_another_story(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.create_index("n", "int")
    docs.create_index("s", "keyword")
    fill_numbered(docs, 100)
    assert db.verify().ok
    assert db._writer is not None
    with db._writer.transaction() as txn:
        for key in stored_keys(db, Table.COLUMNS)[Table.COLUMNS][:1]:
            txn.delete(Table.COLUMNS, key)
    [problem] = db.verify().problems
    assert "int index of 'n' does not hold what the record at slot 0 says (100 such)" in problem


def test_a_commit_of_many_records_keeps_every_block(docs: vecdb.Collection) -> None:
    docs.create_index("n", "int")
    docs.upsert(
        list(range(MANY)), np.ones((MANY, DIM), dtype=np.float32), [{"n": number % 7} for number in range(MANY)]
    )
    for value in range(7):
        assert docs.count(F("n") == value, strict=True) == len(range(value, MANY, 7))


TEXTS: list[Any] = [["red fox", "blue cat"], ["red cat"], "red cat", ["red cat", 5, None], [["red cat"]], [5], [], None]
PLACES: list[Any] = [
    {"lat": 1, "lon": 1},
    [{"lat": 1, "lon": 50}, {"lat": 50, "lon": 1}],
    [{"lat": 50, "lon": 50}, {"lat": 1, "lon": 1}, "x"],
    [],
    None,
    "x",
]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (F("a").match("red cat"), [1, 2, 3]),
        (F("a").match("red cat", "phrase"), [1, 2, 3]),
        (F("a").match("red"), [0, 1, 2, 3]),
        (F("a").match("fox 5", "any"), [0]),
        (F("a").is_null(), [7]),
        (F("a").exists(), [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
    ids=str,
)
def test_a_text_index_holds_the_words_of_all_elements(docs: vecdb.Collection, wanted: Any, ids: list[int]) -> None:
    """Only which words are together in one str is for the records to tell."""
    docs.create_index("a", "text")
    docs.upsert(list(range(len(TEXTS))), rows(len(TEXTS)), [{"a": value} for value in TEXTS])
    assert [record.id for record in docs.iterate(filter=wanted)] == ids
    [step] = steps_of(docs, wanted)
    assert step.how.startswith("text index")
    assert ("cannot decide" in step.how) == ("red cat" in str(wanted))


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (F("a").geo_radius(1, 1, 1_000), [0, 2]),
        (F("a").geo_box(0, 0, 2, 2), [0, 2]),
        (F("a").geo_polygon([(0, 0), (0, 60), (2, 60), (2, 0)]), [0, 1, 2]),
        (F("a").is_null(), [4]),
    ],
    ids=str,
)
def test_a_geo_index_holds_all_places_of_a_list(docs: vecdb.Collection, wanted: Any, ids: list[int]) -> None:
    docs.create_index("a", "geo")
    docs.upsert(list(range(len(PLACES))), rows(len(PLACES)), [{"a": value} for value in PLACES])
    assert [record.id for record in docs.iterate(filter=wanted)] == ids
    [step] = steps_of(docs, wanted)
    assert step.how == "geo index"


def steps_of(docs: vecdb.Collection, wanted: Any) -> tuple[vecdb.types.FilterStep, ...]:
    docs.update(0, metadata={"seen": True})  # a new View, which remembers nothing
    explain = docs.search(rows(1)[0], filter=wanted, explain=True).explain
    assert explain is not None
    return explain.steps


def test_verify_accepts_an_index_of_lists_that_says_to_look_at_their_records(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: Any
) -> None:
    """As indexes of texts and places did before they held those of lists."""
    docs.create_index("a", "text")
    monkeypatch.setattr("vecdb.engine.index_values._text_entry", lambda *_, **__: Entry(EXCEPTION))
    docs.upsert([1], rows(1), [{"a": ["red cat"]}])
    monkeypatch.undo()
    assert docs.count(F("a").match("cat"), strict=True) == 1
    assert db.verify().problems == ()
