"""Writes ids as msgpack, so that Python makes all of them by one decoding: a tenth of the time of one after the other.

An id key is a type byte, then u64 (big-endian), UTF-8 or the 16 bytes of a UUID (see `storage.keys.id_key`). They
become a uint64, a str and an extension of type UUID_EXTENSION.
Promises: what is no id key is written nowhere.
Concurrency: no state.
"""

from __future__ import annotations

from vecdb.kernels.intrinsics import load_u8, move_bytes, store_u8
from vecdb.kernels.jit import device
from vecdb.kernels.layout import UUID_EXTENSION

INT_KEY, STR_KEY, UUID_KEY = 1, 2, 3
INT_BYTES, UUID_BYTES = 8, 16
ARRAY_32, UINT_64, STR_16, EXTENSION_16 = 0xDD, 0xCF, 0xDA, 0xD8
"""Type bytes of msgpack: an array and a str whose lengths take 32 and 16 bits, a uint64, an extension of 16 bytes."""

ARRAY_HEAD = 5

ID_EXTRA = 2
"""The most bytes that an id takes beyond its key."""


@device
def write_array_head(target: int, count: int) -> int:
    """The head of an array of `count` items; returns the address behind it."""
    store_u8(target, ARRAY_32)
    for byte in range(4):
        store_u8(target + 1 + byte, (count >> (24 - 8 * byte)) & 0xFF)
    return target + ARRAY_HEAD


@device
def write_id(target: int, key: int, size: int) -> int:
    """The id whose key has `size` bytes at `key`; returns the address behind it, 0 when it is none."""
    kind = load_u8(key) if size > 1 else 0
    if kind == STR_KEY and size <= 0xFFFF:
        store_u8(target, STR_16)
        store_u8(target + 1, (size - 1) >> 8)
        store_u8(target + 2, (size - 1) & 0xFF)
        move_bytes(target + 3, key + 1, size - 1)
        return target + 2 + size
    if kind == INT_KEY and size == 1 + INT_BYTES:
        store_u8(target, UINT_64)
        move_bytes(target + 1, key + 1, INT_BYTES)
        return target + size
    if kind == UUID_KEY and size == 1 + UUID_BYTES:
        store_u8(target, EXTENSION_16)
        store_u8(target + 1, UUID_EXTENSION)
        move_bytes(target + 2, key + 1, UUID_BYTES)
        return target + 1 + size
    return 0
