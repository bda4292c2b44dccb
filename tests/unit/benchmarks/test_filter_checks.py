"""Tests how filters are checked: numpy says what plain Python says, and every kind of wrong answer is found."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.databases.conditions import Condition
from benchmarks.databases.records import metadata_of, synthetic_records, with_columns
from benchmarks.databases.vecdb_database import filter_of
from benchmarks.suites.filter_checks import Table, columns_of, judge, random_conditions
from tests.unit.benchmarks.remembering import matches

ROWS = 200
RECORDS = with_columns(synthetic_records(ROWS), [row * 50 for row in range(ROWS)])
ROW_OF = {record["id"]: row for row, record in enumerate(RECORDS)}
CONDITIONS = list(random_conditions(RECORDS, 500))


@pytest.fixture(scope="module")
def table() -> Table:
    return Table(RECORDS)


def _names(condition: Condition) -> set[str]:
    name, *parts = condition
    return {name}.union(*map(_names, parts)) if name in {"and", "or", "not"} else {name}


def _right(condition: Condition) -> dict[str, Any]:
    """The answer that a sound database gives."""
    ids = [record["id"] for record in RECORDS if matches(condition, metadata_of(record))]
    return {"count": len(ids), "ids": ids[:10]}


# --- conditions and what they keep ----------------------------------------------------------------------------------


def test_numpy_keeps_what_plain_python_keeps(table: Table) -> None:
    for condition in CONDITIONS:
        plain = [matches(condition, metadata_of(record)) for record in RECORDS]
        assert table.mask(condition).tolist() == plain, condition


def test_random_conditions_are_the_same_every_time() -> None:
    assert list(random_conditions(RECORDS, 500)) == CONDITIONS


def test_random_conditions_can_be_sent_as_json() -> None:
    assert json.loads(json.dumps(CONDITIONS)) == CONDITIONS


def test_random_conditions_use_every_operator_and_column() -> None:
    names = set().union(*map(_names, CONDITIONS))
    assert names == {"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "in", "contains"}
    assert set().union(*map(columns_of, CONDITIONS)) == {"bucket", "region", "gloss_length", "pos", "words"}


def test_random_conditions_keep_nothing_few_half_and_all(table: Table) -> None:
    kept = np.array([table.mask(condition).sum() for condition in CONDITIONS])
    shares = [(kept == 0), (kept > 0) & (kept < 10), (kept > ROWS // 4) & (kept < 3 * ROWS // 4), (kept == ROWS)]
    assert all(share.sum() >= 5 for share in shares)


# --- judging --------------------------------------------------------------------------------------------------------


def test_right_answers_have_nothing_wrong(table: Table) -> None:
    found = judge(table, ROW_OF, CONDITIONS, [_right(condition) for condition in CONDITIONS], 1)
    assert [found[name] for name in ("wrong_counts", "short_searches", "wrong_hits")] == [0, 0, 0]
    assert (found["checked"], found["examples"]) == (500, [])


HALF: Condition = ["lt", "region", 5_000]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"count": ROWS // 2 - 1}, (1, 0, 0)),
        ({"ids": [record["id"] for record in RECORDS[:9]]}, (0, 1, 0)),
        ({"ids": [RECORDS[0]["id"]] * 10}, (0, 1, 0)),
        ({"ids": [record["id"] for record in RECORDS[-2:] + RECORDS[:8]]}, (0, 0, 2)),
        ({"ids": ["nobody", *(record["id"] for record in RECORDS[:9])]}, (0, 0, 1)),
    ],
    ids=["count", "fewer hits", "one hit again and again", "hits that do not match", "an unknown id"],
)
def test_every_kind_of_wrong_answer_is_counted(
    table: Table, change: dict[str, Any], wrong: tuple[int, int, int]
) -> None:
    found = judge(table, ROW_OF, [HALF], [_right(HALF) | change], 0)
    assert (found["wrong_counts"], found["short_searches"], found["wrong_hits"]) == wrong
    assert found["examples"][0]["condition"] == HALF


def test_a_filter_that_keeps_less_than_ten_need_not_give_ten(table: Table) -> None:
    few: Condition = ["lt", "region", 150]
    assert judge(table, ROW_OF, [few], [_right(few)], 0)["short_searches"] == 0


def test_only_the_conditions_that_were_answered_are_judged(table: Table) -> None:
    assert judge(table, ROW_OF, CONDITIONS, [_right(CONDITIONS[0])], 0)["checked"] == 1


# --- vecdb's own spelling -------------------------------------------------------------------------------------------


class Written:
    """An expression as text, made with the operators of vecdb's F."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __and__(self, other: Written) -> Written:
        return Written(f"({self.text} & {other.text})")

    def __or__(self, other: Written) -> Written:
        return Written(f"({self.text} | {other.text})")

    def __invert__(self) -> Written:
        return Written(f"~{self.text}")

    def __lt__(self, value: object) -> Written:
        return Written(f"{self.text} < {value}")

    def __eq__(self, value: object) -> Written:  # type: ignore[override]
        return Written(f"{self.text} == {value}")

    __hash__ = None  # type: ignore[assignment]

    def in_(self, values: object) -> Written:
        return Written(f"{self.text} in {values}")

    def contains(self, value: object) -> Written:
        return Written(f"{value} in {self.text}")


def test_a_condition_becomes_an_expression_of_vecdb() -> None:
    condition = ["and", ["not", ["lt", "bucket", 3]], ["or", ["in", "pos", ["noun"]], ["contains", "words", "x"]]]
    assert filter_of(condition, Written).text == "(~bucket < 3 & (pos in ['noun'] | x in words))"


def test_more_than_two_conditions_are_joined() -> None:
    condition = ["or", *(["eq", "bucket", value] for value in range(3))]
    assert filter_of(condition, Written).text == "((bucket == 0 | bucket == 1) | bucket == 2)"
