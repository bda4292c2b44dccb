"""Calibration: the curve tells what queries find that never were in the graph."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.index.test_search import make_segment
from vecdb.index import calibrate
from vecdb.index.calibrate import gap_factor, mean_recall, measure_curve, measure_walks
from vecdb.index.recall_curve import RecallCurve
from vecdb.index.search import scan_segment_batch, search_segment_batch
from vecdb.index.segment import Segment
from vecdb.types import FloatArray


@pytest.fixture(scope="module")
def held_out() -> tuple[Segment, FloatArray]:
    """A segment and queries of its distribution, in which leaving a row out matters: all 24 dimensions are alike."""
    rows = np.random.default_rng(0).standard_normal((5_000, 24)).astype(np.float32)
    return make_segment(rows[:4_400], "l2"), rows[4_400:]


@pytest.mark.parametrize(
    ("left_out", "stayed", "expected"),
    [(1.0, 1.0, 1.0), (0.9, 0.9, 1.0), (0.9, 0.8, 1.0), (0.9, 0.99, 0.654), (0.9, 1.0, 0.488)],
)
def test_the_gap_shrinks_with_what_rows_find_that_stay(left_out: float, stayed: float, expected: float) -> None:
    assert gap_factor(left_out, stayed) == pytest.approx(expected, abs=0.001)


def test_a_curve_tells_the_recall_of_queries_held_out(held_out: tuple[Segment, FloatArray]) -> None:
    segment, queries = held_out
    truth = scan_segment_batch(segment, queries, 10)
    points = [point for point in measure_curve(segment, sample=500).at_10 if 0.85 < point[1] < 0.99]
    assert len(points) >= 3
    for ef, told in points:
        assert told == pytest.approx(mean_recall(truth, search_segment_batch(segment, queries, 10, ef)), abs=0.02)


def test_further_rows_measure_a_large_segment_like_those_scanned_for(
    held_out: tuple[Segment, FloatArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = held_out[0]
    exact = dict(measure_curve(segment, sample=500).at_10)
    few = measure_walks(segment, 100, seed=1)[0]
    monkeypatch.setattr(calibrate, "FURTHER_ROWS_MIN", segment.rows)
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
