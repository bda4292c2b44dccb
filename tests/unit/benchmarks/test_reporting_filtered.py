"""Checks the text about filtered searches: ratios to peers, what a known effort finds, every win of a peer named."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reporting import markdown, write_report
from benchmarks.reporting.filtered import share_name
from tests.unit.benchmarks.synthetic_runs import KINDS, Run, absent_run, checks, filtered_report, filtered_run, stored
from tests.unit.benchmarks.test_reporting_text import section


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, and no plots."""
    monkeypatch.setattr(markdown, "draw_suite", lambda *_: [])
    return tmp_path


def text_of(place: Path, *runs: Run) -> str:
    """The text of a report."""
    return write_report([stored(place / "raw.json", filtered_report(*runs))], place / "out").read_text(encoding="utf-8")


def of_kind(text: str, kind: str) -> list[str]:
    """The lines about one kind of filter."""
    return section(text, f"Queries per second at recall 0.95 among the rows that match, {kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_speeds_at_equal_recall_have_ratios_for_each_kind(place: Path, kind: str) -> None:
    lines = of_kind(text_of(place, filtered_run("vecdb", 2.0), filtered_run("zvec")), kind)
    assert lines[0] == "| database | no filter | keeps 50% | keeps 1% |"
    assert "| **vecdb** | 8,000 | 8,000 | 8,000 |" in lines
    assert "| zvec | 4,000 (2.00 ×) | 4,000 (2.00 ×) | 4,000 (2.00 ×) |" in lines


def test_vecdb_is_compared_with_the_best_peer(place: Path) -> None:
    lines = of_kind(
        text_of(place, filtered_run("vecdb", 2.0), filtered_run("zvec"), filtered_run("other", 1.6)), KINDS[0]
    )
    assert "| vecdb over the best peer | 1.25 × (other) | 1.25 × (other) | 1.25 × (other) |" in lines


def test_other_ways_to_search_vecdb_are_no_peers(place: Path) -> None:
    text = text_of(place, filtered_run("vecdb", 2.0), filtered_run("vecdb-exact", 8.0), filtered_run("zvec"))
    assert "| vecdb-exact | 32,000 | 32,000 | 32,000 |" in of_kind(text, KINDS[0])
    assert "| vecdb over the best peer | 2.00 × (zvec) | 2.00 × (zvec) | 2.00 × (zvec) |" in of_kind(text, KINDS[0])
    assert section(text, "Where a peer wins") == ["Nowhere in this run."]


def test_what_the_effort_without_a_filter_finds_is_told(place: Path) -> None:
    lines = of_kind(text_of(place, filtered_run("vecdb", short=25)), KINDS[1])
    assert "| **vecdb** | 20 | 0.950; 0% short | 0.950; 25% short | 0.950; 25% short |" in lines


def test_a_filter_that_was_not_measured_is_a_dash(place: Path) -> None:
    run = filtered_run("zvec")
    run["filtered"] = [case for case in run["filtered"] if case["share"] == 0.5]
    lines = of_kind(text_of(place, filtered_run("vecdb"), run), KINDS[0])
    assert "| zvec | 4,000 (1.00 ×) | 4,000 (1.00 ×) | – |" in lines
    assert "| zvec | 20 | 0.950; 0% short | 0.950; 0% short | – |" in lines


def test_every_filter_at_which_a_peer_is_faster_is_named(place: Path) -> None:
    wins = section(text_of(place, filtered_run("vecdb"), filtered_run("zvec", 2.0)), "Where a peer wins")
    assert len(wins) == 7
    expected = "- zvec is 2.00 × as fast at recall 0.95, correlated filter that keeps 1%: 8,000 against 4,000 queries/s"
    assert expected in wins
    assert "- zvec is 2.00 × as fast at recall 0.95, no filter: 8,000 against 4,000 queries/s" in wins


def test_a_peer_that_finds_more_at_the_same_care_is_named(place: Path) -> None:
    ours = filtered_run("vecdb", 2.0)
    ours["filtered"][5]["points"][1] |= {"recall": 0.8, "short": 10}
    ours["filtered"][5]["points"][1] |= {"qps": 9e3, "qps_low": 9e3, "qps_high": 9e3}
    wins = section(text_of(place, ours, filtered_run("zvec")), "Where a peer wins")
    how = "anti-correlated filter that keeps 1%, at the effort of recall 0.95 without one"
    assert f"- recall, {how}: zvec with 0.95, vecdb 0.8 of all (1.19 ×)" in wins
    assert f"- searches that find all they should, {how}: zvec with 1, vecdb 0.9 of all (1.11 ×)" in wins


def test_that_vecdb_was_not_measured_is_named(place: Path) -> None:
    gone = absent_run("vecdb", "unsupported", "no filters")
    text = text_of(place, gone, filtered_run("zvec"))
    expected = "- filtered searches: zvec answer them; vecdb was not measured"
    assert section(text, "Where a peer wins") == [expected]
    assert "| vecdb m16 | unsupported | no filters |" in text


def test_what_a_target_of_recall_gives_is_told(place: Path) -> None:
    target = filtered_run("vecdb-target")
    for points in (target["points"], *(case["points"] for case in target["filtered"])):
        for point, effort in zip(points, (900, 950, 990), strict=True):
            point["effort"] = effort
    lines = section(text_of(place, filtered_run("vecdb"), target), "Recall that a target gives, and queries per second")
    assert lines[0] == "| filter | asked 0.90 | asked 0.95 | asked 0.99 |"
    assert "| correlated filter that keeps 50% | 0.900 (8,000) | 0.950 (4,000) | 0.990 (1,000) |" in lines


def test_random_filters_are_told_with_examples_of_what_was_wrong(place: Path) -> None:
    found = checks(wrong_hits=3) | {"examples": [{"condition": ["eq", "bucket", 1]}]}
    lines = section(text_of(place, filtered_run("vecdb", checks=found)), "Random filters compared with numpy")
    assert "| **vecdb** | 10,000 | 9,000 | 100 | 5,000 | 0 | 0 | 3 |" in lines
    assert "- vecdb: `{'condition': ['eq', 'bucket', 1]}`" in lines


def test_every_filtered_point_is_listed_and_what_was_cut(place: Path) -> None:
    run = filtered_run("vecdb")
    run["filtered"][0]["cut"] = True
    text = text_of(place, run)
    line = "| independent filter that keeps 50% | 20 | 0.9500 | 4,000 | 3,960–4,040 | 0.250 | 0.750 | 3 | 0 | 100 |"
    assert line in text
    assert "Out of time before all passes: independent filter that keeps 50%." in text


def test_the_filters_are_described_before_their_figures(place: Path) -> None:
    lines = section(text_of(place, filtered_run("vecdb")), "Filters")
    assert "| correlated, 1% | bucket < 100 | 10 | 100 | 20 |" in lines
    assert "12.5% of the variance of all rows lies along the direction of the regions." in lines


def test_the_summary_says_who_is_fastest_with_each_kind(place: Path) -> None:
    text = text_of(place, filtered_run("vecdb", 2.0), filtered_run("zvec"), filtered_run("vecdb-exact", 8.0))
    how = "fastest at recall 0.95 (× the next) by what the filter keeps"
    assert f"- `filtered` on set, correlated, {how}: 50% vecdb (2.0 ×), 1% vecdb (2.0 ×)." in text


@pytest.mark.parametrize(("share", "name"), [(0.5, "50%"), (0.1, "10%"), (0.0001, "0.01%")])
def test_a_share_has_no_needless_digits(share: float, name: str) -> None:
    assert share_name(share) == name
