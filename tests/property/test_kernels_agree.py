"""Searches for inputs on which kernels and their twins disagree: random shapes, values, tombstones and limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracle
from vecdb.index.build import build_graph, extend_graph, row_levels
from vecdb.index.graph import validate_graph
from vecdb.index.quantize import encode_rows, fit_quantizer
from vecdb.index.search import scan_segment_batch, search_segment_batch
from vecdb.index.segment import segment_from_arrays
from vecdb.types import Metric

METRICS: st.SearchStrategy[Metric] = st.sampled_from(["cosine", "dot", "l2"])


def as_bits(dead: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """A tombstone bitmap."""
    padded = np.zeros((len(dead) + 63) // 64 * 64 + 64, dtype=np.bool_)
    padded[: len(dead)] = dead
    return np.packbits(padded, bitorder="little").view(np.uint64)


@settings(max_examples=60)
@given(
    metric=METRICS,
    half=st.booleans(),
    rows=st.integers(1, 120),
    dim=st.integers(1, 80),
    distinct=st.integers(1, 120),
    dead_share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    limit=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_searches_are_exact_in_distance_never_dead_and_never_short(
    metric: Metric, half: bool, rows: int, dim: int, distinct: int, dead_share: float, limit: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kinds = rng.standard_normal((distinct, dim)).astype(np.float16 if half else np.float32)
    vectors = kinds[rng.integers(0, distinct, rows)]
    quantizer = fit_quantizer(vectors, metric)
    codes = encode_rows(quantizer, vectors)
    graph = build_graph(codes, row_levels(np.arange(rows, dtype=np.uint32), 4), m=4, ef_construction=16)
    assert validate_graph(graph).ok
    segment = segment_from_arrays(vectors, graph, metric, quantizer=quantizer, codes=codes)
    dead = rng.random(rows) < dead_share
    queries = rng.standard_normal((3, dim)).astype(np.float32)
    exact = scan_segment_batch(segment, queries, limit, as_bits(dead))
    found = search_segment_batch(segment, queries, limit, limit, as_bits(dead))
    for number, query in enumerate(queries):
        true = oracle.true_distances(metric, vectors, query)
        for hits in (exact.of(number), found.of(number)):
            assert len(hits.slots) == min(limit, int((~dead).sum()))
            assert not dead[hits.slots].any()
            assert len(set(hits.slots.tolist())) == len(hits.slots)
            assert hits.rows.tolist() == hits.slots.tolist()  # the slots of this segment are its rows
            assert np.allclose(hits.distances, true[hits.slots], rtol=1e-4, atol=1e-4)
            assert (np.diff(hits.distances) >= 0).all()
        nearest = np.sort(true[~dead])[: exact.counts[number]]
        assert np.allclose(exact.of(number).distances, nearest, rtol=1e-4, atol=1e-4)


@settings(max_examples=40)
@given(
    old=st.integers(1, 150),
    new=st.integers(0, 80),
    distinct=st.integers(1, 200),
    keep_share=st.sampled_from([0.0, 0.2, 0.8, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_extended_graphs_are_sound(old: int, new: int, distinct: int, keep_share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((distinct, 8)).astype(np.float32)[rng.integers(0, distinct, old + new)]
    codes = encode_rows(fit_quantizer(vectors, "l2"), vectors)
    levels = row_levels(np.arange(old + new, dtype=np.uint32), 4)
    graph = build_graph(codes[:old], levels[:old], m=4, ef_construction=16)
    keep = rng.random(old) < keep_share
    kept = np.concatenate([keep, np.ones(new, dtype=np.bool_)])
    grown = extend_graph(graph, np.ascontiguousarray(codes[kept]), keep, levels[kept], ef_construction=16, threads=2)
    report = validate_graph(grown)
    assert report.rows == int(kept.sum())
    assert report.problems == ()
    assert report.unreachable <= report.rows // 20
