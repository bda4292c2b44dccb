"""Gives texts to ingest: WordNet's 117,659 words with their glosses, or any number of made-up ones of that shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.databases.records import synthetic_records
from benchmarks.datasets.catalogue import WORDNET
from benchmarks.datasets.store import DatasetError
from benchmarks.datasets.wordnet import data_directory, read_records

GENERATED: Final = "texts"
ROWS_DEFAULT: Final = 100_000

Record = Mapping[str, Any]


def text_records(name: str, rows: int | None, data: Path | None) -> list[dict[str, Any]]:
    """Records with `id`, `text` and metadata; the first `rows` of them, or as many made up."""
    if name == GENERATED:
        return synthetic_records(rows or ROWS_DEFAULT)
    if name != WORDNET:
        raise DatasetError(f"texts come from {WORDNET} or are made up ({GENERATED}); {name!r} has none")
    found = read_records(data_directory(data), 0)
    if rows is not None and rows > len(found):
        raise DatasetError(f"{name} has {len(found)} texts, not {rows}")
    return found[:rows]


def write_texts(file: Path, records: Sequence[Record]) -> None:
    """JSON Lines, as the ingestor reads them."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def read_texts(file: Path) -> list[dict[str, Any]]:
    """What `write_texts` wrote."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
