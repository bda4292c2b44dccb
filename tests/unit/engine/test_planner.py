"""What a filtered search does in a segment, over a table of situations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vecdb.engine.effort import SearchEffort
from vecdb.engine.planner import LIKE_UNFILTERED, Choice, choose, far_factor, margin_for, pool_factor
from vecdb.index.recall_curve import RecallCurve

ROWS = 1_000_000
LIMIT = 10
EF = 28
CURVE = RecallCurve(((10, 0.8), (28, 0.95), (112, 0.99)), ((100, 0.94), (200, 0.99)), key_ns=1_000.0, row_ns=20.0)
EXACT = SearchEffort(exact=True, ef=None, target_recall=0.95)
FIXED = SearchEffort(exact=False, ef=EF, target_recall=0.95)


def planned(share: float, effort: SearchEffort = FIXED, rows: int = ROWS) -> Choice:
    """What to do where a share of all rows matches."""
    return choose(rows, round(share * rows), LIMIT, effort, EF, CURVE)


@pytest.mark.parametrize("share", [1e-6, 1e-5, 1e-4, 1e-3])
def test_few_matches_are_compared_one_by_one(share: float) -> None:
    assert planned(share).reach is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_where_many_match_the_graph_is_walked(share: float) -> None:
    choice = planned(share)
    assert choice.reach is not None
    assert choice.graph_ns < choice.scan_ns


@pytest.mark.parametrize("share", [1e-6, 0.1, 1.0])
def test_an_exact_search_compares_every_match(share: float) -> None:
    assert planned(share, EXACT).reach is None


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_a_pool_has_room_for_as_many_matches_as_are_asked_for(share: float) -> None:
    reach = planned(share).reach
    assert reach is not None
    assert reach.widest * share > LIMIT
    # Where one row in 1/share matches, the pool settles where it holds ef rows and `widen` of each 64 others.
    settled = EF / (1 - reach.widen / 64 * (1 - share))
    assert settled * share > LIMIT


def test_a_query_far_from_its_matches_is_walked_to_only_where_comparing_them_all_takes_longer() -> None:
    many, fewer = planned(0.5).reach, planned(0.05, rows=100_000).reach
    assert many is not None
    assert many.far >= 2 * EF
    assert fewer is None or fewer.far == 0


CHECKED = replace(CURVE, sketch_ns=5.0, copied_ns=1.0, key_ns=440.0)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_lean_walk_is_planned_where_what_is_sure_takes_longer(share: float) -> None:
    choice = choose(ROWS, round(share * ROWS), LIMIT, FIXED, 14, CHECKED, are_copied=True, is_checked=True)
    assert choice.reach is not None
    assert choice.lean is not None
    assert choice.lean.far > 0
    assert choice.wanted == 0.8
    assert choice.reach.far == 0 or choice.reach.far > choice.lean.far


@pytest.mark.parametrize(("share", "checked"), [(0.1, False), (0.5, False), (0.01, True)])
def test_no_lean_walk_is_planned_where_it_does_not_go_by_signs_or_gains_nothing(share: float, checked: bool) -> None:
    choice = choose(ROWS, round(share * ROWS), LIMIT, FIXED, EF, CHECKED, are_copied=True, is_checked=checked)
    assert choice.lean is None


def test_walking_among_matches_takes_more_effort_the_fewer_they_are() -> None:
    factors = [far_factor(share) for share in (1.0, 0.9, 0.5, 0.2, 0.1)]
    assert factors == sorted(factors)
    assert factors[0] == 1.0


SKETCHED = replace(CURVE, sketch_ns=5.0, copied_ns=2.0)


def test_a_scan_of_many_matches_goes_by_sketches_and_one_of_few_by_codes() -> None:
    many = choose(ROWS, 20_000, LIMIT, FIXED, EF, SKETCHED)
    few = choose(ROWS, 1_000, LIMIT, FIXED, EF, SKETCHED)
    assert many.margin > 0
    assert many.scan_ns < 20_000 * SKETCHED.row_ns
    assert few.margin == 0


def test_the_margin_of_a_scan_grows_with_the_recall_and_beyond_the_greatest_it_goes_by_codes() -> None:
    margins = [margin_for(recall) for recall in (0.5, 0.9, 0.95, 0.98, 0.99)]
    assert margins == sorted(margins)
    assert 0 < margins[0] < margins[-1]
    assert margin_for(0.999) == 0


def test_without_a_measured_time_a_scan_does_not_go_by_sketches() -> None:
    assert choose(ROWS, 20_000, LIMIT, FIXED, EF, CURVE).margin == 0


def test_an_exact_scan_does_not_go_by_sketches() -> None:
    assert choose(ROWS, ROWS // 2, LIMIT, EXACT, EF, SKETCHED).margin == 0


def test_where_a_scan_takes_less_time_a_walk_is_tried_if_it_could_be_much_quicker_among_near_matches() -> None:
    tried = choose(ROWS, 60_000, LIMIT, FIXED, EF, SKETCHED)
    assert tried.scan_ns < tried.graph_ns
    assert tried.reach is not None
    assert tried.reach.tried > 1.0
    assert tried.reach.far == 0
    assert choose(ROWS, 5_000, LIMIT, FIXED, EF, SKETCHED).reach is None


def test_matches_whose_sketches_are_copied_are_scanned_where_others_are_walked_to() -> None:
    slower = replace(SKETCHED, sketch_ns=12.0)
    assert choose(ROWS, 20_000, LIMIT, FIXED, EF, slower).reach is not None
    copied = choose(ROWS, 20_000, LIMIT, FIXED, EF, slower, are_copied=True)
    assert copied.reach is None
    assert copied.margin > 0


def test_a_walk_among_a_part_finds_about_as_many_as_one_among_all_rows_with_the_same_effort() -> None:
    steep = replace(CURVE, at_10=((10, 0.8), (28, 0.95), (112, 0.981)), at_100=((100, 0.8), (400, 0.94), (440, 0.981)))
    usual = steep.ef_for(0.98, 100) / steep.ef_for(0.98, LIMIT)
    pool = EF * pool_factor(0.1, LIMIT, FIXED, steep)
    assert pool > EF * usual
    assert pool >= steep.ef_for(LIKE_UNFILTERED * 0.95, 100)
