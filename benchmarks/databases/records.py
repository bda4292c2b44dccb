"""Makes the records that the databases store: ids and metadata for every base row of a data set.

WordNet's come with its vectors; other data sets get records of the same shape from a seeded generator. Every record
also gets a bucket and a region, so that a filter on either keeps a known share of all rows: the bucket anywhere, the
region where rows lie together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.databases.protocol import COLUMNS, Metadata
from benchmarks.datasets.wordnet import read_records

BUCKETS: Final = 10_000
"""Values of both columns: a bound of n keeps n ten-thousandths of all rows."""

SEED: Final = 7
SYLLABLES: Final = ("an", "ba", "co", "di", "el", "fu", "gra", "hem", "in", "jo", "ka", "lu", "mor", "ne", "os", "pri")
POS: Final = ("noun", "verb", "adj", "adv")


def with_columns(records: Sequence[Metadata], regions: Sequence[int]) -> list[dict[str, Any]]:
    """The records with a region and a bucket each, the bucket uniform over 0 ... 9,999 and the same in every run."""
    buckets = np.random.default_rng(SEED).integers(0, BUCKETS, len(records)).tolist()
    columns = zip(records, buckets, regions, strict=True)
    return [{**record, "bucket": bucket, "region": region} for record, bucket, region in columns]


def regions_of(places: npt.NDArray[np.float64]) -> list[int]:
    """The rank of each row's place along a direction, in ten-thousandths of all rows."""
    ranks = np.empty(len(places), dtype=np.int64)
    ranks[np.argsort(places, kind="stable")] = np.arange(len(places))
    regions: list[int] = (ranks * BUCKETS // max(len(places), 1)).tolist()
    return regions


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
