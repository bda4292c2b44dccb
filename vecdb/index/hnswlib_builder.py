"""Builds a vecdb graph with hnswlib's own insertion: `builder="hnswlib"`, and the baseline of the benchmarks.

Promises: with one thread the graph depends only on the vectors, the parameters and the seed; with more it depends on
timing, as hnswlib's does.
Concurrency: hnswlib runs its own threads with the GIL released; calls share nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import hnswlib
import numpy as np
import numpy.typing as npt

from vecdb.config import HNSWLIB_BUILD_ROWS, M_MAX, M_MIN
from vecdb.errors import ClosedError, InvalidVectorError, LimitExceededError
from vecdb.index.graph import Graph, empty_graph
from vecdb.index.hnswlib_format import space_of
from vecdb.index.hnswlib_reader import read_hnswlib_object
from vecdb.types import FloatArray, Metric


def build_graph_with_hnswlib(
    vectors: FloatArray,
    metric: Metric,
    *,
    m: int,
    ef_construction: int,
    threads: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Graph:
    """Insert `vectors` (n, dim) float32 into an hnswlib index in order and return its graph; rows are positions.

    Level 0 has 2*m links, upper levels m, as in hnswlib (maxM0 = 2M, maxM = M; Malkov & Yashunin, 2016, algorithm 1).
    Under cosine hnswlib normalises a copy; dot is its inner-product space. The vectors must be finite. About
    1 ms a row at 384 dimensions; memory beside the result: the index (4*dim + 8*m + 12 bytes a row) and one copy of it.
    """
    space = space_of(metric)
    if vectors.ndim != 2:
        raise InvalidVectorError(f"vectors have shape {vectors.shape}; rows of one dimension are needed")
    if not M_MIN <= m <= M_MAX:
        raise LimitExceededError(f"m is {m}; it must be {M_MIN}..{M_MAX}", m=m)
    rows, dim = vectors.shape
    if rows == 0:
        return empty_graph(m)
    index = hnswlib.Index(space, dim)
    index.init_index(rows, M=m, ef_construction=ef_construction, random_seed=seed)
    for start in range(0, rows, HNSWLIB_BUILD_ROWS):
        if cancelled is not None and cancelled():
            raise ClosedError("the build was cancelled")
        stop = min(start + HNSWLIB_BUILD_ROWS, rows)
        index.add_items(vectors[start:stop], np.arange(start, stop), num_threads=threads)
        if progress is not None:
            progress(stop, rows)
    read = read_hnswlib_object(index)
    return renumber_rows(read.graph, read.labels.astype(np.int32))


def renumber_rows(graph: Graph, numbers: npt.NDArray[np.int32]) -> Graph:
    """Return the same graph with row r called `numbers[r]`, a permutation: hnswlib's threads race for numbers."""
    if np.array_equal(numbers, np.arange(graph.rows)):
        return graph
    links = np.empty_like(graph.links)
    links[numbers] = np.where(graph.links >= 0, numbers[graph.links], np.int32(-1))
    entry = graph.entry if len(graph.upper_rows) else int(numbers[graph.entry])
    return replace(graph, links=links, upper_rows=numbers[graph.upper_rows], entry=entry)
