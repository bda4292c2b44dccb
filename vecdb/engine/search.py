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
) -> list[FieldHits]:
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
    return [merged([part.of(index) for part in parts], limit) for index in range(len(queries))]


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
