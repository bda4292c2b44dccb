"""Turns the events of sources into groups: compares with the journal, cuts texts, finds vectors or asks for them.

Promises: groups are in the order of the events; a part is written down as done in or behind the group of its last item.
What is under way is bounded by a budget; before waiting for it, everything that others wait for is sent on.
Concurrency: one thread.
"""

from __future__ import annotations

import queue
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from vecdb.errors import DuplicateIdError, VecDBError
from vecdb.ingest.journal.comparing import Comparison, Verdict
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure, ItemWrite, PartWrite
from vecdb.ingest.pipeline.calls import Calls, Given
from vecdb.ingest.pipeline.config import GROUP_CHUNKS, GROUP_CHUNKS_MIN, GROUP_S
from vecdb.ingest.pipeline.control import Budget, Control
from vecdb.ingest.pipeline.cutting import Cut, Cutter
from vecdb.ingest.pipeline.events import PartEnded, SourceEnded
from vecdb.ingest.pipeline.groups import Group, Row, failure_of_item, told
from vecdb.ingest.pipeline.tally import Tally
from vecdb.ingest.sources.item import Event, Item, PartEnd, Problem, SourceEnd
from vecdb.ingest.sources.seen import SeenIds
from vecdb.types import RecordId

CHUNK_ID: Final = re.compile(r"#\d+$")
"""How ids of chunks end; see `chunkers.chunk.chunk_id`."""

NOTHING_BEFORE: Final[tuple[tuple[RecordId, ...], int]] = ((), 0)

Choice: TypeAlias = Callable[[Verdict], bool]
"""Whether an item is to be stored."""


def is_due(verdict: Verdict) -> bool:
    """What a run stores: not what failed before and is still the same."""
    return verdict.kind in {"new", "changed"}


