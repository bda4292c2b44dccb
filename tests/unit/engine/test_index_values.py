"""Checks that keys keep the order of the values they stand for, and that bounds hold just the values that compare."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.engine import index_values as values
from vecdb.filters.predicate import instant_of
from vecdb.storage.blocks import EXCEPTION, LIST, MISSING, NULL, SCALAR

OPS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.one_of(INTS, FLOATS, st.integers(-(2**70), 2**70), st.integers(2**53 - 2, 2**53 + 2))


def never_coded(_: str) -> int:
    raise AssertionError("only strs have codes")


@given(FLOATS, FLOATS)
def test_keys_of_floats_sort_as_the_floats(first: float, second: float) -> None:
    assert (values.float_key(first) < values.float_key(second)) == (first < second)


@given(FLOATS)
def test_a_float_comes_back_from_its_key(value: float) -> None:
    assert values.float_of_key(values.float_key(value)) == value


@given(st.sampled_from(sorted(OPS)), INTS, NUMBERS)
def test_bounds_of_ints_hold_exactly_the_ints_that_compare(op: str, stored: int, asked: float) -> None:
    low, high = values.int_bounds(op, asked)
    assert low >= -(2**63)
    assert high < 2**63
    assert (low <= stored <= high) == OPS[op](stored, asked)


@given(st.sampled_from(sorted(OPS)), FLOATS, NUMBERS)
def test_bounds_of_floats_hold_exactly_the_floats_that_compare(op: str, stored: float, asked: float) -> None:
    low, high = values.float_bounds(op, asked)
    assert (low <= values.float_key(stored) <= high) == OPS[op](stored, asked)


def test_bounds_of_floats_tell_neighbours_of_a_large_int_apart() -> None:
    low, high = values.float_bounds("eq", 2**53 + 1)
    assert low > high
    assert values.float_bounds("ge", 2**53 + 1)[0] == values.float_key(float(2**53 + 2))


@pytest.mark.parametrize("op", ["lt", "le", "gt", "ge", "eq"])
def test_bounds_beyond_all_keys_hold_all_or_none(op: str) -> None:
    low, high = values.int_bounds(op, 2**80)
    assert (low <= 0 <= high) == OPS[op](0, 2**80)


def test_instants_of_any_zone_have_the_key_of_their_utc_time() -> None:
    east = datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert values.datetime_key(east) == values.datetime_key(datetime(2020, 1, 1, tzinfo=UTC))
    naive = datetime(2020, 1, 1)  # noqa: DTZ001 - that is the point
    assert values.datetime_key(naive) == values.datetime_key(datetime(2020, 1, 1, tzinfo=UTC))


def test_a_microsecond_changes_the_key_by_one() -> None:
    late = datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC)
    assert values.datetime_key(late + timedelta(microseconds=1)) == values.datetime_key(late) + 1


@pytest.mark.parametrize("text", ["", "yesterday", "2020-13-01", "12:00"])
def test_a_str_that_is_no_date_is_no_instant(text: str) -> None:
    assert instant_of(text) is None


@pytest.mark.parametrize(
    ("kind", "value", "state"),
    [
        ("int", 3, SCALAR),
        ("int", 3.0, SCALAR),
        ("int", 3.5, EXCEPTION),
        ("int", 2**63, EXCEPTION),
        ("int", True, EXCEPTION),
        ("int", "3", EXCEPTION),
        ("int", {"a": 1}, EXCEPTION),
        ("int", None, NULL),
        ("int", [1, 2], LIST),
        ("int", [], LIST),
        ("int", [1, None], EXCEPTION),
        ("int", [[1]], EXCEPTION),
        ("float", 1, SCALAR),
        ("float", 2**53 + 1, EXCEPTION),
        ("float", 10**400, EXCEPTION),
        ("bool", False, SCALAR),
        ("bool", 0, EXCEPTION),
        ("datetime", datetime(2020, 1, 1, tzinfo=UTC), SCALAR),
        ("datetime", "2020-01-01T00:00:00Z", SCALAR),
        ("datetime", "soon", EXCEPTION),
        ("geo", {"lat": 1, "lon": 2.5}, SCALAR),
        ("geo", {"lat": 91, "lon": 0}, LIST),
        ("geo", {"lat": True, "lon": 0}, LIST),
        ("geo", [{"lat": 1, "lon": 2}], LIST),
        ("geo", "here", LIST),
    ],
)
def test_a_value_that_a_kind_cannot_hold_makes_its_record_an_exception(kind: Any, value: Any, state: int) -> None:
    assert values.encoder(kind, many=False, codes=never_coded)([value]).state == state


@pytest.mark.parametrize("kind", ["int", "float", "bool", "datetime", "keyword", "text", "geo"])
@pytest.mark.parametrize("many", [False, True])
def test_a_path_that_leads_nowhere_is_missing(kind: Any, many: bool) -> None:
    assert values.encoder(kind, many=many, codes=never_coded)([]).state == MISSING


def test_a_str_that_is_too_long_for_the_dictionary_is_an_exception() -> None:
    encode = values.encoder("keyword", many=False, codes=len)
    assert encode(["x" * 257]).state == EXCEPTION
    assert encode(["x" * 256]) == values.Entry(SCALAR, (256,), text=True)


def test_a_text_is_the_list_of_its_different_tokens() -> None:
    codes: dict[str, int] = {}
    encode = values.encoder("text", many=False, codes=lambda token: codes.setdefault(token, len(codes)))
    assert encode(["To be, or not to BE"]).keys == (0, 1, 2, 3)
    assert list(codes) == ["to", "be", "or", "not"]


def test_equal_numbers_have_equal_keys_whatever_their_type() -> None:
    for kind in ("int", "float"):
        encode = values.encoder(kind, many=False, codes=never_coded)
        assert encode([7]) == encode([7.0])
        assert encode([0.0]) == encode([-0.0])


def test_no_finite_float_is_beyond_the_bounds() -> None:
    low, high = values.float_bounds("lt", 10**400)
    assert low <= values.float_key(-math.inf)
    assert high >= values.float_key(1.7e308)


def test_places_of_a_list_have_a_key_for_each_column_one_after_the_other() -> None:
    places = [{"lat": 1, "lon": 2.5}, "x", {"lat": -3, "lon": 4}]
    wanted = tuple(map(values.float_key, (1.0, 2.5, -3.0, 4.0)))
    assert values.encoder("geo", many=False, codes=never_coded)([places]) == values.Entry(LIST, wanted)
    assert values.encoder("geo", many=True, codes=never_coded)(places) == values.Entry(LIST, wanted)
    assert values.encoder("geo", many=True, codes=never_coded)([*places, None]).state == EXCEPTION
