"""Writes the hits of a search as a message of the protocol, from the columns that other kernels have left.

The message is Hits in protobuf's encoding: fields in the order of their numbers, each with a tag and, where it has a
content, its length. Lengths come before contents, so what there is to write is measured first.
Promises: writes no more than there is room for and reads nothing behind the source's end but SLACK bytes. What it
writes is, byte by byte, what protobuf writes; -1 for ids of several types.
Concurrency: no state.
"""

from __future__ import annotations

import numpy as np

from vecdb.kernels.columns import byte_swapped
from vecdb.kernels.identifiers import ARRAY_32, ARRAY_HEAD, EXTENSION_16, STR_16, UINT_64
from vecdb.kernels.intrinsics import load_f32, load_i64, load_u8, move_bytes, store_f32, store_i64, store_u8
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.layout import UUID_EXTENSION

ONE = np.float32(1.0)
INT_ITEM, UUID_ITEM, STR_HEAD = 9, 18, 3
"""Bytes of an id in msgpack: an int's, a UUID's, and those in front of a str."""

INTS, TEXTS, UUIDS = 0x12, 0x1A, 0x22
"""Tags in RecordIds: `packed_ints`, `texts`, `packed_uuids`."""

COUNTS, IDS, SCORES, DISTANCES = 0x0A, 0x12, 0x1A, 0x22
"""Tags in Hits."""

VALUE = 0x0A
"""Tag in TextIds and FloatColumn."""


@device
def varint_size(number: int) -> int:
    """Bytes of a number."""
    size = 1
    while number > 0x7F:
        number >>= 7
        size += 1
    return size


@device
def write_varint(target: int, number: int) -> int:
    """A number; returns the address behind it."""
    while number > 0x7F:
        store_u8(target, number & 0x7F | 0x80)
        number >>= 7
        target += 1
    store_u8(target, number)
    return target + 1


@device
def field_size(content: int) -> int:
    """Bytes of a field with so many bytes of content."""
    return 1 + varint_size(content) + content


@device
def write_head(target: int, tag: int, content: int) -> int:
    """What is in front of a content; returns the address behind it."""
    store_u8(target, tag)
    return write_varint(target + 1, content)


@device
def number_at(at: int, size: int) -> int:
    """A number of `size` bytes, the highest first."""
    number = 0
    for byte in range(size):
        number = number << 8 | load_u8(at + byte)
    return number


@device
def is_array(at: int, end: int, count: int) -> bool:
    """Whether an array of `count` items begins there."""
    return at + ARRAY_HEAD <= end and load_u8(at) == ARRAY_32 and number_at(at + 1, 4) == count


@device
def ids_size(at: int, end: int, count: int, kind: int) -> int:
    """Bytes of the content of RecordIds' only field, for ids that are all of one kind; -1 when they are not."""
    size = 0
    for _ in range(count):
        if at + STR_HEAD > end or load_u8(at) != kind:
            return -1
        if kind == STR_16:
            text = number_at(at + 1, 2)
            size += field_size(text)
            at += STR_HEAD + text
        elif kind == UINT_64:
            size += INT_ITEM - 1
            at += INT_ITEM
        elif kind == EXTENSION_16 and load_u8(at + 1) == UUID_EXTENSION:
            size += UUID_ITEM - 2
            at += UUID_ITEM
        else:
            return -1
    return size if at <= end else -1


@device
def write_ids(target: int, at: int, count: int, kind: int) -> int:
    """The content of RecordIds' only field; returns the address behind it."""
    for _ in range(count):
        if kind == STR_16:
            text = number_at(at + 1, 2)
            target = write_head(target, VALUE, text)
            move_bytes(target, at + STR_HEAD, text)
            target += text
            at += STR_HEAD + text
        elif kind == UINT_64:
            store_i64(target, byte_swapped(load_i64(at + 1)))
            target += INT_ITEM - 1
            at += INT_ITEM
        else:
            move_bytes(target, at + 2, UUID_ITEM - 2)
            target += UUID_ITEM - 2
            at += UUID_ITEM
    return target


@device
def write_scores(target: int, distances: int, count: int, cosine: int) -> None:
    """The scores that belong to distances."""
    for position in range(count):
        distance = load_f32(distances + 4 * position)
        score = ONE - distance if cosine else -distance
        store_f32(target + 4 * position, score)  # type: ignore[arg-type]  # numba knows it for a float32


@device
def write_counts(target: int, queries: int, each: int) -> int:
    """The hits of each query; returns the address behind them."""
    for _ in range(queries):
        target = write_varint(target, each)
    return target


@kernel
def write_hits(source: int, target: int, room: int, queries: int, each: int, cosine: int) -> int:
    """Write the Hits of `queries` queries with `each` hits each, all but their metadata, to `target`.

    Returns its bytes, -1 when it cannot be done. At `source`: the bytes that follow (int64), distances (float32), then
    the ids as a msgpack array.
    """
    count, distances = queries * each, source + 8
    end, at = distances + load_i64(source), distances + 4 * count
    if count < 1 or not is_array(at, end, count):
        return -1
    at += ARRAY_HEAD
    kind = load_u8(at)
    named = ids_size(at, end, count, kind)
    column, counted = field_size(4 * count), queries * varint_size(each)
    if named < 0 or field_size(counted) + field_size(field_size(named)) + 2 * field_size(column) > room:
        return -1
    to = write_counts(write_head(target, COUNTS, counted), queries, each)
    to = write_head(to, IDS, field_size(named))
    to = write_head(to, INTS if kind == UINT_64 else TEXTS if kind == STR_16 else UUIDS, named)
    to = write_ids(to, at, count, kind)
    to = write_head(write_head(to, SCORES, column), VALUE, 4 * count)
    write_scores(to, distances, count, cosine)
    to = write_head(write_head(to + 4 * count, DISTANCES, column), VALUE, 4 * count)
    move_bytes(to, distances, 4 * count)
    return to + 4 * count - target
