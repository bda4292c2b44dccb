"""A journal remembers what is stored, what failed and what runs did, for the pipeline it belongs to."""

from __future__ import annotations

import os
import stat
import uuid
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.ingest.journal.given import IDENTITY, identity, item, opened, store, written
from vecdb.errors import (
    ConflictError,
    DatabaseLockedError,
    DatabaseNotFoundError,
    InvalidIdError,
    NotADatabaseError,
    ReadOnlyError,
)
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.journal.config import RUNS_KEPT_MAX
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure, ItemState, ItemWrite, JournalChanges, PartState, PartWrite, leaving
from vecdb.storage.environment import Environment


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_an_item_is_remembered_with_its_part_hash_chunks_and_version(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(stored=[ItemWrite("x", "a", b"h" * 16, ("x#0", "x#1"), 9)]))
    with opened(directory) as journal:
        assert journal.item("x") == ItemState("x", "a", b"h" * 16, ("x#0", "x#1"), 9)


@pytest.mark.parametrize("item_id", [0, 2**64 - 1, "ä/b.md", uuid.UUID(int=3), "x" * 256])
def test_ids_come_back_as_the_type_they_were(directory: Path, item_id: int | str | uuid.UUID) -> None:
    with opened(directory) as journal:
        store(journal, item(item_id))
        state = journal.item(item_id)
        assert state is not None
        assert (type(state.id), state.id, state.chunks) == (type(item_id), item_id, (item_id,))


def test_ids_with_one_text_are_one_item(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item(5))
        store(journal, item("5"))
        assert [state.id for state in journal.items()] == ["5"]


def test_what_cannot_be_an_id_is_refused_and_nothing_is_written(directory: Path) -> None:
    with opened(directory) as journal:
        with pytest.raises(InvalidIdError):
            journal.write(JournalChanges(stored=[written(item("x"))], removed=[-1]))
        assert journal.item("x") is None


def test_an_item_that_moves_leaves_its_part(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("x", part="a"), item("y", part="a"))
        store(journal, item("x", part="b"))
        assert [state.id for state in journal.items_of_part("a")] == ["y"]
        assert [state.id for state in journal.items_of_part("b")] == ["x"]
        assert list(journal.parts()) == [PartState("a", None, 1), PartState("b", None, 1)]


def test_a_removed_item_is_gone_from_everywhere(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("x"))
        journal.write(JournalChanges(removed=["x", "never seen"]))
        assert journal.item("x") is None
        assert list(journal.items_of_part("a")) == []
        assert journal.part("a") == PartState("a", None, 0)


def test_a_write_done_twice_has_the_effect_of_one(directory: Path) -> None:
    changes = JournalChanges(
        intended=[written(item("z"))],
        stored=[written(item("x")), written(item("y"))],
        removed=["y"],
        failed=[Failure(id="w", part="a", position="a:1", reason="R", message="m", time=1.0)],
        parts=[PartWrite("a", "f")],
        position=4,
    )
    with opened(directory) as journal:
        journal.write(changes)
        once = (list(journal.items()), list(journal.parts()), list(journal.failures()), journal.position())
        journal.write(changes)
        assert (list(journal.items()), list(journal.parts()), list(journal.failures()), journal.position()) == once


def test_an_item_given_twice_in_one_write_counts_once(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("x", "first"), item("x", "second"))
        state = journal.item("x")
        assert state is not None
        assert state.content_hash == item("x", "second").content_hash
        assert journal.part("a") == PartState("a", None, 1)


# --- deliveries under way ---------------------------------------------------------------------------------------------


def test_after_a_crash_old_and_new_chunks_are_known_and_the_content_is_not(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(stored=[written(item("x"), ["x#0", "x#1"])]))
        journal.write(JournalChanges(intended=[written(item("x", "new"), ["x#0", "x#1", "x#2"])]))
        journal.write(JournalChanges(intended=[written(item("y"), ["y#0"])]))
    with opened(directory) as journal:
        assert journal.item("x") == ItemState("x", "a", b"", ("x#0", "x#1", "x#2"))
        assert journal.item("y") == ItemState("y", "a", b"", ("y#0",))


def test_deliveries_intended_one_after_the_other_are_all_remembered(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(intended=[written(item("x"), ["x#0", "x#1"])]))
        journal.write(JournalChanges(intended=[written(item("x"), ["x#0"])]))
    with opened(directory) as journal:
        state = journal.item("x")
        assert state is not None
        assert state.chunks == ("x#0", "x#1")


