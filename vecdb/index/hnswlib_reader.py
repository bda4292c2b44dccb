"""Reads hnswlib indexes, from a file or from a live `hnswlib.Index`, as vectors, labels and a vecdb graph.

Promises: a file is parsed in numpy and never reaches hnswlib's own loader; every size is checked against the length of
the file before anything of that size is allocated, every link against the rows and levels there are. Damage is a
CorruptionError that names the place; whatever passes is a graph without a `validate_graph` problem.
Invariants: links to the row itself and repeated links, which hnswlib tolerates, are dropped; everything else that it
would not have written is an error. Deleted rows keep their place in the graph.
Concurrency: pure over their input; a live index must not be added to meanwhile (hnswlib's own rule).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

import hnswlib
import numpy as np
import numpy.typing as npt

from vecdb.config import DIM_MAX, EF_CONSTRUCTION_MAX, HNSWLIB_BLOCK_BYTES, M_MIN, VECTOR_ABS_MAX
from vecdb.errors import (
    InvalidRequestError,
    InvalidVectorError,
    LimitExceededError,
    NonFiniteVectorError,
    NotFoundError,
    StorageError,
)
from vecdb.index.graph import Graph, empty_graph
from vecdb.index.hnswlib_format import (
    HEADER_BYTES,
    Header,
    HnswlibIndex,
    check_header,
    damaged,
    metric_of,
    row_dtype,
    space_of,
)
from vecdb.types import FloatArray, Metric

_NO_LINK: Final = np.uint32(2**32 - 1)
_UNIT_LENGTH_TOLERANCE: Final = 1e-3
"""hnswlib normalises in float32, which is off by 1e-6 at most."""

_Words = npt.NDArray[np.uint32]
_Int32 = npt.NDArray[np.int32]
_Int64 = npt.NDArray[np.int64]
_Records = npt.NDArray[np.void]


def read_hnswlib(source: object, *, dim: int | None = None, metric: Metric | None = None) -> HnswlibIndex:
    """Read an hnswlib index: a path of a file that hnswlib saved, or an `hnswlib.Index`.

    A file says neither its dimension nor its space, so a path needs both; an object knows them, and what is given
    must agree. Errors: see `read_hnswlib_file` and `read_hnswlib_object`.
    """
    if not isinstance(source, (str, os.PathLike)):
        return read_hnswlib_object(source, dim=dim, metric=metric)
    if dim is None or metric is None:
        raise InvalidRequestError("an hnswlib file does not name its dimension and space; give dim= and metric=")
    return read_hnswlib_file(source, dim=dim, metric=metric)


def read_hnswlib_file(path: str | os.PathLike[str], *, dim: int, metric: Metric) -> HnswlibIndex:
    """Parse a file written by `hnswlib.Index.save_index` of hnswlib 0.8.

    Errors: NotFoundError, StorageError (cannot be read), CorruptionError, DimensionMismatchError, LimitExceededError,
    InvalidVectorError. Cost: one pass over the file; memory is the result and `HNSWLIB_BLOCK_BYTES`.
    """
    place = f"hnswlib file {os.fspath(path)}"
    _check_dim(dim)
    space_of(metric)
    with _open_regular(path, place) as file:
        length = os.fstat(file.fileno()).st_size
        header = Header.unpack(_read(file, np.empty(HEADER_BYTES, dtype=np.uint8), place).tobytes())
        check_header(header, dim, place)
        tail_bytes = length - HEADER_BYTES - header.count * header.row_bytes
        if tail_bytes < 4 * header.count or tail_bytes % 4:
            raise damaged(place, f"{header.count} rows of {header.row_bytes} bytes do not fit its {length} bytes")
        rows = _Rows.allocate(header, dim, metric, place)
        for start, block in _file_blocks(file, row_dtype(header.m, dim), header.count, place):
            rows.take(start, block)
        words = _read(file, np.empty(tail_bytes, dtype=np.uint8), place).view("<u4")
    return _assemble(header, rows, _split_lists(words, header, place), place)


def read_hnswlib_object(index: object, *, dim: int | None = None, metric: Metric | None = None) -> HnswlibIndex:
    """Read a live `hnswlib.Index` through its pickle state, checked like a file. Copies the index once.

    Errors: InvalidRequestError (no hnswlib.Index, not initialised, another space), DimensionMismatchError and those
    of `read_hnswlib_file`.
    """
    place = "hnswlib.Index"
    state = _state_of(index)
    space = space_of(metric_of(str(state["space"])))
    if metric is not None and space != space_of(metric):
        raise InvalidRequestError(f"{place} has space {space!r}, which is not metric {metric!r}", space=space)
    header = _state_header(state)
    _check_dim(int(state["dim"]))
    check_header(header, int(state["dim"]) if dim is None else dim, place)
    records = _bytes_of(state["data_level0"], header.count * header.row_bytes, place)
    lists = _state_lists(state, header, place)
    rows = _Rows.allocate(header, int(state["dim"]), metric_of(space), place)
    for start, block in _memory_blocks(records.view(row_dtype(header.m, int(state["dim"])))):
        rows.take(start, block)
    return _assemble(header, rows, lists, place)


def _check_dim(dim: int) -> None:
    if not 1 <= dim <= DIM_MAX:
        raise LimitExceededError(f"dim is {dim}; it must be 1..{DIM_MAX}", dim=dim)


# --- bytes ---------------------------------------------------------------------------------------------------------


def _open_regular(path: str | os.PathLike[str], place: str) -> FileIO:
    """Open a regular file; anything else (a pipe would block for ever) is refused before it is opened."""
    try:
        if stat.S_ISREG(Path(path).stat().st_mode):
            return Path(path).open("rb", buffering=0)
    except FileNotFoundError:
        raise NotFoundError(f"{place} does not exist", place=place) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise StorageError(f"{place} cannot be opened: {error}", place=place) from error
    raise InvalidRequestError(f"{place} is not a regular file", place=place)


def _read(file: FileIO, target: npt.NDArray[np.uint8], place: str) -> npt.NDArray[np.uint8]:
    """Fill `target` from the file; a file that ends early is damaged."""
    view, filled = target.data, 0
    while filled < len(view):
        got = file.readinto(view[filled:])
        if not got:
            raise damaged(place, f"it ends {len(view) - filled} bytes early")
        filled += got
    return target


def _block_rows(row_bytes: int) -> int:
    return max(1, HNSWLIB_BLOCK_BYTES // row_bytes)


def _file_blocks(file: FileIO, dtype: np.dtype[np.void], count: int, place: str) -> Iterator[tuple[int, _Records]]:
    """Yield the rows of a file in blocks. The buffer is reused: take what you need before the next block."""
    step = min(_block_rows(dtype.itemsize), max(count, 1))
    buffer = np.empty(step, dtype=dtype)
    for start in range(0, count, step):
        block = buffer[: count - start]
        _read(file, block.view(np.uint8), place)
        yield start, block


def _memory_blocks(records: _Records) -> Iterator[tuple[int, _Records]]:
    step = _block_rows(records.dtype.itemsize)
    for start in range(0, len(records), step):
        yield start, records[start : start + step]


def _bytes_of(array: Any, expected: int, place: str) -> npt.NDArray[np.uint8]:
    """Check the length of a byte array of a pickle state."""
    data: npt.NDArray[np.uint8] = np.ascontiguousarray(array).view(np.uint8)
    if data.size != expected:
        raise damaged(place, f"{data.size} bytes where its sizes ask for {expected}")
    return data


# --- the state of a live index -------------------------------------------------------------------------------------


def _state_of(index: object) -> dict[str, Any]:
    if not isinstance(index, hnswlib.Index):
        raise InvalidRequestError(f"{type(index).__name__} is neither a path nor an hnswlib.Index")
    state: dict[str, Any] = hnswlib.Index.__getstate__(index)[0]
    if not state["index_inited"]:
        raise InvalidRequestError("the hnswlib.Index was never initialised; call init_index or load_index first")
    return state


def _state_header(state: dict[str, Any]) -> Header:
    return Header(
        level0_offset=state["offset_level0"],
        max_elements=state["max_elements"],
        count=state["cur_element_count"],
        row_bytes=state["size_data_per_element"],
        label_offset=state["label_offset"],
        data_offset=state["offset_data"],
        max_level=state["max_level"],
        entry=state["enterpoint_node"],
        max_m=state["max_M"],
        max_m0=state["max_M0"],
        m=state["M"],
        mult=state["mult"],
        ef_construction=state["ef_construction"],
    )


def _state_lists(state: dict[str, Any], header: Header, place: str) -> _Lists:
    """The upper lists of a pickle state: levels per row, and all lists back to back."""
    levels = np.asarray(state["element_levels"], dtype=np.int64)[: header.count]
    if len(levels) != header.count or (levels < 0).any():
        raise damaged(place, "the levels do not match the rows")
    ends = np.cumsum(levels) * header.words_per_list
    words = _bytes_of(state["link_lists"], 4 * int(ends[-1]) if len(ends) else 0, place).view("<u4")
    return _Lists(levels=levels, starts=ends - levels * header.words_per_list, words=words)


# --- level 0 -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """The columns of level 0, filled block by block; every block is checked as it comes."""

    place: str
    metric: Metric
    labels: npt.NDArray[np.uint64]
    vectors: FloatArray
    deleted: npt.NDArray[np.bool_]
    links: _Int32

    @classmethod
    def allocate(cls, header: Header, dim: int, metric: Metric, place: str) -> _Rows:
        return cls(
            place=place,
            metric=metric,
            labels=np.empty(header.count, dtype=np.uint64),
            vectors=np.empty((header.count, dim), dtype=np.float32),
            deleted=np.empty(header.count, dtype=np.bool_),
            links=np.full((header.count, 2 * max(header.m, M_MIN)), -1, dtype=np.int32),
        )

    def take(self, start: int, block: _Records) -> None:
        """Copy the columns of rows `start` and following out of their records."""
        stop = start + len(block)
        if (block["mark"] > 1).any():
            raise damaged(self.place, f"a row between {start} and {stop} has an unknown mark")
        self.labels[start:stop] = block["label"]
        self.vectors[start:stop] = block["vector"]
        self.deleted[start:stop] = block["mark"]
        owners = np.arange(start, stop, dtype=np.int32)
        links = _checked_links(block["links"], block["count"], owners, len(self.labels), f"{self.place}, level 0")
        self.links[start:stop, : links.shape[1]] = links
        self._check_vectors(start, stop)

    def _check_vectors(self, start: int, stop: int) -> None:
        vectors = self.vectors[start:stop]
        low, high = vectors.min(), vectors.max()
        if not (low >= -VECTOR_ABS_MAX and high <= VECTOR_ABS_MAX):  # NaN fails both
            if np.isfinite(low) and np.isfinite(high):
                raise InvalidVectorError(f"{self.place}: a component is beyond ±{VECTOR_ABS_MAX:g}", start=start)
            raise NonFiniteVectorError(f"{self.place}: a vector between rows {start} and {stop} is not finite")
        if self.metric == "cosine":
            off = np.abs(np.einsum("rd,rd->r", vectors, vectors) - 1) > _UNIT_LENGTH_TOLERANCE
            if off.any():
                label = int(self.labels[start + int(np.argmax(off))])
                raise InvalidVectorError(
                    f"{self.place}: the vector of label {label} is not of unit length, as space 'cosine' makes them; "
                    "it is a zero vector, or the index was made with another metric",
                    label=label,
                )


def _checked_links(lists: _Words, counts: npt.NDArray[np.uint16], owners: _Int32, rows: int, place: str) -> _Int32:
    """Turn counted lists (k, width) of row numbers into padded ones, without self links and repeats."""
    width = lists.shape[1]
    if (counts > width).any():
        raise damaged(place, f"row {int(owners[np.argmax(counts > width)])} counts more than {width} links")
    listed = np.arange(width) < counts[:, None]
    if (bad := ((lists >= rows) & listed).any(axis=1)).any():
        raise damaged(place, f"row {int(owners[np.argmax(bad)])} links to a row beyond the last of {rows}")
    links: _Int32 = np.where(listed, lists, _NO_LINK).view(np.int32)
    in_order = np.sort(links, axis=1)
    useless = ((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)).any(axis=1)
    useless |= (links == owners[:, None]).any(axis=1)
    if useless.any():
        links[useless] = _without_useless(links[useless], owners[useless])
    return links


def _without_useless(links: _Int32, owners: _Int32) -> _Int32:
    """Drop links to the row itself and every repeat of a link, keep the order, and pack to the left."""
    order = np.argsort(links, axis=1, kind="stable")
    in_order = np.take_along_axis(links, order, axis=1)
    first = np.ones(links.shape, dtype=np.bool_)
    first[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    keep = np.empty_like(first)
    np.put_along_axis(keep, order, first, axis=1)
    keep &= (links >= 0) & (links != owners[:, None])
    packed = np.argsort(~keep, axis=1, kind="stable")
    return np.take_along_axis(np.where(keep, links, np.int32(-1)), packed, axis=1)


# --- upper levels --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Lists:
    """Upper lists as they lie in memory: row r has `levels[r]` lists from word `starts[r]` on."""

    levels: _Int64
    starts: _Int64
    words: _Words


def _split_lists(words: _Words, header: Header, place: str) -> _Lists:
    """Find each row's lists in the end of a file, where rows without upper levels are a zero word each.

    Walks only over rows with upper levels (one in M): the next of them is the next word that is not zero.
    """
    levels = np.zeros(header.count, dtype=np.int64)
    starts = np.zeros(header.count, dtype=np.int64)
    filled = np.append(np.flatnonzero(words), len(words))
    row = position = 0
    while True:
        zeros = int(filled[filled.searchsorted(position)]) - position
        skipped = min(zeros, header.count - row)
        row, position = row + skipped, position + skipped
        if row == header.count or position == len(words):
            break
        level, rest = divmod(int(words[position]), 4 * header.words_per_list)
        end = position + 1 + level * header.words_per_list
        if rest or level > header.max_level or end > len(words):
            raise damaged(place, f"row {row} has {int(words[position])} bytes of upper links")
        levels[row], starts[row] = level, position + 1
        row, position = row + 1, end
    if row < header.count or position < len(words):
        raise damaged(place, f"its upper links end at row {row} of {header.count}, {len(words) - position} words early")
    return _Lists(levels=levels, starts=starts, words=words)


def _upper_graph(lists: _Lists, header: Header, links: _Int32, place: str) -> Graph:
    """Number the upper nodes level by level and translate their links from rows to these numbers."""
    rows_of = [np.flatnonzero(lists.levels >= level).astype(np.int32) for level in range(1, header.max_level + 1)]
    starts = np.cumsum([0, *map(len, rows_of)], dtype=np.int32)
    upper_links = np.full((int(starts[-1]), links.shape[1] // 2), -1, dtype=np.int32)
    upper_down = np.full(int(starts[-1]), -1, dtype=np.int32)
    below = np.full(header.count, -1, dtype=np.int32)
    for level, rows in enumerate(rows_of, 1):
        start, stop = int(starts[level - 1]), int(starts[level])
        number = np.full(header.count, -1, dtype=np.int32)
        number[rows] = np.arange(start, stop, dtype=np.int32)
        upper_links[start:stop, : header.m] = _level_links(lists, header, level, rows, number, place)
        upper_down[start:stop] = below[rows]
        below = number
    return Graph(
        links=links,
        upper_rows=np.concatenate([*rows_of, np.empty(0, dtype=np.int32)]),
        upper_down=upper_down,
        upper_links=upper_links,
        level_starts=starts,
        entry=int(below[header.entry]) if header.max_level else header.entry,
        m=links.shape[1] // 2,
    )


def _level_links(lists: _Lists, header: Header, level: int, rows: _Int32, number: _Int32, place: str) -> _Int32:
    """The neighbours of all nodes of one level, in upper numbering."""
    width = header.words_per_list
    table = lists.words[(lists.starts[rows] + (level - 1) * width)[:, None] + np.arange(width)]
    if (table[:, 0] >> 16).any():
        raise damaged(place, f"a list of level {level} has an unknown mark")
    place_here = f"{place}, level {level}"
    neighbours = _checked_links(table[:, 1:], table[:, 0].astype(np.uint16), rows, header.count, place_here)
    translated = np.where(neighbours >= 0, number[neighbours], np.int32(-1))
    if (absent := (neighbours >= 0) & (translated < 0)).any():
        owner = int(rows[np.argmax(absent.any(axis=1))])
        raise damaged(place_here, f"row {owner} links to a row that is not on this level")
    return translated


def _assemble(header: Header, rows: _Rows, lists: _Lists, place: str) -> HnswlibIndex:
    """Check what only the whole index shows, and put it together."""
    if len(np.unique(rows.labels)) != header.count:
        raise damaged(place, "a label occurs twice")
    m = max(header.m, M_MIN)
    graph = empty_graph(m)
    if header.count:
        if lists.levels.max() != header.max_level or lists.levels[header.entry] != header.max_level:
            raise damaged(place, f"its entry point {header.entry} is not on its highest level {header.max_level}")
        graph = _upper_graph(lists, header, rows.links, place)
    return HnswlibIndex(
        space=space_of(rows.metric),
        dim=rows.vectors.shape[1],
        labels=rows.labels,
        vectors=rows.vectors,
        deleted=rows.deleted,
        graph=graph,
        m=m,
        ef_construction=min(header.ef_construction, EF_CONSTRUCTION_MAX),
    )
