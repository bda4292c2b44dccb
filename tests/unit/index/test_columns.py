"""Checks the kernels that scan columns of metadata against plain Python over the same blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracle
from vecdb.config import BLOCK_SLOTS
from vecdb.index.columns import ColumnTable, bits_from, slots_of_bits
from vecdb.kernels.column import aligned_empty
from vecdb.storage.blocks import EXCEPTION, LIST, MISSING, NULL, SCALAR, TEXT, Block, encode_block

Words = npt.NDArray[np.uint64]
BLOCKS = 3
SLOTS = BLOCKS * BLOCK_SLOTS
SPREADS = (1, 200, 60_000, 2**31, 2**62)


@dataclass(frozen=True)
class Column:
    """A column in memory and what it is made of."""

    table: ColumnTable
    blocks: list[Block | None]
    payloads: list[npt.NDArray[np.uint8]]

    @property
    def plain(self) -> list[oracle.Slot]:
        """The column as the twins of the kernels read it."""
        return [
            (MISSING, []) if block is None else (int(block.states[slot]), keys_of(block, slot))
            for block in self.blocks
            for slot in range(BLOCK_SLOTS)
        ]

    def slots(self, holds: Callable[[int], bool]) -> list[int]:
        """Slots one of whose keys holds."""
        return oracle.match_column(self.plain, holds, set(range(SLOTS)))


def keys_of(block: Block, slot: int) -> list[int]:
    """Key of a scalar, elements of a list."""
    if block.states[slot] == SCALAR:
        return [int(block.keys[slot])]
    return block.lists[slot].tolist() if block.states[slot] == LIST else []


def random_block(rng: np.random.Generator, spread: int) -> Block:
    """Slots of every state, keys between -spread and spread."""
    block = Block()
    block.states[:] = rng.choice([MISSING, SCALAR, SCALAR, SCALAR, LIST, NULL, EXCEPTION], BLOCK_SLOTS)
    block.keys[:] = np.where(block.states == SCALAR, rng.integers(-spread, spread, BLOCK_SLOTS, endpoint=True), 0)
    block.texts[:] = rng.random(BLOCK_SLOTS) < 0.1
    for slot in np.flatnonzero(block.states == LIST).tolist():
        block.lists[slot] = rng.integers(-spread, spread, int(rng.integers(0, 4)), endpoint=True)
    return block


def column_of(blocks: list[Block | None]) -> Column:
    """Encode blocks into aligned memory."""
    payloads, addresses = [], []
    for block in blocks:
        if block is None:
            addresses.append(0)
            continue
        raw = np.frombuffer(encode_block(block), dtype=np.uint8)
        payload = aligned_empty((len(raw),), np.uint8)
        payload[:] = raw
        payloads.append(payload)
        addresses.append(int(payload.ctypes.data))
    return Column(ColumnTable(np.array(addresses, dtype=np.int64)), blocks, payloads)


@pytest.fixture(params=SPREADS)
def column(request: pytest.FixtureRequest, rng: np.random.Generator) -> Column:
    """Three blocks of one spread, the middle one absent."""
    return column_of([random_block(rng, request.param), None, random_block(rng, request.param)])


def words_of(slots: list[int]) -> Words:
    """A bitmap."""
    mask = np.zeros(SLOTS, dtype=np.bool_)
    mask[slots] = True
    return np.packbits(mask, bitorder="little").view(np.uint64)


def everything() -> Words:
    """A bitmap of all slots."""
    return np.full(SLOTS // 64, 2**64 - 1, dtype=np.uint64)


def bounds_near(column: Column, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Ranges at, between and beyond the keys of a column."""
    known = [
        key for block in column.blocks if block for slot in range(0, BLOCK_SLOTS, 37) for key in keys_of(block, slot)
    ]
    low, high = min(known), max(known)
    inner = sorted(rng.choice(known, 2).tolist())
    ends = [(low, high), (low + 1, high - 1), (high, high), (high + 1, 2**63 - 1), (-(2**63), low - 1), (5, 4)]
    return [
        *ends,
        (inner[0], inner[1]),
        (inner[0], inner[0]),
        (-(2**63), 2**63 - 1),
        (-(2**63), inner[0]),
        (inner[1], 2**63 - 1),
    ]


def test_a_range_matches_the_slots_that_hold_a_key_in_it(column: Column, rng: np.random.Generator) -> None:
    for low, high in bounds_near(column, rng):
        found = slots_of_bits(column.table.match_range(low, high, everything())).tolist()
        assert found == column.slots(lambda key, low=low, high=high: low <= key <= high)  # type: ignore[misc]


def test_only_candidates_match(column: Column, rng: np.random.Generator) -> None:
    candidates = rng.choice(SLOTS, 500, replace=False).tolist()
    found = slots_of_bits(column.table.match_range(-(2**63), 2**63 - 1, words_of(candidates))).tolist()
    assert found == sorted(set(candidates) & set(column.slots(lambda _: True)))


