"""Tails beside a plain list of (slot, vector, dead), over random histories; older versions are looked at last."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.filling import field_schema, rows
from vecdb.config import TAIL_CHUNK_ROWS
from vecdb.engine.tail import Tail
from vecdb.types import Metric

Step = tuple[str, int]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 900)),
        st.tuples(st.just("kill"), st.integers(0, 2**32)),
        st.tuples(st.just("drop"), st.integers(0, 100)),
        st.tuples(st.just("compact"), st.just(0)),
    ),
    max_size=12,
)


SCRAMBLED = 0b1010101010
"""Bits to turn over; even."""


@dataclass(frozen=True)
class Twin:
    """What a tail should hold: its live (slot, vector) by number, in order, and the number of the next row.

    Where rows are numbered by arrival, the slot of a number is that number with some bits turned over.
    """

    by_arrival: bool
    live: tuple[tuple[int, tuple[float, ...]], ...] = ()
    next_row: int = 0
    from_row: int = 0

    def slot(self, number: int) -> int:
        """The slot of a row; even, as numbers are."""
        return number ^ SCRAMBLED if self.by_arrival else number


def advance(tail: Tail, twin: Twin, step: Step) -> tuple[Tail, Twin]:
    """Do one step to both."""
    kind, number = step
    if kind == "append":
        numbers = twin.next_row + np.arange(number, dtype=np.uint32) * 2
        slots = numbers ^ np.uint32(SCRAMBLED) if twin.by_arrival else numbers
        vectors = rows(number, seed=number, dim=2)
        news = tuple(zip(numbers.tolist(), map(tuple, vectors.tolist()), strict=True))
        return tail.appended(slots, vectors, numbers), replace(
            twin, live=twin.live + news, next_row=twin.next_row + 2 * number
        )
    if kind == "kill":
        slots = np.unique(np.random.default_rng(number).integers(0, twin.next_row + 10, 200)).astype(np.uint32)
        gone = set(slots.tolist())
        kept = tuple(row for row in twin.live if twin.slot(row[0]) not in gone)
        return tail.killed(slots), replace(twin, live=kept)
    if kind == "drop":
        bound = twin.next_row * number // 100
        kept = tuple(row for row in twin.live if row[0] >= bound)
        return tail.dropped_below(bound), replace(twin, live=kept, from_row=max(bound, twin.from_row))
    return tail.compacted(), twin


def contents(tail: Tail) -> tuple[tuple[int, tuple[float, ...]], ...]:
    """Live (slot, vector) of a tail."""
    live = tail.live_rows()
    slots, vectors = tail.all_slots()[live], tail.gather(live)
    return tuple(zip(slots.tolist(), map(tuple, vectors.tolist()), strict=True))


def history(wanted: list[Step], *, by_arrival: bool) -> list[tuple[Tail, Twin]]:
    """Every version of a tail and its twin."""
    versions = [(Tail(field_schema(dim=2), by_arrival=by_arrival), Twin(by_arrival))]
    for step in wanted:
        versions.append(advance(*versions[-1], step))
    return versions


@settings(max_examples=60)
@given(steps, st.booleans())
def test_every_version_holds_what_a_list_would_whatever_came_after_it(wanted: list[Step], by_arrival: bool) -> None:
    for tail, twin in history(wanted, by_arrival=by_arrival):
        assert contents(tail) == tuple((twin.slot(number), vector) for number, vector in twin.live)
        assert tail.all_numbers()[tail.live_rows()].tolist() == [number for number, _ in twin.live]
        assert (tail.live, tail.from_row) == (len(twin.live), twin.from_row)


@settings(max_examples=40)
@given(steps, st.booleans())
def test_finding_a_live_slot_leads_to_its_row(wanted: list[Step], by_arrival: bool) -> None:
    tail, twin = history(wanted, by_arrival=by_arrival)[-1]
    slots = np.array([twin.slot(number) for number, _ in twin.live], dtype=np.uint32)
    found = tail.find(slots)
    assert (found == tail.live_rows()).all()
    assert (tail.find(slots + np.uint32(1)) == -1).all()  # slots are even


def test_compacting_lets_go_of_the_memory_of_dead_rows() -> None:
    count = 3 * TAIL_CHUNK_ROWS
    tail = Tail(field_schema(dim=2)).appended(np.arange(count, dtype=np.uint32), rows(count, dim=2))
    compacted = tail.killed(np.arange(count - 5, dtype=np.uint32)).compacted()
    assert (len(compacted.chunks), compacted.rows, compacted.live) == (1, 5, 5)


def test_dropping_gives_whole_chunks_back() -> None:
    count = 3 * TAIL_CHUNK_ROWS
    tail = Tail(field_schema(dim=2)).appended(np.arange(count, dtype=np.uint32), rows(count, dim=2))
    assert len(tail.dropped_below(2 * TAIL_CHUNK_ROWS + 1).chunks) == 1
    assert not tail.dropped_below(count).chunks


def test_versions_share_their_memory() -> None:
    tail = Tail(field_schema(dim=2)).appended(np.arange(3, dtype=np.uint32), rows(3, dim=2))
    later = tail.appended(np.arange(3, 6, dtype=np.uint32), rows(3, dim=2))
    assert later.chunks[0] is tail.chunks[0]


def test_killing_slots_that_are_not_there_changes_nothing() -> None:
    tail = Tail(field_schema(dim=2)).appended(np.arange(3, dtype=np.uint32), rows(3, dim=2))
    assert tail.killed(np.array([7, 9], dtype=np.uint32)) is tail


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_only_cosine_keeps_lengths(metric: Metric) -> None:
    tail = Tail(field_schema(dim=2, metric=metric)).appended(np.arange(3, dtype=np.uint32), rows(3, dim=2))
    assert (tail.inverse_norms_column() is not None) == (metric == "cosine")
    assert tail.vectors_column().rows == tail.slots_column().rows == 3
