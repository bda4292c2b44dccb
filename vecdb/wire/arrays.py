"""Writes heads of arrays in msgpack, of the one form that kernels write, too.

Concurrency: pure functions.
"""

from __future__ import annotations

import struct
from typing import Final

ARRAY: Final = struct.Struct(">BI")
ARRAY_32: Final = 0xDD
"""Type byte of an array whose length takes 32 bits."""


def array_head(count: int) -> bytes:
    """What is in front of the items of an array."""
    return ARRAY.pack(ARRAY_32, count)
