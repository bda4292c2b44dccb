"""Checks that blocks keep what is put into them, and that damaged ones are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.config import BLOCK_SLOTS
from vecdb.errors import CorruptionError
from vecdb.storage import blocks, keys
from vecdb.storage.blocks import EXCEPTION, LIST, MISSING, NULL, SCALAR, Block

KEY = keys.column_key(1, 2, 0, 3)
INT64 = st.integers(-(2**63), 2**63 - 1)
ENTRIES = st.one_of(
    st.tuples(st.just(SCALAR), INT64),
    st.tuples(st.just(LIST), st.lists(INT64, max_size=4)),
    st.tuples(st.sampled_from([MISSING, NULL, EXCEPTION]), st.none()),
)


def block_of(entries: dict[int, tuple[int, Any]]) -> Block:
    """A block with the given entries, by slot."""
    block = Block()
    for slot, (state, value) in entries.items():
        block.states[slot] = state
        if state == SCALAR:
            block.keys[slot] = value
        if state == LIST:
            block.lists[slot] = np.array(value, dtype=np.int64)
        block.texts[slot] = slot % 3 == 0
    return block


def assert_equal(first: Block, second: Block) -> None:
    """All parts are equal."""
    assert (first.states == second.states).all()
    assert (first.keys == second.keys).all()
    assert (first.texts == second.texts).all()
    assert {slot: part.tolist() for slot, part in first.lists.items()} == {
        slot: part.tolist() for slot, part in second.lists.items()
    }


@given(st.dictionaries(st.integers(0, BLOCK_SLOTS - 1), ENTRIES, max_size=40))
def test_a_block_comes_back_as_it_was(entries: dict[int, tuple[int, Any]]) -> None:
    block = block_of(entries)
    assert_equal(blocks.check_block(KEY, blocks.seal_block(KEY, blocks.encode_block(block))), block)


@pytest.mark.parametrize(("spread", "width"), [(0, 0), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**32, 8)])
def test_keys_take_no_more_bytes_than_their_spread_needs(spread: int, width: int) -> None:
    block = block_of({0: (SCALAR, -7), 9: (SCALAR, spread - 7)})
    assert blocks.encode_block(block)[0] == width


def test_keys_at_both_ends_of_int64_fit_one_block() -> None:
    block = block_of({0: (SCALAR, -(2**63)), 1: (SCALAR, 2**63 - 1)})
    assert_equal(blocks.decode_block(blocks.encode_block(block)), block)


@pytest.mark.parametrize("count", [0, 1, 2_000])
def test_every_value_fills_whole_pages_but_for_their_header(count: int) -> None:
    block = block_of({slot: (SCALAR, slot * 2**40) for slot in range(count)})
    assert (len(blocks.seal_block(KEY, blocks.encode_block(block))) + 16) % 4_096 == 0


def test_a_block_under_another_key_is_refused() -> None:
    value = blocks.seal_block(KEY, blocks.encode_block(Block()))
    with pytest.raises(CorruptionError, match="columns, collection 1, index 2, part 0, block 4"):
        blocks.check_block(keys.column_key(1, 2, 0, 4), value)


@given(st.integers(0, 5_000), st.integers(1, 255))
def test_a_flipped_byte_is_noticed_or_lies_in_the_padding(place: int, flip: int) -> None:
    block = block_of({5: (SCALAR, 77), 6: (LIST, [1, 2])})
    value = bytearray(blocks.seal_block(KEY, blocks.encode_block(block)))
    value[place % len(value)] ^= flip
    try:
        found = blocks.check_block(KEY, bytes(value))
    except CorruptionError:
        return
    assert_equal(found, block)


@pytest.mark.parametrize("length", [0, 10, 48, 100, 1_391])
def test_a_value_that_is_cut_off_is_refused(length: int) -> None:
    value = blocks.seal_block(KEY, blocks.encode_block(Block()))
    with pytest.raises(CorruptionError):
        blocks.check_block(KEY, value[:length])
