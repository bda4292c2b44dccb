"""CRC-32 as zlib's, for kernels that check what they copy.

Promises: the same value as `zlib.crc32`. Reads exactly the bytes it is told of.
Concurrency: no state.
"""

from __future__ import annotations

import zlib

import numpy as np

from vecdb.kernels.intrinsics import load_u8, load_u32
from vecdb.kernels.jit import device


def _crc_tables() -> list[int]:
    """Change of a CRC-32 register by a byte, and by a byte with 1 to 7 zero bytes after it (slicing by 8).

    Kounavis and Berry, A Systematic Approach to Building High Performance Software-Based CRC Generators, 2005.
    """
    first = [zlib.crc32(bytes([byte]), 0xFFFFFFFF) ^ 0xFFFFFFFF for byte in range(256)]
    tables = [first]
    for _ in range(7):
        tables.append([first[value & 0xFF] ^ (value >> 8) for value in tables[-1]])
    return [value for table in tables for value in table]


CRC_TABLES = np.array(_crc_tables(), dtype=np.int64)


@device
def crc32(address: int, size: int, start: int) -> int:
    """CRC-32 of `size` bytes, continued from `start`, as zlib's; 8 bytes at a time."""
    value = start ^ 0xFFFFFFFF
    position = 0
    while position + 8 <= size:
        low, high = load_u32(address + position) ^ value, load_u32(address + position + 4)
        value = CRC_TABLES[1792 + (low & 0xFF)] ^ CRC_TABLES[1536 + (low >> 8 & 0xFF)]
        value ^= CRC_TABLES[1280 + (low >> 16 & 0xFF)] ^ CRC_TABLES[1024 + (low >> 24)]
        value ^= CRC_TABLES[768 + (high & 0xFF)] ^ CRC_TABLES[512 + (high >> 8 & 0xFF)]
        value ^= CRC_TABLES[256 + (high >> 16 & 0xFF)] ^ CRC_TABLES[high >> 24]
        position += 8
    while position < size:
        value = CRC_TABLES[(value ^ load_u8(address + position)) & 0xFF] ^ (value >> 8)
        position += 1
    return value ^ 0xFFFFFFFF
