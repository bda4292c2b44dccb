"""Calibration: the curve tells what queries find that never were in the graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.unit.index.test_search import make_segment
from vecdb.index import calibrate
from vecdb.index.calibrate import mean_recall, measure_curve, measure_walks
from vecdb.index.recall_curve import RecallCurve
from vecdb.index.search import scan_segment_batch, search_segment_batch
from vecdb.index.segment import Segment
from vecdb.types import FloatArray


def in_a_plane(rng: np.random.Generator, rows: int) -> FloatArray:
    """Rows of 12 dimensions that are alike: how a row that is passed over is missed matters."""
    return (rng.standard_normal((rows, 12)) @ rng.standard_normal((12, 40))).astype(np.float32)


def recalls(segment: Segment, queries: FloatArray) -> Callable[[int], float]:
    """The true recall by ef."""
    truth = scan_segment_batch(segment, queries, 10)
    return lambda ef: mean_recall(truth, search_segment_batch(segment, queries, 10, ef))


@pytest.fixture(scope="module")
def held_out() -> tuple[Segment, FloatArray]:
    """A segment and queries of its distribution."""
    rows = in_a_plane(np.random.default_rng(0), 5_000)
    return make_segment(rows[:4_400], "l2"), rows[4_400:]


@pytest.fixture
def many_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows are drawn than in a build, so that chance decides less."""
    monkeypatch.setattr(calibrate, "DRAWN_SHARE", 5)


@pytest.mark.usefixtures("many_drawn")
def test_a_curve_tells_the_recall_of_queries_held_out(held_out: tuple[Segment, FloatArray]) -> None:
    segment, queries = held_out
    true = recalls(segment, queries)
    points = [point for point in measure_curve(segment, sample=800).at_10 if 0.85 < point[1] < 0.99]
    assert len(points) >= 3
    for ef, told in points:
        assert told == pytest.approx(true(ef), abs=0.015)


def test_rows_that_are_passed_over_find_less_than_queries_held_out(held_out: tuple[Segment, FloatArray]) -> None:
    """What taking rows out is for."""
    segment, queries = held_out
    rows = np.arange(0, segment.rows, 5)
    passed = calibrate.read_rows(segment, rows)
    truth = scan_segment_batch(segment, passed, 10, None, 1, rows)
    found = search_segment_batch(segment, passed, 10, 14, None, 1, rows)
    assert mean_recall(truth, found) < recalls(segment, queries)(14) - 0.02


@pytest.mark.usefixtures("many_drawn")
def test_a_curve_tells_the_recall_of_queries_that_repeat_what_is_held() -> None:
    rng = np.random.default_rng(0)
    rows = in_a_plane(rng, 5_000)
    rows[2_000:] = rows[rng.integers(0, 400, 3_000)]
    rows = rows[rng.permutation(len(rows))]
    segment = make_segment(rows[:4_400], "l2")
    true = recalls(segment, rows[4_400:])
    points = [point for point in measure_curve(segment, sample=800).at_10 if 10 < point[0] < 100]
    assert len(points) >= 3
    for ef, told in points:
        assert told == pytest.approx(true(ef), abs=0.02)


def test_further_rows_measure_a_large_segment_like_those_scanned_for(
    held_out: tuple[Segment, FloatArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = held_out[0]
    exact = dict(measure_curve(segment, sample=500).at_10)
    few = measure_walks(segment, 100, seed=1)[0]
    monkeypatch.setattr(calibrate, "FURTHER_ROWS_MIN", segment.rows)
    monkeypatch.setattr(calibrate, "FURTHER_SHARE", 8)
    more = measure_walks(segment, 100, seed=1)[0]
    assert more.at_10 != few.at_10
    for ef, told in more.at_10:
        if calibrate.FURTHER_RECALLS[0] < told < 0.99:
            assert told == pytest.approx(exact[ef], abs=0.02)


def test_effort_between_two_points_follows_a_power_of_the_misses() -> None:
    curve = RecallCurve(((10, 0.9), (40, 0.975)), ((100, 0.99),))
    assert [curve.ef_for(target, 10) for target in (0.9, 0.95, 0.975)] == [10, 20, 40]


@pytest.mark.parametrize("target", [0.99995, 0.999999, 1.0])
def test_a_target_of_nearly_everything_has_an_effort(target: float) -> None:
    curve = RecallCurve(((10, 0.9), (20, 0.99993), (40, 1.0)), ((100, 0.99993), (200, 1.0)))
    assert 20 <= curve.ef_for(target, 10) <= 40
