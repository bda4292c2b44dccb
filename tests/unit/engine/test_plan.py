"""Which job the indexer does next, over a table of situations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.engine.filling import collection_schema, field_schema, rows
from vecdb.config import SEGMENTS_MAX, TAIL_ROWS_KEEP, TAIL_ROWS_SETTLE
from vecdb.engine.jobs import Effort, plan_job
from vecdb.engine.state import CollectionState, FieldState, SegmentEntry
from vecdb.engine.tail import Tail
from vecdb.engine.view import CollectionView, FieldView, SegmentView

DUE = 100
"""Tail rows that make a background job due in these tests."""

BACKGROUND, SETTLE, OPTIMIZE = Effort.BACKGROUND, Effort.SETTLE, Effort.OPTIMIZE


def segment(number: int, count: int, dead: int = 0) -> SegmentView:
    """A segment of which only the numbers matter."""
    nothing: Any = None
    entry = SegmentEntry(
        number=number,
        rows=count,
        first_slot=0,
        last_slot=count,
        m=4,
        entry=0,
        upper=0,
        level_starts=(0,),
        quantizer={},
        curve={},
        bytes=0,
    )
    return SegmentView(entry=entry, segment=nothing, slot_map=nothing, dead_count=dead)


def plan(
    effort: Effort, segments: list[tuple[int, int]], tail: int, bound: int | None = None, from_slot: int = 0
) -> tuple[list[int], bool] | None:
    """Numbers of the segments to replace and whether the tail is sealed. Segments are (rows, dead), oldest first."""
    views = tuple(segment(number, *counts) for number, counts in enumerate(segments))
    slots = np.arange(from_slot, from_slot + tail, dtype=np.uint32)
    field = FieldView(field_schema(), views, Tail(field_schema(), from_row=from_slot).appended(slots, rows(tail)))
    state = CollectionState(next_slot=from_slot + tail, live=0, fields=(FieldState(),))
    collection = CollectionView(collection_schema(), state, np.zeros(0, np.uint64), (field,))
    job = plan_job(collection, field, effort, DUE, bound)
    if job is None:
        return None
    assert job.bound == state.next_slot
    return [view.entry.number for view in job.replaced], job.seals_tail


@pytest.mark.parametrize(
    ("segments", "tail", "expected"),
    [
        ([], 0, None),
        ([], DUE - 1, None),
        ([], DUE, ([], True)),
        ([(1000, 0)], DUE, ([], True)),
        ([(400, 0)], DUE, ([0], True)),
        ([(401, 0)], DUE, ([], True)),
        ([(2000, 0), (400, 0)], DUE, ([0, 1], True)),
        ([(2001, 0), (400, 0)], DUE, ([1], True)),
        ([(400, 0), (2001, 0)], DUE, ([], True)),
        ([(1000, 700)], DUE, ([0], True)),
        ([(1000, 200)], 0, None),
        ([(1000, 201)], 0, ([0], False)),
        ([(9000, 0), (1000, 201)], 0, ([1], False)),
        ([(1000, 1000)], 0, ([0], False)),
        ([(10**6, 0)] * SEGMENTS_MAX, 0, None),
        ([(10**6, 0)] * (SEGMENTS_MAX + 1), 0, ([SEGMENTS_MAX - 1, SEGMENTS_MAX], False)),
        ([(10**9, 0), (10**8, 0), (10**7, 0), (10**6, 0)], DUE, ([3], True)),
        ([(10**6, 0)] * SEGMENTS_MAX, DUE, (list(range(SEGMENTS_MAX)), True)),
        ([(10**9, 0), (10**8, 0), (10**7, 0)], DUE, ([], True)),
    ],
)
def test_the_background_seals_due_tails_and_keeps_segments_few_and_alive(
    segments: list[tuple[int, int]], tail: int, expected: tuple[list[int], bool] | None
) -> None:
    assert plan(BACKGROUND, segments, tail) == expected


@pytest.mark.parametrize(
    ("segments", "tail", "expected"),
    [
        ([], 0, None),
        ([], DUE - 1, None),
        ([], DUE, ([], True)),
        ([(10**6, 0)], DUE, ([], True)),
        ([(10**6, 300_000)], 0, ([0], False)),
    ],
)
def test_settling_indexes_what_scanning_would_not_beat(
    segments: list[tuple[int, int]], tail: int, expected: tuple[list[int], bool] | None
) -> None:
    assert min(TAIL_ROWS_KEEP, TAIL_ROWS_SETTLE) > DUE
    assert plan(SETTLE, segments, tail, bound=tail) == expected


@pytest.mark.parametrize("effort", [SETTLE, OPTIMIZE])
def test_rows_committed_after_the_call_do_not_prolong_it(effort: Effort) -> None:
    assert plan(effort, [(10**6, 0)], 5 * DUE, bound=1000, from_slot=1000) is None
    assert plan(effort, [(10**6, 0)], 5 * DUE, bound=1001, from_slot=1000) is not None


@pytest.mark.parametrize(
    ("segments", "tail", "expected"),
    [
        ([], 0, None),
        ([], DUE - 1, None),
        ([], DUE, ([], True)),
        ([(1000, 0)], 0, None),
        ([(1000, 1)], 0, ([0], False)),
        ([(1000, 0)], 1, ([0], True)),
        ([(10**6, 0), (10, 0)], 0, ([0, 1], False)),
        ([(10**6, 0), (10, 0)], 1, ([0, 1], True)),
    ],
)
def test_optimizing_ends_with_one_segment_without_dead_rows(
    segments: list[tuple[int, int]], tail: int, expected: tuple[list[int], bool] | None
) -> None:
    assert plan(OPTIMIZE, segments, tail, bound=tail) == expected
