"""The model that a field stores: how it is declared, whom it refuses, and what the refusal says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conformance.conftest import DIM
from tests.conformance.fronts import CollectionLike, DatabaseLike
from vecdb.errors import (
    CollectionExistsError,
    DimensionMismatchError,
    FieldNotFoundError,
    InvalidRequestError,
    ModelMismatchError,
)
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import Field

MINE = ModelFingerprint(
    provider="openai",
    name="small",
    revision="3",
    dim=DIM,
    normalized=False,
    full_dim=4 * DIM,
    document_prompt="passage: ",
    query_prompt="query: ",
    location="https://models.example/v1",
)
OTHER = ModelFingerprint(provider="builtin", name="other", dim=DIM)
SMALL = ModelFingerprint(provider="builtin", name="small", dim=4)
ROW = np.ones(DIM, dtype=np.float32)


@pytest.fixture
def modelled(db: DatabaseLike) -> CollectionLike:
    """A collection of the model MINE with one record."""
    made = db.create_collection("docs", model=MINE)
    made.upsert(["a"], [ROW], model=MINE)
    return made


def test_a_collection_has_no_model_until_one_is_named(docs: CollectionLike) -> None:
    assert docs.model() is None
    assert docs.fields["default"].model is None


def test_a_model_is_stored_with_all_that_it_is(db: DatabaseLike, modelled: CollectionLike) -> None:
    found = db.collection("docs").model()
    assert found is not None
    assert found.to_dict() == MINE.to_dict()
    assert modelled.fields["default"] == Field(dim=DIM, model=MINE)


def test_a_model_brings_its_dimension(modelled: CollectionLike) -> None:
    assert modelled.fields["default"].dim == DIM


def test_each_field_has_a_model_of_its_own(db: DatabaseLike) -> None:
    two = db.create_collection("two", fields={"text": Field(dim=DIM, model=MINE), "image": Field(dim=4)})
    assert (two.model("text"), two.model("image")) == (MINE, None)
    with pytest.raises(FieldNotFoundError):
        two.model()


@pytest.mark.parametrize("options", [{"dim": DIM + 1, "model": MINE}, {"fields": {"a": Field(dim=3, model=MINE)}}])
def test_a_field_of_another_dimension_than_its_model_is_refused(db: DatabaseLike, options: dict[str, Any]) -> None:
    with pytest.raises(DimensionMismatchError):
        db.create_collection("docs", **options)


def test_what_is_no_model_is_refused(db: DatabaseLike, docs: CollectionLike) -> None:
    with pytest.raises(InvalidRequestError):
        db.create_collection("other", dim=DIM, model="openai:small")
    with pytest.raises(InvalidRequestError):
        docs.search(ROW, model="openai:small")


WRITES: list[Callable[[CollectionLike, Any], object]] = [
    lambda docs, model: docs.upsert(["a"], [ROW], model=model),
    lambda docs, model: docs.upsert([{"id": "a", "vector": ROW}], model=model),
    lambda docs, model: docs.insert(["b"], [ROW], model=model),
    lambda docs, model: docs.update("a", vector=ROW, model=model),
    lambda docs, model: docs.set_vectors(["a"], [ROW], model=model),
    lambda docs, model: docs.upsert(["a"], {"default": [ROW]}, model=None if model is None else {"default": model}),
]
QUERIES: list[Callable[[CollectionLike, Any], object]] = [
    lambda docs, model: docs.search(ROW, model=model),
    lambda docs, model: docs.search_batch([ROW, ROW], model=model),
]


@pytest.mark.parametrize("call", [*WRITES, *QUERIES])
def test_another_model_is_refused_with_both_named_and_the_way_out(
    modelled: CollectionLike, call: Callable[[CollectionLike, Any], object]
) -> None:
    with pytest.raises(ModelMismatchError) as caught:
        call(modelled, OTHER)
    error = caught.value
    assert error.details["stored"] == MINE.to_dict()
    assert error.details["given"] == OTHER.to_dict()
    assert error.details["collection"] == "docs"
    assert "openai:small" in error.message
    assert "builtin:other" in error.message
    assert "vecdb reembed docs --to DIR|HOST:PORT --model builtin" in error.message


@pytest.mark.parametrize("call", [*WRITES, *QUERIES])
@pytest.mark.parametrize("model", [MINE, None])
def test_the_same_model_or_none_is_let_in(
    modelled: CollectionLike, call: Callable[[CollectionLike, Any], object], model: ModelFingerprint | None
) -> None:
    call(modelled, model)


def test_nothing_of_a_refused_write_is_stored(modelled: CollectionLike) -> None:
    with pytest.raises(ModelMismatchError):
        modelled.upsert(["a", "b"], [-ROW, -ROW], model=OTHER)
    assert modelled.count() == 1


def test_a_field_without_a_model_takes_vectors_of_any(docs: CollectionLike) -> None:
    docs.upsert(["a"], [ROW], model=OTHER)
    assert docs.search(ROW, model=MINE).ids == ["a"]


def test_models_of_several_fields_are_compared_one_by_one(db: DatabaseLike) -> None:
    fields = {"text": Field(dim=DIM, model=MINE), "image": Field(dim=4, model=SMALL)}
    two = db.create_collection("two", fields=fields)
    vectors = {"text": [ROW], "image": [np.ones(4)]}
    two.upsert(["a"], vectors, model={"text": MINE, "image": SMALL})
    with pytest.raises(ModelMismatchError):
        two.upsert(["a"], vectors, model={"text": OTHER, "image": SMALL})
    with pytest.raises(InvalidRequestError):
        two.upsert(["a"], vectors, model=MINE)


def test_writes_within_a_transaction_are_compared_too(db: DatabaseLike, modelled: CollectionLike) -> None:
    with pytest.raises(ModelMismatchError), db.transaction() as tx:
        tx.collection("docs").upsert(["b"], [ROW], model=OTHER)
    assert modelled.count() == 1


def test_a_model_can_be_stored_later(docs: CollectionLike) -> None:
    docs.upsert(["a"], [ROW])
    docs.set_model(MINE)
    assert docs.model() == MINE
    with pytest.raises(ModelMismatchError):
        docs.upsert(["a"], [ROW], model=OTHER)


def test_the_model_of_vectors_that_are_stored_is_not_replaced(modelled: CollectionLike) -> None:
    modelled.set_model(MINE)
    with pytest.raises(ModelMismatchError):
        modelled.set_model(OTHER)
    assert modelled.model() == MINE


def test_the_model_of_an_empty_field_can_be_replaced(db: DatabaseLike) -> None:
    made = db.create_collection("docs", model=MINE)
    made.set_model(OTHER, field="default")
    assert made.model() == OTHER


def test_a_model_of_another_dimension_is_not_stored(docs: CollectionLike) -> None:
    with pytest.raises(DimensionMismatchError):
        docs.set_model(SMALL)


def test_a_declaration_repeated_with_the_model_or_without_it_is_the_same(
    db: DatabaseLike, modelled: CollectionLike
) -> None:
    for model in (MINE, None):
        assert db.create_collection("docs", dim=DIM, model=model, exist_ok=True).count() == modelled.count()


def test_a_declaration_repeated_with_another_model_is_refused(db: DatabaseLike, modelled: CollectionLike) -> None:
    with pytest.raises(ModelMismatchError):
        db.create_collection(modelled.name, dim=DIM, model=OTHER, exist_ok=True)


def test_a_declaration_of_a_model_where_none_is_stored_is_refused(db: DatabaseLike, docs: CollectionLike) -> None:
    with pytest.raises(CollectionExistsError):
        db.create_collection(docs.name, dim=DIM, model=MINE, exist_ok=True)
