"""Declarations of collections: numbered, looked up, and refused when they cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.engine.filling import collection_schema
from vecdb.checks.declarations import check_name, declared_fields
from vecdb.config import DIM_MAX, FIELDS_MAX, M_MAX, M_MIN
from vecdb.engine.schema import build_schema
from vecdb.errors import FieldNotFoundError, InvalidNameError, InvalidRequestError, LimitExceededError
from vecdb.types import Field

FIELD = Field(dim=3)


def test_a_schema_gives_back_what_was_declared() -> None:
    declared = Field(dim=7, metric="dot", dtype="float16", m=8, ef_construction=99, builder="hnswlib", layout="compact")
    assert collection_schema(text=declared).field("text").public() == declared


def test_fields_are_numbered_in_the_order_of_their_declaration() -> None:
    schema = collection_schema(b=FIELD, a=FIELD)
    assert [(field.number, field.name) for field in schema.fields] == [(0, "b"), (1, "a")]


def test_the_only_field_is_meant_when_none_is_named() -> None:
    assert collection_schema(text=FIELD).field(None).name == "text"


@pytest.mark.parametrize("name", [None, "c", "", "A"])
def test_a_field_that_is_not_there_is_refused_with_those_that_are(name: str | None) -> None:
    with pytest.raises(FieldNotFoundError, match="'a', 'b'"):
        collection_schema(a=FIELD, b=FIELD).field(name)


@pytest.mark.parametrize("name", ["a", "0", "a-b_c", "x" * 63])
def test_good_names_are_taken(name: str) -> None:
    assert check_name("collection", name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a b", "a/b", "..", "x" * 64, "a\n", "é", None, 5, ["a"], b"a"])
def test_bad_names_are_refused(name: object) -> None:
    with pytest.raises(InvalidNameError):
        check_name("collection", name)


@pytest.mark.parametrize(
    ("field", "error"),
    [
        (Field(dim=0), LimitExceededError),
        (Field(dim=DIM_MAX + 1), LimitExceededError),
        (Field(dim=3, m=M_MIN - 1), LimitExceededError),
        (Field(dim=3, m=M_MAX + 1), LimitExceededError),
        (Field(dim=3, m=16, ef_construction=15), LimitExceededError),
        (Field(dim=True), InvalidRequestError),
        (Field(dim=3.0), InvalidRequestError),  # type: ignore[arg-type]
        (Field(dim=3, metric="cos"), InvalidRequestError),  # type: ignore[arg-type]
        (Field(dim=3, metric=["l2"]), InvalidRequestError),  # type: ignore[arg-type]
        (Field(dim=3, dtype="float64"), InvalidRequestError),  # type: ignore[arg-type]
        (Field(dim=3, layout="tight"), InvalidRequestError),  # type: ignore[arg-type]
        (Field(dim=3, layout="packed"), InvalidRequestError),
        (Field(dim=3, builder="faiss"), InvalidRequestError),  # type: ignore[arg-type]
        ({"dim": 3}, InvalidRequestError),
    ],
)
def test_a_field_that_cannot_be_is_refused(field: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        build_schema(1, "docs", {"text": field})


@pytest.mark.parametrize("count", [0, FIELDS_MAX + 1])
def test_a_collection_has_a_field_and_not_too_many(count: int) -> None:
    with pytest.raises(LimitExceededError):
        build_schema(1, "docs", {f"f{number}": FIELD for number in range(count)})


def test_dim_declares_one_field_called_default() -> None:
    assert declared_fields(None, FIELD) == {"default": FIELD}


@pytest.mark.parametrize(
    ("fields", "single"), [(None, None), ({}, None), ({"a": FIELD}, FIELD), (["a"], None), ("ab", None), (5, None)]
)
def test_a_declaration_is_either_dim_or_a_dict_of_fields(fields: Any, single: Field | None) -> None:
    with pytest.raises(InvalidRequestError):
        declared_fields(fields, single)


def test_numpy_ints_declare_a_field_as_ints_do() -> None:
    sizes: dict[str, Any] = {"dim": np.int64(3), "m": np.uint8(16), "ef_construction": np.int32(100)}
    field = Field(**sizes)
    assert field == Field(dim=3, m=16, ef_construction=100)
    assert {type(size) for size in (field.dim, field.m, field.ef_construction)} == {int}
