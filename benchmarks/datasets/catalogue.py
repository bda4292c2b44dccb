"""Finds a data set by its name or its file, prepares it once, and opens it.

A name is `wordnet-minilm` or one of `synthetic.RECIPES`; anything else is the path of a file. Of a .npy or texmex file,
1,000 rows are held out as queries, unless a file of queries lies beside it: NAME.queries.npy, or, as texmex names them,
NAME_query.fvecs beside NAME_base.fvecs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.files import TEXMEX, read_hdf5, read_vectors
from benchmarks.datasets.store import Dataset, DatasetError, as_unit_rows, cache_root, is_prepared, opened, prepared
from benchmarks.datasets.synthetic import RECIPES, VERSION, base_blocks, queries_of
from benchmarks.datasets.wordnet import VECTORS, data_directory, read_split

WORDNET: Final = "wordnet-minilm"
HDF5: Final = {".hdf5", ".h5"}
SLICE_ROWS: Final = 65_536
QUERIES_DEFAULT: Final = 1_000

Rows = npt.NDArray[Any]


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
    if queries < 1 or (rows is not None and rows < 1):
        raise DatasetError(f"a data set has at least one row and one query; asked for were {rows} and {queries}")
    if name in RECIPES:
        return _generated(name, metric, rows, queries, cache)
    if name == WORDNET:
        directory = data_directory(data)
        source, stamp = directory, repr((_stamp(directory / VECTORS), "unit rows"))
    else:
        source = Path(name)
        if source.suffix not in HDF5 | set(TEXMEX) | {".npy"}:
            raise DatasetError(f"no data set called {name!r}: there are {', '.join(names())}, and files")
        beside = _queries_beside(source)
        stamp = repr([_stamp(path) for path in (source, beside) if path is not None])
    place = _place(cache, source.stem, repr((name, metric, rows, queries, stamp)))
    if is_prepared(place):
        return opened(place)
    vectors, kept, asked, given = _read(name, source, queries)
    if rows is not None and rows > len(kept):
        raise DatasetError(f"{source.name} has {len(kept)} base rows, not {rows}")
    kept, chosen = kept[:rows], metric or given
    shape = (len(kept), vectors.shape[1])
    # WordNet's rows have unit length by any metric; float16 lost some of it. By cosine, `prepared` sees to that.
    shaped = as_unit_rows if name == WORDNET and chosen != "cosine" else np.asarray
    blocks = (shaped(vectors[kept[start : start + SLICE_ROWS]]) for start in range(0, len(kept), SLICE_ROWS))
    return prepared(_title(name, source), chosen, shape, blocks, shaped(asked[:queries]), place)


def _generated(name: str, metric: str | None, rows: int | None, queries: int, cache: Path | None) -> Dataset:
    recipe = RECIPES[name]
    count, chosen = rows or recipe.rows, metric or recipe.metric
    place = _place(cache, name, repr((name, VERSION, chosen, count, queries)))
    if is_prepared(place):
        return opened(place)
    return prepared(name, chosen, (count, recipe.dim), base_blocks(recipe, count), queries_of(recipe, queries), place)


def _read(name: str, source: Path, queries: int) -> tuple[Rows, npt.NDArray[np.int64], Rows, str]:
    """(vectors, which of them are base rows, queries, metric)."""
    if source.suffix in HDF5:
        base, asked, metric = read_hdf5(source)
        return base, np.arange(len(base)), asked, metric
    if name == WORDNET:
        return (*read_split(source, queries), "cosine")
    vectors = read_vectors(source)
    beside = _queries_beside(source)
    if beside is not None:
        return vectors, np.arange(len(vectors)), read_vectors(beside), "l2"
    if len(vectors) <= queries:
        raise DatasetError(f"{source.name} has {len(vectors)} rows: too few to hold {queries} out as queries")
    held_out = np.sort(np.random.default_rng(1).choice(len(vectors), queries, replace=False))
    return vectors, np.delete(np.arange(len(vectors)), held_out), vectors[held_out], "l2"


def _queries_beside(source: Path) -> Path | None:
    """The file of queries that belongs to a file of base rows."""
    if source.suffix in HDF5:
        return None
    candidates = [source.with_name(f"{source.stem}.queries.npy")]
    if source.stem.endswith("_base"):
        candidates.append(source.with_name(f"{source.stem.removesuffix('_base')}_query{source.suffix}"))
    return next((path for path in candidates if path.exists()), None)


def _title(name: str, source: Path) -> str:
    return name if name == WORDNET else source.stem


def _stamp(path: Path) -> tuple[str, int, int]:
    if not path.exists():
        raise DatasetError(f"no file {path}")
    facts = path.stat()
    return str(path.resolve()), facts.st_size, facts.st_mtime_ns


def _place(cache: Path | None, stem: str, facts: str) -> Path:
    return cache_root(cache) / "datasets" / f"{stem}-{hashlib.blake2b(facts.encode(), digest_size=6).hexdigest()}"
