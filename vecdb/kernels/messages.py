"""Writes the hits of a search as a message of the protocol, from the columns that other kernels have left.

The message is a SearchResponse or a SearchBatchResponse in protobuf's encoding: fields in the order of their numbers,
each with a tag and, where it has a content, its length. Lengths come before contents, so what there is to write is
measured first.
Promises: writes no more than there is room for and reads nothing behind the source's end but SLACK bytes. What it
writes is, byte by byte, what protobuf writes; -1 for ids of several types, and for what is no msgpack.
Concurrency: no state.
"""

from __future__ import annotations

import numpy as np

from vecdb.kernels.columns import byte_swapped
from vecdb.kernels.identifiers import ARRAY_32, ARRAY_HEAD, EXTENSION_16, STR_16, UINT_64
from vecdb.kernels.intrinsics import load_f32, load_i64, load_u8, load_u32, move_bytes, store_f32, store_i64, store_u8
from vecdb.kernels.jit import device, kernel
from vecdb.kernels.layout import UUID_EXTENSION

ONE = np.float32(1.0)
INT_ITEM, UUID_ITEM, STR_HEAD = 9, 18, 3
"""Bytes of an id in msgpack: an int's, a UUID's, and those in front of a str."""

INTS, TEXTS, UUIDS = 0x12, 0x1A, 0x22
"""Tags in RecordIds: `packed_ints`, `texts`, `packed_uuids`."""

HITS, COUNTS, IDS, SCORES, DISTANCES, METADATA = 0x0A, 0x0A, 0x12, 0x1A, 0x22, 0x2A
"""Tags in SearchResponse and SearchBatchResponse (the first) and in Hits."""

VALUE, PACKED = 0x0A, 0x12
"""Tags in TextIds and FloatColumn, and in MetadataColumn."""

EMPTY_MAP = 0x80


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
def content_size(at: int, kind: int) -> int:
    """Bytes behind the type byte of a value of msgpack that has no values in it; -1 for what is none."""
    if kind <= 0x7F or kind >= 0xE0 or kind == 0xC0 or kind == 0xC2 or kind == 0xC3:
        return 0
    if 0xA0 <= kind <= 0xBF:
        return kind & 0x1F
    if 0xC4 <= kind <= 0xC6:  # bytes
        return (1 << (kind - 0xC4)) + number_at(at, 1 << (kind - 0xC4))
    if 0xC7 <= kind <= 0xC9:  # an extension
        return (1 << (kind - 0xC7)) + 1 + number_at(at, 1 << (kind - 0xC7))
    if kind == 0xCA or kind == 0xCB:  # floats
        return 4 << (kind - 0xCA)
    if 0xCC <= kind <= 0xCF or 0xD0 <= kind <= 0xD3:  # ints
        return 1 << (kind & 3)
    if 0xD4 <= kind <= 0xD8:  # an extension of fixed length
        return 1 + (1 << (kind - 0xD4))
    if 0xD9 <= kind <= 0xDB:  # a str
        return (1 << (kind - 0xD9)) + number_at(at, 1 << (kind - 0xD9))
    return -1


@device
def value_end(at: int, end: int) -> int:
    """Where a value of msgpack ends; 0 when it is none."""
    pending = 1
    while pending > 0:
        if at >= end:
            return 0
        kind = load_u8(at)
        at += 1
        pending -= 1
        if 0x80 <= kind <= 0x8F:
            pending += 2 * (kind & 0xF)
        elif 0x90 <= kind <= 0x9F:
            pending += kind & 0xF
        elif 0xDC <= kind <= 0xDF:  # arrays and maps
            width = 2 << (kind & 1)
            pending += number_at(at, width) << (1 if kind >= 0xDE else 0)
            at += width
        else:
            size = content_size(at, kind)
            if size < 0:
                return 0
            at += size
    return at if at <= end else 0


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
def metadata_size(at: int, end: int, count: int) -> int:
    """Bytes of a MetadataColumn; 0 when all of it is empty, -1 when something is no msgpack."""
    size, is_empty = 0, True
    for _ in range(count):
        stop = value_end(at, end)
        if stop == 0:
            return -1
        is_empty = is_empty and stop - at == 1 and load_u8(at) == EMPTY_MAP
        size += field_size(stop - at)
        at = stop
    return -1 if at != end else 0 if is_empty else size


@device
def write_metadata(target: int, at: int, end: int, count: int) -> int:
    """A MetadataColumn; returns the address behind it."""
    for _ in range(count):
        stop = value_end(at, end)
        target = write_head(target, PACKED, stop - at)
        move_bytes(target, at, stop - at)
        target += stop - at
        at = stop
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
def write_hits(source: int, target: int, room: int, queries: int, each: int, cosine: int, with_metadata: int) -> int:
    """Write the SearchResponse or SearchBatchResponse of `queries` queries with `each` hits each to `target`.

    Returns its bytes, -1 when it cannot be done.

    At `source`: the bytes that follow (int64), distances (float32), then the ids as a msgpack array or, with metadata,
    a copy of records as `gather_records` makes it.
    """
    count, distances = queries * each, source + 8
    end, at = distances + load_i64(source), distances + 4 * count
    about, size = at, 0
    if with_metadata:
        about, at = at + load_u32(at), at + 4
        if about < at or not is_array(about, end, count):
            return -1
        size = metadata_size(about + ARRAY_HEAD, end, count)
    else:
        about = end
    if size < 0 or count < 1 or not is_array(at, about, count):
        return -1
    at += ARRAY_HEAD
    kind = load_u8(at)
    named = ids_size(at, about, count, kind)
    column, counted = field_size(4 * count), queries * varint_size(each)
    hits = field_size(counted) + field_size(field_size(named)) + 2 * field_size(column)
    hits += field_size(size) if size else 0
    if named < 0 or field_size(hits) > room:
        return -1
    to = write_head(target, HITS, hits)
    to = write_counts(write_head(to, COUNTS, counted), queries, each)
    to = write_head(to, IDS, field_size(named))
    to = write_head(to, INTS if kind == UINT_64 else TEXTS if kind == STR_16 else UUIDS, named)
    to = write_ids(to, at, count, kind)
    to = write_head(write_head(to, SCORES, column), VALUE, 4 * count)
    write_scores(to, distances, count, cosine)
    to = write_head(write_head(to + 4 * count, DISTANCES, column), VALUE, 4 * count)
    move_bytes(to, distances, 4 * count)
    to += 4 * count
    if size:
        to = write_metadata(write_head(to, METADATA, size), about + ARRAY_HEAD, end, count)
    return to - target
