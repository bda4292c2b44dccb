"""Makes the database that the own suites measure, and says what they all say alike: percentiles, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

import vecdb
from benchmarks.engines.protocol import Matrix
from vecdb.types import Metric

COLLECTION: Final = "bench"
BATCH_ROWS: Final = 1_000

Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Progress that nobody reads."""


def rows_as_batch(base: Matrix, start: int, count: int) -> tuple[list[int], Matrix, list[dict[str, Any]]]:
    """Columns of `upsert`: ids are row numbers, metadata is small."""
    part = np.ascontiguousarray(base[start : start + count])
    ids = list(range(start, start + len(part)))
    return ids, part, [{"row": row, "even": row % 2 == 0} for row in ids]


def make_database(path: Path, base: Matrix, metric: Metric) -> float:
    """Write all rows durably and index them into one segment; returns the MB of the index."""
    with vecdb.open(path) as db:
        collection = db.create_collection(COLLECTION, dim=base.shape[1], metric=metric)
        for start in range(0, len(base), BATCH_ROWS):
            collection.upsert(*rows_as_batch(base, start, BATCH_ROWS))
        collection.optimize()
        return collection.stats().fields["default"].index_bytes / 1e6


@contextmanager
def temporary_place(directory: Path | None) -> Iterator[Path]:
    """A folder under `directory` (None: the system's temporary one) for as long as the context lasts."""
    with TemporaryDirectory(prefix="vecdb-bench-", dir=directory) as place:
        yield Path(place)


@contextmanager
def temporary_database(directory: Path | None, base: Matrix, metric: Metric) -> Iterator[tuple[Path, float]]:
    """A database of these rows for as long as the context lasts, and the MB of its index."""
    with temporary_place(directory) as place:
        yield place / "db", make_database(place / "db", base, metric)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The median with what it was taken from; None of nothing."""
    return {"median": median(values) if values else None, "runs": list(values)}


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float | None]:
    """Half and 99 of 100 took no longer; None of nothing."""
    if not seconds:
        return {"p50_ms": None, "p99_ms": None}
    low, high = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return {"p50_ms": float(low), "p99_ms": float(high)}
