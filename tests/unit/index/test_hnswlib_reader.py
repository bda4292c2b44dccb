"""What is read out of sound hnswlib indexes, from files and from live objects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import pytest

from tests.unit.index.hnswlib_samples import METRICS, graph_lists, make_index, same_index, save, slow_lists
from vecdb.errors import (
    CorruptionError,
    DimensionMismatchError,
    InvalidRequestError,
    InvalidVectorError,
    LimitExceededError,
    NonFiniteVectorError,
    NotFoundError,
    StorageError,
)
from vecdb.index.graph import validate_graph
from vecdb.index.hnswlib_format import HEADER_BYTES, Header, row_dtype
from vecdb.index.hnswlib_reader import read_hnswlib, read_hnswlib_file, read_hnswlib_object
from vecdb.types import FloatArray, Metric


def _vectors(rng: np.random.Generator, rows: int, dim: int) -> FloatArray:
    return rng.standard_normal((rows, dim), dtype=np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [1, 7, 33])
def test_links_of_every_level_are_those_in_the_file(
    rng: np.random.Generator, tmp_path: Path, metric: Metric, dim: int
) -> None:
    path = save(make_index(_vectors(rng, 700, dim), metric, m=4), tmp_path)
    read = read_hnswlib(path, dim=dim, metric=metric)
    assert max(map(len, slow_lists(path))) > 3
    assert graph_lists(read.graph) == slow_lists(path)


@pytest.mark.parametrize("metric", METRICS)
def test_a_read_graph_breaks_no_invariant(rng: np.random.Generator, metric: Metric) -> None:
    read = read_hnswlib(make_index(_vectors(rng, 700, 12), metric))
    report = validate_graph(read.graph)
    assert report.ok, report.problems
    assert report.levels > 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [0, 1, 2, 300])
def test_file_and_object_read_the_same(rng: np.random.Generator, tmp_path: Path, metric: Metric, rows: int) -> None:
    index = make_index(_vectors(rng, rows, 5), metric)
    assert same_index(read_hnswlib(save(index, tmp_path), dim=5, metric=metric), read_hnswlib(index))


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_vectors_are_read_exactly(rng: np.random.Generator, metric: Metric) -> None:
    vectors = _vectors(rng, 50, 9)
    assert np.array_equal(read_hnswlib(make_index(vectors, metric)).vectors, vectors)


def test_vectors_under_cosine_are_the_directions(rng: np.random.Generator) -> None:
    vectors = _vectors(rng, 50, 9)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.allclose(read_hnswlib(make_index(vectors, "cosine")).vectors, directions, atol=1e-6)


def test_parameters_are_read(rng: np.random.Generator) -> None:
    read = read_hnswlib(make_index(_vectors(rng, 20, 3), "dot", m=6, ef=77))
    assert (read.m, read.graph.m, read.ef_construction, read.space, read.metric) == (6, 6, 77, "ip", "dot")


def test_labels_of_any_size_are_read_in_order_of_insertion(rng: np.random.Generator, tmp_path: Path) -> None:
    index = make_index(_vectors(rng, 0, 4))
    index.resize_index(3)
    labels = np.array([2**64 - 1, 5, 2**40], dtype=np.uint64)
    index.add_items(_vectors(rng, 3, 4), labels)
    assert read_hnswlib(save(index, tmp_path), dim=4, metric="l2").labels.tolist() == labels.tolist()


def test_deleted_rows_are_marked_and_stay_in_the_graph(rng: np.random.Generator, tmp_path: Path) -> None:
    index = make_index(_vectors(rng, 200, 4))
    index.mark_deleted(3)
    index.mark_deleted(150)
    read = read_hnswlib(save(index, tmp_path), dim=4, metric="l2")
    assert np.flatnonzero(read.deleted).tolist() == [3, 150]
    assert read.graph.rows == 200


def test_an_index_whose_deleted_rows_were_replaced_is_read(rng: np.random.Generator) -> None:
    vectors = _vectors(rng, 300, 6)
    index = make_index(vectors, allow_replace_deleted=True)
    for label in range(0, 100, 2):
        index.mark_deleted(label)
    index.add_items(_vectors(rng, 40, 6), np.arange(1000, 1040), replace_deleted=True, num_threads=1)
    read = read_hnswlib(index)
    assert read.deleted.sum() == 10
    assert set(range(1000, 1040)) <= set(read.labels.tolist())
    assert validate_graph(read.graph).ok


def test_an_index_with_updated_vectors_is_read(rng: np.random.Generator) -> None:
    index = make_index(_vectors(rng, 300, 6))
    changed = _vectors(rng, 50, 6)
    index.add_items(changed, np.arange(100, 150), num_threads=1)
    read = read_hnswlib(index)
    assert np.array_equal(read.vectors[100:150], changed)
    assert validate_graph(read.graph).ok


def test_thousands_of_identical_vectors_are_read() -> None:
    read = read_hnswlib(make_index(np.ones((3000, 4), dtype=np.float32)))
    assert validate_graph(read.graph).ok


def test_an_empty_index_is_read(tmp_path: Path) -> None:
    read = read_hnswlib(save(make_index(np.empty((0, 5), dtype=np.float32)), tmp_path), dim=5, metric="l2")
    assert (read.graph.rows, read.graph.entry, read.vectors.shape) == (0, -1, (0, 5))


def test_one_row_is_its_own_entry(tmp_path: Path) -> None:
    read = read_hnswlib(save(make_index(np.ones((1, 5), dtype=np.float32)), tmp_path), dim=5, metric="l2")
    assert (read.graph.rows, read.graph.entry, int((read.graph.links >= 0).sum())) == (1, 0, 0)


def test_a_narrower_graph_than_ours_is_padded(rng: np.random.Generator, tmp_path: Path) -> None:
    path = save(make_index(_vectors(rng, 200, 4), m=2), tmp_path)
    read = read_hnswlib(path, dim=4, metric="l2")
    assert (read.m, read.graph.links.shape[1], read.graph.upper_links.shape[1]) == (4, 8, 4)
    assert graph_lists(read.graph) == slow_lists(path)


def test_a_wider_graph_than_ours_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(LimitExceededError, match="M is 100"):
        read_hnswlib(make_index(_vectors(rng, 10, 4), m=100))


def test_a_huge_ef_construction_is_clamped(rng: np.random.Generator) -> None:
    assert read_hnswlib(make_index(_vectors(rng, 10, 4), ef=10**6)).ef_construction == 4000


def test_rows_over_several_blocks_are_read(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make_index(_vectors(rng, 100, 5))
    whole = read_hnswlib(index)
    monkeypatch.setattr("vecdb.index.hnswlib_reader.HNSWLIB_BLOCK_BYTES", 1000)
    assert same_index(read_hnswlib(save(index, tmp_path), dim=5, metric="l2"), whole)
    assert same_index(read_hnswlib(index), whole)


# --- what hnswlib tolerates and we clean -----------------------------------------------------------------------------


def _rewritten_links(path: Path, row: int, links: list[int], dim: int) -> None:
    """Give one row of a file other level-0 links."""
    data = bytearray(path.read_bytes())
    header = Header.unpack(bytes(data[:HEADER_BYTES]))
    rows = np.frombuffer(data, dtype=row_dtype(header.m, dim), count=header.count, offset=HEADER_BYTES)
    rows[row]["count"] = len(links)
    rows[row]["links"][: len(links)] = links
    path.write_bytes(data)


def test_links_to_the_row_itself_and_repeats_are_dropped(rng: np.random.Generator, tmp_path: Path) -> None:
    path = save(make_index(_vectors(rng, 50, 3)), tmp_path)
    _rewritten_links(path, 7, [9, 7, 4, 9, 4, 7, 1], dim=3)
    read = read_hnswlib(path, dim=3, metric="l2")
    assert graph_lists(read.graph)[7][0] == [9, 4, 1]
    assert validate_graph(read.graph).ok


def test_a_link_beyond_the_last_row_is_corruption(rng: np.random.Generator, tmp_path: Path) -> None:
    path = save(make_index(_vectors(rng, 50, 3)), tmp_path)
    _rewritten_links(path, 7, [9, 50], dim=3)
    with pytest.raises(CorruptionError, match=r"level 0: row 7 links to a row beyond"):
        read_hnswlib(path, dim=3, metric="l2")


# --- requests that do not fit the index ------------------------------------------------------------------------------


def test_another_dimension_is_named(rng: np.random.Generator, tmp_path: Path) -> None:
    path = save(make_index(_vectors(rng, 5, 6)), tmp_path)
    with pytest.raises(DimensionMismatchError, match="have 6 dimensions, not 7"):
        read_hnswlib(path, dim=7, metric="l2")


@pytest.mark.parametrize("dim", [0, -1, 10**6])
def test_an_impossible_dimension_is_refused(tmp_path: Path, dim: int) -> None:
    with pytest.raises(LimitExceededError):
        read_hnswlib(tmp_path / "index.bin", dim=dim, metric="l2")


def test_vectors_that_are_not_unit_length_are_not_taken_for_cosine(rng: np.random.Generator, tmp_path: Path) -> None:
    path = save(make_index(2 * _vectors(rng, 20, 6), "l2"), tmp_path)
    with pytest.raises(InvalidVectorError, match="label 0 is not of unit length"):
        read_hnswlib(path, dim=6, metric="cosine")


@pytest.mark.parametrize(("value", "error"), [(np.nan, NonFiniteVectorError), (np.inf, NonFiniteVectorError)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_vector_that_is_not_finite_is_refused(value: float, sign: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_hnswlib(make_index(np.array([[1, sign * value, 3]], dtype=np.float32)))


def test_a_vector_beyond_the_documented_range_is_refused() -> None:
    with pytest.raises(InvalidVectorError, match="beyond"):
        read_hnswlib(make_index(np.array([[1, -1e30, 3]], dtype=np.float32)))


def test_a_path_needs_dim_and_metric(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="give dim= and metric="):
        read_hnswlib(tmp_path / "index.bin", dim=3)


def test_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="'ip' is unknown"):
        read_hnswlib(tmp_path / "index.bin", dim=3, metric="ip")  # type: ignore[arg-type]


def test_an_object_of_another_space_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InvalidRequestError, match="has space 'l2'"):
        read_hnswlib(make_index(_vectors(rng, 5, 6)), metric="dot")


def test_an_object_of_another_dimension_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DimensionMismatchError):
        read_hnswlib(make_index(_vectors(rng, 5, 6)), dim=5)


@pytest.mark.parametrize("thing", [None, 3, b"path", hnswlib.BFIndex("l2", 3)], ids=["None", "int", "bytes", "BFIndex"])
def test_what_is_neither_path_nor_index_is_refused(thing: Any) -> None:
    with pytest.raises(InvalidRequestError, match="neither a path nor"):
        read_hnswlib_object(thing)


def test_an_index_without_init_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="never initialised"):
        read_hnswlib(hnswlib.Index("l2", 3))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_hnswlib_file(tmp_path / "none", dim=3, metric="l2")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="not a regular file"):
        read_hnswlib_file(tmp_path, dim=3, metric="l2")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequestError, match="not a regular file"):
        read_hnswlib_file(tmp_path / "pipe", dim=3, metric="l2")


def test_a_path_that_cannot_be_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        read_hnswlib_file("a\0b", dim=3, metric="l2")
