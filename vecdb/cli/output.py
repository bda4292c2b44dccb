"""Prints results: one JSON document, or tables for people.

Promises: with `--json`, stdout holds exactly one JSON document (NaN becomes null). Text from the database is never
interpreted: control characters are shown escaped, so that stored data cannot steer a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.table import Table

PIPE_COLUMNS = 160
"""Width of tables when stdout is not a terminal and says nothing of its own width."""

CUT_COLUMNS = frozenset({"metadata"})
"""Columns that may be of any length and are cut to what fits."""

BYTES_PER_UNIT = 1024


def print_json(document: Mapping[str, Any]) -> None:
    """Print `document` as JSON on stdout."""
    sys.stdout.write(msgspec.json.format(_encode(document), indent=2).decode() + "\n")


def print_tables(*tables: Table) -> None:
    """Print tables, as wide as the terminal."""
    from rich.console import Console  # noqa: PLC0415 - only needed where a table is printed

    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    for table in tables:
        console.print(table)


def print_line(text: str) -> None:
    """Print one line of text on stdout."""
    sys.stdout.write(printable(text) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table whose numbers are aligned right; the columns of CUT_COLUMNS are cut to what fits."""
    from rich import box  # noqa: PLC0415 - see print_tables
    from rich.table import Table  # noqa: PLC0415 - see print_tables
    from rich.text import Text  # noqa: PLC0415 - see print_tables

    body = [list(row) for row in rows]
    is_cut = bool(body) and not CUT_COLUMNS.isdisjoint(columns)
    grid = Table(title=Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=is_cut)
    for position, name in enumerate(columns):
        if is_cut and name in CUT_COLUMNS:
            # with a ratio, a column takes what the others leave, instead of pushing them out
            grid.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1)
        else:
            is_number = bool(body) and all(isinstance(row[position], int | float) for row in body)
            grid.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in body:
        grid.add_row(*(Text(_cell(value)) for value in row))
    return grid


def printable(text: str) -> str:
    """`text` with every control and other unprintable character escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def compact_json(value: object) -> str:
    """`value` as JSON on one line."""
    return _encode(value).decode()


def format_bytes(count: int) -> str:
    """`count` in the largest binary unit that keeps it above one."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < BYTES_PER_UNIT:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= BYTES_PER_UNIT
    return f"{size:.1f} TiB"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return printable(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: object) -> object:
    import numpy as np  # noqa: PLC0415 - loaded already where there is such a value; --version goes without

    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
