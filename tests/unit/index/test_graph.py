"""Checks that graphs are validated and built as promised: sound, reachable, deterministic, robust to duplicates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from vecdb.errors import ClosedError
from vecdb.index.build import build_graph, extend_graph, row_levels
from vecdb.index.duplicates import representatives, unlink_duplicates
from vecdb.index.graph import Graph, validate_graph
from vecdb.index.quantize import encode_rows, fit_quantizer
from vecdb.index.search import search_segment_batch
from vecdb.index.segment import segment_from_arrays

M = 8
EF = 60


def clustered(rng: np.random.Generator, rows: int, dim: int = 32) -> npt.NDArray[np.float32]:
    """Rows of low intrinsic dimension, as embeddings are."""
    return (rng.standard_normal((rows, 10)) @ rng.standard_normal((10, dim))).astype(np.float32)


def make_graph(vectors: npt.NDArray[Any], threads: int = 1) -> tuple[Graph, npt.NDArray[np.int8]]:
    """A graph over rows and their codes."""
    codes = encode_rows(fit_quantizer(vectors, "l2"), vectors)
    levels = row_levels(np.arange(len(vectors), dtype=np.uint32), M)
    return build_graph(codes, levels, m=M, ef_construction=EF, threads=threads), codes


def recall(graph: Graph, vectors: npt.NDArray[Any], queries: npt.NDArray[np.float32], ef: int = 60) -> float:
    """Recall@10 against the twin's scan."""
    segment = segment_from_arrays(vectors, graph, "l2")
    found = search_segment_batch(segment, queries, 10, ef).distances
    bounds = [np.sort(oracle.true_distances("l2", vectors, query))[9] for query in queries]
    return float(np.mean(found <= np.array(bounds)[:, None] * (1 + 1e-5) + 1e-6))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 17, 64, 65, 200])
def test_small_graphs_are_sound_and_fully_reachable(rows: int, rng: np.random.Generator) -> None:
    graph, _ = make_graph(clustered(rng, max(rows, 1))[:rows])
    report = validate_graph(graph)
    assert (report.rows, report.problems, report.unreachable) == (rows, (), 0)


def test_a_graph_is_the_same_for_any_number_of_threads(rng: np.random.Generator) -> None:
    vectors = clustered(rng, 3000)
    one, _ = make_graph(vectors, threads=1)
    three, _ = make_graph(vectors, threads=3)
    for name in ("links", "upper_rows", "upper_down", "upper_links", "level_starts"):
        assert (getattr(one, name) == getattr(three, name)).all(), name
    assert one.entry == three.entry


def test_a_graph_has_levels_and_good_recall(rng: np.random.Generator) -> None:
    vectors = clustered(rng, 4000)
    graph, _ = make_graph(vectors[:-50])
    report = validate_graph(graph)
    assert report.ok
    assert report.levels >= 2
    assert report.unreachable == 0
    assert recall(graph, vectors[:-50], vectors[-50:]) > 0.97


def test_a_row_keeps_its_level_for_ever() -> None:
    slots = np.arange(100_000, dtype=np.uint32)
    levels = row_levels(slots, 16)
    assert (row_levels(slots[50_000:], 16) == levels[50_000:]).all()
    assert 0.05 < (levels > 0).mean() < 0.075


def test_thousands_of_equal_rows_do_not_cut_off_the_others(rng: np.random.Generator) -> None:
    others = clustered(rng, 2000)
    vectors = np.concatenate([np.tile(others[0], (3000, 1)), others])[rng.permutation(5000)]
    graph, _ = make_graph(vectors)
    report = validate_graph(graph)
    assert report.ok
    assert report.unreachable == 0
    assert recall(graph, vectors, clustered(rng, 50)) > 0.95


def test_only_equal_rows_make_a_sound_graph() -> None:
    graph, _ = make_graph(np.ones((1500, 8), dtype=np.float32))
    report = validate_graph(graph)
    assert report.ok
    assert report.unreachable == 0


def test_pairs_of_equal_rows_are_both_found(rng: np.random.Generator) -> None:
    half = clustered(rng, 1000)
    vectors = np.concatenate([half, half])
    graph, _ = make_graph(vectors)
    segment = segment_from_arrays(vectors, graph, "l2")
    slots = search_segment_batch(segment, half, 2, 20).slots
    both = np.sort(slots, axis=1) == np.arange(1000)[:, None] + np.array([0, 1000])
    assert both.all(axis=1).mean() > 0.98


@pytest.mark.parametrize("dead_share", [0.05, 0.3, 0.7])
def test_an_extended_graph_is_sound_and_finds_old_and_new(dead_share: float, rng: np.random.Generator) -> None:
    vectors = clustered(rng, 4000)
    old, _ = make_graph(vectors[:3000])
    keep = rng.random(3000) >= dead_share
    rows = np.concatenate([vectors[:3000][keep], vectors[3000:]])
    codes = encode_rows(fit_quantizer(vectors[:3000], "l2"), rows)
    levels = row_levels(np.arange(len(rows), dtype=np.uint32), M)
    graph = extend_graph(old, codes, keep, levels, ef_construction=EF, threads=2)
    report = validate_graph(graph)
    assert (report.rows, report.problems, report.unreachable) == (len(rows), (), 0)
    assert recall(graph, rows, clustered(rng, 50)) > 0.93


