"""Checks searches and scans: never dead, never short, the same over any memory layout and number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from vecdb.index.build import build_graph, row_levels
from vecdb.index.calibrate import mean_recall, measure_curve
from vecdb.index.packing import with_packed_rows
from vecdb.index.quantize import Quantizer, encode_rows, fit_quantizer, inverse_norms, padded_dim, saturated_share
from vecdb.index.recall_curve import RecallCurve
from vecdb.index.search import (
    live_rows,
    scan_planned,
    scan_segment_batch,
    search_segment,
    search_segment_batch,
)
from vecdb.index.segment import Segment, scan_plan, segment_from_arrays
from vecdb.kernels.column import Column
from vecdb.types import Metric, VectorDtype

METRICS: list[Metric] = ["cosine", "dot", "l2"]
ROWS = 1500


LAYOUT = {"packed": False}


@pytest.fixture(params=["compact", "packed"], autouse=True)
def layout(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test runs on segments of both layouts."""
    LAYOUT["packed"] = request.param == "packed"
    yield
    LAYOUT["packed"] = False


def make_segment(vectors: npt.NDArray[Any], metric: Metric, slots: npt.NDArray[np.uint32] | None = None) -> Segment:
    """A built segment over the rows, in the layout that is being tested."""
    m = 16 if LAYOUT["packed"] else 8
    quantizer = fit_quantizer(vectors, metric)
    codes = encode_rows(quantizer, vectors)
    levels = row_levels(np.arange(len(vectors), dtype=np.uint32), m)
    graph = build_graph(codes, levels, m=m, ef_construction=80, augmented=quantizer.augmented)
    segment = segment_from_arrays(vectors, graph, metric, slots=slots, quantizer=quantizer, codes=codes)
    return with_packed_rows(segment, codes, graph.links) if LAYOUT["packed"] else segment


def random_rows(rng: np.random.Generator, rows: int = ROWS, dim: int = 40) -> npt.NDArray[np.float32]:
    """Rows of intrinsic dimension 8."""
    return (rng.standard_normal((rows, 8)) @ rng.standard_normal((8, dim))).astype(np.float32)


