"""Checks stored values of any table against their checksums, each by what its table knows of it.

Concurrency: pure functions.
"""

from __future__ import annotations

from vecdb.storage.blocks import check_block
from vecdb.storage.chunks import check_chunk
from vecdb.storage.codec import Value, open_value
from vecdb.storage.keys import Table


def check_value(table: Table, key: bytes, value: Value) -> None:
    """CorruptionError, which names the place, when a value is damaged. About 1 µs, and 0.7 ms per MiB."""
    if table is Table.CHUNKS:
        check_chunk(key, value)
    elif table is Table.COLUMNS:
        check_block(key, value)
    else:
        open_value(table, key, value)
