"""Fields that follow texts: their vectors go when the texts change, and no switch happens before they are back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb import F, Field
from vecdb.errors import ConflictError, InvalidFilterError, InvalidRequestError
from vecdb.types import Metadata

ROWS = np.eye(3, dtype=np.float32)


@pytest.fixture
def docs(tmp_path: Path) -> Iterator[vecdb.Collection]:
    """Three records with a vector in "default" and in "next", which follows their texts."""
    with vecdb.open(tmp_path / "db") as db:
        made = db.create_collection("docs", dim=3)
        made.upsert([0, 1, 2], ROWS, [{"text": f"t{n}", "_source": {"text": "s"}, "seen": 0} for n in range(3)])
        made.add_field("next", Field(dim=3, follows=("text", "_source.text")))
        made.set_vectors([0, 1, 2], {"next": ROWS})
        yield made


def fields_of(docs: vecdb.Collection, record_id: int) -> set[str]:
    record = docs.get(record_id, with_vectors=True)
    assert record is not None
    return set(record.vectors)


@pytest.mark.parametrize("change", [{"text": "new"}, {"_source": {"text": "new"}}, {"_source": None}])
def test_a_change_of_what_a_field_follows_removes_its_vector(docs: vecdb.Collection, change: Metadata) -> None:
    docs.update(1, metadata=change)
    assert fields_of(docs, 1) == {"default"}
    assert docs.count(~F.has_vector("next")) == 1
    assert docs.search(ROWS[1], field="next", exact=True).ids == [0, 2]


@pytest.mark.parametrize("change", [{"seen": 1}, {"text": "t1"}, {"_source": {"text": "s", "page": 2}}])
def test_any_other_change_leaves_it(docs: vecdb.Collection, change: Metadata) -> None:
    docs.update(1, metadata=change)
    assert fields_of(docs, 1) == {"default", "next"}


def test_a_new_vector_that_comes_with_the_change_is_stored(docs: vecdb.Collection) -> None:
    docs.update(1, metadata={"text": "new"}, vectors={"next": ROWS[0] + ROWS[2]})
    assert docs.search(ROWS[0] + ROWS[2], field="next", exact=True, limit=1).ids == [1]


def test_a_new_vector_of_another_field_does_not_save_it(docs: vecdb.Collection) -> None:
    docs.update(1, metadata={"text": "new"}, vectors={"default": ROWS[2]})
    assert fields_of(docs, 1) == {"default"}


def test_an_update_by_filter_removes_the_vectors_of_all_that_change(docs: vecdb.Collection) -> None:
    docs.update(filter=F("seen") == 0, metadata={"text": "t1"})
    assert [fields_of(docs, record_id) for record_id in range(3)] == [{"default"}, {"default", "next"}, {"default"}]


def test_vectors_in_segments_go_as_those_of_the_tail_do(docs: vecdb.Collection) -> None:
    docs.optimize()
    docs.update(1, metadata={"text": "new"})
    assert fields_of(docs, 1) == {"default"}


def test_what_a_field_follows_is_known_after_opening_again(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as db:
        db.create_collection("docs", dim=3).add_field("next", Field(dim=3, follows=("text",)))
    with vecdb.open(tmp_path / "db") as db:
        assert db.collection("docs").fields["next"].follows == ("text",)


def test_following_stays_with_the_name_when_fields_are_switched(docs: vecdb.Collection) -> None:
    docs.switch_field("default", "next", keep_as="previous")
    docs.update(1, metadata={"text": "new"})
    assert fields_of(docs, 1) == {"default"}
    assert docs.count(~F.has_vector("previous")) == 1


def test_nothing_is_switched_while_a_record_matches_what_must_not_be(docs: vecdb.Collection) -> None:
    docs.update(1, metadata={"text": "new"})
    with pytest.raises(ConflictError, match=r"was not switched to 'next': 1 record\(s\) match"):
        docs.switch_field("default", "next", keep_as="previous", unless=~F.has_vector("next"))
    assert set(docs.fields) == {"default", "next"}
    docs.set_vectors([1], {"next": ROWS[:1]})
    docs.switch_field("default", "next", keep_as="previous", unless=~F.has_vector("next"))
    assert set(docs.fields) == {"default", "previous"}


def test_what_is_followed_is_a_tuple_of_paths(docs: vecdb.Collection) -> None:
    with pytest.raises(InvalidRequestError, match="give a tuple"):
        docs.add_field("other", Field(dim=3, follows="text"))  # type: ignore[arg-type]
    with pytest.raises(InvalidFilterError, match="empty key"):
        docs.add_field("other", Field(dim=3, follows=("a..b",)))