@pytest.mark.parametrize("ending", ["stored", "removed"])
def test_a_delivery_that_was_acknowledged_leaves_no_trace(directory: Path, ending: str) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(intended=[written(item("x"), ["x#0", "x#1"])]))
        if ending == "stored":
            journal.write(JournalChanges(stored=[written(item("x"), ["x#0"])]))
        else:
            journal.write(JournalChanges(removed=["x"]))
        before = journal.item("x")
    with opened(directory) as journal:
        assert journal.item("x") == before


def test_more_deliveries_than_are_settled_at_a_time_are_all_settled(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(intended=[written(item(number)) for number in range(1_100)]))
        assert journal.summary().items == 0
    with opened(directory) as journal:
        assert journal.summary().items == 1_100
        assert journal.part("a") == PartState("a", None, 1_100)


def test_an_item_refused_by_the_destination_keeps_what_is_stored(directory: Path) -> None:
    refusal = Failure(id="x", part="a", position="a:1", reason="R", message="m", content_hash=b"n" * 16)
    with opened(directory) as journal:
        journal.write(JournalChanges(stored=[written(item("x"), ["x#0"])]))
        journal.write(JournalChanges(intended=[written(item("x", "new"), ["x#0", "x#1"])]))
        journal.write(JournalChanges(failed=[refusal]))
    with opened(directory) as journal:
        state = journal.item("x")
        assert state == ItemState("x", "a", item("x").content_hash, ("x#0", "x#1"))


# --- parts, contents --------------------------------------------------------------------------------------------------


def test_a_part_is_skipped_by_its_fingerprint_until_the_contents_are_forgotten(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("x"))
        journal.write(JournalChanges(parts=[PartWrite("a", "f")]))
        assert journal.part_fingerprint("a") == "f"
        journal.forget_contents()
        assert journal.part_fingerprint("a") is None
        assert journal.item("x") == ItemState("x", "a", b"", ("x",))
        store(journal, item("x"))
        journal.write(JournalChanges(parts=[PartWrite("a", "g")]))
        assert journal.part_fingerprint("a") == "g"
        assert journal.item("x") == ItemState("x", "a", item("x").content_hash, ("x",))


def test_the_contents_of_some_items_can_be_forgotten(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("x"), item("y"), item("z", part="b"))
        journal.write(JournalChanges(parts=[PartWrite("a", "f"), PartWrite("b", "f")]))
        journal.forget_contents(["x", "unknown"])
        assert [bool(state.content_hash) for state in journal.items()] == [False, True, True]
        assert (journal.part_fingerprint("a"), journal.part_fingerprint("b")) == (None, "f")


def test_a_part_with_items_left_is_not_removed_but_read_again(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("x"))
        journal.write(JournalChanges(parts=[PartWrite("a", "f")], removed_parts=["a", "unknown"]))
        assert journal.part("a") == PartState("a", None, 1)
        journal.write(JournalChanges(removed=["x"], removed_parts=["a"]))
        assert journal.part("a") is None


def test_parts_are_listed_by_the_beginning_of_their_keys(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(parts=[PartWrite(key, "f") for key in ("b/1", "a/1", "a/2", "c")]))
        assert [part.key for part in journal.parts("a/")] == ["a/1", "a/2"]


def test_keys_of_parts_may_be_long_and_no_utf8(directory: Path) -> None:
    keys = ["p" * 4_000 + "1", "p" * 4_000 + "2", os.fsdecode(b"caf\xe9.txt"), ""]
    with opened(directory) as journal:
        journal.write(JournalChanges(parts=[PartWrite(key, key[-1:]) for key in keys]))
        assert [journal.part_fingerprint(key) for key in keys] == [key[-1:] for key in keys]
        assert {part.key for part in journal.parts()} == set(keys)


# --- failures, runs ---------------------------------------------------------------------------------------------------


def test_a_failure_is_kept_until_its_item_is_stored(directory: Path) -> None:
    failure = Failure(
        id="x", part="a", position="a:3", reason="R", message="why", attempts=4, content_hash=b"h" * 16, time=5.0
    )
    with opened(directory) as journal:
        journal.write(JournalChanges(failed=[failure]))
        assert journal.failure("x") == failure
        assert list(journal.failures()) == [failure]
        store(journal, item("x"))
        assert journal.failure("x") is None


