"""Vectors nobody can store or search with: each is refused by name, and nothing has changed afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.security.unchanged import DIM, refused, sample_rows
from vecdb.config import BATCH_BYTES_MAX, DIM_MAX, VECTOR_ABS_MAX
from vecdb.errors import (
    DimensionMismatchError,
    FieldNotFoundError,
    InvalidRequestError,
    InvalidVectorError,
    LimitExceededError,
    NonFiniteVectorError,
    VecDBError,
)


@pytest.mark.parametrize("dim", [1, DIM - 1, DIM + 1, 2 * DIM, DIM_MAX])
def test_rows_of_another_dimension_are_refused(db: Any, docs: Any, dim: int) -> None:
    with refused(db, DimensionMismatchError, "'default'", str(dim), str(DIM)):
        docs.upsert(["x", "y"], np.ones((2, dim), dtype=np.float32))


@pytest.mark.parametrize("dim", [1, DIM - 1, DIM + 1])
def test_a_query_of_another_dimension_is_refused(db: Any, docs: Any, dim: int) -> None:
    with refused(db, DimensionMismatchError, "'default'", str(dim), str(DIM)):
        docs.search(np.ones(dim, dtype=np.float32))
    with refused(db, DimensionMismatchError, "'default'", str(dim), str(DIM)):
        docs.search_batch(np.ones((3, dim), dtype=np.float32))


def test_a_record_whose_vector_has_another_dimension_is_refused_with_its_batch(db: Any, docs: Any) -> None:
    with refused(db, InvalidRequestError, "'default'"):
        docs.upsert([{"id": "x", "vector": np.ones(DIM)}, {"id": "y", "vector": np.ones(DIM - 1)}])


def test_one_long_vector_for_several_ids_is_refused(db: Any, docs: Any) -> None:
    with refused(db, InvalidVectorError, "'default'", str(DIM)):
        docs.upsert(["x", "y"], np.ones(2 * DIM))


@pytest.mark.parametrize("shape", [(2, DIM, 1), (1, 2, DIM), (2, 2, DIM)])
def test_arrays_of_three_dimensions_are_refused(db: Any, docs: Any, shape: tuple[int, ...]) -> None:
    with refused(db, InvalidVectorError, "'default'", str(shape)):
        docs.upsert(["x", "y"], np.ones(shape))


def test_a_matrix_as_single_query_is_refused(db: Any, docs: Any) -> None:
    with refused(db, InvalidVectorError, "search_batch"):
        docs.search(np.ones((2, DIM)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (0, DIM - 1), (3, 4), (6, 0), (6, DIM - 1)])
def test_a_non_finite_component_anywhere_is_refused(
    db: Any, docs: Any, plain: Any, value: float, place: tuple[int, int], dtype: str
) -> None:
    x = np.ones((7, DIM), dtype=dtype)
    x[place] = value
    for collection in (docs, plain):
        with refused(db, NonFiniteVectorError, f"vector {place[0]}", "'default'", f"component {place[1]}"):
            collection.upsert([f"x{n}" for n in range(7)], x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(DIM))
def test_a_non_finite_query_is_refused(db: Any, docs: Any, value: float, column: int) -> None:
    query = np.ones(DIM, dtype=np.float32)
    query[column] = value
    with refused(db, NonFiniteVectorError, "'default'", f"component {column}"):
        docs.search(query)
    with refused(db, NonFiniteVectorError, "vector 1", f"component {column}"):
        docs.search_batch([np.ones(DIM), query])


def test_a_non_finite_update_is_refused(db: Any, docs: Any) -> None:
    with refused(db, NonFiniteVectorError, "'default'"):
        docs.update("a", vector=np.full(DIM, np.nan))


@pytest.mark.parametrize("zero", [np.zeros(DIM), -np.zeros(DIM), np.full(DIM, 1e-30), np.zeros(DIM, dtype=np.int8)])
def test_a_zero_vector_is_refused_under_cosine(db: Any, docs: Any, zero: Any) -> None:
    with refused(db, InvalidVectorError, "vector 1", "'default'", "cosine"):
        docs.upsert(["x", "y"], np.array([np.ones(DIM), zero]))
    with refused(db, InvalidVectorError, "cosine"):
        docs.search(zero)
    with refused(db, InvalidVectorError, "cosine"):
        docs.update("a", vector=zero)


def test_a_vector_that_becomes_zero_when_stored_is_refused_under_cosine(db: Any) -> None:
    half = db.create_collection("half", dim=DIM, dtype="float16")
    with refused(db, InvalidVectorError, "vector 0", "cosine"):
        half.upsert(["x"], np.full((1, DIM), 1e-9))


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param([["1"] * DIM, ["2"] * DIM], id="str"),
        pytest.param([[b"1"] * DIM, [b"2"] * DIM], id="bytes"),
        pytest.param(np.array([[None] * DIM] * 2, dtype=object), id="object"),
        pytest.param([[None] * DIM] * 2, id="none-components"),
        pytest.param(np.ones((2, DIM), dtype=np.complex64), id="complex"),
        pytest.param(np.ones((2, DIM), dtype=bool), id="bool"),
        pytest.param(np.ones((2, DIM), dtype="datetime64[s]"), id="datetime"),
        pytest.param([[{}] * DIM] * 2, id="dicts"),
        pytest.param("not vectors", id="text"),
        pytest.param(7, id="number"),
        pytest.param(object(), id="any-object"),
        pytest.param(np.zeros(2, dtype=[("a", "f4", (DIM,))]), id="structured"),
    ],
)
def test_vectors_that_are_not_arrays_of_numbers_are_refused(db: Any, docs: Any, vectors: Any) -> None:
    with refused(db, InvalidVectorError, "'default'"):
        docs.upsert(["x", "y"], vectors)


@pytest.mark.parametrize("query", ["text", None, 3, {}, [[1.0], [1.0, 2.0]]])
def test_queries_that_are_not_vectors_are_refused(db: Any, docs: Any, query: Any) -> None:
    with refused(db, InvalidVectorError, "give"):
        docs.search(query)


@pytest.mark.parametrize("query", [[None] * DIM, ["1"] * DIM, b"12345678", [object()] * DIM])
def test_queries_of_something_else_than_numbers_are_refused(db: Any, docs: Any, query: Any) -> None:
    with refused(db, InvalidVectorError, "'default'"):
        docs.search(query)


@pytest.mark.parametrize("ragged", [[[1.0] * DIM, [1.0] * (DIM - 1)], [[1.0] * DIM, 1.0], [[[1.0]] * DIM, [1.0] * DIM]])
def test_ragged_lists_are_refused(db: Any, docs: Any, ragged: Any) -> None:
    with refused(db, InvalidVectorError, "'default'"):
        docs.upsert(["x", "y"], ragged)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_vectors_than_ids_is_refused(db: Any, docs: Any, count: int) -> None:
    with refused(db, InvalidRequestError, str(count), "2"):
        docs.upsert(["x", "y"], np.ones((count, DIM)))


def test_components_at_the_magnitude_limit_are_stored(db: Any) -> None:
    big = db.create_collection("big", dim=2, metric="l2")
    big.upsert(["max", "min"], [[VECTOR_ABS_MAX, 0], [-VECTOR_ABS_MAX, 0]])
    assert np.isfinite(big.search([VECTOR_ABS_MAX, 0], limit=2).distances).all()


@pytest.mark.parametrize("metric", ["dot", "l2"])
@pytest.mark.parametrize("value", [1.01 * VECTOR_ABS_MAX, -3e38, 1e39, 1e300])
def test_components_beyond_the_magnitude_limit_are_refused(db: Any, metric: Any, value: float) -> None:
    big = db.create_collection("big", dim=DIM, metric=metric)
    x = np.ones((2, DIM))
    x[1, 3] = value
    with refused(db, InvalidRequestError, "vector 1", "'default'"):
        big.upsert(["x", "y"], x)
    with refused(db, InvalidRequestError, "'default'"):
        big.search(x[1])


@pytest.mark.parametrize("value", [65_520.0, 1e6, -1e30])
def test_components_that_float16_cannot_hold_are_refused(db: Any, plain: Any, value: float) -> None:
    x = np.ones((2, DIM))
    x[1, 3] = value
    with refused(db, InvalidVectorError, "vector 1", "'default'", "float16"):
        plain.upsert(["x", "y"], x)


def test_integers_too_large_for_any_array_are_refused(db: Any, docs: Any) -> None:
    with refused(db, InvalidVectorError, "'default'"):
        docs.upsert(["x"], [[10**400] * DIM])


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_dimension_at_the_limit_works(db: Any, metric: Any) -> None:
    wide = db.create_collection("wide", dim=DIM_MAX, metric=metric)
    wide.upsert(["x"], np.ones((1, DIM_MAX)))
    assert wide.search(np.ones(DIM_MAX), limit=1).ids == ["x"]


def test_a_batch_beyond_the_byte_limit_is_refused(db: Any) -> None:
    wide = db.create_collection("wide", dim=DIM_MAX, metric="l2")
    count = BATCH_BYTES_MAX // (4 * DIM_MAX) + 1
    rows = np.broadcast_to(np.float32(1), (count, DIM_MAX))
    with refused(db, LimitExceededError, str(BATCH_BYTES_MAX)):
        wide.upsert(list(range(count)), rows)


def test_an_unknown_field_is_refused(db: Any, docs: Any, both: Any) -> None:
    with refused(db, FieldNotFoundError, "'sound'", "'text'", "'image'"):
        both.upsert(["x"], {"sound": np.ones((1, 4))})
    with refused(db, FieldNotFoundError, "'sound'", "'text'"):
        both.search(np.ones(4), field="sound")
    with refused(db, FieldNotFoundError, "'text'", "'default'"):
        docs.search(np.ones(DIM), field="text")
    with refused(db, FieldNotFoundError, "'sound'"):
        both.update("a", vectors={"sound": np.ones(4)})


def test_a_search_must_say_which_of_several_fields(db: Any, both: Any) -> None:
    with refused(db, FieldNotFoundError, "'text'", "'image'", "field="):
        both.search(np.ones(4))


def test_columns_of_several_fields_without_names_are_refused(db: Any, both: Any) -> None:
    with refused(db, VecDBError, "text", "image"):
        both.upsert(["x"], np.ones((1, 4)))


def test_one_bad_field_refuses_the_whole_record(db: Any, both: Any) -> None:
    with refused(db, DimensionMismatchError, "'image'"):
        both.upsert(["x"], {"text": np.ones((1, 4)), "image": np.ones((1, 5))})


def test_one_bad_row_leaves_no_trace_of_its_batch(db: Any, docs: Any, rng: np.random.Generator) -> None:
    x = sample_rows(rng, 500)
    x[499, 7] = np.nan
    with refused(db, NonFiniteVectorError, "vector 499"):
        docs.upsert([f"x{n}" for n in range(500)], x)
    x[499, 7] = 1.0
    assert docs.upsert([f"x{n}" for n in range(500)], x).count == 500


@pytest.mark.parametrize("record", [{"id": "x"}, {"vector": [1.0] * DIM}, {}, {"id": "x", "vectors": [1.0] * DIM}])
def test_incomplete_records_are_refused(db: Any, docs: Any, record: Any) -> None:
    with refused(db, InvalidRequestError):
        docs.upsert([record])


def test_a_record_with_an_unknown_key_is_refused(db: Any, docs: Any) -> None:
    with refused(db, InvalidRequestError, "payload"):
        docs.upsert([{"id": "x", "vector": [1.0] * DIM, "payload": {}}])


def test_an_update_of_nothing_is_refused(db: Any, docs: Any) -> None:
    with refused(db, InvalidRequestError):
        docs.update("a")
