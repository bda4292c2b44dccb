"""Scans the blocks of metadata indexes (see `storage.blocks` for their layout) and bitmaps over slots.

A column is a table of int64 addresses of block payloads, 0 where there is no block: its slots are missing. A bitmap has
32 uint64 words for each block. Scalars are compared 64 at a time, whatever their width, into a word of the result.
Promises: reads nothing outside a block's payload, whatever the block holds. Writes only to the outputs.
Concurrency: no state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from vecdb.kernels.intrinsics import (
    I64,
    load_as,
    load_i64,
    load_u8,
    load_u32,
    move_bytes,
    store_i32,
    store_i64,
    store_u8,
)
from vecdb.kernels.jit import device, intrinsic, kernel
from vecdb.kernels.layout import BLOCK_WORDS as WORDS
from vecdb.kernels.layout import IN_CODES, IN_RANGE

SLOTS = 64 * WORDS
BITMAP_BYTES = SLOTS // 8
HEAD_BYTES = 64
KEYS_AT = HEAD_BYTES + 5 * BITMAP_BYTES
FEW = 3
"""See `is_crowded`."""

SCALAR, LIST, NULL, EXCEPTION = 1, 2, 3, 4


def _within(width: int) -> Callable[[int, int, int], int]:
    """mask(address, low, high): bit i says whether the i-th unsigned integer of `width` bytes is in low..high."""

    def compare(typingctx: Any, address: Any, low: Any, high: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.IntType(8 * width)
            vector = ir.VectorType(kind, 64)
            values = load_as(builder, args[0], vector)
            bounds = [_splat(builder, builder.trunc(one, kind) if width < 8 else one, vector) for one in args[1:]]
            above = builder.icmp_unsigned(">=", values, bounds[0])
            below = builder.icmp_unsigned("<=", values, bounds[1])
            return builder.bitcast(builder.and_(above, below), I64)

        return types.int64(types.int64, types.int64, types.int64), generate

    return intrinsic(compare)


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


within_u8 = _within(1)
within_u16 = _within(2)
within_u32 = _within(4)
within_u64 = _within(8)


def _modulo(name: str) -> Callable[[int, int], int]:
    """Sum or difference modulo 2^64; numba's own operators promise LLVM that none overflows."""

    def compute(typingctx: Any, first: Any, second: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(args[0], args[1])

        return types.int64(types.int64, types.int64), generate

    return intrinsic(compute)


add_modulo = _modulo("add")
subtract_modulo = _modulo("sub")


def _bit_count(name: str) -> Callable[[int], int]:
    def count(typingctx: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            extra = [ir.IntType(1)] if name == "cttz" else []
            kind = ir.FunctionType(I64, [I64, *extra])
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.i64")
            return builder.call(function, [args[0], *(one(0) for one in extra)])

        return types.int64(types.int64), generate

    return intrinsic(count)


byte_swapped: Callable[[int], int] = _bit_count("bswap")
"""The 8 bytes of a number in the other order."""

bit_count: Callable[[int], int] = _bit_count("ctpop")
"""Number of set bits."""

trailing_zeros: Callable[[int], int] = _bit_count("cttz")
"""Position of the lowest set bit; 64 for none."""


@device
def load_u16(address: int) -> int:
    """Unaligned little-endian 16 bits."""
    return load_u8(address) | load_u8(address + 1) << 8


@device
def scalar_key(block: int, slot: int) -> int:
    """Key of a scalar slot of a block."""
    width, base, place = load_u8(block), load_i64(block + 8), block + KEYS_AT + slot * load_u8(block)
    if width == 0:
        return base
    if width == 1:
        return base + load_u8(place)
    if width == 2:
        return base + load_u16(place)
    return base + load_u32(place) if width == 4 else add_modulo(base, load_i64(place))


@device
def is_sound(block: int) -> int:
    """1 when all parts of a block lie inside its payload."""
    size, lists, elements = load_u32(block + 36), load_u32(block + 4), load_u32(block + 32)
    width = load_u8(block)
    if width != 0 and width != 1 and width != 2 and width != 4 and width != 8:
        return 0
    if KEYS_AT + width * SLOTS > size or load_u32(block + 40) + 2 * lists > size:
        return 0
    if load_u32(block + 44) + 4 * (lists + 1) > size or load_u32(block + 48) + 8 * elements > size:
        return 0
    return 1


@device
def list_span(block: int, row: int) -> tuple[int, int]:
    """First and one beyond the last element of the row-th list, inside the elements there are."""
    starts, elements = block + load_u32(block + 44) + 4 * row, load_u32(block + 32)
    first = min(load_u32(starts), elements)
    return first, min(max(load_u32(starts + 4), first), elements)


@device
def has_key(mode: int, key: int, low: int, high: int, keys: int) -> int:
    """Whether a key matches: in low..high; its bit among the `high` bits at `keys`; one of `high` sorted keys there."""
    if mode == IN_RANGE:
        return 1 if low <= key <= high else 0
    if mode == IN_CODES:
        return load_u8(keys + (key >> 3)) >> (key & 7) & 1 if 0 <= key < high else 0
    first, last = 0, high
    while first < last:
        middle = (first + last) >> 1
        if load_i64(keys + 8 * middle) < key:
            first = middle + 1
        else:
            last = middle
    return 1 if first < high and load_i64(keys + 8 * first) == key else 0


@device
def word_in_range(block: int, word: int, low: int, high: int) -> int:
    """Which of 64 slots, if they are scalars, have a key in low..high."""
    width, base = load_u8(block), load_i64(block + 8)
    if high < base:
        return 0
    if width == 0:
        return -1 if low <= base else 0
    # In the unsigned distance from the base; one that does not fit the width lies beyond all of the block's keys.
    top = -1 if width == 8 else (1 << 8 * width) - 1
    last = subtract_modulo(high, base)
    if width < 8 and (last < 0 or last > top):
        last = top
    first = subtract_modulo(low, base) if low > base else 0
    if width < 8 and (first < 0 or first > top):
        return 0
    place = block + KEYS_AT + 64 * width * word
    if width == 1:
        return within_u8(place, first, last)
    if width == 2:
        return within_u16(place, first, last)
    return within_u32(place, first, last) if width == 4 else within_u64(place, first, last)


@device
def is_crowded(block: int, bits: int) -> bool:
    """Whether so many of 64 slots are asked for that comparing all their keys takes less time than looking at each.

    Only keys of 8 bytes, which fill eight cache lines, are worth looking at one by one, and only up to FEW of them.
    """
    return load_u8(block) < 8 or bit_count(bits) > FEW


@device
def word_one_by_one(block: int, word: int, asked: int, low: int, high: int) -> int:
    """As `word_in_range`, of the slots asked for."""
    found, left = 0, asked
    while left:
        position = trailing_zeros(left)
        left &= left - 1
        if low <= scalar_key(block, 64 * word + position) <= high:
            found |= 1 << position
    return found


@device
def word_by_key(block: int, word: int, asked: int, mode: int, high: int, keys: int) -> int:
    """Which of the slots asked for (a word of bits, all scalars) have a key that matches."""
    found, left = 0, asked
    while left:
        position = trailing_zeros(left)
        left &= left - 1
        if has_key(mode, scalar_key(block, 64 * word + position), 0, high, keys):
            found |= 1 << position
    return found


@device
def match_lists(block: int, mode: int, low: int, high: int, keys: int, candidates: int, out: int) -> None:
    """Set the bits of list slots some element of which matches."""
    elements = block + load_u32(block + 48)
    for row in range(load_u32(block + 4)):
        slot = load_u16(block + load_u32(block + 40) + 2 * row) % SLOTS
        if load_u8(candidates + (slot >> 3)) >> (slot & 7) & 1:
            first, last = list_span(block, row)
            for element in range(first, last):
                if has_key(mode, load_i64(elements + 8 * element), low, high, keys):
                    place = out + (slot >> 3)
                    store_u8(place, load_u8(place) | 1 << (slot & 7))
                    break


@kernel
def match_column(table: int, blocks: int, mode: int, low: int, high: int, keys: int, candidates: int, out: int) -> int:
    """Set the bits in `out` of the candidates that match: a scalar, or any element of a list.

    mode IN_RANGE: a key in low..high. IN_CODES: a key whose bit is set in the bitset at `keys` of `high` bits. IN_KEYS:
    one of the `high` sorted int64 at `keys`. Blocks without a candidate, or with all keys elsewhere, are passed over.
    """
    for number in range(blocks):
        block = load_i64(table + 8 * number)
        asked, found = candidates + BITMAP_BYTES * number, out + BITMAP_BYTES * number
        if block == 0 or is_sound(block) == 0:
            continue
        if mode == IN_RANGE and (load_i64(block + 16) > high or load_i64(block + 24) < low):
            continue
        for word in range(WORDS):
            bits = load_i64(asked + 8 * word) & load_i64(block + HEAD_BYTES + 8 * word)
            if bits:
                if mode == IN_RANGE and is_crowded(block, bits):
                    bits &= word_in_range(block, word, low, high)
                elif mode == IN_RANGE:
                    bits = word_one_by_one(block, word, bits, low, high)
                else:
                    bits = word_by_key(block, word, bits, mode, high, keys)
                store_i64(found + 8 * word, load_i64(found + 8 * word) | bits)
        if load_u32(block + 4):
            match_lists(block, mode, low, high, keys, asked, found)
    return 0


@kernel
def match_sizes(table: int, blocks: int, low: int, high: int, candidates: int, out: int) -> int:
    """Set the bits in `out` of the candidates that are lists of low..high elements."""
    for number in range(blocks):
        block = load_i64(table + 8 * number)
        if block == 0 or is_sound(block) == 0:
            continue
        for row in range(load_u32(block + 4)):
            slot = SLOTS * number + load_u16(block + load_u32(block + 40) + 2 * row) % SLOTS
            first, last = list_span(block, row)
            if low <= last - first <= high and load_u8(candidates + (slot >> 3)) >> (slot & 7) & 1:
                place = out + (slot >> 3)
                store_u8(place, load_u8(place) | 1 << (slot & 7))
    return 0


@kernel
def copy_states(table: int, blocks: int, state: int, out: int) -> int:
    """Copy a bitmap of every block (1 scalars, 2 lists, 3 nulls, 4 exceptions, 5 texts) to `out`, which is zero."""
    for number in range(blocks):
        block = load_i64(table + 8 * number)
        if block:
            move_bytes(out + BITMAP_BYTES * number, block + HEAD_BYTES + BITMAP_BYTES * (state - 1), BITMAP_BYTES)
    return 0


@kernel
def gather_keys(table: int, blocks: int, slots: int, count: int, keys: int, states: int) -> int:
    """Write key (int64, 0 where there is no scalar) and state (uint8) of `count` slots (uint32)."""
    for position in range(count):
        slot = load_u32(slots + 4 * position)
        store_i64(keys + 8 * position, 0)
        store_u8(states + position, 0)
        block = load_i64(table + 8 * (slot // SLOTS)) if slot // SLOTS < blocks else 0
        if block == 0 or is_sound(block) == 0:
            continue
        within = slot % SLOTS
        for state in range(SCALAR, EXCEPTION + 1):
            bits = block + HEAD_BYTES + BITMAP_BYTES * (state - 1)
            if load_u8(bits + (within >> 3)) >> (within & 7) & 1:
                store_u8(states + position, state)
        if load_u8(states + position) == SCALAR:
            store_i64(keys + 8 * position, scalar_key(block, within))
    return count


@device
def list_row(block: int, within: int) -> int:
    """Row of the list at a slot of a block, -1 when it is none."""
    slots, first, last = block + load_u32(block + 40), 0, load_u32(block + 4)
    lists = last
    while first < last:
        middle = (first + last) >> 1
        if load_u16(slots + 2 * middle) < within:
            first = middle + 1
        else:
            last = middle
    return first if first < lists and load_u16(slots + 2 * first) == within else -1


@kernel
def copy_lists(table: int, blocks: int, slots: int, count: int, starts: int, out: int, room: int) -> int:
    """Copy the elements of `count` slots (uint32), one list after the other, to `out`, lists beyond `room` left out.

    Writes where each begins, and one more (int64), to `starts`; slots that are no lists have no elements. Returns how
    many elements there are.
    """
    total = 0
    for position in range(count):
        store_i64(starts + 8 * position, total)
        slot = load_u32(slots + 4 * position)
        block = load_i64(table + 8 * (slot // SLOTS)) if slot // SLOTS < blocks else 0
        if block == 0 or is_sound(block) == 0:
            continue
        row = list_row(block, slot % SLOTS)
        if row >= 0:
            first, last = list_span(block, row)
            if total + last - first <= room:
                elements = block + load_u32(block + 48)
                move_bytes(out + 8 * total, elements + 8 * first, 8 * (last - first))
            total += last - first
    store_i64(starts + 8 * count, total)
    return total


@kernel
def list_bits(words: int, count: int, first: int, out: int) -> int:
    """Write the positions of the set bits of `count` words, less `first`, as int32, ascending; returns how many."""
    found = 0
    for word in range(count):
        left = load_i64(words + 8 * word)
        while left:
            store_i32(out + 4 * found, 64 * word + trailing_zeros(left) - first)
            left &= left - 1
            found += 1
    return found