def test_a_failure_can_be_cleared_by_hand(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(failed=[Failure(id=1, part="a", position="a:3", reason="R", message="why")]))
        journal.write(JournalChanges(cleared=[1]))
        assert list(journal.failures()) == []


def test_a_failure_says_when_it_happened(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(failed=[Failure(id=1, part="a", position="a:3", reason="R", message="why")]))
        failure = journal.failure(1)
        assert failure is not None
        assert failure.time > 1e9


def test_problems_without_an_id_are_over_when_a_whole_run_does_not_meet_them(directory: Path) -> None:
    def problem(line: int) -> Failure:
        return Failure(id=None, part="a", position=f"a:{line}", reason="R", message="why", time=1.0)

    with opened(directory) as journal:
        journal.begin_run()
        journal.write(JournalChanges(failed=[problem(1), problem(2)]))
        journal.end_run("done", all_read=True)
        journal.begin_run()
        journal.write(JournalChanges(failed=[problem(2)]))
        journal.end_run("stopped")
        assert len(list(journal.failures())) == 2
        journal.begin_run()
        journal.write(JournalChanges(failed=[problem(2)]))
        journal.end_run("done", all_read=True)
        assert list(journal.failures()) == [problem(2)]


def test_a_failure_whose_id_is_what_is_wrong_is_kept_without_it(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(failed=[Failure(id=-1, part="a", position="a:1", reason="R", message="m")]))
        assert [failure.id for failure in journal.failures()] == [None]
        assert journal.summary().items == 0


def test_the_summary_tells_items_that_have_records_from_those_that_do_not(directory: Path) -> None:
    def counts() -> tuple[int, int]:
        summary = journal.summary()
        return summary.items, summary.stored

    with opened(directory) as journal:
        store(journal, item("x"), item("y"))
        journal.write(JournalChanges(failed=[Failure(id="z", part="a", position="a:1", reason="R", message="m")]))
        assert counts() == (3, 2)
        store(journal, item("z"), item("x", "other"))
        assert counts() == (3, 3)
        journal.write(JournalChanges(stored=[written(item("y"), ())], removed=["x"]))
        assert counts() == (2, 1)
        journal.write(JournalChanges(intended=[written(item("y"), ["y#0"]), written(item("w"))]))
    with opened(directory) as journal:
        assert counts() == (3, 3)


def test_text_that_is_no_utf8_can_be_told_of(directory: Path) -> None:
    failure = Failure(id="x", part="caf\udce9", position="caf\udce9:1", reason="R", message="\ud800", time=1.0)
    with opened(directory) as journal:
        journal.write(JournalChanges(failed=[failure]))
        assert list(journal.failures()) == [failure]


def test_runs_are_kept_with_what_they_counted(directory: Path) -> None:
    with opened(directory) as journal:
        assert journal.begin_run() == 1
        journal.write(JournalChanges(counters=Counter(stored=2)))
        journal.write(JournalChanges(counters=Counter(stored=3, failed=1)))
        assert journal.runs()[0].state == "running"
        journal.end_run("done", note="as planned")
        (run,) = journal.runs()
        assert (run.number, run.state, run.counters, run.note) == (1, "done", {"stored": 5, "failed": 1}, "as planned")
        assert run.ended is not None
        assert run.ended >= run.started


def test_a_run_that_nobody_ended_was_interrupted(directory: Path) -> None:
    with opened(directory) as journal:
        journal.begin_run()
    with Journal.open(directory, mode="r") as journal:
        assert journal.runs()[0].state == "interrupted"
    with opened(directory) as journal:
        assert journal.runs()[0].state == "interrupted"


def test_the_history_of_runs_is_bounded(directory: Path) -> None:
    with opened(directory) as journal:
        for _ in range(RUNS_KEPT_MAX + 5):
            journal.begin_run()
            journal.end_run("done")
        runs = journal.runs()
        assert [runs[0].number, runs[-1].number, len(runs)] == [RUNS_KEPT_MAX + 5, 6, RUNS_KEPT_MAX]


def test_the_position_only_grows(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(position=9))
        journal.write(JournalChanges(position=4))
        assert journal.position() == 9


