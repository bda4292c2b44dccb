"""Checks a database's filters: random conditions over the records, and what plain numpy says of each.

Promises: the same records give the same conditions. Conditions are ranges, equalities, sets, words, and what joins and
negates them, over indexed and unindexed columns; what they keep ranges from nothing to everything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.databases.conditions import COMPARISONS, JOINS, Condition
from benchmarks.databases.protocol import INDEXED, Metadata

SEED: Final = 23
NUMBERS: Final = (*INDEXED, "gloss_length")
STRINGS: Final = ("pos",)
LISTS: Final = ("words",)
WANTED: Final = 10
SET_VALUES: Final = 12
EXAMPLES: Final = 5
"""Conditions that were answered wrongly and are kept."""

Mask = npt.NDArray[np.bool_]


# --- what holds -------------------------------------------------------------------------------------------------------


class Table:
    """The records as columns, and which of them a condition keeps."""

    def __init__(self, records: Sequence[Metadata]) -> None:
        self.rows = len(records)
        self.columns = {name: np.array([record[name] for record in records]) for name in (*NUMBERS, *STRINGS)}
        self.places: dict[str, list[int]] = {}
        for row, record in enumerate(records):
            for word in set(record["words"]):
                self.places.setdefault(word, []).append(row)

    def mask(self, condition: Condition) -> Mask:
        """True for every row that matches."""
        name, *parts = condition
        if name in JOINS:
            joined = self.mask(parts[0])
            for part in parts[1:]:
                joined = JOINS[name](joined, self.mask(part))
            return joined
        if name == "not":
            return ~self.mask(parts[0])
        column, value = parts
        if column in LISTS:
            kept = self._with_word(value if name == "in" else [value])
            return ~kept if name == "ne" else kept
        values = self.columns[column]
        return np.isin(values, value) if name == "in" else np.asarray(COMPARISONS[name](values, value), dtype=np.bool_)

    def _with_word(self, words: Sequence[str]) -> Mask:
        mask = np.zeros(self.rows, dtype=np.bool_)
        for word in words:
            mask[self.places.get(word, [])] = True
        return mask


def judge(
    table: Table,
    row_of: Mapping[str, int],
    conditions: Sequence[Condition],
    answers: Sequence[Mapping[str, Any]],
    unindexed: int,
) -> dict[str, Any]:
    """What was wrong with the answers (count, ids) to the first conditions; all of it should be 0.

    The first `unindexed` were asked before all columns were indexed.
    """
    found = {"checked": len(answers), "wrong_counts": 0, "short_searches": 0, "wrong_hits": 0}
    found |= {"matching_none": 0, "unindexed": 0}
    examples: list[dict[str, Any]] = []
    for number, (condition, answer) in enumerate(zip(conditions, answers, strict=False)):
        mask = table.mask(condition)
        matching, rows = int(mask.sum()), [row_of.get(key, -1) for key in answer["ids"]]
        wrong = {
            "wrong_counts": int(answer["count"] != matching),
            "short_searches": int(len(set(rows)) < min(WANTED, matching)),
            "wrong_hits": sum(row < 0 or not mask[row] for row in rows),
        }
        for name, times in wrong.items():
            found[name] += times
        found["matching_none"] += matching == 0
        found["unindexed"] += number < unindexed and not columns_of(condition) <= set(INDEXED)
        if any(wrong.values()) and len(examples) < EXAMPLES:
            examples.append({"condition": condition, "matching": matching, "count": answer["count"], **wrong})
    return {**found, "examples": examples}


def columns_of(condition: Condition) -> set[str]:
    """The columns that a condition is about."""
    name, *parts = condition
    return set().union(*map(columns_of, parts)) if name in {*JOINS, "not"} else {parts[0]}


# --- random conditions ------------------------------------------------------------------------------------------------


def random_conditions(records: Sequence[Metadata], count: int) -> Iterator[Condition]:
    """Conditions with values of the records."""
    rng = random.Random(SEED)
    ordered = {name: sorted(record[name] for record in records) for name in NUMBERS}
    for _ in range(count):
        yield _condition(records, ordered, rng, depth=2)


def _condition(
    records: Sequence[Metadata], ordered: Mapping[str, list[int]], rng: random.Random, depth: int
) -> Condition:
    """A leaf, or a few conditions joined or negated, at most `depth` deep."""
    kind = rng.choices(("leaf", "and", "or", "not"), (3, 5, 2, 1))[0] if depth else "leaf"
    if kind == "leaf":
        make = rng.choices((_range, _number, _string, _word), (6, 2, 2, 2))[0]
        return make(records, ordered, rng)
    parts = 1 if kind == "not" else rng.randint(2, 3)
    return [kind, *(_condition(records, ordered, rng, depth - 1) for _ in range(parts))]


Make = Callable[[Sequence[Metadata], Mapping[str, list[int]], random.Random], Condition]


def _range(records: Sequence[Metadata], ordered: Mapping[str, list[int]], rng: random.Random) -> Condition:
    """Bounds that keep anything from one value to all of a column, on one side or on both."""
    del records
    column = rng.choice(NUMBERS)
    values = ordered[column]
    width = int(len(values) ** rng.random())
    start = rng.randint(0, len(values) - width)
    low, high = values[start], values[start + width - 1]
    lower, upper = [rng.choice(("ge", "gt")), column, low], [rng.choice(("le", "lt")), column, high]
    below = [upper[0], column, values[width - 1]]
    return rng.choice((["and", lower, upper], ["and", lower, upper], lower, below))


def _number(records: Sequence[Metadata], ordered: Mapping[str, list[int]], rng: random.Random) -> Condition:
    del ordered
    return _equality(rng.choice(NUMBERS), lambda column: rng.choice(records)[column], rng)


def _string(records: Sequence[Metadata], ordered: Mapping[str, list[int]], rng: random.Random) -> Condition:
    del ordered
    return _equality(rng.choice(STRINGS), lambda column: rng.choice(records)[column], rng)


def _word(records: Sequence[Metadata], ordered: Mapping[str, list[int]], rng: random.Random) -> Condition:
    del ordered
    word = _equality(rng.choice(LISTS), lambda column: rng.choice(rng.choice(records)[column] or ["no word"]), rng)
    return ["contains", *word[1:]] if word[0] == "eq" and rng.random() < 0.5 else word


def _equality(column: str, value: Callable[[str], Any], rng: random.Random) -> Condition:
    name = rng.choice(("eq", "in", "ne"))
    if name == "in":
        return [name, column, [value(column) for _ in range(rng.randint(1, SET_VALUES))]]
    return [name, column, value(column)]
