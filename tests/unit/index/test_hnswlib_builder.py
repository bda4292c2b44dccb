"""Graphs built by hnswlib's own insertion."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tests.unit.index.hnswlib_samples import METRICS, exact, graph_lists, load, make_index, recall
from vecdb.errors import ClosedError, InvalidVectorError, LimitExceededError
from vecdb.index.graph import Graph, validate_graph
from vecdb.index.hnswlib_builder import build_graph_with_hnswlib, renumber_rows
from vecdb.index.hnswlib_reader import read_hnswlib
from vecdb.index.hnswlib_writer import write_hnswlib_file
from vecdb.types import FloatArray, Metric


def _vectors(rng: np.random.Generator, rows: int, dim: int = 9) -> FloatArray:
    return rng.standard_normal((rows, dim), dtype=np.float32)


def _build(vectors: FloatArray, metric: Metric = "l2", seed: int = 0, threads: int = 1) -> Graph:
    return build_graph_with_hnswlib(vectors, metric, m=8, ef_construction=60, threads=threads, seed=seed)


def _equal(one: Graph, other: Graph) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(Graph))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threads", [1, 4])
def test_a_built_graph_finds_its_rows_by_number(
    rng: np.random.Generator, tmp_path: Path, metric: Metric, threads: int
) -> None:
    vectors, queries = _vectors(rng, 2500), _vectors(rng, 60)
    graph = _build(vectors, metric, threads=threads)
    assert validate_graph(graph).ok
    write_hnswlib_file(tmp_path / "out.bin", graph, vectors, metric=metric)
    found, _ = load(tmp_path / "out.bin", 9, metric, ef=200).knn_query(queries, k=10)
    assert recall(found, exact(vectors, queries, metric, 10)) > 0.95


def test_one_thread_and_one_seed_build_one_graph(rng: np.random.Generator) -> None:
    vectors = _vectors(rng, 1500)
    assert _equal(_build(vectors, seed=3), _build(vectors, seed=3))


def test_another_seed_builds_another_graph(rng: np.random.Generator) -> None:
    vectors = _vectors(rng, 1500)
    assert not _equal(_build(vectors, seed=3), _build(vectors, seed=4))


def test_blocks_of_rows_build_the_graph_of_one_call(rng: np.random.Generator) -> None:
    vectors = _vectors(rng, 1500)
    built = build_graph_with_hnswlib(vectors, "l2", m=8, ef_construction=100, threads=1, seed=7)
    assert _equal(built, read_hnswlib(make_index(vectors, m=8, ef=100)).graph)


def test_degrees_are_two_m_and_m(rng: np.random.Generator) -> None:
    graph = build_graph_with_hnswlib(_vectors(rng, 600), "l2", m=5, ef_construction=60)
    assert (graph.links.shape[1], graph.upper_links.shape[1], graph.m) == (10, 5, 5)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_build_a_sound_graph(rows: int) -> None:
    graph = _build(np.eye(max(rows, 1), 4, dtype=np.float32)[:rows], "cosine")
    assert validate_graph(graph).ok
    assert validate_graph(graph).unreachable == 0
    assert graph.rows == rows


@pytest.mark.parametrize("m", [0, 1, 3, 65])
def test_a_degree_out_of_range_is_refused(m: int) -> None:
    with pytest.raises(LimitExceededError):
        build_graph_with_hnswlib(np.ones((2, 3), dtype=np.float32), "l2", m=m, ef_construction=60)


def test_a_single_vector_is_not_rows() -> None:
    with pytest.raises(InvalidVectorError):
        _build(np.ones(3, dtype=np.float32))


def test_a_cancelled_build_ends_between_blocks(rng: np.random.Generator) -> None:
    seen: list[tuple[int, int]] = []
    with pytest.raises(ClosedError):
        build_graph_with_hnswlib(
            _vectors(rng, 3000, 3),
            "l2",
            m=4,
            ef_construction=10,
            progress=lambda done, total: seen.append((done, total)),
            cancelled=lambda: len(seen) == 2,
        )
    assert seen == [(1024, 3000), (2048, 3000)]


def test_renumbered_rows_keep_their_neighbours(rng: np.random.Generator) -> None:
    graph = _build(_vectors(rng, 400))
    numbers = rng.permutation(400).astype(np.int32)
    before, after = graph_lists(graph), graph_lists(renumber_rows(graph, numbers))
    assert [[[int(numbers[link]) for link in level] for level in row] for row in before] == [
        after[number] for number in numbers
    ]


def test_a_renumbered_flat_graph_keeps_its_entry(rng: np.random.Generator) -> None:
    graph = _build(_vectors(rng, 4))
    numbers = np.array([2, 0, 3, 1], dtype=np.int32)
    assert len(graph.upper_rows) == 0
    assert renumber_rows(graph, numbers).entry == 2