def test_extending_without_deletes_keeps_the_old_rows(rng: np.random.Generator) -> None:
    vectors = clustered(rng, 1500)
    old, _ = make_graph(vectors[:1000])
    codes = encode_rows(fit_quantizer(vectors, "l2"), vectors)
    levels = row_levels(np.arange(1500, dtype=np.uint32), M)
    graph = extend_graph(old, codes, None, levels, ef_construction=EF)
    assert validate_graph(graph).ok
    assert recall(graph, vectors, vectors[rng.integers(0, 1500, 50)]) > 0.97


@pytest.mark.parametrize("kept", [0, 1])
def test_a_graph_survives_the_loss_of_almost_all_rows(kept: int, rng: np.random.Generator) -> None:
    vectors = clustered(rng, 500)
    old, codes = make_graph(vectors)
    keep = np.arange(500) < kept
    graph = extend_graph(old, codes[keep], keep, np.zeros(kept, dtype=np.uint8), ef_construction=EF)
    report = validate_graph(graph)
    assert (report.rows, report.problems, report.unreachable) == (kept, (), 0)


def test_equal_rows_survive_the_loss_of_their_representative(rng: np.random.Generator) -> None:
    vectors = clustered(rng, 600)
    vectors[100:300] = vectors[0]
    old, codes = make_graph(vectors)
    keep = np.ones(600, dtype=np.bool_)
    keep[[0, 100, 101, 150]] = False
    graph = extend_graph(old, codes[keep], keep, np.zeros(596, dtype=np.uint8), ef_construction=EF)
    report = validate_graph(graph)
    assert report.ok
    assert report.unreachable == 0


def test_no_link_to_a_copy_is_left_where_rows_are_inserted_and_all_others_stay_in_order(
    rng: np.random.Generator,
) -> None:
    """Else a row that comes near a thousand equal ones finds its candidates full of them."""
    vectors = clustered(rng, 600)
    vectors[100:300] = vectors[0]
    graph, codes = make_graph(vectors)
    links, first_rows = graph.links.copy(), representatives(codes)
    copies = set(np.flatnonzero(first_rows != np.arange(600)).tolist())
    unlink_duplicates(links, first_rows)
    assert len(copies) == 200
    for before, after in zip(graph.links.tolist(), links.tolist(), strict=True):
        assert [row for row in after if row >= 0] == [row for row in before if row >= 0 and row not in copies]
        assert after == sorted(after, key=lambda row: row < 0), "free places come last"


def test_a_cancelled_build_raises(rng: np.random.Generator) -> None:
    codes = encode_rows(fit_quantizer(clustered(rng, 100), "l2"), clustered(rng, 100))
    with pytest.raises(ClosedError, match="cancelled"):
        build_graph(codes, np.zeros(100, dtype=np.uint8), m=M, ef_construction=EF, cancelled=lambda: True)


def test_progress_ends_at_the_total(rng: np.random.Generator) -> None:
    codes = encode_rows(fit_quantizer(clustered(rng, 300), "l2"), clustered(rng, 300))
    steps: list[tuple[int, int]] = []
    levels = np.zeros(300, dtype=np.uint8)
    build_graph(codes, levels, m=M, ef_construction=EF, progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


def damaged_links(graph: Graph, kind: str) -> npt.NDArray[np.int32]:
    """Links with one defect in row 5."""
    links = graph.links.copy()
    first = {"missing": graph.rows, "self": 5, "negative": -7, "twice": int(links[5, 1])}
    if kind == "gap":
        links[5, 0] = -1
    else:
        links[5, 0] = first[kind]
    return links


@pytest.mark.parametrize("kind", ["missing", "self", "negative", "twice", "gap"])
def test_a_damaged_link_is_reported(kind: str, rng: np.random.Generator) -> None:
    graph, _ = make_graph(clustered(rng, 300))
    report = validate_graph(replace(graph, links=damaged_links(graph, kind)))
    assert report.problems
    assert "row 5" in report.problems[0]


def test_links_to_dead_rows_are_reported(rng: np.random.Generator) -> None:
    graph, _ = make_graph(clustered(rng, 300))
    live = np.ones(300, dtype=np.bool_)
    assert validate_graph(graph, live).ok
    live[graph.links[7, 0]] = False
    assert any("dead" in problem for problem in validate_graph(graph, live).problems)


def test_damaged_upper_levels_are_reported(rng: np.random.Generator) -> None:
    graph, _ = make_graph(clustered(rng, 2000))
    rows, down = graph.upper_rows.copy(), graph.upper_down.copy()
    rows[0], down[-1] = graph.rows, 0
    starts = graph.level_starts.copy()
    starts[1] = starts[-1] + 1
    for damaged in (
        replace(graph, upper_rows=rows),
        replace(graph, upper_down=down),
        replace(graph, level_starts=starts),
        replace(graph, entry=0),
        replace(graph, entry=len(rows)),
    ):
        assert validate_graph(damaged).problems


def test_a_row_nothing_links_to_is_counted(rng: np.random.Generator) -> None:
    graph, _ = make_graph(clustered(rng, 300))
    links = graph.links.copy()
    links[links == 9] = -1
    links = np.take_along_axis(links, np.argsort(links < 0, axis=1, kind="stable"), axis=1)
    if 9 not in graph.upper_rows:
        assert validate_graph(replace(graph, links=links)).unreachable >= 1
