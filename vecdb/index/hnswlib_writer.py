"""Writes a vecdb graph and its vectors as a file that `hnswlib.Index.load_index` reads.

Promises: the file appears whole or not at all (written beside its place, fsynced, renamed), is readable by its owner
only, and holds nothing hnswlib would not have written itself: its loader is trusting, so a graph that breaks an
invariant is refused. Searching the loaded index gives the recall of the same graph here.
Concurrency: pure over its input; two writers of one path leave the file of the last.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vecdb.config import EF_CONSTRUCTION_DEFAULT, HNSWLIB_BLOCK_BYTES, HNSWLIB_LEVEL_MAX, M_MAX
from vecdb.errors import (
    CorruptionError,
    DuplicateIdError,
    InvalidRequestError,
    InvalidVectorError,
    LimitExceededError,
    StorageError,
    StorageFullError,
)
from vecdb.index.graph import Graph, entry_row, validate_graph
from vecdb.index.hnswlib_format import NO_ENTRY, Header, HnswlibSpace, row_dtype, space_of
from vecdb.types import Metric

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NORM_GUARD = np.float32(1e-30)
"""hnswlib adds this to a length before it divides by it, so a zero vector stays one."""


def write_hnswlib_file(
    path: str | os.PathLike[str],
    graph: Graph,
    vectors: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    *,
    metric: Metric,
    labels: npt.NDArray[np.uint64] | None = None,
    deleted: npt.NDArray[np.bool_] | None = None,
    ef_construction: int = EF_CONSTRUCTION_DEFAULT,
) -> None:
    """Write `graph` over `vectors` (rows, dim); an existing file is replaced.

    `labels` (rows,) are hnswlib's ids, unique, by default the row numbers; rows in `deleted` (rows,) get its mark:
    passed through, never returned. Vectors are normalised for cosine, as hnswlib stores them. Load it with
    `hnswlib.Index(space, dim).load_index(path)`; to add rows there, pass it `max_elements`.
    Errors: InvalidRequestError, DuplicateIdError, CorruptionError (the graph breaks an invariant), StorageError,
    StorageFullError. Cost: one pass; memory beside the input is `HNSWLIB_BLOCK_BYTES` and the upper links.
    """
    space = space_of(metric)
    rows = graph.rows
    labels = np.arange(rows, dtype=np.uint64) if labels is None else labels
    deleted = np.zeros(rows, dtype=np.bool_) if deleted is None else deleted
    _check_input(graph, vectors, labels, deleted)
    header = _header_of(graph, int(vectors.shape[1]), ef_construction)
    blocks = _level0_blocks(graph, vectors, labels, deleted, space)
    _write_atomically(Path(path), chain([header.pack()], blocks, [_upper_lists(graph).tobytes()]))


def _check_input(
    graph: Graph,
    vectors: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    labels: npt.NDArray[np.uint64],
    deleted: npt.NDArray[np.bool_],
) -> None:
    if vectors.ndim != 2 or vectors.shape[0] != graph.rows or vectors.shape[1] < 1:
        raise InvalidVectorError(f"vectors have shape {vectors.shape}, the graph has {graph.rows} rows")
    if labels.shape != (graph.rows,) or deleted.shape != (graph.rows,):
        raise InvalidRequestError(f"labels and deleted need one entry for each of {graph.rows} rows")
    if len(np.unique(labels)) != graph.rows:
        raise DuplicateIdError("a label occurs twice; hnswlib would lose one of the rows")
    if graph.m > M_MAX or len(graph.level_starts) - 1 > HNSWLIB_LEVEL_MAX:
        raise LimitExceededError(
            f"a graph of {len(graph.level_starts) - 1} levels with m={graph.m} has no hnswlib file"
        )
    problems = validate_graph(graph).problems
    if graph.rows and graph.entry < 0:
        problems += ("no entry point",)
    if problems:
        raise CorruptionError(f"the graph is damaged: {problems[0]}; rebuild it with optimize()", problems=problems)


def _header_of(graph: Graph, dim: int, ef_construction: int) -> Header:
    return Header.describe(
        count=graph.rows,
        dim=dim,
        m=graph.m,
        max_level=len(graph.level_starts) - 1 if graph.rows else -1,
        entry=entry_row(graph) if graph.rows else NO_ENTRY,
        ef_construction=max(ef_construction, graph.m),
    )


def _level0_blocks(
    graph: Graph,
    vectors: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    labels: npt.NDArray[np.uint64],
    deleted: npt.NDArray[np.bool_],
    space: HnswlibSpace,
) -> Iterator[memoryview]:
    """Yield the records of level 0, block by block; the buffer is reused."""
    dtype = row_dtype(graph.m, vectors.shape[1])
    step = max(1, HNSWLIB_BLOCK_BYTES // dtype.itemsize)
    buffer = np.empty(min(step, graph.rows), dtype=dtype)
    for start in range(0, graph.rows, step):
        stop = min(start + step, graph.rows)
        block = buffer[: stop - start]
        links = graph.links[start:stop]
        block["count"] = (links >= 0).sum(axis=1)
        block["mark"] = deleted[start:stop]
        block["links"] = np.maximum(links, 0)
        block["vector"] = vectors[start:stop]
        if space == "cosine":
            block["vector"] /= np.linalg.norm(block["vector"], axis=1, keepdims=True) + _NORM_GUARD
        block["label"] = labels[start:stop]
        yield block.view(np.uint8).data


def _upper_lists(graph: Graph) -> npt.NDArray[np.uint32]:
    """The end of the file: for each row the bytes that follow, then one counted list per level."""
    width = 1 + graph.m
    levels = np.bincount(graph.upper_rows, minlength=graph.rows).astype(np.int64)
    starts = np.cumsum(1 + levels * width) - levels * width  # first word after the row's size
    words = np.zeros(graph.rows + int(levels.sum()) * width, dtype="<u4")
    words[starts - 1] = 4 * width * levels
    level_of_node = np.repeat(np.arange(1, len(graph.level_starts)), np.diff(graph.level_starts))
    firsts = starts[graph.upper_rows] + (level_of_node - 1) * width
    linked = graph.upper_links >= 0
    words[firsts] = linked.sum(axis=1)
    words[firsts[:, None] + np.arange(1, width)] = np.where(linked, graph.upper_rows[graph.upper_links], 0)
    return words


def _write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` to a private file beside `path`, make it durable and rename it into place."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".hnswlib-", delete=False) as file:  # mode 0600
            temporary = Path(file.name)
            try:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink()
                raise
        _sync_directory(path.parent)
    except (OSError, ValueError) as error:
        kind = StorageFullError if isinstance(error, OSError) and error.errno in _DISK_FULL else StorageError
        raise kind(f"{path} cannot be written: {error}", path=str(path)) from error


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
