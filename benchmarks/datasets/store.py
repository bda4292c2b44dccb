"""Keeps data sets as .npy files that worker processes map: base rows, queries, and a digest of both.

Promises: a folder appears whole or not at all; rows of metric "cosine" have unit length; base rows are written block by
block, so ten million rows never are in memory. Concurrency: two processes that prepare the same set each write a folder
of their own, and the first to finish wins.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.engines.protocol import Matrix

CACHE_VARIABLE: Final = "VECDB_BENCH_CACHE"
METRICS: Final = ("cosine", "dot", "l2")
HASH_ROWS: Final = 65_536
FACTS: Final = "facts.json"
PARTIAL_AGE_S: Final = 86_400.0
"""A folder under preparation that is older belongs to nobody any more."""


class DatasetError(Exception):
    """The data set cannot be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Base rows (n, d) and queries (q, d), float32; `directory` holds them as base.npy and queries.npy."""

    name: str
    metric: str
    base: Matrix
    queries: Matrix
    directory: Path
    digest: str


def cache_root(cache: Path | None) -> Path:
    """Where data sets, exact answers and environments are kept between runs."""
    named = os.environ.get(CACHE_VARIABLE)
    if cache is not None:
        return cache
    return Path(named) if named else Path("~/.cache/vecdb/benchmarks").expanduser()


def as_unit_rows(rows: npt.NDArray[Any]) -> Matrix:
    """Rows divided by their lengths; rows of zeros stay."""
    wide = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Matrix = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    return unit


def prepared(
    name: str, metric: str, shape: tuple[int, int], blocks: Iterable[npt.NDArray[Any]], queries: Any, place: Path
) -> Dataset:
    """Write a data set into `place` from blocks of base rows, and open it."""
    if metric not in METRICS:
        raise DatasetError(f"no metric {metric!r}; there are {', '.join(METRICS)}")
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep_partial(place)
    partial = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        shaped = as_unit_rows if metric == "cosine" else _as_float32
        base = np.lib.format.open_memmap(partial / "base.npy", mode="w+", dtype=np.float32, shape=shape)
        filled = 0
        for block in blocks:
            base[filled : filled + len(block)] = _finite(shaped(block), name)
            filled += len(block)
        base.flush()
        if filled != shape[0]:
            raise DatasetError(f"{name}: {filled} rows instead of {shape[0]}")
        asked = _finite(shaped(queries), name)
        if asked.ndim != 2 or asked.shape[1] != shape[1]:
            raise DatasetError(f"{name}: queries of shape {asked.shape} for base rows of {shape[1]} dimensions")
        np.save(partial / "queries.npy", np.ascontiguousarray(asked))
        facts = {"name": name, "metric": metric, "digest": content_digest(base, asked, metric)}
        (partial / FACTS).write_text(json.dumps(facts))
        del base
        if not (place / FACTS).exists():
            shutil.rmtree(place, ignore_errors=True)
            partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return opened(place)


def _sweep_partial(place: Path) -> None:
    """Remove what preparations that were killed have left; one under way is younger."""
    for left in place.parent.glob(f".{place.name}-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > PARTIAL_AGE_S:
                shutil.rmtree(left, ignore_errors=True)


def opened(place: Path) -> Dataset:
    """Open a prepared data set in place."""
    facts = json.loads((place / FACTS).read_text())
    base = np.load(place / "base.npy", mmap_mode="r", allow_pickle=False)
    queries = np.load(place / "queries.npy", allow_pickle=False)
    return Dataset(facts["name"], facts["metric"], base, queries, place, facts["digest"])


def is_prepared(place: Path) -> bool:
    """True when `opened` will find it whole."""
    return (place / FACTS).exists()


def content_digest(base: Matrix, queries: Matrix, metric: str) -> str:
    """Digest of everything that exact answers depend on."""
    digest = hashlib.blake2b(repr((metric, base.shape, queries.shape)).encode(), digest_size=12)
    for rows in (base, queries):
        for start in range(0, len(rows), HASH_ROWS):
            digest.update(np.ascontiguousarray(rows[start : start + HASH_ROWS]).data)
    return digest.hexdigest()


def _finite(rows: Matrix, name: str) -> Matrix:
    """The rows; DatasetError when a component is NaN or infinite, which no order of distances survives."""
    if not np.isfinite(rows).all():
        raise DatasetError(f"{name} has components that are no finite numbers")
    return rows


def _as_float32(rows: npt.NDArray[Any]) -> Matrix:
    wide: Matrix = np.asarray(rows, dtype=np.float32)
    return wide
