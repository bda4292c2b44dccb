"""Answers again what was asked before: the same search, but for the query, of the same state of a collection.

What a search needs beside its query is settled once and kept in the CollectionView, by what was asked for (or, with a
filter, in what the View remembers of the filter): a later search copies the query, calls a kernel that searches, one
that copies ids or records, and is done, a few microseconds later. Only the plainest case is prepared, a field at rest
in one segment, without expiries; whatever is out of the ordinary is declined and left to `search`, `filtered_search`
and `hit_results`, which also say what is wrong.
Promises: what is answered here is what they would have answered.
Concurrency: each thread prepares for itself, since it has buffers of its own; what it prepared goes with the thread or
with the CollectionView.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from vecdb.config import RECORD_LOOKUPS_MAX
from vecdb.engine.config import GATHER_AFTER, LEAN_TRIALS, PREPARED_LIMIT_MAX, PREPARED_MAX, VAIN_WALKS
from vecdb.engine.filtered_search import MatchingRows, matching_in
from vecdb.engine.filtering import filter_key
from vecdb.engine.found_hits import Form, found_hits
from vecdb.engine.hit_results import opened_records
from vecdb.engine.ids import bind_ids, ids_room
from vecdb.engine.interruption import may_take
from vecdb.engine.validate import check_query
from vecdb.index.prepared import hit_room
from vecdb.index.search import prepare_search
from vecdb.kernels.layout import AMONG_KEPT, ENOUGH, TOO_LITTLE

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.engine.effort import SearchEffort
    from vecdb.engine.filtering import Matches
    from vecdb.engine.found_hits import FoundHits
    from vecdb.engine.view import CollectionView, FieldView
    from vecdb.filters import Filter
    from vecdb.index.filtered import Reach
    from vecdb.index.prepared import HitRoom, PreparedSearch
    from vecdb.storage.record_reader import PreparedRead, RecordReader

Asked: TypeAlias = tuple[object, ...]
"""The options of a search, unchecked, with their types: True, 1 and 1.0 are equal to Python, not as options."""


class Settled(NamedTuple):
    """What a search has come to, but for its query; `matching` when there is a filter."""

    field: FieldView
    number: int
    limit: int
    effort: SearchEffort
    matching: MatchingRows | None


class QuickSearch(threading.local):
    """A prepared search, for each thread its own; made in each when it asks first."""

    def __init__(self, settled: Settled) -> None:
        self.of_thread = _Prepared(settled)


def asked_of(limit: object, ef: object, target_recall: object, exact: object, field: object) -> Asked:
    """What was asked for, in the form in which it is looked up."""
    return limit, type(limit), ef, type(ef), target_recall, type(target_recall), exact, field


def quick_search(
    database: Database,
    number: int,
    asked: Asked,
    query: object,
    wanted: Filter | None,
    min_seq: int | None,
    kind: type[FoundHits],
    *,
    with_metadata: bool,
) -> FoundHits | None:
    """The hits of a query if such a search is prepared and nothing is out of the ordinary, else None."""
    view = database.enter(min_seq)
    try:
        collection = view.collections.get(number)
        kept = None if collection is None else _kept(collection, wanted)
        try:
            prepared = None if kept is None else kept.get(asked)
        except TypeError:  # an option that cannot even be looked up, and so was never answered
            return None
        if prepared is None:
            return None
        reader = (view.txn.records or opened_records(view)) if with_metadata else None
        return prepared.of_thread.answer(query, reader, kind)
    finally:
        database.leave()


def keep_prepared(
    collection: CollectionView,
    asked: Asked,
    field: FieldView,
    limit: int,
    effort: SearchEffort,
    matches: Matches | None,
) -> None:
    """Prepare a search that was answered in the long way, if it is of the plainest kind.

    With a filter it must have been asked before: then the View remembers what the filter matches.
    """
    is_at_rest = len(field.segments) == 1 and not field.tail.live and collection.expiry is None
    is_worth_it = not effort.exact if matches is None else matches.remembered
    kept = collection.prepared if matches is None else matches.prepared
    if limit > PREPARED_LIMIT_MAX or not is_at_rest or not is_worth_it or asked in kept:
        return
    if len(kept) >= PREPARED_MAX:
        kept.clear()
    matching = None if matches is None else matching_in(field, field.segments[0], limit, effort, matches)
    kept[asked] = QuickSearch(Settled(field, collection.schema.number, limit, effort, matching))


def _kept(collection: CollectionView, wanted: Filter | None) -> dict[Asked, QuickSearch] | None:
    """Where searches with a filter are kept; None when what it matches is not remembered."""
    if wanted is None:
        return collection.prepared
    matches = collection.remembered.get(filter_key(wanted))
    return None if matches is None else matches.prepared


class _LeanWalk:
    """A walk among matches far from the query that takes less than what is sure, and is compared with that first."""

    __slots__ = ("_agreed", "_asked", "_search", "_wanted", "left")

    def __init__(self, search: PreparedSearch, wanted: float) -> None:
        self._search, self._wanted = search, wanted
        self._asked, self._agreed, self.left = 0, 0, LEAN_TRIALS

    @classmethod
    def of(cls, matching: MatchingRows, room: HitRoom) -> _LeanWalk | None:
        """The one that is planned, if any, with its hits in a room."""
        choice = matching.choice()
        return None if choice.lean is None else cls(matching.prepare_walk(choice.lean, room), choice.wanted)

    def compare(self, room: HitRoom) -> None:
        """Count how many of the hits in the room it finds; they stay there."""
        kept, sure = room.memory.copy(), room.found_rows()
        self._search.run()
        if self._search.outcome == AMONG_KEPT:
            self.left -= 1
            self._asked += len(sure)
            self._agreed += len(np.intersect1d(sure, room.found_rows()))
        room.memory[:] = kept

    def is_enough(self) -> bool:
        """Whether it finds as much as is wanted."""
        return self._agreed >= self._wanted * self._asked


class _Prepared:
    """A search ready for its query, in one thread."""

    __slots__ = (
        "_count",
        "_counts_all",
        "_form",
        "_is_readable",
        "_is_walk",
        "_lean",
        "_left",
        "_name",
        "_reads",
        "_room",
        "_scan",
        "_search",
        "_settled",
        "_vain",
    )

    def __init__(self, settled: Settled) -> None:
        self._settled = settled
        self._is_readable = True
        self._vain = 0
        matching = settled.matching
        # Costly searches before the matches' sketches are copied; less than 0: they are not. All are where a scan of
        # copies takes less than a walk, else those that end among matches far away.
        self._left = -1 if matching is None or not matching.may_gather() else GATHER_AFTER
        self._counts_all = matching is not None and self._left > 0 and matching.scans_copies()
        self._set_up(None if matching is None else matching.choice().reach)

    def _set_up(self, reach: Reach | None) -> None:
        """Prepare a search; with a filter, the walk as far as `reach` says or, without one, a scan of the matches."""
        field, _, limit, effort, matching = self._settled
        [view] = field.segments
        self._is_walk = reach is not None
        count = min(limit, view.live) if matching is None else limit if self._is_walk else matching.size()
        self._count, self._form = count, Form(field.schema.metric, count)
        self._room = room = hit_room(field.schema.dim, count, 0 if view.ids is None else ids_room(view.ids, count))
        if matching is None:
            self._search = prepare_search(view.segment, count, effort.ef_for(view, limit), view.dead, room)
        else:
            self._search = matching.prepare_scan(room) if reach is None else matching.prepare_walk(reach, room)
        self._scan: PreparedSearch | None = None
        self._lean = None if matching is None or reach is None else _LeanWalk.of(matching, room)
        places = room.rows_address, room.slots_address
        self._name = None if view.ids is None else bind_ids(view.ids, *places, count, room.ids_address)
        self._reads: list[PreparedRead] = []

    def answer(self, query: object, reader: RecordReader | None, kind: type[FoundHits]) -> FoundHits | None:
        """The hits of a query, with the metadata that `reader` has; None to have them found in the long way."""
        if self._left == 0:
            self._gather()
        count, room = self._count, self._room
        if not count or (self._name is None if reader is None else not self._is_readable):
            return None
        room.query[:] = check_query(self._settled.field.schema, query)
        if not self._finds():
            return None
        if reader is not None:
            records = self._records(reader)
            return None if records is None else found_hits(kind, (self._form, room.distances.tobytes(), records))
        end = -1 if self._name is None else self._name()
        return None if end < 0 else found_hits(kind, (self._form, room.kept[: 4 * count + end].tobytes(), ()))

    def _finds(self) -> bool:
        """Leave the hits of the query in the room; False when they have to be found in the long way."""
        if self._vain >= VAIN_WALKS and self._vain % VAIN_WALKS:
            self._vain += 1
            return self._finds_by_scan()
        search = self._search
        found = search.run()
        outcome = search.outcome if self._is_walk else ENOUGH
        if self._left > 0 and (self._counts_all or outcome != ENOUGH or not self._is_walk):
            self._left -= 1
        if outcome == TOO_LITTLE:
            self._vain += 1
            is_found = self._finds_by_scan()
        else:
            self._vain = 0
            is_found = found == self._count or self._finds_by_scan()
        if outcome != ENOUGH and is_found and self._lean is not None:
            self._compare(self._lean)
        return is_found

    def _compare(self, lean: _LeanWalk) -> None:
        """Let a lean walk show what it finds; in the end take it from now on, or never again."""
        lean.compare(self._room)
        if lean.left == 0:
            self._lean, matching = None, self._settled.matching
            if matching is not None and lean.is_enough():
                matching.trust()
                self._set_up(matching.choice().reach)

    def _gather(self) -> None:
        """Go on with copies of the sketches of what the filter matches, whose scans were asked for often."""
        self._left = -1
        matching = self._settled.matching
        if matching is not None and matching.gather() is not None:
            self._set_up(matching.choice().reach)

    def _finds_by_scan(self) -> bool:
        """Find the hits of a walk that came out short among all matches."""
        matching = self._settled.matching
        if matching is None or not self._is_walk:
            return False
        if matching.size() < self._count:  # so are all walks; the next time there is none
            self._set_up(None)
            return False
        if self._scan is None:
            self._scan = matching.prepare_scan(self._room)
        return self._scan.run() == self._count

    def _records(self, reader: RecordReader) -> list[bytes] | None:
        """The records of the hits in the room, as they are stored; None when they need a closer look."""
        reads = self._reads
        if not reads or reads[0].reader is not reader:  # of another View
            reads = self._reads = self._prepared_reads(reader)
        records, size = list[bytes](), 0
        for read in reads:
            content = read.run()
            if content is None:  # mostly for being too long, as others will be
                self._is_readable = False
                return None
            records.append(content)
            size += len(content)
        return records if may_take(size) else None

    def _prepared_reads(self, reader: RecordReader) -> list[PreparedRead]:
        number, address = self._settled.number, self._room.slots_address
        return [
            reader.prepare(number, address + 4 * first, min(self._count - first, RECORD_LOOKUPS_MAX))
            for first in range(0, self._count, RECORD_LOOKUPS_MAX)
        ]
