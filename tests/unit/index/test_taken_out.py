"""Taking rows out of a segment: links and packed rows as if they had not been there, and nothing else changed."""

from __future__ import annotations

import gc

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle, oracle_taking_out
from vecdb.index.build import build_graph, row_levels
from vecdb.index.graph import Graph
from vecdb.index.packing import pack_rows, with_packed_rows
from vecdb.index.quantize import encode_rows, fit_quantizer
from vecdb.index.segment import Plan, Segment, segment_from_arrays
from vecdb.index.taken_out import _bits_of, _graph_plan, _linking, draw_rows, have_twins, without_rows
from vecdb.kernels.column import Column
from vecdb.kernels.native import kernels
from vecdb.kernels.taking_out import NEAR_LINKS
from vecdb.types import Metric

ROWS = 400
M = 16
TAKEN = np.arange(5, ROWS, 40)


def built(metric: Metric, vectors: npt.NDArray[np.float32]) -> tuple[Segment, npt.NDArray[np.int8], Graph]:
    """A compact segment, its codes and its graph."""
    quantizer = fit_quantizer(vectors, metric)
    codes = encode_rows(quantizer, vectors)
    levels = row_levels(np.arange(len(vectors), dtype=np.uint32), M)
    graph = build_graph(codes, levels, m=M, ef_construction=64, augmented=quantizer.augmented)
    return segment_from_arrays(vectors, graph, metric, quantizer=quantizer, codes=codes), codes, graph


def read(column: Column, kind: type[np.generic]) -> npt.NDArray[np.generic]:
    """All rows of a column, as many bytes of each as its stride."""
    return np.array([column.read_row(row, kind) for row in range(column.rows)])


@pytest.fixture
def vectors(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return rng.standard_normal((ROWS, 20)).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_links_without_some_rows_equal_the_twin(metric: Metric, vectors: npt.NDArray[np.float32]) -> None:
    segment, codes, graph = built(metric, vectors)
    got = read(without_rows(segment, TAKEN, threads=2).links, np.int32)
    links = [[int(row) for row in rows if row >= 0] for rows in graph.links]
    taken = {int(row) for row in TAKEN}
    linking = _linking(_graph_plan(segment), ROWS, _bits_of(ROWS, TAKEN), 2)
    assert linking.tolist() == oracle_taking_out.find_linking(links, taken)
    want = oracle_taking_out.relink_rows(oracle.pair_matrix(codes), links, taken, NEAR_LINKS)
    assert [[int(row) for row in rows if row >= 0] for rows in got] == want


@pytest.mark.parametrize("packed", [False, True])
def test_no_link_leads_to_a_row_that_was_taken_out(packed: bool, vectors: npt.NDArray[np.float32]) -> None:
    segment, codes, graph = built("dot", vectors)
    if packed:
        segment = with_packed_rows(segment, codes, graph.links)
    before = graph.links.copy()
    links = without_rows(segment, TAKEN).links
    found = np.array([links.read_row(row, np.uint8)[: 8 * M].view(np.int32) for row in range(ROWS)])
    stay = np.setdiff1d(np.arange(ROWS), TAKEN)
    assert not np.isin(found[stay], TAKEN).any()
    assert ((found[stay] >= 0).sum(axis=1) == (before[stay] >= 0).sum(axis=1)).mean() > 0.9
    assert (graph.links == before).all()


def test_packed_rows_without_some_rows_are_those_of_their_links(vectors: npt.NDArray[np.float32]) -> None:
    segment, codes, graph = built("l2", vectors)
    without = without_rows(segment, TAKEN)
    links = np.ascontiguousarray(read(without.links, np.int32).astype(np.int32))
    packed = without_rows(with_packed_rows(segment, codes, graph.links), TAKEN, threads=2).packed
    assert packed is not None
    assert (read(packed, np.uint8) == pack_rows(codes, links, 0, ROWS)).all()


def test_only_rows_with_equal_codes_have_twins(vectors: npt.NDArray[np.float32]) -> None:
    vectors[7] = vectors[300]
    segment, codes, graph = built("l2", vectors)
    links = [[int(row) for row in rows if row >= 0] for rows in graph.links]
    found = have_twins(segment, np.arange(ROWS)).tolist()
    assert found == oracle_taking_out.find_twins(codes, links, list(range(ROWS)))
    assert (found[7], found[8], found[300]) == (True, False, True)


def test_codes_are_copied_in_the_order_of_the_rows(vectors: npt.NDArray[np.float32]) -> None:
    segment, codes, _ = built("l2", vectors)
    order = np.array([300, 7, 7, 0], dtype=np.int32)
    got = np.zeros((len(order), codes.shape[1]), dtype=np.int8)
    kernels.copy_codes(_graph_plan(segment).address, order.ctypes.data, got.ctypes.data, 0, len(order))
    assert (got == oracle_taking_out.copy_codes(codes, order.tolist())).all()


def test_rows_of_upper_levels_are_not_drawn(vectors: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    segment, _, graph = built("l2", vectors)
    drawn = draw_rows(segment, ROWS, rng)
    assert sorted(drawn.tolist()) == np.setdiff1d(np.arange(ROWS), graph.upper_rows).tolist()


def test_repeated_rows_are_drawn_as_often_as_they_come() -> None:
    """Of 3,000 rows; without those that are left out 0.681 of the drawn would be repeated ones."""
    rng = np.random.default_rng(0)  # the mean of 20 draws errs by more than the tolerance once in thirty times
    vectors, others = rng.standard_normal((100, 20)), rng.standard_normal((1_000, 20))
    segment = built("l2", np.concatenate([np.tile(vectors, (20, 1)), others]).astype(np.float32))[0]
    share = np.mean([(draw_rows(segment, 500, rng) < 2_000).mean() for _ in range(100)])
    assert share == pytest.approx(2 / 3, abs=0.007)


def test_a_segment_to_whose_rows_nothing_links_stays_as_it_is() -> None:
    segment = built("l2", np.eye(1, 20, dtype=np.float32))[0]
    assert without_rows(segment, np.array([0])) is segment


def test_the_plan_lives_as_long_as_a_kernel_reads_it(
    vectors: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kernel gets is an address, which keeps nothing: another thread may take memory that nobody has."""
    segment, _, _ = built("l2", vectors)
    alive: list[bool] = []

    def find_twins(plan: int, *_: int) -> int:
        alive.append(any(type(one) is Plan and one.address == plan for one in gc.get_objects()))
        return 0

    monkeypatch.setitem(kernels.__dict__, "find_twins", find_twins)
    have_twins(segment, TAKEN)
    assert alive == [True]
