"""Has the C library keep the memory that one call gives back for the next one.

A batch of queries or of records is a few hundred kilobytes, which glibc at first takes from the system for each call
and gives back after it: every page of it is then a fault, which on a virtual machine takes longer than to fill it. It
learns from blocks that are freed: up to twice the largest of them is kept from then on. So one block is freed, without
being written to. That is what any program comes to that frees an array of this size; other C libraries do as they do.
Promises: costs a few microseconds; at most 2 * KEPT_BYTES stay with each of the library's arenas (one for each thread
that is busy at the same time, eight for each CPU at most) that would have been given back.
Concurrency: any thread.
"""

from __future__ import annotations

from typing import Final

KEPT_BYTES: Final = 4 * 1024 * 1024
"""More than a batch of a thousand queries and its reply take in one piece."""


def keep_memory() -> None:
    """Free a block of KEPT_BYTES."""
    bytes(KEPT_BYTES)