# --- whose it is, and who may open it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("database", uuid.UUID(int=8)),
        ("collection", "others"),
        ("field", "second"),
        ("model", ModelFingerprint(provider="test", name="other", dim=8)),
        ("chunker", "sentence"),
        ("sources", ("c",)),
        ("options", "x"),
    ],
)
def test_a_journal_begun_with_other_settings_is_refused_and_says_which(
    directory: Path, word: str, other: object
) -> None:
    opened(directory).close()
    with pytest.raises(ConflictError, match=f"{word}: .* before, .* now") as caught:
        Journal.open(directory, identity(**{word: other}))
    assert list(caught.value.details["differences"]) == [word]


def test_how_the_destination_is_spelled_makes_no_difference(directory: Path) -> None:
    opened(directory).close()
    with Journal.open(directory, identity(destination="elsewhere")):
        pass
    with Journal.open(directory, mode="r") as journal:
        assert journal.identity.destination == "elsewhere"


def test_what_may_have_been_deleted_before_a_crash_counts_as_changed_and_its_part_is_read(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(stored=[written(item("x"), ["x#0", "x#1"])], parts=[PartWrite("a", "f")]))
        journal.write(JournalChanges(intended=list(map(leaving, journal.items()))))
    with opened(directory) as journal:
        assert journal.item("x") == ItemState("x", "a", b"", ("x#0", "x#1"))
        assert journal.part_fingerprint("a") is None
        journal.write(JournalChanges(intended=list(map(leaving, journal.items()))))
        journal.write(JournalChanges(removed=["x"]))
    with opened(directory) as journal:
        assert journal.item("x") is None


def test_a_journal_taken_over_forgets_contents_and_failures_but_no_chunk(directory: Path) -> None:
    with opened(directory) as journal:
        journal.write(JournalChanges(stored=[written(item("x"), ["x#0", "x#1"])], parts=[PartWrite("a", "f")]))
        journal.write(JournalChanges(failed=[Failure(id="y", part="a", position="a:2", reason="R", message="m")]))
    other = identity(chunker="sentence")
    with Journal.adopt(directory, other) as journal:
        assert journal.item("x") == ItemState("x", "a", b"", ("x#0", "x#1"))
        assert journal.part_fingerprint("a") is None
        assert list(journal.failures()) == []
    with Journal.open(directory, other) as journal:
        assert journal.identity == other


def test_taking_over_ones_own_journal_forgets_nothing(directory: Path) -> None:
    with opened(directory) as journal:
        store(journal, item("x"))
        before = journal.item("x")
    with Journal.adopt(directory, IDENTITY) as journal:
        assert journal.item("x") == before


def test_reading_needs_a_journal(directory: Path) -> None:
    with pytest.raises(DatabaseNotFoundError, match="there is no journal of a pipeline"):
        Journal.open(directory, mode="r")
    with pytest.raises(DatabaseNotFoundError):
        Journal.open(directory)
    assert not directory.exists()


def test_a_journal_read_cannot_be_written(directory: Path) -> None:
    opened(directory).close()
    with Journal.open(directory, mode="r") as journal, pytest.raises(ReadOnlyError):
        journal.begin_run()


def test_readers_see_what_a_writer_writes_meanwhile(directory: Path) -> None:
    with opened(directory) as writer, Journal.open(directory, mode="r") as reader:
        writer.begin_run()
        store(writer, item("x"))
        summary = reader.summary()
        assert (summary.items, summary.parts) == (1, 1)
        assert summary.last_run is not None
        assert summary.last_run.state == "running"
        assert summary.writer is not None
        assert summary.writer["pid"] == os.getpid()


def test_a_second_writer_is_told_who_the_first_is(directory: Path) -> None:
    with opened(directory), pytest.raises(DatabaseLockedError, match=f"process {os.getpid()} on") as caught:
        opened(directory)
    assert caught.value.details["holder"]["pid"] == os.getpid()


def test_nobody_else_may_read_the_files(directory: Path) -> None:
    with opened(directory):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}


def test_a_database_is_no_journal(directory: Path) -> None:
    Environment.open_directory(directory).close()
    with pytest.raises(NotADatabaseError, match="no journal of a pipeline; choose another directory"):
        opened(directory)


def test_a_journal_is_no_database(directory: Path) -> None:
    opened(directory).close()
    with pytest.raises(NotADatabaseError, match=r"of another kind \(vecdb journal\) and no database"):
        Environment.open_directory(directory)
