"""Finds a data set by its name or its file, prepares it once, and opens it.

A name is `wordnet-minilm` or one of `synthetic.RECIPES`; anything else is the path of a file. Of a .npy or texmex file,
1,000 rows are held out as queries, unless a file of queries lies beside it (NAME.queries.npy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.files import TEXMEX, read_hdf5, read_vectors
from benchmarks.datasets.store import Dataset, DatasetError, cache_root, is_prepared, opened, prepared
from benchmarks.datasets.synthetic import RECIPES, base_blocks, queries_of
from benchmarks.datasets.wordnet import data_directory, read_split

WORDNET: Final = "wordnet-minilm"
HDF5: Final = {".hdf5", ".h5"}
SLICE_ROWS: Final = 65_536
QUERIES_DEFAULT: Final = 1_000


def names() -> tuple[str, ...]:
    """What `load` knows besides files."""
    return (WORDNET, *RECIPES)


def load(
    name: str,
    *,
    metric: str | None = None,
    rows: int | None = None,
    queries: int = QUERIES_DEFAULT,
    data: Path | None = None,
    cache: Path | None = None,
) -> Dataset:
    """Open a data set, preparing it in the cache at first. `rows` takes the first of them, or says how many to make.

    DatasetError says what is missing.
    """
    if name in RECIPES:
        return _generated(name, metric, rows, queries, cache)
    if name == WORDNET:
        directory = data_directory(data)
        source, stamp = directory, _stamp(directory / "vectors.f16.npy")
    else:
        source = Path(name)
        if source.suffix not in HDF5 | set(TEXMEX) | {".npy"}:
            raise DatasetError(f"no data set called {name!r}: there are {', '.join(names())}, and files")
        stamp = _stamp(source)
    place = _place(cache, source.stem, repr((name, metric, rows, queries, stamp)))
    if is_prepared(place):
        return opened(place)
    base, held_out, given = _read(name, source, queries)
    base = base if rows is None else base[:rows]
    shape = (len(base), base.shape[1])
    return prepared(_title(name, source), metric or given, shape, _slices(base), held_out[:queries], place)


def _generated(name: str, metric: str | None, rows: int | None, queries: int, cache: Path | None) -> Dataset:
    recipe = RECIPES[name]
    count, chosen = rows or recipe.rows, metric or recipe.metric
    place = _place(cache, name, repr((name, chosen, count, queries)))
    if is_prepared(place):
        return opened(place)
    return prepared(name, chosen, (count, recipe.dim), base_blocks(recipe, count), queries_of(recipe, queries), place)


def _read(name: str, source: Path, queries: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], str]:
    if name == WORDNET:
        return (*read_split(source, queries), "cosine")
    if source.suffix in HDF5:
        return read_hdf5(source)
    vectors = read_vectors(source)
    beside = source.with_name(f"{source.stem}.queries.npy")
    if beside.exists():
        return vectors, read_vectors(beside), "l2"
    if len(vectors) <= queries:
        raise DatasetError(f"{source.name} has {len(vectors)} rows: too few to hold {queries} out as queries")
    held_out = np.sort(np.random.default_rng(1).choice(len(vectors), queries, replace=False))
    return np.delete(vectors, held_out, axis=0), vectors[held_out], "l2"


def _slices(base: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    for start in range(0, len(base), SLICE_ROWS):
        yield base[start : start + SLICE_ROWS]


def _title(name: str, source: Path) -> str:
    return name if name == WORDNET else source.stem


def _stamp(path: Path) -> tuple[str, int, int]:
    if not path.exists():
        raise DatasetError(f"no file {path}")
    facts = path.stat()
    return str(path.resolve()), facts.st_size, facts.st_mtime_ns


def _place(cache: Path | None, stem: str, facts: str) -> Path:
    return cache_root(cache) / "datasets" / f"{stem}-{hashlib.blake2b(facts.encode(), digest_size=6).hexdigest()}"
