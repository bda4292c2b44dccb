"""Answers searches among the records that a filter matches, place by place: each segment as planned, the tail by a
scan.

Promises: hits match the filter, sorted by (distance, slot), never fewer than min(limit, matching records of the field):
a walk that came out short, or whose pool was full before it had met enough matches, is followed by a scan of the
matches.
Invariants: the caller keeps the View alive during the call. Concurrency: pure over immutable views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb.engine import bitmap
from vecdb.engine.config import GATHER_AFTER
from vecdb.engine.filtering import Matches, PlaceMatches
from vecdb.engine.planner import Choice, choose
from vecdb.engine.search import FieldBatch, FieldHits, explained_search, merged_batch
from vecdb.index.columns import bits_from
from vecdb.index.filtered import (
    GivenRows,
    Kept,
    copies_bytes,
    gather_sketches,
    prepare_kept,
    prepare_scan,
    scan_rows,
    search_kept,
)
from vecdb.index.search import BatchHits
from vecdb.kernels.layout import AMONG_KEPT, TOO_LITTLE
from vecdb.types import FloatArray, SegmentPlan

if TYPE_CHECKING:
    from vecdb.engine.effort import SearchEffort
    from vecdb.engine.gathering import CopyRoom
    from vecdb.engine.view import FieldView, SegmentView
    from vecdb.index.filtered import Reach, SketchBlocks
    from vecdb.index.prepared import HitRoom, PreparedSearch

Rows: TypeAlias = npt.NDArray[np.int32]
Counts: TypeAlias = npt.NDArray[np.int32]
TAIL = -1
"""Number of the tail among the places of a field."""


class Part(NamedTuple):
    """Hits of one place, and what was done there (None where nobody asked)."""

    hits: BatchHits
    plan: SegmentPlan | None


def search_matches(
    field: FieldView, queries: FloatArray, limit: int, effort: SearchEffort, matches: Matches, threads: int = 1
) -> FieldBatch:
    """Return the hits of each query (q, dim) among the records that match."""
    hits, _ = explained_matches(field, queries, limit, effort, matches, threads, explain=False)
    return hits


def explained_matches(
    field: FieldView,
    queries: FloatArray,
    limit: int,
    effort: SearchEffort,
    matches: Matches,
    threads: int = 1,
    *,
    explain: bool = True,
) -> tuple[FieldBatch, tuple[SegmentPlan, ...]]:
    """As `search_matches`, with how they were found."""
    parts = []
    for view in field.segments:
        matching = matching_in(field, view, limit, effort, matches)
        parts.append(SegmentSearch(matching, queries, threads, explain).part())
    if field.tail.live or not parts:
        parts.append(_scan_tail(field, queries, limit, matches, threads, explain=explain))
    hits = merged_batch([part.hits for part in parts], len(queries), limit)
    return hits, tuple(part.plan for part in parts if part.plan is not None)


def explained_hits(
    field: FieldView, query: FloatArray, limit: int, effort: SearchEffort, matches: Matches | None
) -> tuple[FieldHits, tuple[SegmentPlan, ...]]:
    """The hits of one query (dim,), among the matches if there is a filter, and how they were found."""
    if matches is None:
        return explained_search(field, query, limit, effort)
    hits, parts = explained_matches(field, query.reshape(1, -1), limit, effort, matches)
    return hits.of(0), parts


def matching_in(
    field: FieldView, view: SegmentView, limit: int, effort: SearchEffort, matches: Matches
) -> MatchingRows:
    """What is asked of one segment of a field, with what earlier searches have found out about it."""
    place = field.schema.number, view.entry.number
    known = matches.places.get(place)
    if known is None:
        # At most what its range of slots holds: exact where the segment is alone in it.
        estimated = bitmap.count(matches.words[view.entry.first_slot >> 6 : (view.entry.last_slot >> 6) + 1])
        known = matches.places[place] = PlaceMatches(min(estimated, view.live))
    return MatchingRows(view, limit, effort, matches.words, matches.address, known, matches.room)


class MatchingRows(NamedTuple):
    """What a search asks of one segment, whatever its query: the best `limit` of the rows whose slots are in `words`.

    It holds no Matches, which holds what is prepared from it.
    """

    view: SegmentView
    limit: int
    effort: SearchEffort
    words: bitmap.Words
    address: int
    known: PlaceMatches
    room: CopyRoom | None

    def choice(self) -> Choice:
        """Whether to walk or to scan."""
        choice = self._choice(are_copied=self.known.blocks is not None)
        if choice.lean is not None and (self.limit, self.effort) in self.known.trusted:
            return choice._replace(reach=choice.lean, lean=None)
        return choice

    def trust(self) -> None:
        """From now on take lean walks for such searches."""
        self.known.trusted.add((self.limit, self.effort))

    def _choice(self, *, are_copied: bool) -> Choice:
        key = (self.limit, self.effort, are_copied)
        choice = self.known.choices.get(key)
        if choice is None:
            view, effort = self.view, self.effort
            ef = effort.ef_for(view, self.limit)
            estimated, curve = self.known.estimated, view.segment.curve
            checked = view.segment.is_checked
            choice = choose(
                view.live, estimated, self.limit, effort, ef, curve, are_copied=are_copied, is_checked=checked
            )
            self.known.choices[key] = choice
        return choice

    def kept(self) -> Kept:
        """The matches as a walk takes them."""
        first_slot = self.view.entry.first_slot if self.view.slot_map.is_contiguous else -1
        return Kept(self.words, first_slot, self.address)

    def given(self) -> GivenRows:
        """The matches as a scan takes them. They are listed once, if there is room to keep the list."""
        given = self.known.given
        if given is None:
            given = GivenRows.of(matching_rows(self.view, self.words))
            if self.room is None or self.room.take(given.rows.nbytes):
                self.known.given = given
        return given

    def size(self) -> int:
        """How many hits a search has: exactly, so the rows are listed."""
        return min(self.limit, len(self.given().rows))

    def may_gather(self) -> bool:
        """Whether scans of the matches would gain by copies of their sketches, which there are not yet."""
        curve = self.view.segment.curve
        is_quicker = curve is not None and 0 < curve.copied_ns < curve.sketch_ns
        return is_quicker and self.known.blocks is None and self.choice().margin > 0

    def scans_copies(self) -> bool:
        """Whether a scan would always be chosen if the sketches of the matches were copied."""
        return self._choice(are_copied=True).reach is None

    def gather(self) -> SketchBlocks | None:
        """Copy the sketches of the matches, or take the copies that there are; None where they may not take so much."""
        if self.known.blocks is None:
            segment, rows = self.view.segment, self.given().rows
            if self.room is None or self.room.take(copies_bytes(segment.plan, len(rows))):
                self.known.blocks = gather_sketches(segment.plan, rows)
        return self.known.blocks

    def prepare_scan(self, room: HitRoom) -> PreparedSearch:
        """A scan of the matches, at least one, for the query in a room."""
        segment, exact, margin = self.view.segment, self.effort.exact, self.choice().margin
        padded, given, blocks = segment.quantizer.padded, self.given(), self.known.blocks
        count, effort = min(self.limit, len(given.rows)), self.effort.ef_for(self.view, self.limit)
        return prepare_scan(
            segment.plan, padded, segment.dim, count, given, room,
            exact=exact, margin=margin, effort=effort, blocks=blocks,
        )  # fmt: skip

    def prepare_walk(self, reach: Reach, room: HitRoom) -> PreparedSearch:
        """A walk for the query in a room."""
        return prepare_kept(self.view.segment, self.limit, reach, self.kept(), room)


class SegmentSearch(NamedTuple):
    """The search of one segment for queries (q, dim)."""

    matching: MatchingRows
    queries: FloatArray
    threads: int
    explain: bool

    def part(self) -> Part:
        """Walk or scan, as planned; scan after all what the walk has left short."""
        matching = self.matching
        if len(self.queries) >= GATHER_AFTER and matching.may_gather() and matching.scans_copies():
            matching.gather()
        choice, limit = matching.choice(), matching.limit
        reach = choice.reach
        if reach is None:
            name = "exact scan of the matches" if matching.effort.exact else _scan_name(choice)
            return Part(
                self._scan(self.queries, choice.margin), self._plan(name, len(self._rows()) * len(self.queries))
            )
        hits, stats = search_kept(matching.view.segment, self.queries, limit, reach, matching.kept(), self.threads)
        name, scored = "graph", int(stats[:, 0].sum()) if self.explain else 0
        if self.explain and (stats[:, 3] == AMONG_KEPT).any():
            name = "graph of the matches"
        short = self._short(hits, stats)
        if len(short):
            name, scored = f"{name}, then {_scan_name(choice)}", scored + len(self._rows()) * len(short)
            hits = self._completed(hits, short, choice.margin)
        hops = int(stats[:, 1].sum()) if self.explain else 0
        return Part(hits, self._plan(name, scored, reach.ef, hops))

    def _short(self, hits: BatchHits, stats: Counts) -> Rows:
        """Queries that the walk has not answered in full."""
        short = np.flatnonzero((hits.counts < self.matching.limit) | (stats[:, 3] == TOO_LITTLE))
        if len(short):
            fewer = hits.counts[short] < self.matching.size()
            short = short[fewer | (stats[short, 3] == TOO_LITTLE)]
        return short.astype(np.int32)

    def _completed(self, hits: BatchHits, short: Rows, margin: int) -> BatchHits:
        """The hits with those of the short queries found by a scan."""
        for column, scanned in zip(hits, self._scan(self.queries[short], margin), strict=True):
            column[short] = scanned
        return hits

    def _rows(self) -> Rows:
        return self.matching.given().rows

    def _scan(self, queries: FloatArray, margin: int) -> BatchHits:
        view, limit, exact = self.matching.view, self.matching.limit, self.matching.effort.exact
        segment, effort = view.segment, self.matching.effort.ef_for(view, limit)
        padded, rows, threads = segment.quantizer.padded, self._rows(), self.threads
        is_worth_it = len(queries) >= GATHER_AFTER and self.matching.may_gather()
        blocks = self.matching.gather() if is_worth_it else self.matching.known.blocks
        return scan_rows(
            segment.plan, padded, queries, limit, rows,
            exact=exact, margin=margin, effort=effort, blocks=blocks, threads=threads,
        )  # fmt: skip

    def _plan(self, name: str, scored: int, ef: int = 0, hops: int = 0) -> SegmentPlan | None:
        if not self.explain:
            return None
        view, known = self.matching.view, self.matching.known
        matches = len(self._rows())
        where = f"segment {view.entry.number}"
        return SegmentPlan(where, name, view.live, matches, known.estimated, ef, scored, hops)


def _scan_name(choice: Choice) -> str:
    return "scan of the matches by sketches" if choice.margin else "scan of the matches"


def _scan_tail(
    field: FieldView, queries: FloatArray, limit: int, matches: Matches, threads: int, *, explain: bool
) -> Part:
    """Rows of the tail have no codes: the matching ones are compared exactly."""
    known = matches.places.get((field.schema.number, TAIL))
    if known is None or known.given is None:
        live = field.tail.live_rows()
        rows = live[bitmap.test_bits(matches.words, field.tail.all_slots()[live])].astype(np.int32)
        matches.places[field.schema.number, TAIL] = PlaceMatches(len(rows), GivenRows.of(rows))
    else:
        rows = known.given.rows
    hits = scan_rows(field.tail.plan, field.schema.dim, queries, limit, rows, exact=True, threads=threads)
    if not explain:
        return Part(hits, None)
    count, name = len(rows), "exact scan of the matches"
    return Part(hits, SegmentPlan("tail", name, field.tail.live, count, count, 0, count * len(queries), 0))


def matching_rows(view: SegmentView, words: bitmap.Words) -> Rows:
    """Rows of a segment whose slots have their bits set, ascending by slot; about 2 ns each without gaps, else 20."""
    first, last = view.entry.first_slot, view.entry.last_slot
    start = first >> 6
    part = words[start : (last >> 6) + 1].copy()
    if not len(part):
        return np.zeros(0, dtype=np.int32)
    part[0] &= ~np.uint64(0) << np.uint64(first & 63)
    if (last >> 6) - start < len(part):
        part[-1] &= ~np.uint64(0) >> np.uint64(63 - (last & 63))
    slots = bits_from(part, -64 * start)
    if view.slot_map.is_contiguous:
        return slots - np.int32(first)
    rows = view.slot_map.find(slots.view(np.uint32))
    return rows[rows >= 0].astype(np.int32)
