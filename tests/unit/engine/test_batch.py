"""Batches: both spellings give the same operation, and what is wrong is refused before anything is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.filling import DIM, collection_schema, rows
from vecdb.config import BATCH_RECORDS_MAX
from vecdb.engine.batch import read_batch, read_vector
from vecdb.engine.operations import PutRecords
from vecdb.errors import (
    DimensionMismatchError,
    FieldNotFoundError,
    InvalidIdError,
    InvalidMetadataError,
    InvalidRequestError,
    InvalidVectorError,
    LimitExceededError,
)
from vecdb.types import Field

ONE = collection_schema()
TWO = collection_schema(text=Field(dim=DIM, metric="l2"), image=Field(dim=2, metric="l2"))


def plain(put: PutRecords) -> dict[str, Any]:
    """An operation as values that compare."""
    columns = {}
    for number, column in put.vectors.items():
        positions = list(range(len(put.keys))) if column.positions is None else column.positions.tolist()
        columns[number] = list(zip(positions, column.vectors.tolist(), strict=True))
    return {
        "keys": put.keys,
        "metadata": [bytes(packed) for packed in put.metadata],
        "columns": columns,
        "mode": put.mode,
        "expires": put.expires,
        "if_version": put.if_version,
    }


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8), st.integers(0, 1000))
def test_both_spellings_give_the_same_operation(missing: list[tuple[bool, bool]], seed: int) -> None:
    texts, images = rows(len(missing), seed), rows(len(missing), seed, dim=2)
    present = [(text or not image, image) for text, image in missing]  # at least one of the two
    text_column = [vector if has else None for vector, (has, _) in zip(texts, present, strict=True)]
    image_column = [vector if has else None for vector, (_, has) in zip(images, present, strict=True)]
    metadata = [{"n": n} if n % 2 else None for n in range(len(missing))]
    records = [
        {"id": n, "vectors": {"text": text, "image": image}, "metadata": extra}
        for n, (text, image, extra) in enumerate(zip(text_column, image_column, metadata, strict=True))
    ]
    columns = {"text": text_column, "image": image_column}
    as_columns = read_batch(TWO, list(range(len(missing))), columns, metadata, "upsert")
    assert plain(read_batch(TWO, records, None, None, "upsert")) == plain(as_columns)


def test_the_only_field_needs_no_name() -> None:
    vectors = rows(2)
    unnamed = read_batch(ONE, ["a", "b"], vectors, None, "insert")
    named = read_batch(ONE, ["a", "b"], {"default": vectors}, None, "insert")
    records = read_batch(
        ONE, [{"id": n, "vector": v} for n, v in zip("ab", vectors, strict=True)], None, None, "insert"
    )
    assert plain(unnamed) == plain(named) == plain(records)


def test_a_full_column_is_taken_without_a_copy() -> None:
    vectors = rows(2)
    assert read_batch(ONE, ["a", "b"], vectors, None, "upsert").vectors[0].vectors is vectors


@pytest.mark.parametrize(
    ("ids", "vectors", "metadata", "error"),
    [
        (["a"], None, None, InvalidVectorError),
        (["a", "b"], rows(1), None, InvalidVectorError),
        (["a"], rows(1, dim=3), None, DimensionMismatchError),
        (["a"], {"other": rows(1)}, None, FieldNotFoundError),
        (["a"], [None], None, InvalidVectorError),
        (["a", "b"], [rows(1)[0], None, None], None, InvalidVectorError),
        (["a"], rows(1), [{}, {}], InvalidMetadataError),
        (["a"], rows(1), {"a": 1}, InvalidMetadataError),
        (["a"], rows(1), "x", InvalidMetadataError),
        (["a"], rows(1), 5, InvalidMetadataError),
        (["a"], rows(1), [5], InvalidMetadataError),
        (b"", None, None, InvalidRequestError),
        (np.array(5), rows(1), None, InvalidIdError),
        (range(BATCH_RECORDS_MAX + 1), rows(1), None, LimitExceededError),
        ([{"vector": [1.0] * DIM}], None, None, InvalidRequestError),
        ([{"id": "a", "vektor": [1.0] * DIM}], None, None, InvalidRequestError),
        ([{"id": "a", "vector": [1.0] * DIM, "vectors": {}}], None, None, InvalidRequestError),
        ([{"id": "a", "vectors": [1.0] * DIM}], None, None, InvalidRequestError),
        ([{"id": "a", "vectors": {"other": [1.0] * DIM}}], None, None, FieldNotFoundError),
        ([{"id": "a"}], None, None, InvalidVectorError),
        ([{"id": "a", "vector": [1.0] * DIM}, "b"], None, None, InvalidRequestError),
    ],
)
def test_a_bad_batch_is_refused_by_its_own_error(ids: Any, vectors: Any, metadata: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_batch(ONE, ids, vectors, metadata, "upsert")


def test_a_record_without_any_vector_is_named() -> None:
    with pytest.raises(InvalidVectorError, match="record 1 has no vector"):
        read_batch(TWO, ["a", "b"], {"text": [rows(1)[0], None]}, None, "upsert")


def test_several_fields_want_names() -> None:
    with pytest.raises(FieldNotFoundError, match="'text', 'image'"):
        read_batch(TWO, ["a"], rows(1), None, "upsert")


def test_an_empty_batch_is_an_operation_on_nothing() -> None:
    for put in (read_batch(ONE, [], [], None, "upsert"), read_batch(ONE, [], None, None, "upsert")):
        assert (put.keys, put.metadata, dict(put.vectors)) == ([], [], {})


def test_the_vector_of_an_update_may_be_named_or_not() -> None:
    vector = rows(1)[0]
    assert read_vector(ONE, vector, None)[0].tolist() == read_vector(ONE, None, {"default": vector})[0].tolist()
    assert read_vector(TWO, None, {"image": None}) == {}
