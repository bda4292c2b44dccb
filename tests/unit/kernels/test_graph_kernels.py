"""Checks the graph kernels against their twins, link for link and hit for hit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from vecdb.index import build
from vecdb.index.build import build_graph, row_levels
from vecdb.index.graph import Graph, validate_graph
from vecdb.index.quantize import encode_rows, fit_quantizer
from vecdb.index.scratch import ranked_rows, thread_scratch
from vecdb.index.search import WIDEST_FACTOR, search_segment
from vecdb.index.segment import Segment, segment_from_arrays
from vecdb.index.workers import Workers
from vecdb.types import Metric

M = 4
EF = 32
EXPAND = build.expanded_of(EF)
METRICS: list[Metric] = ["cosine", "dot", "l2"]


def as_lists(links: npt.NDArray[np.int32]) -> oracle.Links:
    """Links without their padding."""
    return [[int(row) for row in rows if row >= 0] for rows in links]


def random_codes(rng: np.random.Generator, rows: int, dim: int = 20) -> npt.NDArray[np.int8]:
    """Codes of random rows."""
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    return encode_rows(fit_quantizer(vectors, "l2"), vectors)


def twin_build(codes: npt.NDArray[np.int8], order: oracle.Rows) -> oracle.Links:
    """The whole build of one level, by the twins."""
    pairs = oracle.pair_matrix(codes)
    links: oracle.Links = [[] for _ in order]
    done = 1
    while done < len(order):
        size = min(done, 64, len(order) - done)
        batch = order[done : done + size]
        oracle.insert_rows(pairs, links, batch, order[0], EF, EXPAND, 2 * M)
        oracle.link_targets(pairs, links, batch, 2 * M)
        done += size
    oracle.attach_unreached(pairs, links, order[0], EF, EXPAND, 2 * M)
    filled = oracle.sort_links(pairs, oracle.fill_links(pairs, links, 2 * M))
    return oracle.sort_links(pairs, oracle.even_links(filled, 2 * M))


def test_a_built_level_equals_its_twin_link_for_link(rng: np.random.Generator) -> None:
    """insert_rows, link_targets, attach_unreached, fill_links, even_links and sort_links together."""
    codes = random_codes(rng, 300)
    levels = np.zeros(300, dtype=np.uint8)
    graph = build_graph(codes, levels, m=M, ef_construction=EF, threads=2)
    order = [int(row) for row in build._insertion_order(levels, np.ones(300, dtype=np.bool_))]
    assert as_lists(graph.links) == twin_build(codes, order)


def test_walks_begin_where_the_twin_descends_to(rng: np.random.Generator) -> None:
    codes = random_codes(rng, 300)
    levels = row_levels(np.arange(300, dtype=np.uint32), M)
    graph = build_graph(codes, levels, m=M, ef_construction=EF)
    upper = build.UpperLevels(graph.upper_rows, graph.upper_down, graph.upper_links, graph.level_starts)
    twin = upper_of(graph)
    assert twin is not None
    with Workers(2) as workers:
        options = build.BuildOptions(M, EF, workers, build._ignore, build._never, 0)
        ready = np.ones(300, dtype=np.uint8)
        level = build._Level(codes, graph.links, ready, 0, upper, build.NO_PLACES, options)
    assert level.entries.tolist() == oracle.find_entries(twin, oracle.pair_matrix(codes))


def test_a_graph_does_not_depend_on_the_order_within_batches(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, levels = random_codes(rng, 500), row_levels(np.arange(500, dtype=np.uint32), M)
    graph = build_graph(codes, levels, m=M, ef_construction=EF)
    monkeypatch.setattr(build, "_in_order", lambda entries, _: np.arange(len(entries))[::-1])
    other = build_graph(codes, levels, m=M, ef_construction=EF, threads=2)
    assert (other.links == graph.links).all()
    assert (other.upper_links == graph.upper_links).all()


def test_repaired_neighbourhoods_equal_the_twin(rng: np.random.Generator) -> None:
    codes = random_codes(rng, 300)
    graph = build_graph(codes, np.zeros(300, dtype=np.uint8), m=M, ef_construction=EF)
    keep = rng.random(300) < 0.6
    with Workers(2) as workers:
        got = build._repaired_links(graph, codes[keep], keep, int(keep.sum()), EF, workers)
    removed = {int(row) for row in np.flatnonzero(~keep)}
    numbers = np.cumsum(keep) - 1
    want = oracle.repair_rows(oracle.pair_matrix(codes), as_lists(graph.links), removed, 2 * M, 64)
    kept = [[int(numbers[row]) for row in rows] for number, rows in enumerate(want) if keep[number]]
    assert as_lists(got) == kept


def upper_of(graph: Graph) -> oracle.Upper | None:
    """The upper levels as the twin wants them."""
    if not len(graph.upper_rows):
        return None
    return oracle.Upper(
        rows=[int(row) for row in graph.upper_rows],
        down=[int(node) for node in graph.upper_down],
        links=as_lists(graph.upper_links),
        entry=graph.entry,
        levels=len(graph.level_starts) - 1,
    )


def query_codes(segment: Segment, query: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """The codes the search kernel made of its last query."""
    search_segment(segment, query, 1, 1)
    return np.array(thread_scratch()._buffers[40][: segment.quantizer.padded])


@pytest.mark.parametrize("metric", METRICS)
def test_a_search_equals_its_twin_hit_for_hit(metric: Metric, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((400, 24)).astype(np.float32)
    slots = rng.permutation(10_000)[:400].astype(np.uint32)
    quantizer = fit_quantizer(vectors, metric)
    codes = encode_rows(quantizer, vectors)
    graph = build_graph(codes, row_levels(slots, M), m=M, ef_construction=EF)
    assert validate_graph(graph).ok
    segment = segment_from_arrays(vectors, graph, metric, slots=slots, quantizer=quantizer, codes=codes)
    excluded = rng.random(400) < 0.3
    dead = np.packbits(np.append(excluded, np.zeros(48, dtype=np.bool_)), bitorder="little").view(np.uint64)
    for query in rng.standard_normal((20, 24)).astype(np.float32):
        to_codes = oracle.code_distances(codes, query_codes(segment, query))
        to_rows = oracle.true_distances(metric, vectors, query)
        for gone, bits in (([], None), (np.flatnonzero(excluded).tolist(), dead)):
            got_slots, got, _ = search_segment(segment, query, 5, 12, bits)
            want = oracle.search_graph(
                as_lists(graph.links), upper_of(graph), graph.entry, to_codes, to_rows, slots, 5, 12,
                ranked_rows(5, 12), gone, WIDEST_FACTOR * 12,
            )  # fmt: skip
            assert got_slots.tolist() == [slot for _, slot in want]
            assert np.allclose(got, [distance for distance, _ in want], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_query_codes_are_the_rounded_augmented_query(metric: Metric, rng: np.random.Generator) -> None:
    vectors = (rng.standard_normal((50, 10)) * 3 + 1).astype(np.float32)
    quantizer = fit_quantizer(vectors, metric)
    graph = build_graph(encode_rows(quantizer, vectors), np.zeros(50, dtype=np.uint8), m=M, ef_construction=EF)
    segment = segment_from_arrays(vectors, graph, metric, quantizer=quantizer)
    query = rng.standard_normal(10).astype(np.float32)
    exact = query.astype(np.float64)
    if metric == "l2":
        exact = exact - quantizer.center
    else:
        exact *= (quantizer.radius if metric == "dot" else 1.0) / np.linalg.norm(exact)
    codes = query_codes(segment, query)
    assert np.abs(codes[:10] - exact / quantizer.scale).max() <= 0.51
    assert not codes[10:].any()
