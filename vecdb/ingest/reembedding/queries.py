"""Reads the queries by which two models are compared: texts, and where they are known the records that answer them.

    *.jsonl  {"query": "how to tie a bowline", "id": "knot-7"}    or "ids": [...]; without them only the overlap counts
    *.csv    columns query and id (a query may have several rows); *.tsv likewise
    others   one query a line

Promises: what is wrong is an InvalidDocumentError that names the file and the line; rows of one query are one Query.
"""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from vecdb.config import INT_ID_MAX
from vecdb.errors import InvalidDocumentError, SourceNotFoundError
from vecdb.ingest.reembedding.config import COMPARE_QUERIES_MAX, QUERY_CHARS_MAX
from vecdb.ingest.sources.rows import checked_id
from vecdb.types import RecordId

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
INT_DIGITS_MAX: Final = len(str(INT_ID_MAX))


@dataclass(frozen=True, slots=True)
class Query:
    """A text to search with. `answers` are the ids of records that should be found, each in all its spellings."""

    text: str
    answers: tuple[frozenset[RecordId], ...] = ()


def read_queries(path: Path) -> list[Query]:
    """The queries of a file, in its order."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _gathered(_rows(file, path), path)
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is no file of queries {str(path)!r}", path=str(path)) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidDocumentError(f"{path} cannot be read as queries: {error}", path=str(path)) from error


def _gathered(rows: Iterable[tuple[str, list[frozenset[RecordId]]]], path: Path) -> list[Query]:
    found: dict[str, list[frozenset[RecordId]]] = {}
    for text, answers in rows:
        known = found.setdefault(text, [])
        known.extend(answer for answer in answers if answer not in known)
        if len(found) > COMPARE_QUERIES_MAX:
            raise InvalidDocumentError(f"{path} has more than {COMPARE_QUERIES_MAX:,} queries; take a sample of them")
    if not found:
        raise InvalidDocumentError(f"{path} holds no query; write one a line, or JSON lines with query and id")
    return [Query(text, tuple(answers)) for text, answers in found.items()]


def _rows(file: Iterable[str], path: Path) -> Iterator[tuple[str, list[frozenset[RecordId]]]]:
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        yield from _table_rows(file, path, DELIMITERS[suffix])
        return
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        if suffix in {".jsonl", ".ndjson"}:
            yield _json_row(line, f"{path}, line {number}")
        else:
            yield _text(line.strip(), f"{path}, line {number}"), []


def _table_rows(file: Iterable[str], path: Path, delimiter: str) -> Iterator[tuple[str, list[frozenset[RecordId]]]]:
    table = csv.DictReader(file, delimiter=delimiter)
    columns = [name for name in table.fieldnames or [] if name]
    if "query" not in columns:
        raise InvalidDocumentError(f"{path} has the columns {', '.join(columns) or 'none'}; name one of them query")
    for row in table:
        place = f"{path}, line {table.line_num}"
        word = row.get("id") or ""
        yield _text(row["query"], place), [frozenset(spellings(word))] if word else []


def _json_row(line: str, place: str) -> tuple[str, list[frozenset[RecordId]]]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidDocumentError(f"{place} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise InvalidDocumentError(f"{place} is a JSON {type(row).__name__}; write an object with query and id")
    given = row.get("ids", [row["id"]] if row.get("id") is not None else [])
    if not isinstance(given, list):
        raise InvalidDocumentError(f"{place}: ids is {type(given).__name__}; give a list, or one id as id")
    answers = [checked_id(value, f"{place}: the id") for value in given]
    return _text(row.get("query"), place), [
        frozenset(spellings(answer, is_word=False)) if isinstance(answer, str) else frozenset([answer])
        for answer in answers
    ]


def spellings(word: str, *, is_word: bool = True) -> set[RecordId]:
    """The ids that `word` may stand for: JSON has no UUIDs, and a table (`is_word`) nothing but words."""
    found: set[RecordId] = {word}
    if is_word and word.isascii() and word.isdigit() and len(word) <= INT_DIGITS_MAX and int(word) <= INT_ID_MAX:
        found.add(int(word))
    try:
        found.add(uuid.UUID(word))
    except ValueError:
        pass  # it is none, and needs not be
    return found


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidDocumentError(f'{place} has no query; write it as a text under "query"')
    if len(value) > QUERY_CHARS_MAX:
        raise InvalidDocumentError(f"{place} has {len(value):,} characters; a query has at most {QUERY_CHARS_MAX:,}")
    return value.strip()
