"""Finds the records of hits in LMDB's pages, all at once, checks them, and copies what hits need to one place.

A look-up through LMDB walks a tree from root to leaf and waits for memory at each step, one record after the other.
Here all look-ups of a search go down level by level together, so their waits overlap.
Promises: reads nothing outside the pages of the tree's file, whatever the pages hold. Anything that is not exactly what
it should be ends the call with -1: then the caller reads the records through LMDB, which tells what is wrong.
Invariants: layout of pages as in `storage.pagefile`, of record values as in `storage.codec`; keys are 8 bytes.
Concurrency: no state; the pages are those of a pinned read transaction, which do not change.
"""

from __future__ import annotations

from vecdb.kernels.checksum import crc32
from vecdb.kernels.columns import byte_swapped, load_u16
from vecdb.kernels.identifiers import ARRAY_HEAD, ID_EXTRA, write_array_head, write_id
from vecdb.kernels.intrinsics import (
    load_i64,
    load_u8,
    load_u32,
    move_bytes,
    prefetch,
    store_i32,
    store_i64,
)
from vecdb.kernels.jit import device, kernel

PAGE_HEAD = 16
NODE_HEAD = 8
KEY_BYTES = 8
BRANCH, LEAF, BIG_DATA = 1, 2, 1
RECORD_HEAD = 14
"""Bytes of a record before its id key: checksum, length of the id key, version,"""
EXPIRING = 0x8000
EXPIRY_BYTES = 8
"""and, where the length has this bit, the expiry."""

NODE_PREFETCHED = 256
"""Bytes of a node asked for ahead: its head, and the value of most."""

PREFETCHED = 512
"""Bytes of a value asked for ahead; longer ones follow in order, which memory reads ahead by itself."""


@device
def id_place(value: int) -> tuple[int, int]:
    """Where in a record the id key begins and ends."""
    size = load_u8(value + 4) << 8 | load_u8(value + 5)
    start = RECORD_HEAD + (EXPIRY_BYTES if size & EXPIRING else 0)
    return start, start + (size & ~EXPIRING)


@device
def node_at(page: int, page_bytes: int, index: int) -> int:
    """Address of a node that can hold a key of KEY_BYTES inside its page, 0 when it cannot."""
    offset = load_u16(page + PAGE_HEAD + 2 * index)
    return page + offset if PAGE_HEAD <= offset <= page_bytes - NODE_HEAD - KEY_BYTES else 0


@device
def node_count(page: int, page_bytes: int, kind: int) -> int:
    """Nodes of a page of this kind, 0 for another page."""
    lower = load_u16(page + 12)
    if load_u16(page + 10) != kind or lower > page_bytes:
        return 0
    return (lower - PAGE_HEAD) >> 1


@device
def key_of(node: int) -> int:
    """The 8 bytes of a key as a number that sorts as they do; -1 for a key of another length."""
    return byte_swapped(load_i64(node + NODE_HEAD)) if load_u16(node + 6) == KEY_BYTES else -1


@device
def child_of(page: int, page_bytes: int, key: int) -> tuple[int, int]:
    """Number of the page below a branch that leads to a key, and the first key there (-1 where it is not written).

    The number is -1 when the branch is not sound.
    """
    count = node_count(page, page_bytes, BRANCH)
    if count < 2:
        return -1, -1
    low, high, first = 0, count, -1  # the first key of a branch is empty: less than any
    while high - low > 1:
        middle = (low + high) >> 1
        node = node_at(page, page_bytes, middle)
        if node == 0 or key_of(node) < 0:
            return -1, -1
        if key_of(node) <= key:
            low, first = middle, key_of(node)
        else:
            high = middle
    offset = load_u16(page + PAGE_HEAD + 2 * low)
    if offset < PAGE_HEAD or offset > page_bytes - NODE_HEAD:
        return -1, -1
    node = page + offset
    return load_u16(node) | load_u16(node + 2) << 16 | load_u16(node + 4) << 32, first


@device
def leaf_node(page: int, page_bytes: int, key: int) -> int:
    """Address of the node of a key in a leaf, 0 when it is not there or the leaf is not sound."""
    low, high = 0, node_count(page, page_bytes, LEAF)
    while low < high:
        middle = (low + high) >> 1
        node = node_at(page, page_bytes, middle)
        if node == 0:
            return 0
        found = key_of(node)
        if found == key:
            return node
        if found < key:
            low = middle + 1
        else:
            high = middle
    return 0


@device
def value_at(base: int, page_bytes: int, last_page: int, page: int, node: int) -> int:
    """Address of the value of a node of `page`, in it or in pages of its own; 0 when it would lie outside."""
    size, place = load_u16(node) | load_u16(node + 2) << 16, node + NODE_HEAD + KEY_BYTES
    flags = load_u16(node + 4)
    if flags == 0:
        return place if place + size <= page + page_bytes else 0
    if flags != BIG_DATA or place + 8 > page + page_bytes:
        return 0
    number = load_i64(place)
    if number < 2 or number > last_page or size > (last_page - number + 1) * page_bytes - PAGE_HEAD:
        return 0
    return base + number * page_bytes + PAGE_HEAD


