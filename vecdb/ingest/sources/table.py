"""Reads CSV and TSV with a header: one row a record, a bad row a problem.

Promises: a row with too few or too many fields is a problem and never shifted into other columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, Final

from vecdb.errors import InvalidDocumentError
from vecdb.ingest.sources.config import LINE_BYTES_MAX, SHOWN_CHARS_MAX, TABLE_COLUMNS_MAX
from vecdb.ingest.sources.decoding import is_sound
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.item import Item, Problem
from vecdb.ingest.sources.jsonl import text_lines, text_stream, too_long
from vecdb.ingest.sources.options import ReadOptions
from vecdb.ingest.sources.rows import Placed, missing_columns, read_rows

WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
FRACTION: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}(?:[eE][-+]?[0-9]{1,3})?")
BOOLEANS: Final = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_csv(file: SourceFile) -> Iterator[Item | Problem]:
    """The items of a file of comma-separated values."""
    yield from _read(file, file.options.delimiter or ",")


def read_tsv(file: SourceFile) -> Iterator[Item | Problem]:
    """The items of a file of tab-separated values."""
    yield from _read(file, file.options.delimiter or "\t")


def _read(file: SourceFile, delimiter: str) -> Iterator[Item | Problem]:
    csv.field_size_limit(LINE_BYTES_MAX)  # the module has one for all; texts are larger than its 128 KiB
    with file.open() as stream, text_stream(stream, file.options.encoding) as text:
        yield from read_rows(_rows(_Lines(text_lines(text)), file, delimiter), file)


class _Lines:
    """Feeds lines to the csv module; one that is too long ends the file, since nobody knows where its row does."""

    def __init__(self, lines: Iterator[str | None]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            if line is None:
                raise too_long()
            yield line


def _rows(lines: _Lines, file: SourceFile, delimiter: str) -> Iterator[Placed]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names = _header(reader, file.options, delimiter)
    infer = file.options.types == "infer"
    kept_as_text = {file.options.id_field, file.options.text_field}
    while True:
        position = file.position(line=reader.line_num + 1)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield position, InvalidDocumentError(f"is no CSV: {error!s:.{SHOWN_CHARS_MAX}} (a quote without its end?)")
            continue
        if cells is None:
            return
        if not cells:
            continue
        if len(cells) != len(names):
            yield position, InvalidDocumentError(f"has {len(cells)} fields, the header has {len(names)}")
        elif not all(map(is_sound, cells)):
            yield position, InvalidDocumentError("is not UTF-8; name the encoding, as in encoding=cp1252")
        else:
            pairs = zip(names, cells, strict=True)
            yield (
                position,
                {name: inferred(cell) if infer and name not in kept_as_text else cell for name, cell in pairs},
            )


def inferred(cell: str) -> Any:
    """The number or truth value that a cell spells, None for an empty one; "007" and the like stay text."""
    if not cell:
        return None
    if WHOLE.fullmatch(cell) and cell != "-0":
        return int(cell)
    return float(cell) if FRACTION.fullmatch(cell) else BOOLEANS.get(cell, cell)


def _header(reader: Any, options: ReadOptions, delimiter: str) -> list[str]:
    try:
        names: list[str] = next(reader, [])
    except csv.Error as error:
        raise InvalidDocumentError(f"has no header that can be read: {error!s:.{SHOWN_CHARS_MAX}}") from None
    if not names:
        raise InvalidDocumentError("is empty; its first line names the columns")
    if len(names) > TABLE_COLUMNS_MAX:
        raise InvalidDocumentError(f"has {len(names)} columns; {TABLE_COLUMNS_MAX} are the most")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidDocumentError(f"has two columns {twice[0]!r:.{SHOWN_CHARS_MAX}}; rename one")
    missing = missing_columns(names, options)
    if missing is None:
        return names
    other = next((mark for mark in SEPARATORS if len(names) == 1 and mark != delimiter and mark in names[0]), None)
    hint = f" (its fields seem to be separated by {SEPARATORS[other]}s: say delimiter={other!r})" if other else ""
    raise InvalidDocumentError(f"{missing}{hint}", line=1)
