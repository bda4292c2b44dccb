"""Reads wordnet-minilm: 117,659 sentence embeddings of 384 dimensions (all-MiniLM-L6-v2) with their records.

The directory holds `vectors.f16.npy` and `records.jsonl.gz`; it is named by option or in VECDB_DATA.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.files import read_vectors
from benchmarks.datasets.store import DatasetError

DATA_VARIABLE: Final = "VECDB_DATA"
VECTORS: Final = "vectors.f16.npy"
RECORDS: Final = "records.jsonl.gz"


def data_directory(data: Path | None) -> Path:
    """The directory named by option or environment; DatasetError when it is not what it should be."""
    named = data if data is not None else os.environ.get(DATA_VARIABLE)
    if named is None:
        raise DatasetError(f"wordnet-minilm lies in a directory of yours: name it with --data or in {DATA_VARIABLE}")
    if not (Path(named) / VECTORS).exists():
        raise DatasetError(f"{named} has no {VECTORS}")
    return Path(named)


def split(rows: int, queries: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(base, query) row numbers: the first `queries` of a fixed permutation are held out."""
    order = np.random.default_rng(1).permutation(rows)
    return order[queries:], order[:queries]


def read_split(directory: Path, queries: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[Any]]:
    """(vectors, which of them are base rows, queries) as stored, float16."""
    vectors = read_vectors(directory / VECTORS)
    if len(vectors) <= queries:
        raise DatasetError(f"{VECTORS} has {len(vectors)} rows: too few to hold {queries} out as queries")
    base, held_out = split(len(vectors), queries)
    return vectors, base, vectors[held_out]


def read_records(directory: Path, queries: int) -> list[dict[str, Any]]:
    """The records of the base rows, in their order."""
    with gzip.open(directory / RECORDS, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [records[row] for row in split(len(records), queries)[0]]
