"""Fields that are added, filled, switched and dropped while a collection is used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tests.conformance.conftest import DIM
from tests.conformance.fronts import CollectionLike, DatabaseLike
from vecdb import F
from vecdb.errors import (
    AlreadyExistsError,
    ConflictError,
    DimensionMismatchError,
    DuplicateIdError,
    FieldNotFoundError,
    InvalidNameError,
    InvalidRequestError,
    InvalidVectorError,
    RecordNotFoundError,
    VersionConflictError,
)
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import Field

NEXT = ModelFingerprint(provider="builtin", name="next", dim=4)
IDS = [f"r{number}" for number in range(60)]
OLD = np.random.default_rng(1).standard_normal((60, DIM)).astype(np.float32)
NEW = np.random.default_rng(2).standard_normal((60, 4)).astype(np.float32)


@pytest.fixture
def filled(docs: CollectionLike) -> CollectionLike:
    """60 records with a vector in "default" only, indexed, and an empty field "next"."""
    docs.upsert(IDS, OLD, [{"n": number} for number in range(60)])
    docs.wait_indexed()
    docs.add_field("next", Field(dim=4, model=NEXT))
    return docs


def vectors(docs: CollectionLike, record_id: str) -> dict[str, Any]:
    return dict(docs.get(record_id, with_vectors=True).vectors)


def test_a_new_field_is_empty_and_leaves_the_others_as_they_are(filled: CollectionLike) -> None:
    assert list(filled.fields) == ["default", "next"]
    assert filled.stats().fields["next"].rows == 0
    assert filled.count(F.has_vector("next")) == 0
    assert filled.search(NEW[0], field="next").ids == []


def test_whoever_names_no_field_goes_on_meaning_the_first(filled: CollectionLike) -> None:
    assert filled.main_field == "default"
    assert filled.search(OLD[7], 1).ids == ["r7"]
    filled.upsert(["x"], OLD[:1])
    filled.upsert([{"id": "y", "vector": OLD[1]}])
    filled.update("y", vector=OLD[2])
    assert set(vectors(filled, "y")) == {"default"}


def test_a_collection_of_several_fields_has_no_main_one(db: DatabaseLike) -> None:
    two = db.create_collection("two", fields={"a": Field(dim=2), "b": Field(dim=2)})
    assert two.main_field is None
    with pytest.raises(FieldNotFoundError):
        two.search(np.ones(2))


def test_the_only_field_is_the_main_one_whatever_its_name(db: DatabaseLike) -> None:
    one = db.create_collection("one", fields={"text": Field(dim=2)})
    one.add_field("image", Field(dim=3))
    one.upsert(["a"], [[1.0, 0.0]])
    assert one.main_field == "text"
    assert one.search([1.0, 0.0]).ids == ["a"]


def test_a_declaration_that_is_repeated_meanwhile_is_still_the_same(db: DatabaseLike, filled: CollectionLike) -> None:
    assert db.create_collection("docs", dim=DIM, exist_ok=True).count() == filled.count()


def test_a_field_whose_name_is_taken_is_refused(filled: CollectionLike) -> None:
    with pytest.raises(AlreadyExistsError):
        filled.add_field("next", Field(dim=4, model=NEXT))
    filled.add_field("next", Field(dim=4, model=NEXT), exist_ok=True)
    with pytest.raises(AlreadyExistsError):
        filled.add_field("next", Field(dim=5), exist_ok=True)


@pytest.mark.parametrize(("name", "field"), [("Bad Name", Field(dim=4)), ("ok", "no field"), ("ok", Field(dim=0))])
def test_what_cannot_be_a_field_is_refused(docs: CollectionLike, name: str, field: Any) -> None:
    with pytest.raises(InvalidRequestError):
        docs.add_field(name, field)


def test_a_collection_takes_16_fields(docs: CollectionLike) -> None:
    for number in range(15):
        docs.add_field(f"f{number}", Field(dim=2))
    with pytest.raises(InvalidRequestError):
        docs.add_field("more", Field(dim=2))
    docs.drop_field("f3")
    docs.add_field("more", Field(dim=2))


# --- vectors in bulk ------------------------------------------------------------------------------------------------


def test_vectors_are_set_beside_all_that_a_record_holds(filled: CollectionLike) -> None:
    result = filled.set_vectors(IDS, {"next": NEW}, model=NEXT)
    assert result.count == 60
    record = filled.get("r7", with_vectors=True)
    assert (record.metadata, record.version) == ({"n": 7}, result.seq)
    np.testing.assert_array_equal(record.vectors["default"], OLD[7])
    np.testing.assert_array_equal(record.vectors["next"], NEW[7])
    np.testing.assert_array_equal(record.vector, OLD[7])
    assert filled.search(OLD[7], 1).ids == filled.search(NEW[7], 1, field="next").ids == ["r7"]
    assert filled.count() == 60


def test_vectors_that_were_there_are_replaced(filled: CollectionLike) -> None:
    filled.set_vectors(IDS, {"next": NEW})
    filled.set_vectors(["r7"], {"next": -NEW[7:8], "default": -OLD[7:8]})
    np.testing.assert_array_equal(vectors(filled, "r7")["next"], -NEW[7])
    assert filled.search(-NEW[7], 1, field="next").ids == ["r7"]
    assert filled.search(-OLD[7], 1).ids == ["r7"]
    assert filled.stats().fields["next"].rows == 60


def test_some_records_may_get_a_vector_of_one_field_and_some_of_another(filled: CollectionLike) -> None:
    filled.set_vectors(["r1", "r2"], {"next": [None, NEW[2]], "default": [OLD[5], None]})
    assert set(vectors(filled, "r1")) == {"default"}
    np.testing.assert_array_equal(vectors(filled, "r1")["default"], OLD[5])
    np.testing.assert_array_equal(vectors(filled, "r2")["default"], OLD[2])
    np.testing.assert_array_equal(vectors(filled, "r2")["next"], NEW[2])


def test_vectors_of_a_record_that_is_not_there_are_refused(filled: CollectionLike) -> None:
    with pytest.raises(RecordNotFoundError):
        filled.set_vectors(["r1", "nobody"], {"next": NEW[:2]})
    assert set(vectors(filled, "r1")) == {"default"}


def test_vectors_for_another_version_are_refused(filled: CollectionLike) -> None:
    version = filled.get("r1").version
    filled.update("r1", metadata={"n": -1})
    with pytest.raises(VersionConflictError):
        filled.set_vectors(["r1", "r2"], {"next": NEW[:2]}, if_version=version)
    assert set(vectors(filled, "r2")) == {"default"}


def test_records_that_changed_can_be_passed_over(filled: CollectionLike) -> None:
    versions = [filled.get(record_id).version for record_id in ("r1", "r2", "r3")]
    filled.update("r1", metadata={"n": -1})
    filled.delete("r3")
    ids = ["r1", "r2", "r3"]
    result = filled.set_vectors(ids, {"next": NEW[:3]}, if_version=versions, skip_changed=True)
    assert result.count == 1
    assert filled.get("r1").metadata == {"n": -1}
    assert [record_id for record_id in ("r1", "r2") if "next" in vectors(filled, record_id)] == ["r2"]
    assert filled.count() == 59


def test_setting_no_vectors_at_all_is_harmless(filled: CollectionLike) -> None:
    assert filled.set_vectors([], {"next": np.zeros((0, 4))}).count == 0
    assert filled.set_vectors(["nobody"], {"next": NEW[:1]}, skip_changed=True).count == 0


@pytest.mark.parametrize(
    ("ids", "given", "error"),
    [
        (["r1"], {"next": np.ones((1, 5))}, DimensionMismatchError),
        (["r1"], {"nowhere": np.ones((1, 4))}, FieldNotFoundError),
        (["r1", "r1"], {"next": np.ones((2, 4))}, DuplicateIdError),
        (["r1", "r2"], {"next": np.ones((1, 4))}, InvalidVectorError),
        (["r1", "r2"], {"next": [None, np.ones(4)]}, InvalidVectorError),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    filled: CollectionLike, ids: list[str], given: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        filled.set_vectors(ids, given)


def test_vectors_can_be_set_within_a_transaction(db: DatabaseLike, filled: CollectionLike) -> None:
    with db.transaction() as tx:
        inside = tx.collection("docs")
        inside.upsert(["new"], OLD[:1])
        inside.set_vectors(["new", "r1"], {"next": NEW[:2]})
    assert set(vectors(filled, "new")) == {"default", "next"}


def test_expiries_and_indexes_of_metadata_go_on_holding(docs: CollectionLike) -> None:
    docs.create_index("n", "int")
    docs.upsert(IDS, OLD, [{"n": number} for number in range(60)], expires_at=datetime(2999, 1, 1, tzinfo=UTC))
    docs.add_field("next", Field(dim=4))
    docs.set_vectors(IDS[:30], {"next": NEW[:30]})
    assert docs.count(F("n") < 40, strict=True) == 40
    assert docs.get("r3").expires_at == docs.get("r33").expires_at is not None


# --- names that change places ---------------------------------------------------------------------------------------


def test_a_name_means_the_other_field_once_it_is_switched(filled: CollectionLike) -> None:
    filled.set_vectors(IDS, {"next": NEW})
    filled.switch_field("default", "next", keep_as="before")
    assert list(filled.fields) == ["default", "before"]
    assert (filled.model(), filled.model("before"), filled.main_field) == (NEXT, None, "default")
    assert filled.search(NEW[7], 1, model=NEXT).ids == ["r7"]
    assert filled.search(OLD[7], 1, field="before").ids == ["r7"]
    np.testing.assert_array_equal(vectors(filled, "r7")["default"], NEW[7])
    with pytest.raises(DimensionMismatchError):
        filled.search(OLD[7])


def test_a_switch_is_taken_back_by_another(filled: CollectionLike) -> None:
    filled.set_vectors(IDS, {"next": NEW})
    filled.switch_field("default", "next", keep_as="before")
    filled.switch_field("default", "before", keep_as="next")
    assert (filled.model(), filled.model("next")) == (None, NEXT)
    assert filled.search(OLD[7], 1).ids == filled.search(NEW[7], 1, field="next").ids == ["r7"]


def test_without_a_name_to_keep_the_two_swap_theirs(filled: CollectionLike) -> None:
    filled.set_vectors(IDS, {"next": NEW})
    filled.switch_field("default", "next")
    assert {name: field.dim for name, field in filled.fields.items()} == {"default": 4, "next": DIM}


def test_what_is_written_after_a_switch_is_indexed_where_it_belongs(filled: CollectionLike) -> None:
    filled.set_vectors(IDS, {"next": NEW})
    filled.switch_field("default", "next", keep_as="before")
    filled.upsert(["x"], [10 * NEW[3]])
    filled.optimize()
    assert set(filled.search(NEW[3], 2).ids) == {"r3", "x"}
    assert filled.stats().fields["before"].rows == 60


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "default", "to": "nowhere"}, FieldNotFoundError),
        ({"name": "nowhere", "to": "next"}, FieldNotFoundError),
        ({"name": "default", "to": "default"}, InvalidRequestError),
        ({"name": "default", "to": "next", "keep_as": "third"}, AlreadyExistsError),
        ({"name": "default", "to": "next", "keep_as": "default"}, InvalidRequestError),
        ({"name": "default", "to": "next", "keep_as": "Not A Name"}, InvalidNameError),
    ],
)
def test_a_switch_that_cannot_be_changes_nothing(
    filled: CollectionLike, arguments: dict[str, str], error: type[Exception]
) -> None:
    filled.add_field("third", Field(dim=2))
    with pytest.raises(error):
        filled.switch_field(**arguments)
    assert list(filled.fields) == ["default", "next", "third"]


def test_a_switch_is_refused_while_a_record_stands_against_it(filled: CollectionLike) -> None:
    filled.set_vectors(IDS[:59], {"next": NEW[:59]})
    with pytest.raises(ConflictError):
        filled.switch_field("default", "next", unless=~F.has_vector("next"))
    filled.set_vectors(IDS[59:], {"next": NEW[59:]})
    filled.switch_field("default", "next", unless=~F.has_vector("next"))
    assert filled.search(NEW[7], 1).ids == ["r7"]


def test_what_a_field_follows_is_stored_with_it(docs: CollectionLike) -> None:
    docs.add_field("next", Field(dim=4, follows=("text",)))
    assert docs.fields["next"].follows == ("text",)


# --- fields that go -------------------------------------------------------------------------------------------------


def test_a_dropped_field_is_gone_and_all_else_stays(db: DatabaseLike, filled: CollectionLike) -> None:
    filled.set_vectors(IDS, {"next": NEW})
    filled.wait_indexed()
    filled.drop_field("next")
    assert list(filled.fields) == ["default"]
    assert set(vectors(filled, "r7")) == {"default"}
    assert filled.search(OLD[7], 1).ids == ["r7"]
    with pytest.raises(FieldNotFoundError):
        filled.search(NEW[7], field="next")
    assert db.verify().problems == ()


def test_records_outlive_their_only_vector(db: DatabaseLike, filled: CollectionLike) -> None:
    filled.drop_field("default")
    assert filled.get("r7", with_vectors=True).vectors == {}
    assert filled.count() == 60
    assert filled.main_field == "next"
    filled.set_vectors(["r7"], NEW[:1])
    assert filled.search(NEW[0]).ids == ["r7"]
    assert db.verify().problems == ()


def test_the_last_field_stays(docs: CollectionLike) -> None:
    with pytest.raises(InvalidRequestError):
        docs.drop_field("default")


def test_a_field_that_is_not_there_cannot_be_dropped(docs: CollectionLike) -> None:
    with pytest.raises(FieldNotFoundError):
        docs.drop_field("nowhere")


def test_a_field_of_the_same_name_begins_empty(db: DatabaseLike, filled: CollectionLike) -> None:
    filled.set_vectors(IDS, {"next": NEW})
    filled.optimize()
    filled.drop_field("next")
    filled.add_field("next", Field(dim=3))
    assert filled.stats().fields["next"].rows == 0
    filled.set_vectors(["r1"], {"next": [[1.0, 0.0, 0.0]]})
    assert filled.search([1.0, 0.0, 0.0], field="next").ids == ["r1"]
    assert db.verify().problems == ()


def test_a_handle_made_before_a_change_means_what_the_names_mean_now(db: DatabaseLike, filled: CollectionLike) -> None:
    other = db.collection("docs")
    filled.set_vectors(IDS, {"next": NEW})
    filled.switch_field("default", "next", keep_as="before")
    filled.add_field("third", Field(dim=2))
    other.upsert(["x"], NEW[:1], model=NEXT)
    other.upsert([{"id": "y", "vectors": {"third": [1.0, 0.0], "default": NEW[1]}}])
    assert set(vectors(filled, "x")) == {"default"}
    assert set(vectors(filled, "y")) == {"default", "third"}
