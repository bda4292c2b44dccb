"""Formats Markdown tables and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

NONE: Final = "–"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column to the left and the others to the right, and a blank line."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separated, or a dash for none."""
    return NONE if value is None else f"{value:,.{digits}f}"
