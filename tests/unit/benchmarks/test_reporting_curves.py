"""Checks curves: fronts hold what nothing beats, speeds are interpolated inside what was measured and nowhere else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reporting.pareto import Curve, Point, curves_of, points_of
from benchmarks.reporting.winners import headline, wins_at_recall, wins_of
from tests.unit.benchmarks.synthetic_runs import absent_run, engine_run, sweep


def point(recall: float, qps: float, noise: float = 0.0) -> Point:
    """A point of an only setting."""
    return Point(recall, qps, qps * (1 - noise), qps * (1 + noise), "only", 1)


def curve(*pairs: tuple[float, float]) -> Curve:
    """A curve of recalls and speeds."""
    return Curve(tuple(point(*pair) for pair in pairs))


pairs = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=30)


@given(pairs)
def test_a_front_holds_what_no_other_point_beats(found: list[tuple[int, int]]) -> None:
    points = [point(recall / 20, float(qps)) for recall, qps in found]
    beaten = {
        one for one in points for other in points
        if (other.recall > one.recall and other.qps >= one.qps) or (other.recall >= one.recall and other.qps > one.qps)
    }  # fmt: skip
    front = Curve(tuple(points)).front
    assert set(front) == set(points) - beaten
    assert [one.recall for one in front] == sorted({one.recall for one in front})


@given(pairs, st.floats(0, 1))
def test_an_interpolated_speed_lies_between_the_points_around_it(found: list[tuple[int, int]], recall: float) -> None:
    measured = curve(*((exact / 20, float(qps)) for exact, qps in found))
    speed = measured.qps_at(recall)
    inside = measured.lowest <= recall <= measured.highest
    assert (speed is not None) == inside
    if speed is not None:
        above = [one.qps for one in measured.front if one.recall >= recall]
        below = [one.qps for one in measured.front if one.recall <= recall] or [max(above)]
        assert max(above) * (1 - 1e-9) <= speed <= min(below) * (1 + 1e-9)


def test_a_speed_between_two_points_is_interpolated_on_the_logarithm() -> None:
    assert curve((0.9, 400.0), (0.98, 100.0)).qps_at(0.94) == pytest.approx(200.0)


@pytest.mark.parametrize("recall", [0.89, 0.99])
def test_a_recall_outside_what_was_measured_has_no_speed(recall: float) -> None:
    assert curve((0.9, 400.0), (0.98, 100.0)).qps_at(recall) is None


def test_a_measured_point_has_its_own_speed() -> None:
    assert curve((0.9, 400.0), (0.98, 100.0)).qps_at(0.98) == pytest.approx(100.0)


def test_a_recall_that_was_measured_but_beaten_has_the_speed_of_what_beat_it() -> None:
    assert curve((0.9, 100.0), (0.97, 400.0)).qps_at(0.95) == pytest.approx(400.0)


def test_a_single_point_has_a_speed_at_its_recall_only() -> None:
    only = curve((0.97, 400.0))
    assert [only.qps_at(recall) for recall in (0.96, 0.97, 0.98)] == [None, pytest.approx(400.0), None]


def test_a_single_point_reaches_every_lower_recall() -> None:
    only = curve((0.97, 400.0))
    assert only.qps_reaching(0.9) == pytest.approx(400.0)
    assert only.qps_reaching(0.98) is None


def test_a_curve_without_points_has_no_speed() -> None:
    assert curve().qps_at(0.9) is None
    assert curve().qps_reaching(0.9) is None


@pytest.mark.parametrize("name", ["recall", "qps", "qps_low"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_points_that_are_not_finite_are_left_out(name: str, value: float | None) -> None:
    points = sweep(modes=("batch",))
    points[1][name] = value
    kept = points_of([engine_run("vecdb", points=points)], "batch")
    assert [one.effort for one in kept] == [10, 40]


def test_engines_without_points_have_no_curve() -> None:
    assert list(curves_of([absent_run("ngt", "missing", ""), engine_run("vecdb")], "batch")) == ["vecdb"]


def test_the_best_of_all_settings_counts() -> None:
    runs = [engine_run("vecdb", setting="m16"), engine_run("vecdb", 2.0, setting="m32")]
    assert curves_of(runs, "batch")["vecdb"].qps_at(0.95) == pytest.approx(8_000.0)


def test_the_noise_at_a_recall_is_that_of_the_points_around_it() -> None:
    points = (point(0.8, 500.0), point(0.9, 400.0), point(0.95, 300.0, 0.2), point(0.99, 100.0))
    assert Curve(points).noise_at(0.92) == pytest.approx(0.2)
    assert Curve(points).noise_at(0.85) == 0.0


# --- who wins --------------------------------------------------------------------------------------------------------


def test_the_headline_names_the_fastest_at_each_recall() -> None:
    curves = {"vecdb": curve((0.9, 100.0), (0.99, 80.0)), "peer": curve((0.9, 200.0), (0.99, 20.0))}
    assert headline(curves, (0.9, 0.99)) == (
        "peer is fastest at recall 0.90 (2.0 × the next); vecdb is fastest at recall 0.99 (4.0 × the next)"
    )


def test_the_headline_of_a_lone_engine_has_no_ratio() -> None:
    assert headline({"vecdb": curve((0.9, 100.0))}, (0.9, 0.99)) == "vecdb is fastest at recall 0.90"


def test_the_headline_says_when_nobody_gets_there() -> None:
    assert headline({"vecdb": curve((0.5, 100.0))}, (0.9,)) == "no engine reaches recall 0.90"


def test_a_peer_that_begins_above_a_recall_and_is_faster_there_wins() -> None:
    curves = {"vecdb": curve((0.9, 100.0), (0.99, 80.0)), "peer": curve((0.97, 300.0))}
    assert wins_at_recall(curves, "alone", (0.95, 0.99)) == [
        "peer is 3.40 × as fast at recall 0.95, alone: 300 against 88 queries/s"
    ]


def test_a_peer_does_not_win_where_vecdb_begins_above_the_recall_and_is_faster() -> None:
    curves = {"vecdb": curve((0.97, 300.0)), "peer": curve((0.9, 200.0), (0.96, 100.0))}
    assert wins_at_recall(curves, "alone", (0.95,)) == []


def test_a_win_that_noise_may_explain_says_so() -> None:
    (win,) = wins_at_recall({"vecdb": curve((0.95, 100.0)), "peer": curve((0.95, 101.0))}, "alone", (0.95,))
    assert "less than the noise" in win


def test_nobody_wins_against_a_vecdb_that_did_not_run() -> None:
    assert wins_at_recall({"peer": curve((0.95, 100.0))}, "alone") == []
    assert wins_of("disk", {"peer": 1.0}, "MB") == []


def test_less_wins_unless_more_is_better() -> None:
    figures = {"vecdb": 10.0, "small": 5.0, "large": 20.0, "none": None, "unknown": math.nan}
    assert wins_of("disk", figures, "MB") == ["disk: small with 5, vecdb 10 MB (2.00 ×)"]
    assert wins_of("speed", figures, "records/s", more=True) == ["speed: large with 20, vecdb 10 records/s (2.00 ×)"]
