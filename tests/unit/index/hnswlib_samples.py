"""Makes hnswlib indexes for the tests, and reads their files in the slow and obvious way."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt

from vecdb.index.graph import Graph
from vecdb.index.hnswlib_format import HEADER_BYTES, Header, HnswlibIndex, space_of
from vecdb.types import FloatArray, Metric

METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")


def make_index(vectors: FloatArray, metric: Metric = "l2", m: int = 8, ef: int = 100, **options: Any) -> Any:
    """An hnswlib.Index of `vectors`, built by one thread so that it is always the same one."""
    index = hnswlib.Index(space_of(metric), vectors.shape[1])
    index.init_index(max(len(vectors), 1), M=m, ef_construction=ef, random_seed=7, **options)
    if len(vectors):
        index.add_items(vectors, num_threads=1)
    return index


def save(index: Any, folder: Path) -> Path:
    path = folder / "index.bin"
    index.save_index(str(path))
    return path


def load(path: Path, dim: int, metric: Metric, ef: int = 100, capacity: int = 0) -> Any:
    """Give a file that we wrote to the real hnswlib."""
    index = hnswlib.Index(space_of(metric), dim)
    index.load_index(str(path), max_elements=capacity)
    index.set_ef(ef)
    index.set_num_threads(1)
    return index


def slow_lists(path: Path) -> list[list[list[int]]]:
    """The neighbours per row and level, read value by value."""
    data = path.read_bytes()
    header = Header.unpack(data[:HEADER_BYTES])
    rows = []
    position = HEADER_BYTES + header.count * header.row_bytes
    for row in range(header.count):
        lists = [_slow_list(data, HEADER_BYTES + row * header.row_bytes)]
        (size,) = struct.unpack_from("<I", data, position)
        starts = range(position + 4, position + 4 + size, 4 + 4 * header.m)
        rows.append(lists + [_slow_list(data, start) for start in starts])
        position += 4 + size
    assert position == len(data)
    return rows


def _slow_list(data: bytes, start: int) -> list[int]:
    (count,) = struct.unpack_from("<H", data, start)
    return list(struct.unpack_from(f"<{count}I", data, start + 4))


def graph_lists(graph: Graph) -> list[list[list[int]]]:
    """The neighbours per row and level of our graph, as rows."""
    rows = [[[int(link) for link in links if link >= 0]] for links in graph.links]
    for row, links in zip(graph.upper_rows, graph.upper_links, strict=True):  # level by level, so lists come in order
        rows[row].append([int(graph.upper_rows[link]) for link in links if link >= 0])
    return rows


def exact(vectors: FloatArray, queries: FloatArray, metric: Metric, limit: int) -> npt.NDArray[np.int64]:
    """The true neighbours of each query."""
    if metric == "l2":
        distances = ((queries[:, None, :] - vectors[None]) ** 2).sum(axis=2)
    else:
        lengths = np.linalg.norm(vectors, axis=1) if metric == "cosine" else 1
        distances = -(queries @ vectors.T) / lengths
    return np.argsort(distances, axis=1)[:, :limit]


def recall(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    hits = [len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, truth, strict=True)]
    return sum(hits) / truth.size


def brute_force_graph(vectors: FloatArray, m: int, levels: int) -> Graph:
    """A graph that hnswlib had no hand in: exact neighbours on every level, each level a quarter of the one below."""
    rows_of = [np.arange(0, len(vectors), 4**level) for level in range(levels + 1)]
    starts = np.cumsum([0, *map(len, rows_of[1:])], dtype=np.int32)
    links = [_nearest(vectors[rows], 2 * m if level == 0 else m) for level, rows in enumerate(rows_of)]
    down = [np.full(len(rows_of[1]), -1)]
    down += [starts[level - 2] + np.arange(len(rows_of[level])) * 4 for level in range(2, levels + 1)]
    upper = [np.where(found < 0, -1, found + start) for found, start in zip(links[1:], starts[:-1], strict=True)]
    return Graph(
        links=links[0].astype(np.int32),
        upper_rows=np.concatenate(rows_of[1:]).astype(np.int32),
        upper_down=np.concatenate(down).astype(np.int32),
        upper_links=np.concatenate(upper).astype(np.int32),
        level_starts=starts,
        entry=int(starts[-2]),
        m=m,
    )


def _nearest(vectors: FloatArray, degree: int) -> npt.NDArray[np.int64]:
    found = exact(vectors, vectors, "l2", degree + 1)[:, 1:]
    return np.pad(found, ((0, 0), (0, degree - found.shape[1])), constant_values=-1)


def same_index(one: HnswlibIndex, other: HnswlibIndex) -> bool:
    """True when rows and graph agree in every number."""
    arrays = [
        *((getattr(one, name), getattr(other, name)) for name in ("labels", "vectors", "deleted")),
        *((getattr(one.graph, name), getattr(other.graph, name)) for name in ("links", "upper_rows", "upper_down")),
        *((getattr(one.graph, name), getattr(other.graph, name)) for name in ("upper_links", "level_starts")),
    ]
    return one.graph.entry == other.graph.entry and all(np.array_equal(a, b) for a, b in arrays)
