"""Tables of the `recall` suite: recall asked for and found, and what the database says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmarks.reporting.table import number, table
from benchmarks.reporting.targets import Target, target_table

WITHIN: Final = 0.01
HELD: Final = 0.95
"""Share of the intervals of 95 % that are to hold the truth."""


def recall_tables(results: Mapping[str, Any]) -> list[str]:
    """The lines of the suite's section."""
    note = (
        "`rows` are rows held out, `queries` those of the data set, `between` middles of two rows held out. A target "
        "below what the least effort finds is passed by."
    )
    return [
        *target_table(targets_of(results)),
        "### Queries of the distribution of the rows",
        "",
        note,
        "",
        *_searches(results, outside=False),
        "### Queries from elsewhere",
        "",
        "The curve is measured with rows and knows nothing of these: `calibrate` with some, or ask for more recall.",
        "",
        *_searches(results, outside=True),
        "### What `measure_recall` says",
        "",
        *_measured(results),
    ]


def targets_of(results: Mapping[str, Any]) -> list[Target]:
    """The largest deviation in each data set, and how many intervals hold the truth."""
    found = [
        Target(
            f"{one['name']}: farthest from a target",
            WITHIN,
            max(map(deviation, _inside(one)), default=None),
            at_most=True,
            digits=3,
        )
        for one in results["datasets"]
    ]
    held = [(one["held"], len(one["intervals"])) for data in results["datasets"] for one in data["measured"]]
    asked = sum(count for _, count in held)
    share = sum(number for number, _ in held) / asked if asked else None
    return [*found, Target("intervals of `measure_recall` that hold the truth", HELD, share)]


def deviation(search: Mapping[str, Any]) -> float:
    """How far recall is from the target; 0 where the least effort finds more already."""
    found, target, least = search["recall"], search["target"], search["least"]
    return float(abs(found - max(target, min(least, found))))


def _inside(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (one for one in data["searches"] if not one["outside"])


def _searches(results: Mapping[str, Any], *, outside: bool) -> list[str]:
    rows = [
        [
            data["name"],
            one["kind"],
            number(one["target"], 2),
            number(one["recall"], 4),
            f"{number(one['low'], 3)}–{number(one['high'], 3)}",
            f"{one['recall'] - one['target']:+.4f}",
            str(one["ef"]),
            number(one["least"], 3),
        ]
        for data in results["datasets"]
        for one in data["searches"]
        if one["outside"] is outside
    ]
    columns = ["data", "queries", "asked for", "found", "95 % interval", "off by", "ef", "found with the least effort"]
    return table(columns, rows)


def _measured(results: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            data["name"],
            number(one["target"], 2),
            number(one["truth"], 4),
            f"{number(min(one['recalls']), 3)}–{number(max(one['recalls']), 3)}",
            f"±{number(sum(high - low for low, high in one['intervals']) / len(one['intervals']) / 2, 3)}",
            f"{one['held']} of {len(one['intervals'])}",
        ]
        for data in results["datasets"]
        for one in data["measured"]
    ]
    columns = ["data", "asked for", "rows held out", "measured, by seed", "interval", "intervals that hold it"]
    return table(columns, rows)