def test_sorted_keys_match_the_slots_that_hold_one_of_them(column: Column, rng: np.random.Generator) -> None:
    known = [
        key for block in column.blocks if block for slot in range(0, BLOCK_SLOTS, 5) for key in keys_of(block, slot)
    ]
    wanted = np.unique(np.array([*rng.choice(known, 20).tolist(), 3, 2**60], dtype=np.int64))
    found = slots_of_bits(column.table.match_keys(wanted, everything())).tolist()
    assert found == column.slots(lambda key: key in set(wanted.tolist()))


def test_codes_match_by_their_bit(rng: np.random.Generator) -> None:
    block = random_block(rng, 200)
    block.keys[:] = np.abs(block.keys)
    block.lists = {slot: np.abs(part) for slot, part in block.lists.items()}
    column = column_of([block])
    chosen = set(rng.choice(201, 50, replace=False).tolist()) - {200}
    words = np.zeros(4, dtype=np.uint64)
    for code in chosen:
        words[code >> 6] |= np.uint64(1 << (code & 63))
    found = slots_of_bits(column.table.match_codes(words, 200, everything()[:32])).tolist()
    assert found == column.slots(lambda key: key in chosen)


def test_negative_keys_and_keys_beyond_the_codes_match_no_code() -> None:
    block = Block()
    block.states[:3], block.keys[:3] = SCALAR, (-1, 64, 2**62)
    full = np.array([2**64 - 1], dtype=np.uint64)
    assert not column_of([block]).table.match_codes(full, 64, everything()[:32]).any()


@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 2), (3, 9), (0, 2**62)])
def test_lists_match_by_their_size(column: Column, low: int, high: int) -> None:
    found = slots_of_bits(column.table.list_sizes(low, high, everything())).tolist()
    assert found == oracle.match_sizes(column.plain, low, high)


@pytest.mark.parametrize("state", [SCALAR, LIST, NULL, EXCEPTION])
def test_states_come_back_as_bitmaps(column: Column, state: int) -> None:
    found = slots_of_bits(column.table.state_bits(state)).tolist()
    assert found == oracle.copy_states(column.plain, state)


def test_texts_come_back_as_a_bitmap(rng: np.random.Generator) -> None:
    block = random_block(rng, 9)
    assert slots_of_bits(column_of([block]).table.state_bits(TEXT)).tolist() == np.flatnonzero(block.texts).tolist()


def test_gathered_keys_are_those_of_the_slots(column: Column, rng: np.random.Generator) -> None:
    slots = rng.integers(0, SLOTS + 100, 400).astype(np.uint32)
    keys, states = column.table.gather(slots)
    assert list(zip(keys.tolist(), states.tolist(), strict=True)) == oracle.gather_keys(column.plain, slots.tolist())


def test_elements_of_a_list_come_back_whatever_their_number(rng: np.random.Generator) -> None:
    block = Block()
    for slot, size in ((0, 0), (7, 3), (2_047, 300)):
        block.states[slot], block.lists[slot] = LIST, rng.integers(0, 9, size)
    column = column_of([None, block])
    slots = [*(BLOCK_SLOTS + slot for slot in block.lists), *block.lists, 3, BLOCK_SLOTS + 1, 10 * BLOCK_SLOTS]
    elements, starts = column.table.lists(np.array(slots, dtype=np.uint32))
    found = [part.tolist() for part in np.split(elements, starts[1:-1])]
    assert found == oracle.copy_lists(column.plain, slots)
    assert starts[-1] == len(elements)


def test_bits_are_counted_from_where_they_are_wanted() -> None:
    words = [0b1001, 1 << 63]
    assert bits_from(np.array(words, dtype=np.uint64), 3).tolist() == oracle.list_bits(words, 3) == [-3, 0, 124]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_a_damaged_head_never_leads_outside_the_block(damage: list[tuple[int, int]], seed: int) -> None:
    """What is found is then wrong, but it is found inside: guard bytes after the block would show up as slots."""
    column = column_of([random_block(np.random.default_rng(seed), 300)])
    payload = column.payloads[0]
    size = payload[36:40].copy()
    for place, value in damage:
        payload[place] = value
    payload[36:40] = size  # compared with the header of the value when the block is opened
    candidates = everything()[:32]
    for low, high in ((-(2**63), 2**63 - 1), (0, 5)):
        assert len(slots_of_bits(column.table.match_range(low, high, candidates))) <= BLOCK_SLOTS
    column.table.match_keys(np.arange(9), candidates)
    column.table.list_sizes(0, 2**40, candidates)
    column.table.gather(np.arange(BLOCK_SLOTS, dtype=np.uint32))
    elements, starts = column.table.lists(np.arange(BLOCK_SLOTS, dtype=np.uint32))
    assert np.all(np.diff(starts) <= len(payload))
    assert len(elements) == starts[-1]
