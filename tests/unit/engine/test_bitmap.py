"""Bitmaps beside Python sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.filling import set_bits
from vecdb.engine import bitmap

BITS = 400
positions = st.lists(st.integers(0, BITS - 1), max_size=60)


def words_of(bits: list[int]) -> bitmap.Words:
    """A bitmap of BITS bits."""
    return bitmap.with_bits(bitmap.resized(np.zeros(0, np.uint64), BITS), np.array(bits, dtype=np.int64))


@given(positions, positions)
def test_setting_bits_is_the_union_of_sets(first: list[int], second: list[int]) -> None:
    both = bitmap.with_bits(words_of(first), np.array(second, dtype=np.uint32))
    assert set_bits(both) == sorted({*first, *second})


@given(positions, positions)
def test_setting_bits_leaves_the_original_alone(first: list[int], second: list[int]) -> None:
    words = words_of(first)
    bitmap.with_bits(words, np.array(second, dtype=np.int64))
    assert set_bits(words) == sorted(set(first))


@given(positions, st.lists(st.integers(0, 4 * BITS), max_size=60))
def test_testing_bits_is_membership_and_beyond_the_end_nothing_is_set(bits: list[int], asked: list[int]) -> None:
    found = bitmap.test_bits(words_of(bits), np.array(asked, dtype=np.int64))
    assert found.tolist() == [position in set(bits) for position in asked]


@given(positions)
def test_the_count_is_the_size_of_the_set(bits: list[int]) -> None:
    assert bitmap.count(words_of(bits)) == len(set(bits))


@given(st.lists(st.booleans(), max_size=200))
def test_a_mask_becomes_the_bits_it_names(mask: list[bool]) -> None:
    words = bitmap.from_mask(np.array(mask, dtype=np.bool_))
    assert set_bits(words) == [position for position, value in enumerate(mask) if value]
    assert len(words) == bitmap.words_for(len(mask))


@given(positions, st.integers(0, 4 * BITS))
def test_resizing_makes_room_and_keeps_what_is_set(bits: list[int], wanted: int) -> None:
    words = words_of(bits)
    grown = bitmap.resized(words, wanted)
    assert len(grown) * 64 >= max(wanted, BITS)
    assert set_bits(grown) == sorted(set(bits))


@given(st.integers(0, 10_000))
def test_words_hold_just_the_bits_asked_for(bits: int) -> None:
    assert (bitmap.words_for(bits) - 1) * 64 < bits <= bitmap.words_for(bits) * 64
