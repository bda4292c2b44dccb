"""Runs over changing sources, with crashes, do in the journal what they do in a plain model of dicts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.ingest.journal.given import end, item, opened
from vecdb.ingest.journal.comparing import Comparison, Verdict
from vecdb.ingest.journal.states import Failure, ItemWrite, JournalChanges, PartWrite, leaving
from vecdb.ingest.sources.item import Item, SourceEnd
from vecdb.types import RecordId

IDS: list[RecordId] = [1, "1", "x", "ü/y", 2]
PARTS = ("a", "b")
TEXTS = ("one", "two", "three")

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Thousands of commits need not wait for a disk."""

Source: TypeAlias = dict[RecordId, tuple[str, str]]
"""The part and the text of each item."""

batches = st.integers(1, 4)
listings = st.permutations(PARTS)
contents = st.dictionaries(
    st.sampled_from(IDS), st.tuples(st.sampled_from(PARTS), st.sampled_from(TEXTS)), min_size=2, max_size=len(IDS)
).map(lambda given: {key: value for key, value in given.items() if not (key == "1" and 1 in given)})


def chunks_of(given: Item) -> tuple[RecordId, ...]:
    """Longer texts make more chunks."""
    return tuple(f"{given.id}#{ordinal}" for ordinal in range(len(given.text or "") - 2))


