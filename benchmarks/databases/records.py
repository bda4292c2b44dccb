"""Makes the records that the databases store: ids and metadata for every base row of a data set.

WordNet's come with its vectors; other data sets get records of the same shape from a seeded generator. Every record
also gets a bucket, so that a filter on it keeps a known share of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.databases.protocol import COLUMNS, Metadata
from benchmarks.datasets.wordnet import read_records

BUCKETS: Final = 10_000
SEED: Final = 7
SYLLABLES: Final = ("an", "ba", "co", "di", "el", "fu", "gra", "hem", "in", "jo", "ka", "lu", "mor", "ne", "os", "pri")
POS: Final = ("noun", "verb", "adj", "adv")


def with_buckets(records: Sequence[Metadata]) -> list[dict[str, Any]]:
    """The records with a bucket each, uniform over 0 ... 9,999, the same in every run."""
    buckets = np.random.default_rng(SEED).integers(0, BUCKETS, len(records))
    return [{**record, "bucket": int(bucket)} for record, bucket in zip(records, buckets, strict=True)]


def metadata_of(record: Metadata) -> dict[str, Any]:
    """What is stored beside id and vector."""
    return {name: record[name] for name in COLUMNS}


def wordnet_records(directory: Path, queries: int, rows: int) -> list[dict[str, Any]]:
    """Records of the first `rows` base rows of wordnet-minilm, `queries` of its rows being held out."""
    return read_records(directory, queries)[:rows]


def synthetic_records(rows: int) -> list[dict[str, Any]]:
    """Records of the same shape, made up: one to three words, a part of speech, a text of some sixty characters."""
    rng = np.random.default_rng(SEED + 1)
    return [_synthetic(row, rng) for row in range(rows)]


def _synthetic(row: int, rng: np.random.Generator) -> dict[str, Any]:
    words = ["".join(rng.choice(SYLLABLES, 3)) for _ in range(int(rng.integers(1, 4)))]
    gloss = " ".join(rng.choice(SYLLABLES, int(rng.integers(8, 24))))
    return {
        "id": f"row-{row:08d}",
        "words": words,
        "pos": POS[int(rng.integers(len(POS)))],
        "lexicographer_file": int(rng.integers(45)),
        "gloss_length": len(gloss),
        "text": f"{', '.join(words)}: {gloss}",
    }
