"""Cuts batches of records into parts that fit a message.

Concurrency: pure functions.
"""

from __future__ import annotations

import math

from vecdb.wire.writes import Batch


def cut(batch: Batch, bytes_max: int, records_max: int) -> list[Batch]:
    """Parts of at most so many bytes and records, in order; a record that is larger than that is a part of its own."""
    size, count = batch.size_bytes, len(batch)
    pieces = min(count, max(math.ceil(size / bytes_max), math.ceil(count / records_max)))
    if pieces <= 1:
        return [batch]
    step = math.ceil(count / pieces)
    halves = [batch.part(start, min(start + step, count)) for start in range(0, count, step)]
    # Records differ in size: what is still too large is cut again.
    return [part for half in halves for part in cut(half, bytes_max, records_max)]