class JournalMachine(RuleBasedStateMachine):
    """A pipeline in small. `stored` is the destination: which chunks there are, each with the item it is of.

    Every step of a run (intend, deliver, journal) may be the last before a crash.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="journal-machine-", dir=MEMORY))
        self.journal = opened(self.directory / "journal")
        self.source: Source = {}
        self.stored: dict[RecordId, tuple[RecordId, str]] = {}
        self.poison: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.directory)

    @rule(source=contents, batch=batches, listed=listings)
    def run_over_another_source(self, source: Source, batch: int, listed: list[str]) -> None:
        self.source = source
        self.run_whole(batch, listed)

    @rule(source=contents, batch=batches, listed=listings, lasting=st.integers(0, 9))
    def crash_over_another_source(self, source: Source, batch: int, listed: list[str], lasting: int) -> None:
        self.source = source
        self.crash(batch, listed, lasting)

    @precondition(lambda self: self.source)
    @rule(data=st.data(), batch=batches, listed=listings, lasting=st.none() | st.integers(0, 5))
    def change_one_item(self, data: Any, batch: int, listed: list[str], lasting: int | None) -> None:
        item_id = data.draw(st.sampled_from(sorted(self.source, key=str)))
        if item_id in {1, "1"} and data.draw(st.booleans()):
            self.source["1" if item_id == 1 else 1] = self.source.pop(item_id)
        else:
            self.source[item_id] = (data.draw(st.sampled_from(PARTS)), data.draw(st.sampled_from(TEXTS)))
        if lasting is None:
            self.run_whole(batch, listed)
        else:
            self.crash(batch, listed, lasting)

    @precondition(lambda self: self.source)
    @rule(data=st.data())
    def poison_one_item(self, data: Any) -> None:
        item_id = data.draw(st.sampled_from(sorted(self.source, key=str)))
        self.poison.add((str(item_id), data.draw(st.sampled_from(TEXTS))))

    @precondition(lambda self: self.source)
    @rule(batch=batches)
    def run_again_with_nothing_changed(self, batch: int) -> None:
        self.run_whole(batch, list(PARTS))
        self.reopen()
        before = dict(self.stored)
        run = Comparison(self.journal)
        for part in PARTS:
            verdicts = run.items(self._items_of(part))
            assert {verdict.kind for verdict in verdicts} <= {"unchanged", "quarantined"}
            assert not any(verdict.is_elsewhere for verdict in verdicts)
            assert run.part_end(end(part))
        run.source_end(SourceEnd("source", complete=True))
        assert list(run.finish()) == []
        assert self.stored == before

    def run_whole(self, batch: int, listed: list[str]) -> None:
        """A run without a crash: the destination is then true to the source, but for what is poisoned."""
        for _ in self._steps(batch, listed):
            pass
        for item_id, (part, text) in self.source.items():
            if (str(item_id), text) not in self.poison:
                wanted = dict.fromkeys(chunks_of(item(item_id, text, part)), (item_id, text))
                assert {key: of for key, of in self.stored.items() if str(of[0]) == str(item_id)} == wanted
        assert {str(of[0]) for of in self.stored.values()} <= {str(item_id) for item_id in self.source}
        self._expect_failures_where_they_are()

    def _expect_failures_where_they_are(self) -> None:
        """What is in quarantine is in the source, in that part and with the content that failed."""
        places = {str(item_id): place for item_id, place in self.source.items()}
        for failure in self.journal.failures():
            part, text = places[str(failure.id)]
            assert (failure.part, failure.content_hash) == (part, item(failure.id or "", text, part).content_hash)

    def crash(self, batch: int, listed: list[str], lasting: int) -> None:
        """A run that ends in the middle of a step."""
        for _, _ in zip(range(lasting), self._steps(batch, listed), strict=False):
            pass
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = opened(self.directory / "journal")

    @invariant()
    def no_chunk_is_unknown(self) -> None:
        """Whatever the destination has, the journal knows; else it would stay there for ever."""
        known = {(str(state.id), chunk) for state in self.journal.items() for chunk in state.chunks}
        assert {(str(of[0]), chunk) for chunk, of in self.stored.items()} <= known

    @invariant()
    def parts_count_their_items(self) -> None:
        for part in self.journal.parts():
            members = list(self.journal.items_of_part(part.key))
            assert part.items == len(members)
            assert {state.part for state in members} <= {part.key}
        summary = self.journal.summary()
        assert sum(part.items for part in self.journal.parts()) == summary.items
        assert sum(bool(state.chunks) for state in self.journal.items()) == summary.stored

    def _items_of(self, part: str) -> list[Item]:
        return [item(item_id, text, where) for item_id, (where, text) in self.source.items() if where == part]

    def _steps(self, batch: int, listed: list[str]) -> Any:
        run, settled = Comparison(self.journal), []
        for part in listed:
            items = self._items_of(part)
            for start in range(0, len(items), batch):
                verdicts = run.items(items[start : start + batch])
                yield from self._deliver(verdicts)
            if run.part_end(end(part)):
                settled.append(PartWrite(part, "f"))
        self.journal.write(JournalChanges(parts=settled))
        run.source_end(SourceEnd("source", complete=True))
        for step in run.finish():
            self.journal.write(JournalChanges(intended=list(map(leaving, step.items))))
            yield
            for state in step.items:
                self._delete(state.chunks)
            yield
            removed: list[RecordId] = [state.id for state in step.items]
            parts, removed_parts = list(step.parts), list(step.removed_parts)
            self.journal.write(JournalChanges(removed=removed, parts=parts, removed_parts=removed_parts))

    def _deliver(self, verdicts: list[Verdict]) -> Any:
        wanted = [verdict for verdict in verdicts if verdict.kind in {"new", "changed", "moved"}]
        failed = [verdict.item for verdict in wanted if (str(verdict.item.id), verdict.item.text) in self.poison]
        good = [verdict for verdict in wanted if verdict.item not in failed]
        writes = [ItemWrite(one.item.id, one.item.part, one.item.content_hash, chunks_of(one.item)) for one in good]
        self.journal.write(JournalChanges(intended=writes))
        yield
        for verdict in good:
            self._delete(() if verdict.known is None else verdict.known.chunks)
            for chunk in chunks_of(verdict.item):
                self.stored[chunk] = (verdict.item.id, verdict.item.text or "")
            yield
        failures = [_failure(one) for one in failed]
        failures += [_failure(one.item) for one in verdicts if one.kind == "quarantined" and one.is_elsewhere]
        cleared = [one.item.id for one in verdicts if one.kind == "unchanged" and one.failure is not None]
        self.journal.write(JournalChanges(stored=writes, failed=failures, cleared=cleared))
        yield

    def _delete(self, chunks: tuple[RecordId, ...]) -> None:
        for chunk in chunks:
            self.stored.pop(chunk, None)


def _failure(given: Item) -> Failure:
    return Failure(
        id=given.id, part=given.part, position=given.part, reason="R", message="m", content_hash=given.content_hash
    )


class ManyJournals(JournalMachine):
    """The same, for hours."""


JournalMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=10, deadline=None)
ManyJournals.TestCase.settings = settings(max_examples=2_000, stateful_step_count=20, deadline=None)
TestJournal = JournalMachine.TestCase
TestManyJournals = pytest.mark.torture(ManyJournals.TestCase)
