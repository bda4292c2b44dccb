"""Answers searches over one field of a View: every segment and the tail, merged by exact distance.

Promises: hits are live, sorted by (distance, slot), never fewer than min(limit, live rows); `exact` scans everything.
Slots are given out in commit order and survive merges, so ties are broken the same way before and after indexing.
Invariants: the caller keeps the View alive during the call.
Concurrency: pure over immutable views; kernels release the GIL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb.engine.effort import SearchEffort
from vecdb.index.scratch import thread_scratch
from vecdb.index.search import (
    BatchHits,
    Hits,
    scan_planned,
    scan_segment_batch,
    search_segment,
    search_segment_batch,
)
from vecdb.types import FloatArray, SegmentPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vecdb.engine.view import FieldView, SegmentView

Slots: TypeAlias = npt.NDArray[np.uint32]


class FieldHits(NamedTuple):
    """Hits of one query, best first, and where each is: `places[i]` is the number of a segment of the field, or the
    number of segments for the tail; None when all are in place 0. `rows[i]` is the row there.
    """

    slots: Slots
    distances: FloatArray
    rows: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64] | None


class FieldBatch(NamedTuple):
    """Hits of many queries, (q, limit) each, best first; row i holds counts[i] of them. `places` as in FieldHits."""

    slots: Slots
    distances: FloatArray
    rows: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64] | None
    counts: npt.NDArray[np.int32]

    def of(self, index: int) -> FieldHits:
        """The hits of one query."""
        mine = index, slice(self.counts[index])
        places = None if self.places is None else self.places[mine]
        return FieldHits(self.slots[mine], self.distances[mine], self.rows[mine], places)

    def one_after_another(self) -> FieldHits:
        """All hits as of one query."""
        if self.is_full:
            places = None if self.places is None else self.places.ravel()
            return FieldHits(self.slots.ravel(), self.distances.ravel(), self.rows.ravel(), places)
        there = np.arange(self.slots.shape[1]) < self.counts[:, None]
        places = None if self.places is None else self.places[there]
        return FieldHits(self.slots[there], self.distances[there], self.rows[there], places)

    @property
    def is_full(self) -> bool:
        """Whether no query has fewer hits than there is room for."""
        return bool((self.counts == self.slots.shape[1]).all())


def search_field(field: FieldView, query: FloatArray, limit: int, effort: SearchEffort) -> FieldHits:
    """Return the hits of one query (dim,)."""
    limit = min(limit, field.live)
    parts = [_segment_hits(view, query, limit, effort) for view in field.segments]
    return merged([*parts, *_tail_hits(field, query, limit)], limit)


def _segment_hits(view: SegmentView, query: FloatArray, limit: int, effort: SearchEffort) -> Hits:
    if effort.exact:
        return scan_segment_batch(view.segment, query.reshape(1, -1), limit, view.dead).of(0)
    return search_segment(view.segment, query, limit, effort.ef_for(view, limit), view.dead)


def _tail_hits(field: FieldView, query: FloatArray, limit: int) -> list[Hits]:
    """Hits of the tail, none when it is empty."""
    if not field.tail.live:
        return []
    return [scan_planned(field.tail.plan, query.reshape(1, -1), limit, field.tail.dead).of(0)]


def explained_search(
    field: FieldView, query: FloatArray, limit: int, effort: SearchEffort
) -> tuple[FieldHits, tuple[SegmentPlan, ...]]:
    """As `search_field`, place by place, with what was done in each."""
    limit = min(limit, field.live)
    parts, plans = list[Hits](), list[SegmentPlan]()
    for view in field.segments:
        parts.append(_segment_hits(view, query, limit, effort))
        ef = 0 if effort.exact else effort.ef_for(view, limit)
        scored = view.live if effort.exact else thread_scratch().scored
        name, where = "exact scan" if effort.exact else "graph", f"segment {view.entry.number}"
        plans.append(SegmentPlan(where, name, view.live, view.live, view.live, ef, scored, ef))
    parts += _tail_hits(field, query, limit)
    if rows := field.tail.live:
        plans.append(SegmentPlan("tail", "exact scan", rows, rows, rows, 0, rows, 0))
    return merged(parts, limit), tuple(plans)


def search_field_batch(
    field: FieldView,
    queries: FloatArray,
    limit: int,
    effort: SearchEffort,
    threads: int,
    skip_slots: Slots | None = None,
) -> FieldBatch:
    """Return the hits of each query (n, dim). `skip_slots` (n,) names a slot that query i must not find."""
    wanted = min(limit, field.live)
    parts: list[BatchHits] = []
    for view in field.segments:
        skips = None if skip_slots is None else view.slot_map.find(skip_slots)
        if effort.exact:
            parts.append(scan_segment_batch(view.segment, queries, wanted, view.dead, threads, skips))
        else:
            ef = effort.ef_for(view, wanted)
            parts.append(search_segment_batch(view.segment, queries, wanted, ef, view.dead, threads, skips))
    if field.tail.live:
        skips = None if skip_slots is None else field.tail.find(skip_slots)
        parts.append(scan_planned(field.tail.plan, queries, wanted, field.tail.dead, threads, skips))
    return merged_batch(parts, len(queries), limit)


def merged(parts: Sequence[Hits], limit: int) -> FieldHits:
    """Merge the hits of each place of a field, in order, into the best `limit` by (distance, slot)."""
    if len(parts) == 1:
        return FieldHits(*parts[0], None)
    if not parts:
        none = np.zeros(0, dtype=np.uint32)
        return FieldHits(none, none.astype(np.float32), none.astype(np.int32), None)
    slots = np.concatenate([part.slots for part in parts])
    distances = np.concatenate([part.distances for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    places = np.repeat(np.arange(len(parts)), [len(part.slots) for part in parts])
    order = np.lexsort((slots, distances))[:limit]
    return FieldHits(slots[order], distances[order], rows[order], places[order])


def merged_batch(parts: Sequence[BatchHits], queries: int, limit: int) -> FieldBatch:
    """`merged` for many queries."""
    if not parts:
        none = np.zeros((queries, 0), dtype=np.uint32)
        counts = np.zeros(queries, dtype=np.int32)
        return FieldBatch(none, none.astype(np.float32), none.astype(np.int32), None, counts)
    counts = np.minimum(np.sum([part.counts for part in parts], axis=0, dtype=np.int32), np.int32(limit))
    if len(parts) == 1:
        [part] = parts
        return FieldBatch(part.slots, part.distances, part.rows, None, counts)
    slots = np.concatenate([part.slots for part in parts], axis=1)
    distances = np.concatenate([part.distances for part in parts], axis=1)
    rows = np.concatenate([part.rows for part in parts], axis=1)
    places = np.repeat(np.arange(len(parts)), [part.slots.shape[1] for part in parts])
    # Where a part has fewer hits than room, what fills it is infinitely far.
    order = np.lexsort((slots, distances), axis=1)[:, :limit]
    slots, distances, rows = (np.take_along_axis(column, order, axis=1) for column in (slots, distances, rows))
    return FieldBatch(slots, distances, rows, places[order], counts)


def joined(batches: Sequence[FieldBatch]) -> FieldBatch:
    """Batches over the same places, for one limit, as one."""
    if len(batches) == 1:
        return batches[0]
    slots, distances, rows, places, counts = zip(*batches, strict=True)
    return FieldBatch(
        np.concatenate(slots),
        np.concatenate(distances),
        np.concatenate(rows),
        None if places[0] is None else np.concatenate(places),
        np.concatenate(counts),
    )