class Assembly:
    """Fills groups and puts them into `groups`, for whoever delivers them; None is the last."""

    def __init__(
        self,
        cutter: Cutter,
        calls: Calls,
        journal: Journal,
        comparison: Comparison,
        budget: Budget,
        control: Control,
        tally: Tally,
        *,
        choice: Choice = is_due,
        is_whole: bool = True,
        call_texts: int = GROUP_CHUNKS,
    ) -> None:
        self._cutter, self._calls, self._journal, self._comparison = cutter, calls, journal, comparison
        self._budget, self._control, self._tally, self._choice = budget, control, tally, choice
        self._is_whole = is_whole
        # with a slow model each call is soon to be seen in the collection, and journalled
        self._most = min(GROUP_CHUNKS, max(call_texts, GROUP_CHUNKS_MIN))
        self._group = Group(self._most)
        self._calls_before = 0
        self._chunk_ids = SeenIds()
        self.groups: queue.SimpleQueue[Group | None] = queue.SimpleQueue()

    def take(self, events: Sequence[Event]) -> None:
        """Take some events, in their order."""
        if set(map(type, events)) == {Item}:  # as most are
            self._items(events)  # type: ignore[arg-type]  # which that says
            self._close_if_due()
            return
        items: list[Item] = []
        for event in events:
            if type(event) is Item:
                items.append(event)
                continue
            self._items(items)
            items = []
            if isinstance(event, Problem):
                self._problem(event)
            elif isinstance(event, PartEnd):
                self._part_end(event)
            elif isinstance(event, SourceEnd):
                self._comparison.source_end(event)
                self._tally.tell(SourceEnded(event.name, event.complete))
        self._items(items)
        self._close_if_due()

    def finish(self, *, keep_vanished: bool) -> None:
        """All sources were read: delete what vanished from them."""
        for step in self._comparison.finish():
            for state in () if keep_vanished else step.items:
                self._group.vanished.append(state)
                self._group.changes.removed.append(state.id)
                if self._group.is_full:
                    self._close()
            self._group.changes.parts += step.parts
            if not (keep_vanished and step.items):
                self._group.changes.removed_parts += step.removed_parts

    def close(self) -> None:
        """Send on what is left; there is no more."""
        self._calls.flush()
        self._close()
        self.groups.put(None)

    # --- items -------------------------------------------------------------------------------------------------------

    def _items(self, items: Sequence[Item]) -> None:
        taken = self._cutter.taken(items)
        verdicts = self._comparison.items(taken) if taken else []
        counts = Counter([verdict.kind for verdict in verdicts])
        choice = self._choice
        due = verdicts if choice is is_due and counts["new"] == len(verdicts) else self._due(verdicts)
        self._tally.add(
            items=len(items),
            left_out=len(items) - len(taken),
            new=counts["new"],
            changed=counts["changed"],
            unchanged=counts["unchanged"] + counts["moved"],
            failed=counts["quarantined"] and sum(one.kind == "quarantined" and not choice(one) for one in verdicts),
        )
        if due:
            self._add(due)

    def _due(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Those whose items are to be stored; what is to be done about the others is done."""
        choice = self._choice
        due: list[Verdict] = []
        for verdict in verdicts:
            if choice(verdict):
                due.append(verdict)
            elif verdict.kind == "moved":
                self._moved(verdict)
            elif verdict.kind == "duplicate":
                self._duplicate(verdict)
            elif verdict.failure is not None:
                self._failed_before(verdict)
        return due

    def _cut(self, due: Sequence[Verdict]) -> dict[int, Cut | None]:
        """The records of those that are not short, by their places; None for what cannot be cut, which is a failure."""
        cuts: dict[int, Cut | None] = {}
        for place in self._cutter.long_places([verdict.item for verdict in due]):
            verdict = due[place]
            cuts[place] = None
            try:
                cut = self._cutter.cut(verdict.item)
                self._check_chunk_ids(cut)
                cuts[place] = cut
            except VecDBError as error:
                self._failed(failure_of_item(verdict.item, error, attempts_of(verdict)))
        return cuts

    def _check_chunk_ids(self, cut: Cut) -> None:
        """DuplicateIdError where a record has the id of another item's: `a#0` may be a row, and a chunk of `a`."""
        item_id = cut.item.id
        is_plain = (type(item_id) is str and "#" not in item_id) or CHUNK_ID.search(str(item_id)) is None
        if is_plain and len(cut.ids) == 1 and cut.ids[0] == item_id:
            return
        for record_id in cut.ids:
            if not self._chunk_ids.add(record_id):
                raise DuplicateIdError(
                    f"the id {str(record_id)!r:.80} of one of its records is that of another's; tell the two sources "
                    "apart by prefix="
                )

    def _moved(self, verdict: Verdict) -> None:
        """The same content in another part: what is stored of it stays."""
        item, known = verdict.item, verdict.known
        if known is not None:
            write = ItemWrite(item.id, item.part, item.content_hash, known.chunks, known.version)
            self._group.changes.stored.append(write)

    def _failed_before(self, verdict: Verdict) -> None:
        """Keep up what is known of a failure, so that a retry reads the part where the item is now."""
        item, failure = verdict.item, verdict.failure
        if verdict.kind == "unchanged":
            self._group.changes.cleared.append(item.id)
        elif failure is not None and verdict.is_elsewhere and self._is_whole:
            self._group.changes.failed.append(replace(failure, part=item.part, position=str(item.position)))

    def _duplicate(self, verdict: Verdict) -> None:
        part = "" if verdict.known is None else verdict.known.part
        shown = (
            f"the id {str(verdict.item.id)!r:.80} is that of an item in {part!r:.200}, which came first; that one stays"
        )
        # without its id: the journal would take the item for one of this part
        self._failed(replace(failure_of_item(verdict.item, DuplicateIdError(shown)), id=None))

    def _add(self, due: Sequence[Verdict]) -> None:
        """Cut items, look for their vectors, and put them into groups; short ones as columns, between the others."""
        cuts = self._cut(due)
        short = [verdict for place, verdict in enumerate(due) if place not in cuts] if cuts else due
        shorts = self._cutter.shorts([verdict.item for verdict in short])
        self._reserve(sum(shorts.sizes) + sum(cut.size for cut in cuts.values() if cut is not None))
        keys: list[bytes] = []
        given: list[Given] = []
        for start, stop, place in _stretches(len(shorts.items), cuts):
            keys += shorts.keys[start:stop]
            given += shorts.texts[start:stop]
            cut = cuts.get(place)
            if cut is not None:
                keys += cut.keys
                given += cut.given
        rows = self._found(keys, given)
        known = [_before(verdict) for verdict in short]
        at = 0
        for start, stop, place in _stretches(len(shorts.items), cuts):
            end = at + stop - start
            while at < end:
                at += self._group.add_shorts(shorts, stop - end + at, stop, rows[at:end], known)
                self._close_if_full()
            cut = cuts.get(place)
            if cut is not None:
                self._add_cut(due[place], cut, rows[at : at + len(cut.keys)])
                at += len(cut.keys)

    def _add_cut(self, verdict: Verdict, cut: Cut, found: Sequence[Row]) -> None:
        own = found if cut.vector is None else [cut.vector]
        old, attempts = _chunks_of(verdict), attempts_of(verdict)
        self._group.add(cut.item, cut.ids, own, cut.metadata, cut.size, old, attempts)
        self._close_if_full()

    def _found(self, keys: Sequence[bytes], given: Sequence[Given]) -> list[Row]:
        before = self._calls.asked
        rows = self._calls.find(keys, given.__getitem__)
        self._tally.add(cached=len(keys) - self._calls.asked + before)
        return rows

    def _reserve(self, size: int) -> None:
        """Wait until so much may be under way; before that, send on what the others need to make room."""
        if not self._budget.try_take(size):
            self._calls.flush()
            self._close()
            self._budget.take(size, self._control)

    # --- what else there is ------------------------------------------------------------------------------------------

    def _problem(self, problem: Problem) -> None:
        problem = self._comparison.problem(problem)
        self._failed(
            Failure(
                id=problem.item_id,
                part=problem.part,
                position=str(problem.position),
                reason=problem.reason,
                message=problem.message,
                time=time.time(),
            )
        )

    def _failed(self, failure: Failure) -> None:
        self._group.changes.failed.append(failure)
        self._tally.add(failed=1)
        self._tally.tell(told(failure))

    def _part_end(self, end: PartEnd) -> None:
        is_done = self._comparison.part_end(end)
        if end.state == "unchanged":
            known = self._journal.part(end.part)
            self._tally.add(parts=1, parts_unchanged=1, skipped=0 if known is None else known.items)
            # only touched: known by its new time now
            if is_done and known is not None and known.fingerprint != end.fingerprint:
                self._group.changes.parts.append(PartWrite(end.part, end.fingerprint))
        else:
            self._tally.add(parts=1)
            # in a retry other items of the part may have been passed over: they are left to the next run
            if is_done and self._is_whole:
                self._group.changes.parts.append(PartWrite(end.part, end.fingerprint))
        self._tally.tell(PartEnded(end.part, end.state, end.items, end.problems))

    # --- groups ------------------------------------------------------------------------------------------------------

    def _close_if_due(self) -> None:
        """Close the group when a call has gone off since, or it has waited long enough."""
        group = self._group
        if group.is_empty:
            return
        if self._calls.sent != self._calls_before:
            self._close()
        elif time.monotonic() - group.begun > GROUP_S:
            if self._calls.is_idle:
                self._calls.flush()
            self._close()

    def _close_if_full(self) -> None:
        if self._group.is_full:
            self._close()

    def _close(self) -> None:
        self._calls_before = self._calls.sent
        if not self._group.is_empty:
            group, self._group = self._group, Group(self._most)
            self.groups.put(group)
        else:
            self._group.begun = time.monotonic()


def _stretches(count: int, cuts: Collection[int]) -> Iterator[tuple[int, int, int]]:
    """From and up to which short item come before each of the others (at places `cuts`), and before the end (-1)."""
    start = 0
    for number, place in enumerate(cuts):
        yield start, place - number, place
        start = place - number
    yield start, count, -1


def _before(verdict: Verdict) -> tuple[tuple[RecordId, ...], int]:
    """The records that an item had, and how often its content has failed."""
    if verdict.known is None and verdict.failure is None:
        return NOTHING_BEFORE
    return _chunks_of(verdict), attempts_of(verdict)


def _chunks_of(verdict: Verdict) -> tuple[RecordId, ...]:
    return () if verdict.known is None else verdict.known.chunks


def attempts_of(verdict: Verdict) -> int:
    """How often the content of an item has failed before."""
    return 0 if verdict.failure is None else verdict.failure.attempts


def selected(ids: Sequence[RecordId] | None) -> Choice:
    """What a retry stores: what failed, all of it or of these ids; and what is new where a bad row was."""
    wanted = None if ids is None else set(map(str, ids))

    def choice(verdict: Verdict) -> bool:
        if wanted is not None and str(verdict.item.id) not in wanted:
            return False
        if verdict.is_elsewhere:
            return False  # given in another part, which is not read now, and had the id first
        return verdict.kind in {"new", "changed", "quarantined"}

    return choice