@device
def guessed_node(page: int, page_bytes: int, first: int, key: int) -> int:
    """Address of the node that has a key if the keys of its leaf have no gaps behind `first`; 0 when there is none."""
    index = key - first
    if first < 0 or index >= node_count(page, page_bytes, LEAF):
        return 0
    return node_at(page, page_bytes, index)


@device
def find_leaves(
    base: int, page_bytes: int, last_page: int, root: int, depth: int, keys: int, count: int, places: int
) -> int:
    """Put the address of the leaf of each key (int64 at `keys`), and its first key (-1: unknown), to `places`.

    Returns 0 when a page is not sound.
    """
    for position in range(count):
        store_i64(places + 16 * position, root)
        store_i64(places + 16 * position + 8, -1)
    for level in range(depth):
        for position in range(count):
            number = load_i64(places + 16 * position)
            if number < 2 or number > last_page:
                return 0
            page = base + number * page_bytes
            store_i64(places + 16 * position, page)
            prefetch(page)
            prefetch(page + 64)
        if level + 1 < depth:
            for position in range(count):
                page, key = load_i64(places + 16 * position), load_i64(keys + 8 * position)
                child, first = child_of(page, page_bytes, key)
                store_i64(places + 16 * position, child)
                store_i64(places + 16 * position + 8, first)
    return 1


@device
def find_nodes(
    base: int, page_bytes: int, last_page: int, root: int, depth: int, keys: int, count: int, places: int
) -> int:
    """Put the addresses of leaf page and node of each key (int64 at `keys`) to `places`; 0 when one is missing.

    Slots are given out in order, so most leaves have no gaps: then the place of a key is told by the first of its leaf,
    and the waits for all nodes overlap, where a search would wait four times for each.
    """
    if find_leaves(base, page_bytes, last_page, root, depth, keys, count, places) == 0:
        return 0
    for position in range(count):
        page, key = load_i64(places + 16 * position), load_i64(keys + 8 * position)
        node = guessed_node(page, page_bytes, load_i64(places + 16 * position + 8), key)
        for offset in range(0, NODE_PREFETCHED if node else 0, 64):
            prefetch(node + offset)
    for position in range(count):
        page, first, key = (
            load_i64(places + 16 * position),
            load_i64(places + 16 * position + 8),
            load_i64(keys + 8 * position),
        )
        node = guessed_node(page, page_bytes, first, key)
        if node == 0 or key_of(node) != key:
            node = leaf_node(page, page_bytes, key)
        if node == 0:
            return 0
        store_i64(places + 16 * position + 8, node)
    return 1


@kernel
def gather_records(
    base: int,
    page_bytes: int,
    last_page: int,
    root: int,
    depth: int,
    collection: int,
    slots: int,
    count: int,
    seed: int,
    work: int,
    target: int,
    room: int,
) -> int:
    """Copy the ids and the metadata of the records at `count` slots (uint32 at `slots`) to `target`, checked.

    The tree begins at page `root` of the map at `base`; `seed` is the CRC-32 of the table's name. First comes the place
    where metadata begins (uint32), then two arrays of msgpack: the ids (see `identifiers`) and the metadata. Returns
    the bytes up to the end; -1 when a page or value is not as it should be or `room` bytes are too few. `work`: 24
    bytes a slot.
    """
    keys, places = work, work + 8 * count
    for position in range(count):
        store_i64(keys + 8 * position, collection << 32 | load_u32(slots + 4 * position))
    if find_nodes(base, page_bytes, last_page, root, depth, keys, count, places) == 0:
        return -1
    needed = 4 + 2 * ARRAY_HEAD
    for position in range(count):
        page, node = load_i64(places + 16 * position), load_i64(places + 16 * position + 8)
        value = value_at(base, page_bytes, last_page, page, node)
        size = load_u16(node) | load_u16(node + 2) << 16
        if value == 0 or size < RECORD_HEAD:
            return -1
        for offset in range(0, min(size, PREFETCHED), 64):
            prefetch(value + offset)
        store_i64(places + 16 * position, value)
        needed += size - RECORD_HEAD + ID_EXTRA
    if needed > room:
        return -1
    end = write_array_head(target + 4, count)
    for position in range(count):
        value, node = load_i64(places + 16 * position), load_i64(places + 16 * position + 8)
        size = load_u16(node) | load_u16(node + 2) << 16
        check = load_u8(value) << 24 | load_u8(value + 1) << 16 | load_u8(value + 2) << 8 | load_u8(value + 3)
        if crc32(value + 4, size - 4, crc32(node + NODE_HEAD, KEY_BYTES, seed)) != check:
            return -1
        start, stop = id_place(value)
        if stop >= size:
            return -1
        end = write_id(end, value + start, stop - start)
        if end == 0:
            return -1
    store_i32(target, end - target)
    end = write_array_head(end, count)
    for position in range(count):
        value, node = load_i64(places + 16 * position), load_i64(places + 16 * position + 8)
        size = load_u16(node) | load_u16(node + 2) << 16
        _, skipped = id_place(value)
        move_bytes(end, value + skipped, size - skipped)
        end += size - skipped
    return end - target
