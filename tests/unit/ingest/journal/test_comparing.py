"""What sources give is compared with the journal: new, changed, moved, unchanged, and at the end what vanished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.ingest.journal.given import end, item, kinds, opened, run_over, store, vanished, written
from vecdb.ingest.journal.comparing import Comparison, Vanished
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.marks import Marks
from vecdb.ingest.journal.states import Failure, JournalChanges, PartWrite
from vecdb.ingest.sources.item import Position, Problem, SourceEnd


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with opened(tmp_path / "journal") as journal:
        yield journal


def test_everything_is_new_without_a_journal() -> None:
    run = Comparison(None)
    assert kinds(run.items([item("x"), item("y")])) == ["new", "new"]
    run.problem(Problem("a", Position("a"), "bad", item_id="z"))
    assert run.part_end(end("a"))
    assert vanished(run) == set()


def test_new_changed_and_unchanged_are_told_apart(journal: Journal) -> None:
    store(journal, item("x"), item("y"))
    run = Comparison(journal)
    verdicts = run.items([item("x"), item("y", "other"), item("z")])
    assert kinds(verdicts) == ["unchanged", "changed", "new"]
    known = verdicts[1].known
    assert known is not None
    assert known.chunks == ("y",)
    assert verdicts[0].known is None


def test_an_id_that_changes_its_type_is_changed(journal: Journal) -> None:
    store(journal, item(5))
    verdict = Comparison(journal).items([item("5")])[0]
    assert verdict.kind == "changed"
    assert verdict.known is not None
    assert verdict.known.chunks == (5,)


def test_forgotten_contents_are_changed(journal: Journal) -> None:
    store(journal, item("x"))
    journal.forget_contents()
    assert kinds(Comparison(journal).items([item("x")])) == ["changed"]


def test_what_a_crash_left_half_delivered_is_changed_even_where_it_is_the_same(journal: Journal) -> None:
    store(journal, item("x"))
    journal.write(JournalChanges(intended=[written(item("x"))]))
    directory = journal.directory
    journal.close()
    with opened(directory) as again:
        assert kinds(Comparison(again).items([item("x")])) == ["changed"]


# --- quarantine -------------------------------------------------------------------------------------------------------


def _fail(journal: Journal, item_id: str, text: str) -> None:
    poison = item(item_id, text)
    failure = Failure(
        id=item_id, part="a", position="a:1", reason="R", message="m", content_hash=poison.content_hash, time=1.0
    )
    journal.write(JournalChanges(failed=[failure]))


def test_the_content_that_failed_is_left_alone_and_other_content_is_tried(journal: Journal) -> None:
    _fail(journal, "x", "poison")
    verdict = Comparison(journal).items([item("x", "poison")])[0]
    assert verdict.kind == "quarantined"
    assert verdict.failure is not None
    assert verdict.failure.message == "m"
    assert kinds(Comparison(journal).items([item("x", "cure")])) == ["changed"]


def test_an_item_whose_new_content_failed_is_unchanged_when_the_old_comes_back(journal: Journal) -> None:
    store(journal, item("x", "good"))
    _fail(journal, "x", "poison")
    assert kinds(Comparison(journal).items([item("x", "poison")])) == ["quarantined"]
    verdict = Comparison(journal).items([item("x", "good")])[0]
    assert (verdict.kind, verdict.failure is not None) == ("unchanged", True)


def test_an_item_in_quarantine_vanishes_like_any_other(journal: Journal) -> None:
    _fail(journal, "x", "poison")
    run = Comparison(journal)
    assert not run.part_end(end("a"))
    assert vanished(run) == {"x"}
    journal.write(JournalChanges(removed=["x"]))
    assert list(journal.failures()) == []


def test_an_item_in_quarantine_that_moves_is_of_its_new_part_and_its_cure_is_taken_there(journal: Journal) -> None:
    """Else the cured item would count as a second one with the id of an item of the part that it has left."""
    run_over(journal, {"a": [item("x", "good")]})
    _fail(journal, "x", "poison")
    assert kinds(run_over(journal, {"a": [], "b": [item("x", "poison", part="b")]})) == ["quarantined"]
    assert [failure.part for failure in journal.failures()] == ["b"]
    run = Comparison(journal)
    assert run.part_end(end("a", "unchanged"))
    assert kinds(run.items([item("x", "cure", part="b")])) == ["changed"]


# --- what vanished ----------------------------------------------------------------------------------------------------


def test_what_a_part_no_longer_has_vanished_from_it(journal: Journal) -> None:
    store(journal, item("x"), item("y"), item("z", part="b"))
    run = Comparison(journal)
    run.items([item("x"), item("new")])
    assert not run.part_end(end("a", fingerprint="g"))
    run.source_end(SourceEnd("source", complete=False))
    state = journal.item("y")
    assert state is not None
    assert list(run.finish()) == [Vanished((state,), parts=(PartWrite("a", "g"),))]


def test_a_part_that_has_everything_is_done_with(journal: Journal) -> None:
    store(journal, item("x"), item("y"))
    run = Comparison(journal)
    run.items([item("x"), item("y", "changed"), item("new")])
    assert run.part_end(end("a"))
    assert vanished(run) == set()


@pytest.mark.parametrize("state", ["failed", "unchanged"])
def test_nothing_vanished_from_a_part_that_was_not_read_to_its_end(journal: Journal, state: str) -> None:
    store(journal, item("x"), item("y"))
    run = Comparison(journal)
    run.items([item("x")])
    assert run.part_end(end("a", state))
    assert vanished(run) == set()


def test_what_is_bad_now_has_not_vanished(journal: Journal) -> None:
    store(journal, item("x"), item("y"))
    run = Comparison(journal)
    run.items([item("x")])
    run.problem(Problem("a", Position("a", 2), "bad", item_id="y"))
    run.problem(Problem("a", Position("a", 3), "bad", item_id="never seen"))
    run.problem(Problem("a", Position("a", 4), "bad", item_id=-1))
    run.problem(Problem("a", Position("a", 5), "bad"))
    assert run.part_end(end("a"))
    assert vanished(run) == set()


def test_an_item_given_as_a_problem_and_again_as_an_item_counts_once(journal: Journal) -> None:
    store(journal, item("x"), item("y"))
    run = Comparison(journal)
    run.problem(Problem("a", Position("a", 1), "bad", item_id="x"))
    run.items([item("x")])
    assert not run.part_end(end("a"))
    assert vanished(run) == {"y"}


def test_items_of_parts_that_are_no_longer_listed_vanished(journal: Journal) -> None:
    run_over(journal, {"a": [item("x")], "b": [item("y", part="b")]})
    run = Comparison(journal)
    run.part_end(end("a", "unchanged"))
    run.source_end(SourceEnd("source", complete=True))
    steps = list(run.finish())
    assert [step.removed_parts for step in steps] == [("b",)]
    assert [state.id for step in steps for state in step.items] == ["y"]


def test_nothing_vanished_with_parts_that_could_not_be_listed(journal: Journal) -> None:
    run_over(journal, {"a": [item("x")], "b": [item("y", part="b")]})
    run = Comparison(journal)
    run.part_end(end("a", "unchanged"))
    run.source_end(SourceEnd("one", complete=True))
    assert vanished(run, complete=False) == set()


def test_a_part_emptied_long_ago_is_forgotten_when_it_is_no_longer_listed(journal: Journal) -> None:
    run_over(journal, {"a": [], "b": []})
    run_over(journal, {"b": []})
    assert [part.key for part in journal.parts()] == ["b"]


@pytest.mark.parametrize("listed", [("a", "b"), ("b", "a"), ("b",)])
def test_an_item_that_another_part_gives_has_moved_and_not_vanished(journal: Journal, listed: tuple[str, ...]) -> None:
    run_over(journal, {"a": [item("x"), item("y")], "b": []})
    run = Comparison(journal)
    for part in listed:
        if part == "b":
            verdict = run.items([item("x", part="b")])[0]
            assert (verdict.kind, verdict.known and verdict.known.part) == ("moved", "a")
        run.part_end(end(part))
    assert vanished(run) == {"y"}


def test_an_item_that_moved_and_was_written_in_between_has_not_vanished(journal: Journal) -> None:
    run_over(journal, {"a": [item("x"), item("y")]})
    run = Comparison(journal)
    moved = run.items([item("x", part="b")])
    store(journal, moved[0].item)
    assert not run.part_end(end("a"))
    assert run.part_end(end("b"))
    assert vanished(run) == {"y"}


def test_a_renamed_part_takes_its_items_along(journal: Journal) -> None:
    run_over(journal, {"old": [item(number, part="old") for number in range(5)]})
    verdicts = run_over(journal, {"new": [item(number, part="new") for number in range(5)]})
    assert kinds(verdicts) == ["moved"] * 5
    assert [part.key for part in journal.parts()] == ["new"]
    assert len(list(journal.items_of_part("new"))) == 5


def test_an_id_of_a_part_that_was_skipped_belongs_to_that_part(journal: Journal) -> None:
    run_over(journal, {"a": [item("x")], "b": []})
    run = Comparison(journal)
    run.part_end(end("a", "unchanged"))
    assert kinds(run.items([item("x", part="b"), item("x", "other", part="b")])) == ["duplicate", "duplicate"]


def test_a_part_with_an_id_that_came_too_late_is_looked_at_again(journal: Journal) -> None:
    run_over(journal, {"a": [item("x")], "b": [item("y", part="b")]})
    run = Comparison(journal)
    run.part_end(end("a", "unchanged"))
    run.items([item("y", part="b"), item("x", part="b"), item("x", part="new")])
    assert not run.part_end(end("b"))
    assert not run.part_end(end("new"))
    run.source_end(SourceEnd("source", complete=True))
    assert list(run.finish()) == [Vanished((), (PartWrite("b", None),)), Vanished((), (PartWrite("new", None),))]


def test_a_problem_with_the_id_of_an_item_in_a_part_that_was_skipped_is_told_without_it(journal: Journal) -> None:
    run_over(journal, {"a": [item("x")]})
    run = Comparison(journal)
    bad = Problem("b", Position("b", 1), "bad", item_id="x")
    assert run.problem(bad) == bad
    run.part_end(end("a", "unchanged"))
    assert run.problem(bad) == replace(bad, item_id=None)
    assert run.problem(replace(bad, item_id="y")).item_id == "y"


def test_a_part_that_lost_an_item_to_another_is_read_again(journal: Journal) -> None:
    """If it has the item still, that item must not be lost when the other part goes."""
    run_over(journal, {"a": [item("x"), item("y")]})
    run = Comparison(journal)
    assert kinds(run.items([item("x", part="b")])) == ["moved"]
    store(journal, item("x", part="b"))
    run.part_end(end("b"))
    journal.write(JournalChanges(parts=[PartWrite("b", "f")]))
    assert not run.part_end(end("a", "unchanged"))
    assert vanished(run) == set()
    assert journal.part_fingerprint("a") is None
    assert kinds(run_over(journal, {"a": [item("x"), item("y")]})) == ["moved", "unchanged"]
    assert [state.id for state in journal.items_of_part("a")] == ["x", "y"]


def test_items_written_while_the_run_goes_on_have_not_vanished(journal: Journal) -> None:
    run_over(journal, {"a": [item("x")]})
    run = Comparison(journal)
    run.items([item("x"), item("new"), item("other", part="b")])
    store(journal, item("new"), item("other", part="b"))
    run.part_end(end("a"))
    assert vanished(run) == set()


def test_more_than_a_batch_can_vanish(journal: Journal) -> None:
    store(journal, *(item(number) for number in range(1_500)))
    run = Comparison(journal)
    run.items([item(number) for number in range(0, 1_500, 3)])
    run.part_end(end("a"))
    run.source_end(SourceEnd("source", complete=True))
    steps = list(run.finish())
    assert max(len(step.items) for step in steps) <= 512
    assert {state.id for step in steps for state in step.items} == {n for n in range(1_500) if n % 3}
    assert [step.parts for step in steps][:-1] == [()] * (len(steps) - 1)
    assert steps[-1].parts == (PartWrite("a", "f"),)


def test_scanning_stops_now_and_then_for_the_writer(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    run_over(journal, {"a": [item(number) for number in range(40)], "b": [], "c": [], "d": []})
    monkeypatch.setattr("vecdb.ingest.journal.comparing.SCAN_ITEMS_MAX", 3)
    run = Comparison(journal)
    run.items([item(number) for number in range(39)])
    run.part_end(end("a"))
    run.source_end(SourceEnd("source", complete=True))
    steps = list(run.finish())
    assert [state.id for step in steps for state in step.items] == [39]
    assert [key for step in steps for key in step.removed_parts] == ["b", "c", "d"]


def test_marks_hold_what_was_added_and_nothing_else() -> None:
    marks = Marks()
    added = [0, 7, 8, 65_535, 65_536, 10**12]
    assert [marks.add(number) for number in added] == [True] * 6
    assert [marks.add(number) for number in added] == [False] * 6
    assert [number in marks for number in (1, 9, 65_534, 10**12 - 1, 10**12 + 1)] == [False] * 5
    assert all(number in marks for number in added)
