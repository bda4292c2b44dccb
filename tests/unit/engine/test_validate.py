"""Checked input: what passes is safe for every layer below, what does not is refused by the right class."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import numpy as np
import pytest

from tests.unit.engine.filling import DIM, field_schema, rows
from vecdb.checks.ids import is_single_id
from vecdb.checks.options import check_count, check_ef, check_seed, check_seq, check_target_recall, check_timeout
from vecdb.config import BATCH_RECORDS_MAX, COSINE_NORM_MIN, EF_MAX, LIMIT_MAX, VECTOR_ABS_MAX
from vecdb.engine.validate import check_ids, check_lookup, check_queries, check_query, check_vectors
from vecdb.errors import (
    DimensionMismatchError,
    DuplicateIdError,
    InvalidIdError,
    InvalidRequestError,
    InvalidVectorError,
    LimitExceededError,
    NonFiniteVectorError,
)
from vecdb.storage.keys import id_key

FIELD = field_schema()
SOME_UUID = uuid.UUID(int=5)


# --- ids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [["a", 1, SOME_UUID], ("a", 1, SOME_UUID)])
def test_ids_keep_their_order_and_types(ids: Any) -> None:
    listed, keys = check_ids(ids)
    assert listed == ["a", 1, SOME_UUID]
    assert keys == [id_key(record_id) for record_id in ids]


@pytest.mark.parametrize("ids", [np.array([3, 4], dtype=np.uint8), np.array([3, 4]), range(3, 5)])
def test_arrays_and_ranges_of_ints_are_lists_of_ids(ids: Any) -> None:
    assert check_ids(ids)[0] == [3, 4]
    assert check_lookup(ids) == [id_key(3), id_key(4)]


@pytest.mark.parametrize("ids", [None, 5, {"a": 1}, {1, 2}, b"ab", bytearray(b"ab"), np.array(5), np.array([[1, 2]])])
def test_what_is_no_list_of_ids_is_refused(ids: object) -> None:
    with pytest.raises(InvalidIdError):
        check_ids(ids)


@pytest.mark.parametrize("ids", [None, {"a": 1}, {1, 2}, b"ab", bytearray(b"ab"), np.array(5), np.array([[1, 2]]), 1.5])
def test_what_is_no_id_and_no_list_of_ids_cannot_be_looked_up(ids: object) -> None:
    with pytest.raises(InvalidIdError):
        check_lookup(ids)


@pytest.mark.parametrize("ids", [["a", None], [1.5], [-1], [2**64], [""], ["x" * 257], [b"x"], ["\ud800"]])
def test_one_bad_id_refuses_the_batch(ids: list[Any]) -> None:
    with pytest.raises(InvalidIdError):
        check_ids(ids)


@pytest.mark.parametrize("check", [check_ids, check_lookup])
def test_a_bad_id_among_many_is_named_with_its_place(check: Any) -> None:
    with pytest.raises(InvalidIdError, match=r"^ids\[2\]: an id is of type float") as refused:
        check(["a", 1, 1.5, "d"])
    assert refused.value.details == {"type": "float", "position": 2}


def test_a_repeated_id_is_named_with_its_place() -> None:
    with pytest.raises(DuplicateIdError, match=r"'b'.*position 2") as refused:
        check_ids(["a", "b", "b"])
    assert refused.value.details == {"position": 2}


def test_an_int_and_its_digits_are_two_ids() -> None:
    assert len(set(check_ids([1, "1"])[1])) == 2


def test_a_repeated_id_may_be_looked_up() -> None:
    assert check_lookup(["a", "a"]) == [id_key("a")] * 2


def test_looking_up_too_many_ids_is_refused() -> None:
    with pytest.raises(LimitExceededError):
        check_lookup(range(BATCH_RECORDS_MAX + 1))


@pytest.mark.parametrize(
    ("value", "single"), [("a", True), (1, True), (SOME_UUID, True), (np.int8(1), True), (["a"], False)]
)
def test_a_single_id_is_told_from_a_list(value: object, single: bool) -> None:
    assert is_single_id(value) is single


# --- vectors --------------------------------------------------------------------------------------------------------


def test_a_sound_array_is_not_copied() -> None:
    given = rows(3)
    assert check_vectors(FIELD, given, 3) is given


@pytest.mark.parametrize(
    "given",
    [
        rows(3).astype(np.float64),
        rows(3).tolist(),
        rows(3)[:, ::-1],
        np.asfortranarray(rows(3)),
        np.ones((3, DIM), int),
    ],
    ids=["float64", "lists", "reversed", "fortran", "ints"],
)
def test_other_arrays_are_made_contiguous_rows_of_the_stored_type(given: Any) -> None:
    checked = check_vectors(FIELD, given, 3)
    assert checked.dtype == np.float32
    assert checked.shape == (3, DIM)
    assert checked.flags.c_contiguous
    assert (checked == np.asarray(given, dtype=np.float32)).all()


def test_one_vector_may_come_without_its_outer_dimension() -> None:
    assert check_vectors(FIELD, [1.0] * DIM, 1).shape == (1, DIM)


def test_no_vectors_are_an_empty_batch() -> None:
    assert check_vectors(FIELD, [], 0).shape == (0, DIM)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (np.ones((2, DIM + 1)), DimensionMismatchError),
        (np.ones((3, DIM)), InvalidVectorError),
        (np.ones((2, 2, DIM)), InvalidVectorError),
        (np.ones(DIM), InvalidVectorError),
        ([[1.0] * DIM, [1.0]], InvalidVectorError),
        ([["a"] * DIM] * 2, InvalidVectorError),
        ([[None] * DIM] * 2, InvalidVectorError),
        ([[10**400] * DIM] * 2, InvalidVectorError),
        (np.ones((2, DIM), dtype=bool), InvalidVectorError),
        (np.ones((2, DIM), dtype=complex), InvalidVectorError),
        (object(), InvalidVectorError),
        ([[1.0] * DIM, [1.0, np.nan, 1.0, 1.0]], NonFiniteVectorError),
        ([[1.0] * DIM, [np.inf, 1.0, 1.0, 1.0]], NonFiniteVectorError),
        ([[1.0] * DIM, [1e39, 1.0, 1.0, 1.0]], InvalidVectorError),
        ([[1.0] * DIM, [2 * VECTOR_ABS_MAX, 1.0, 1.0, 1.0]], LimitExceededError),
    ],
)
def test_bad_vectors_are_refused_by_their_own_error(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        check_vectors(FIELD, given, 2)
    assert type(refused.value) is error


def test_a_component_that_is_no_number_is_named() -> None:
    with pytest.raises(NonFiniteVectorError) as refused:
        check_vectors(FIELD, [[1.0] * DIM, [1.0, 1.0, np.nan, 1.0]], 2)
    assert refused.value.details == {"field": "default", "row": 1, "column": 2}


def test_what_overflows_float16_is_refused_and_what_fits_is_kept() -> None:
    half = field_schema(dtype="float16")
    with pytest.raises(InvalidVectorError, match="overflows float16"):
        check_vectors(half, [[70_000.0] * DIM], 1)
    assert check_vectors(half, [[60_000.0] * DIM], 1).dtype == np.float16


def test_the_largest_component_allowed_is_taken() -> None:
    assert check_vectors(FIELD, [[VECTOR_ABS_MAX] * DIM], 1).max() == np.float32(VECTOR_ABS_MAX)


@pytest.mark.parametrize("scale", [0.0, COSINE_NORM_MIN / 10])
def test_a_vector_without_direction_is_refused_under_cosine_only(scale: float) -> None:
    given = np.full((1, DIM), scale, dtype=np.float32)
    with pytest.raises(InvalidVectorError, match="direction"):
        check_vectors(field_schema(metric="cosine"), given, 1)
    assert check_vectors(FIELD, given, 1).shape == (1, DIM)


def test_a_sound_query_is_not_copied() -> None:
    query = rows(1)[0]
    assert check_query(FIELD, query) is query


def test_a_query_is_not_rounded_to_the_stored_type() -> None:
    assert check_query(field_schema(dtype="float16"), [0.1] * DIM)[0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (np.full(DIM, 1e30, np.float32), LimitExceededError),
        (np.full(DIM, np.nan, np.float32), NonFiniteVectorError),
        (np.array([np.inf, 0, 0, 0], np.float32), NonFiniteVectorError),
        (np.ones(DIM + 1, np.float32), DimensionMismatchError),
        (np.ones((1, DIM), np.float32), InvalidVectorError),
        ("query", InvalidVectorError),
        (None, InvalidVectorError),
    ],
)
def test_bad_queries_are_refused_without_a_warning(query: Any, error: type[Exception]) -> None:
    """A warning would be an error here."""
    with pytest.raises(error):
        check_query(FIELD, query)


def test_a_batch_of_queries_may_be_empty() -> None:
    assert check_queries(FIELD, np.zeros((0, DIM))).shape == (0, DIM)


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "least", "most"),
    [
        (lambda value: check_count("limit", value), 1, LIMIT_MAX),
        (check_ef, 1, EF_MAX),
        (check_seq, 0, None),
        (check_seed, 0, None),
    ],
)
def test_an_option_is_an_int_in_its_range(check: Any, least: int, most: int | None) -> None:
    assert check(least) == check(np.int64(least)) == least
    for wrong in (True, 1.0, "1", None, [1]):
        with pytest.raises(InvalidRequestError):
            check(wrong)
    for outside in (least - 1, (most or 2**64) + 1):
        with pytest.raises(LimitExceededError):
            check(outside)


@pytest.mark.parametrize("target", [0.0, -0.1, 1.01, float("nan"), True, "0.9", None])
def test_a_target_recall_is_above_zero_and_at_most_one(target: object) -> None:
    assert check_target_recall(1) == 1.0
    with pytest.raises(InvalidRequestError):
        check_target_recall(target)


@pytest.mark.parametrize("timeout", [-1, float("nan"), True, "1", None])
def test_a_timeout_is_no_negative_number(timeout: object) -> None:
    with pytest.raises(InvalidRequestError):
        check_timeout(timeout)


def test_a_timeout_beyond_what_locks_take_is_cut() -> None:
    assert check_timeout(float("inf")) == threading.TIMEOUT_MAX
