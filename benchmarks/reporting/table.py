"""Formats Markdown tables and the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, TypeGuard

NONE: Final = "–"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column to the left and the others to the right, and a blank line."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *([_cell(cell) for cell in row] for row in rows)]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return " ".join(text.replace("|", "\\|").split())


def is_number(value: float | None) -> TypeGuard[float]:
    """True for a finite number."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separated, or a dash for none."""
    return f"{value:,.{digits}f}" if is_number(value) else NONE


def folded(title: str, lines: Iterable[str]) -> list[str]:
    """Lines that a reader must unfold."""
    return [f"<details><summary>{title}</summary>", "", *lines, "</details>", ""]
