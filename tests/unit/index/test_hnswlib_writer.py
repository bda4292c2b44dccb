"""Files we write, judged by the real hnswlib that loads and searches them."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.index.hnswlib_samples import (
    METRICS,
    brute_force_graph,
    exact,
    load,
    make_index,
    recall,
    same_index,
    save,
)
from vecdb.errors import (
    CorruptionError,
    DuplicateIdError,
    InvalidRequestError,
    InvalidVectorError,
    LimitExceededError,
    StorageError,
    StorageFullError,
)
from vecdb.index.graph import Graph, empty_graph, validate_graph
from vecdb.index.hnswlib_reader import read_hnswlib
from vecdb.index.hnswlib_writer import write_hnswlib_file
from vecdb.types import FloatArray, Metric

DIM = 9


def _vectors(rng: np.random.Generator, rows: int, dim: int = DIM) -> FloatArray:
    return rng.standard_normal((rows, dim), dtype=np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_an_index_read_and_written_answers_as_before(rng: np.random.Generator, tmp_path: Path, metric: Metric) -> None:
    index = make_index(_vectors(rng, 1500), metric)
    index.set_ef(40)
    read = read_hnswlib(index)
    write_hnswlib_file(tmp_path / "out.bin", read.graph, read.vectors, metric=metric)
    queries = _vectors(rng, 100)
    before, _ = index.knn_query(queries, k=10)
    after, _ = load(tmp_path / "out.bin", DIM, metric, ef=40).knn_query(queries, k=10)
    assert recall(after, before) > 0.999  # cosine normalises once more, which may swap a tie


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [0, 1, 2, 400])
def test_an_index_read_written_and_read_is_the_same(
    rng: np.random.Generator, tmp_path: Path, metric: Metric, rows: int
) -> None:
    index = make_index(_vectors(rng, rows), metric)
    for label in range(0, rows, 7):
        index.mark_deleted(label)
    read = read_hnswlib(index)
    write_hnswlib_file(
        tmp_path / "out.bin",
        read.graph,
        read.vectors,
        metric=metric,
        labels=read.labels,
        deleted=read.deleted,
        ef_construction=read.ef_construction,
    )
    again = read_hnswlib(tmp_path / "out.bin", dim=DIM, metric=metric)
    assert np.allclose(again.vectors, read.vectors, atol=1e-6)
    assert same_index(replace(again, vectors=read.vectors), read)
    assert again.ef_construction == read.ef_construction


@pytest.mark.parametrize("metric", METRICS)
def test_a_graph_of_our_own_is_searched_well_by_hnswlib(
    rng: np.random.Generator, tmp_path: Path, metric: Metric
) -> None:
    vectors = _vectors(rng, 1000)
    if metric != "l2":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_hnswlib_file(tmp_path / "out.bin", brute_force_graph(vectors, m=12, levels=3), vectors, metric=metric)
    queries = _vectors(rng, 100)
    found, _ = load(tmp_path / "out.bin", DIM, metric, ef=200).knn_query(queries, k=10)
    assert recall(found, exact(vectors, queries, metric, 10)) > 0.95


def test_a_graph_without_upper_levels_is_searched(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = _vectors(rng, 300)
    flat = replace(empty_graph(12), links=brute_force_graph(vectors, m=12, levels=1).links, entry=0)
    write_hnswlib_file(tmp_path / "out.bin", flat, vectors, metric="l2")
    queries = _vectors(rng, 50)
    found, _ = load(tmp_path / "out.bin", DIM, "l2", ef=150).knn_query(queries, k=5)
    assert recall(found, exact(vectors, queries, "l2", 5)) > 0.95


def test_hnswlib_returns_our_labels_and_never_a_deleted_one(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = _vectors(rng, 200)
    labels = np.arange(200, dtype=np.uint64) + np.uint64(2**63)
    deleted = np.arange(200) % 3 == 0
    graph = brute_force_graph(vectors, m=16, levels=2)
    write_hnswlib_file(tmp_path / "out.bin", graph, vectors, metric="l2", labels=labels, deleted=deleted)
    found, _ = load(tmp_path / "out.bin", DIM, "l2", ef=200).knn_query(vectors, k=10)
    live = labels[~deleted]
    assert set(found.ravel().tolist()) <= set(live.tolist())
    assert recall(found, live[exact(vectors[~deleted], vectors, "l2", 10)]) > 0.95


def test_vectors_arrive_exactly(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = _vectors(rng, 60)
    write_hnswlib_file(tmp_path / "out.bin", brute_force_graph(vectors, m=8, levels=1), vectors, metric="dot")
    assert np.array_equal(load(tmp_path / "out.bin", DIM, "dot").get_items(np.arange(60)), vectors)


def test_float16_vectors_are_widened(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = _vectors(rng, 60).astype(np.float16)
    graph = brute_force_graph(vectors.astype(np.float32), m=8, levels=1)
    write_hnswlib_file(tmp_path / "out.bin", graph, vectors, metric="l2")
    assert np.array_equal(load(tmp_path / "out.bin", DIM, "l2").get_items(np.arange(60)), vectors.astype(np.float32))


def test_vectors_are_normalised_for_cosine(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = 50 * _vectors(rng, 60)
    write_hnswlib_file(tmp_path / "out.bin", brute_force_graph(vectors, m=8, levels=1), vectors, metric="cosine")
    stored = np.array(load(tmp_path / "out.bin", DIM, "cosine").get_items(np.arange(60)))
    assert np.allclose(stored, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-6)


def test_hnswlib_goes_on_inserting_into_our_file(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = _vectors(rng, 500)
    write_hnswlib_file(tmp_path / "out.bin", brute_force_graph(vectors, m=8, levels=2), vectors, metric="l2")
    index = load(tmp_path / "out.bin", DIM, "l2", ef=300, capacity=1000)
    added = _vectors(rng, 500)
    index.add_items(added, np.arange(500, 1000), num_threads=1)
    found, _ = index.knn_query(added, k=1)
    assert recall(found, np.arange(500, 1000)[:, None]) > 0.97


def test_an_empty_graph_is_loaded_and_filled(rng: np.random.Generator, tmp_path: Path) -> None:
    write_hnswlib_file(tmp_path / "out.bin", empty_graph(8), np.empty((0, DIM), dtype=np.float32), metric="l2")
    index = load(tmp_path / "out.bin", DIM, "l2", capacity=10)
    assert index.get_current_count() == 0
    index.add_items(_vectors(rng, 10))
    assert index.get_current_count() == 10


def test_one_row_is_found(tmp_path: Path) -> None:
    graph = replace(empty_graph(8), links=np.full((1, 16), -1, dtype=np.int32), entry=0)
    write_hnswlib_file(tmp_path / "out.bin", graph, np.ones((1, DIM), dtype=np.float32), metric="l2")
    found, distances = load(tmp_path / "out.bin", DIM, "l2").knn_query(np.ones(DIM), k=1)
    assert (found.tolist(), distances.tolist()) == ([[0]], [[0.0]])


def test_rows_over_several_blocks_are_written(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_hnswlib(make_index(_vectors(rng, 100)))
    write_hnswlib_file(tmp_path / "one.bin", read.graph, read.vectors, metric="l2")
    monkeypatch.setattr("vecdb.index.hnswlib_writer.HNSWLIB_BLOCK_BYTES", 1000)
    write_hnswlib_file(tmp_path / "many.bin", read.graph, read.vectors, metric="l2")
    assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "many.bin").read_bytes()


def test_what_hnswlib_loads_it_saves_as_we_wrote_it(rng: np.random.Generator, tmp_path: Path) -> None:
    read = read_hnswlib(make_index(_vectors(rng, 100)))
    write_hnswlib_file(tmp_path / "ours.bin", read.graph, read.vectors, metric="l2")
    theirs = save(load(tmp_path / "ours.bin", DIM, "l2"), tmp_path)
    assert theirs.read_bytes() == (tmp_path / "ours.bin").read_bytes()


# --- the file as a whole ---------------------------------------------------------------------------------------------


@pytest.fixture
def sample(rng: np.random.Generator) -> tuple[Graph, FloatArray]:
    vectors = _vectors(rng, 50)
    return brute_force_graph(vectors, m=8, levels=1), vectors


def test_only_the_owner_can_read_the_file(sample: tuple[Graph, FloatArray], tmp_path: Path) -> None:
    write_hnswlib_file(tmp_path / "out.bin", *sample, metric="l2")
    assert (tmp_path / "out.bin").stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_replaced(sample: tuple[Graph, FloatArray], tmp_path: Path) -> None:
    (tmp_path / "out.bin").write_bytes(b"old")
    write_hnswlib_file(tmp_path / "out.bin", *sample, metric="l2")
    assert read_hnswlib(tmp_path / "out.bin", dim=DIM, metric="l2").graph.rows == 50


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFullError), (errno.EDQUOT, StorageFullError), (errno.EIO, StorageError)]
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    sample: tuple[Graph, FloatArray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[Exception],
) -> None:
    (tmp_path / "out.bin").write_bytes(b"old")

    def fail(_handle: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error) as caught:
        write_hnswlib_file(tmp_path / "out.bin", *sample, metric="l2")
    assert type(caught.value) is error
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.bin"]
    assert (tmp_path / "out.bin").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["none/out.bin", "a\0b"])
def test_a_place_that_cannot_be_written_is_a_storage_error(
    sample: tuple[Graph, FloatArray], tmp_path: Path, name: str
) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_hnswlib_file(tmp_path / name, *sample, metric="l2")


# --- input that hnswlib would choke on -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: replace(graph, links=np.where(graph.links == graph.links.max(), 50, graph.links)),
        lambda graph: replace(graph, upper_links=graph.upper_links + np.int32(50)),
        lambda graph: replace(graph, upper_rows=graph.upper_rows + np.int32(50)),
        lambda graph: replace(graph, entry=-1),
        lambda graph: replace(empty_graph(8), links=graph.links, entry=-1),
    ],
    ids=["link out of range", "upper link out of range", "upper row out of range", "no entry", "no entry, flat"],
)
def test_a_broken_graph_is_refused(sample: tuple[Graph, FloatArray], tmp_path: Path, change: Any) -> None:
    graph, vectors = sample
    assert validate_graph(graph).ok
    with pytest.raises(CorruptionError, match="the graph is damaged"):
        write_hnswlib_file(tmp_path / "out.bin", change(graph), vectors, metric="l2")
    assert not list(tmp_path.iterdir())


def test_a_label_given_twice_is_refused(sample: tuple[Graph, FloatArray], tmp_path: Path) -> None:
    with pytest.raises(DuplicateIdError):
        write_hnswlib_file(tmp_path / "out.bin", *sample, metric="l2", labels=np.zeros(50, dtype=np.uint64))


def test_vectors_of_another_number_are_refused(sample: tuple[Graph, FloatArray], tmp_path: Path) -> None:
    with pytest.raises(InvalidVectorError):
        write_hnswlib_file(tmp_path / "out.bin", sample[0], sample[1][:-1], metric="l2")


def test_labels_of_another_number_are_refused(sample: tuple[Graph, FloatArray], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="one entry for each of 50 rows"):
        write_hnswlib_file(tmp_path / "out.bin", *sample, metric="l2", labels=np.arange(49, dtype=np.uint64))


def test_upper_levels_beyond_what_we_read_back_are_refused(tmp_path: Path) -> None:
    depth = 65
    tower = Graph(
        links=np.full((1, 8), -1, dtype=np.int32),
        upper_rows=np.zeros(depth, dtype=np.int32),
        upper_down=np.arange(-1, depth - 1, dtype=np.int32),
        upper_links=np.full((depth, 4), -1, dtype=np.int32),
        level_starts=np.arange(depth + 1, dtype=np.int32),
        entry=depth - 1,
        m=4,
    )
    assert validate_graph(tower).ok
    with pytest.raises(LimitExceededError):
        write_hnswlib_file(tmp_path / "out.bin", tower, np.ones((1, DIM), dtype=np.float32), metric="l2")