def as_bits(dead: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """A tombstone bitmap."""
    padded = np.zeros((len(dead) + 63) // 64 * 64, dtype=np.bool_)
    padded[: len(dead)] = dead
    return np.packbits(padded, bitorder="little").view(np.uint64)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("metric", METRICS)
def test_a_search_finds_what_a_scan_finds(metric: Metric, dtype: str, rng: np.random.Generator) -> None:
    vectors = random_rows(rng).astype(dtype)
    segment = make_segment(vectors, metric)
    queries = vectors[rng.integers(0, ROWS, 40)].astype(np.float32) + 0.1
    truth = scan_segment_batch(segment, queries, 10)
    found = search_segment_batch(segment, queries, 10, 200)
    assert mean_recall(truth, found) > 0.95
    same = found[0] == truth[0]
    assert same.any()
    assert (found[1][same] == truth[1][same]).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_scan_equals_its_twin(metric: Metric, rng: np.random.Generator) -> None:
    vectors = random_rows(rng, 200)
    slots = rng.permutation(1000)[:200].astype(np.uint32)
    segment = make_segment(vectors, metric, slots)
    dead = rng.random(200) < 0.5
    query = random_rows(rng, 1)
    found, distances, rows, counts = scan_segment_batch(segment, query, 20, as_bits(dead))
    want = oracle.scan_block(metric, vectors, slots, query[0], 20, np.flatnonzero(dead).tolist())
    assert counts.tolist() == [20]
    assert found[0].tolist() == [slot for _, slot in want]
    assert slots[rows[0]].tolist() == found[0].tolist()
    assert np.allclose(distances[0], [distance for distance, _ in want], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99, 1.0])
def test_a_tombstone_is_never_returned_and_no_result_is_short(share: float, rng: np.random.Generator) -> None:
    vectors = random_rows(rng)
    segment = make_segment(vectors, "l2")
    dead = rng.random(ROWS) < share
    live = int((~dead).sum())
    for limit in (1, 10, 100):
        slots, _, _, counts = search_segment_batch(segment, random_rows(rng, 10), limit, 10, as_bits(dead))
        assert (counts == min(limit, live)).all()
        assert not any(dead[slots[row, :count]].any() for row, count in enumerate(counts))
        alone = search_segment(segment, vectors[0], limit, 10, as_bits(dead)).slots
        assert len(alone) == min(limit, live)


def test_a_region_of_tombstones_does_not_hide_what_lies_behind(rng: np.random.Generator) -> None:
    vectors = random_rows(rng)
    segment = make_segment(vectors, "l2")
    query = vectors[0]
    order = np.argsort(oracle.true_distances("l2", vectors, query))
    dead = np.zeros(ROWS, dtype=np.bool_)
    dead[order[:300]] = True
    slots = search_segment(segment, query, 10, 20, as_bits(dead)).slots
    assert len(set(slots.tolist()) & set(order[300:310].tolist())) >= 8


def test_a_limit_beyond_all_rows_returns_all_rows(rng: np.random.Generator) -> None:
    segment = make_segment(random_rows(rng, 300), "cosine")
    slots, distances, _ = search_segment(segment, random_rows(rng, 1)[0], 1000, 10)
    assert sorted(slots.tolist()) == list(range(300))
    assert (np.diff(distances) >= 0).all()


def test_the_skipped_row_is_left_out(rng: np.random.Generator) -> None:
    vectors = random_rows(rng)
    segment = make_segment(vectors, "l2")
    slots = search_segment(segment, vectors[77], 10, 50, None, 77).slots
    assert len(slots) == 10
    assert 77 not in slots.tolist()


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("metric", METRICS)
def test_empty_and_one_row_segments_answer(metric: Metric, rows: int, rng: np.random.Generator) -> None:
    vectors = random_rows(rng, 1)[:rows]
    segment = make_segment(vectors, metric)
    slots, distances, _ = search_segment(segment, random_rows(rng, 1)[0], 10, 50)
    assert (slots.tolist(), len(distances)) == (list(range(rows)), rows)
    assert search_segment_batch(segment, random_rows(rng, 3), 10, 50).counts.tolist() == [rows] * 3


def test_no_queries_and_no_limit_give_empty_results(rng: np.random.Generator) -> None:
    segment = make_segment(random_rows(rng, 20), "l2")
    assert search_segment_batch(segment, np.empty((0, 40), dtype=np.float32), 5, 10)[0].shape == (0, 5)
    assert len(search_segment(segment, random_rows(rng, 1)[0], 0, 10)[0]) == 0


def test_ties_go_to_the_lower_slot(rng: np.random.Generator) -> None:
    vectors = np.ones((500, 8), dtype=np.float32)
    segment = make_segment(vectors, "l2", rng.permutation(500).astype(np.uint32))
    for slots in (search_segment(segment, vectors[0], 500, 10)[0], scan_segment_batch(segment, vectors[:1], 500)[0][0]):
        assert slots.tolist() == list(range(500))


def test_results_do_not_depend_on_threads_or_batching(rng: np.random.Generator) -> None:
    segment = make_segment(random_rows(rng), "cosine")
    queries = random_rows(rng, 70)
    one, three = (search_segment_batch(segment, queries, 5, 30, None, threads) for threads in (1, 3))
    assert (one[0] == three[0]).all()
    assert (one[1] == three[1]).all()
    for query, slots in zip(queries, one[0], strict=True):
        assert search_segment(segment, query, 5, 30)[0].tolist() == slots.tolist()


def chunked(array: npt.NDArray[Any], rows_per_chunk: int, offset: int) -> Column:
    """The same rows in chunks that start `offset` bytes after an aligned address."""
    chunks = []
    for start in range(0, len(array), rows_per_chunk):
        part = array[start : start + rows_per_chunk]
        memory = np.zeros(part.nbytes + offset, dtype=np.uint8)
        memory[offset:] = np.frombuffer(part.tobytes(), dtype=np.uint8)
        chunks.append(memory[offset:].view(part.dtype).reshape(part.shape))
    return Column.from_chunks(chunks)


@pytest.mark.parametrize("offset", [0, 1, 48])
def test_chunked_unaligned_columns_answer_like_flat_ones(offset: int, rng: np.random.Generator) -> None:
    vectors = random_rows(rng)
    flat = make_segment(vectors, "cosine")
    graph_arrays = {name: _owned(getattr(flat, name)) for name in ("codes", "links", "slots", "inverse_norms")}
    packed = None if flat.packed is None else chunked(_owned(flat.packed), 8, offset)
    split = Segment(
        rows=flat.rows, dim=flat.dim, metric=flat.metric, dtype=flat.dtype, quantizer=flat.quantizer,
        vectors=chunked(vectors, 64, offset),
        inverse_norms=chunked(graph_arrays["inverse_norms"], 128, offset),
        codes=packed or chunked(graph_arrays["codes"], 32, offset),
        links=packed.shifted(flat.quantizer.padded) if packed else chunked(graph_arrays["links"], 16, offset),
        upper_rows=flat.upper_rows, upper_down=flat.upper_down, upper_links=flat.upper_links,
        level_starts=flat.level_starts, entry=flat.entry, slots=chunked(graph_arrays["slots"], 256, offset),
        packed=packed,
    )  # fmt: skip
    queries = random_rows(rng, 20)
    for left, right in zip(
        search_segment_batch(flat, queries, 10, 40), search_segment_batch(split, queries, 10, 40), strict=True
    ):
        assert (left == right).all()


def _owned(column: Column | None) -> npt.NDArray[Any]:
    assert column is not None
    assert isinstance(column.owner, np.ndarray)
    return column.owner


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_scan_of_chunked_rows_with_slots_of_their_own(dtype: VectorDtype, rng: np.random.Generator) -> None:
    vectors = random_rows(rng, 100, 33).astype(dtype)
    slots = (rng.permutation(100) + 50).astype(np.uint32)
    norms = chunked(inverse_norms(vectors), 16, 4)
    queries = random_rows(rng, 3, 33)
    plan = scan_plan(chunked(vectors, 16, 2), norms, chunked(slots, 16, 0), 100, "cosine", dtype, 33)
    found = scan_planned(plan, queries, 7, None, 2).slots
    for query, row in zip(queries, found, strict=True):
        assert row.tolist() == [slot for _, slot in oracle.scan_block("cosine", vectors, slots, query, 7)]


def test_live_rows_ignores_bits_beyond_the_last_row() -> None:
    words = np.array([0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FF00], dtype=np.uint64)
    assert live_rows(72, words, -1) == 8
    assert live_rows(72, words, 70) == 7
    assert live_rows(72, words, 3) == 8


def test_huge_rows_are_found_under_l2(rng: np.random.Generator) -> None:
    vectors = (random_rows(rng, 300) * 1e16).astype(np.float32)
    slots, distances, _ = search_segment(make_segment(vectors, "l2"), vectors[5], 3, 50)
    assert slots[0] == 5
    assert distances[0] == 0
    assert np.isfinite(distances).all()


# --- quantizer and calibration --------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [1, 63, 64, 65, 384])
def test_codes_are_padded_and_bounded(metric: Metric, dim: int, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((50, dim)).astype(np.float32)
    quantizer = fit_quantizer(vectors, metric)
    codes = encode_rows(quantizer, vectors)
    assert codes.shape == (50, padded_dim(dim, metric))
    assert codes.shape[1] % 64 == 0
    assert np.abs(codes.astype(np.int16)).max() <= 127
    assert saturated_share(codes) < 0.2


@pytest.mark.parametrize("metric", METRICS)
def test_a_quantizer_survives_its_plain_form(metric: Metric, rng: np.random.Generator) -> None:
    vectors = random_rows(rng, 60) + 5
    quantizer = fit_quantizer(vectors, metric)
    again = Quantizer.from_dict(quantizer.to_dict())
    assert again.to_dict() == quantizer.to_dict()
    assert (encode_rows(again, vectors) == encode_rows(quantizer, vectors)).all()


@pytest.mark.parametrize("metric", ["dot", "l2"])
@pytest.mark.parametrize("rows", [0, 4])
def test_zero_rows_can_be_quantised(metric: Metric, rows: int) -> None:
    vectors = np.zeros((rows, 8), dtype=np.float32)
    assert not encode_rows(fit_quantizer(vectors, metric), vectors).any()


def test_a_measured_curve_rises_and_predicts_recall(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((3000, 24)).astype(np.float32)
    segment = make_segment(vectors, "cosine")
    curve = measure_curve(segment, sample=100, seed=1)
    recalls = [recall for _, recall in curve.at_10]
    assert recalls == pytest.approx(sorted(recalls), abs=0.02)
    assert RecallCurve.from_dict(curve.to_dict()) == curve
    queries = rng.standard_normal((100, 24)).astype(np.float32)
    truth = scan_segment_batch(segment, queries, 10)[0]
    found = search_segment_batch(segment, queries, 10, curve.ef_for(0.95, 10))[0]
    hits = [len(set(left) & set(right)) for left, right in zip(truth.tolist(), found.tolist(), strict=True)]
    assert np.mean(hits) / 10 > 0.9


def test_effort_rises_with_the_target_and_the_limit() -> None:
    curve = RecallCurve(((10, 0.8), (20, 0.9), (80, 0.99)), ((100, 0.9), (400, 0.99)))
    targets = [curve.ef_for(target, 10) for target in (0.5, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999)]
    limits = [curve.ef_for(0.95, limit) for limit in (1, 10, 20, 50, 100, 200, 1000)]
    assert targets == sorted(targets)
    assert limits == sorted(limits)
    assert all(curve.ef_for(0.5, limit) >= limit for limit in (1, 15, 150, 5000))
    assert RecallCurve((), ()).ef_for(0.9, 10) > 10


MEASURED = RecallCurve(((10, 0.8), (20, 0.9), (80, 0.99)), ((100, 0.9), (400, 0.99)), 1.0, 2.0, 3.0, 4, 5)


def test_the_recall_of_an_effort_is_that_of_which_it_is_the_effort() -> None:
    for recall in (0.8, 0.9, 0.99):
        assert MEASURED.recall_for(MEASURED.ef_for(recall, 10), 10) == recall
    assert MEASURED.recall_for(19, 10) == 0.8
    assert MEASURED.recall_for(10_000, 10) == 0.99
    assert MEASURED.recall_for(5, 10) == 0.8


def test_a_curve_survives_being_stored() -> None:
    assert RecallCurve.from_dict(MEASURED.to_dict()) == MEASURED


def test_a_segment_of_one_row_has_a_curve(rng: np.random.Generator) -> None:
    assert measure_curve(make_segment(random_rows(rng, 1), "l2")).ef_for(0.99, 10) == 10


def test_a_dot_graph_leads_queries_although_lengths_differ_widely() -> None:
    """In the mean of five draws of the lengths: single ones reach from 0.65 to 0.99."""
    recalls = []
    for draw in range(5):
        rng = np.random.default_rng(draw)
        lengths = np.exp(0.5 * rng.standard_normal((4 * ROWS, 1)))
        vectors = (rng.standard_normal((4 * ROWS, 32)) * lengths).astype(np.float32)
        segment = make_segment(vectors, "dot")
        queries = rng.standard_normal((100, 32)).astype(np.float32)
        truth = scan_segment_batch(segment, queries, 10)
        recalls.append(mean_recall(truth, search_segment_batch(segment, queries, 10, 200)))
    assert np.mean(recalls) > 0.85


@pytest.mark.parametrize("column", ["links", "upper_rows", "upper_down", "upper_links"])
def test_a_search_over_noise_instead_of_links_stays_inside(column: str, rng: np.random.Generator) -> None:
    sound = make_segment(random_rows(rng), "l2")
    there: Column = getattr(sound, column)
    noise = rng.integers(-(2**31), 2**31, size=(there.rows, there.stride // 4), dtype=np.int64).astype(np.int32)
    segment = replace(sound, **{column: Column.from_array(noise)})  # type: ignore[arg-type]  # one of four columns
    slots, distances, _ = search_segment(segment, rng.standard_normal(40).astype(np.float32), 10, 50)
    assert len(slots) == 10
    assert np.all(np.diff(distances) >= 0)
