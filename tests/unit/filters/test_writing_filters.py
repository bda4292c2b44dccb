"""Checks what users write wrong, and what they read back: messages name the place and the fix."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest

from vecdb.errors import InvalidFilterError
from vecdb.filters import F, filter_from_dict

BAD_OPERANDS: list[tuple[dict[str, Any], str]] = [
    ({"$or": [{"a": 1}, {"b": {"$gt": [1]}}]}, r"filter \$or\[1\]\.b\.\$gt is list"),
    ({"$and": [{"a": {"$in": [1, None]}}]}, r"filter \$and\[0\]\.a\.\$in\[1\] is NoneType"),
    ({"p": {"$not": {"$geo_radius": {"lat": 91, "lon": 0, "meters": 1}}}}, r"filter p\.\$not\.\$geo_radius lat is 91"),
    ({"a": {"$exists": 1}}, r"filter a\.\$exists is 1"),
    ({"a": date(2020, 1, 1)}, "compare with the datetime it begins at"),
    ({"a": {"b": 1}}, r"write 'a\.b' as the path"),
    ({"a": {"gte": 1}}, r"did you mean \$gte"),
    ({"tags": {"$all": ["a"]}}, r"it is \$contains_all here"),
    ({"a": {">=": 1}}, r"it is \$gte here"),
    ({"$slice": [-1, 2]}, "an index is an int from 0 on"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD_OPERANDS, ids=[message for _, message in BAD_OPERANDS])
def test_a_dict_says_where_its_operand_is_wrong(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFilterError, match=message):
        filter_from_dict(wrong)


UNPARENTHESISED: list[Callable[[], object]] = [
    lambda: F("a") == 1 & F("b") == 2,
    lambda: F("a") > 1 | F("b") > 2,
    lambda: F("draft") & (F("b") == 2),
    lambda: (F("b") == 2) | F("draft"),
]


@pytest.mark.parametrize("write", UNPARENTHESISED)
def test_conditions_without_parentheses_are_told_to_take_some(write: Callable[[], object]) -> None:
    with pytest.raises(InvalidFilterError, match="parentheses"):
        write()


def test_a_bool_of_numpy_is_a_bool() -> None:
    assert repr(F("a") == np.True_) == "F('a') == True"
    assert repr(F("a").in_([np.False_, np.int64(1)])) == "F('a').in_([False, 1])"


def test_a_filter_by_one_id_is_printed_as_it_is_written() -> None:
    wanted = (F.id == "a") & ~(F.id == 7) & F.id.in_([1, 2])
    assert str(wanted) == "(F.id == 'a') & ~(F.id == 7) & F.id.in_([1, 2])"
