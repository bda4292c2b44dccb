"""Fills a storage environment with a little of everything, and reads it back with every check there is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vecdb.errors import CorruptionError
from vecdb.storage import codec, keys
from vecdb.storage.chunks import CHUNK_HEADER_BYTES, ChunkKind, check_chunk, encode_column
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table
from vecdb.storage.transactions import WriteTransaction

MAP_BYTES = 1 << 32
ROUND_ROWS = 200
CHUNK_ROWS = 5_000

Contents = dict[tuple[Table, bytes], bytes]


def put_struct(transaction: WriteTransaction, table: Table, key: bytes, content: object) -> None:
    """Store a msgpack value."""
    transaction.put(table, key, codec.encode_struct(table, key, content))


def column_items(
    collection: int, field: int, segment: int, kind: ChunkKind, rows: npt.NDArray[Any]
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the chunks of a column whose rows are all in memory."""
    stride = rows.itemsize * math.prod(rows.shape[1:])
    return encode_column(collection, field, segment, kind, len(rows), stride, lambda start, stop: rows[start:stop])


def fill(path: Path, rounds: int = 5) -> None:
    """Create a database at `path` with all tables in use, free pages, overflow runs and two B-tree levels."""
    rng = np.random.default_rng(0)
    with Environment.open_directory(path, map_bytes=MAP_BYTES) as environment:
        for number in range(rounds):
            slots = list(range(number * ROUND_ROWS, (number + 1) * ROUND_ROWS))
            ids = [keys.id_key(f"doc-{slot}") for slot in slots]
            texts = ["x" * int(rng.integers(0, 4_000 if slot % 10 == 0 else 200)) for slot in slots]
            with environment.write() as transaction:
                records = codec.encode_records(keys.record_keys(1, slots), ids, [{"text": text} for text in texts], 1)
                transaction.put_many(Table.RECORDS, records)
                transaction.put_many(Table.IDS, codec.encode_slots([keys.id_table_key(1, key) for key in ids], slots))
                rows = rng.random((len(slots), 16), dtype=np.float32)
                transaction.put_many(Table.TAIL, codec.encode_vectors(keys.tail_keys(1, 0, slots), rows))
                _fill_small_tables(transaction, number)
                column = rng.integers(0, 9, CHUNK_ROWS).astype(np.uint32)
                for key, value in column_items(1, 0, number, ChunkKind.SLOTS, column):
                    transaction.put(Table.CHUNKS, key, value)
                if number > 2:
                    start = keys.tail_key(1, 0, (number - 3) * ROUND_ROWS)
                    transaction.delete_range(Table.TAIL, start, keys.tail_key(1, 0, (number - 2) * ROUND_ROWS))


def _fill_small_tables(transaction: WriteTransaction, number: int) -> None:
    put_struct(transaction, Table.CATALOG, keys.catalog_key(f"collection-{number}"), {"number": number})
    put_struct(transaction, Table.STATE, b"state", {"seq": number})
    put_struct(transaction, Table.SEGMENTS, keys.segment_key(1, 0, number), {"rows": CHUNK_ROWS})
    put_struct(transaction, Table.LOG, keys.log_key(number), {"seq": number})
    dead = keys.dead_key(1, number)
    transaction.put(Table.DEAD, dead, codec.encode_bitmap(dead, np.zeros(128, dtype=np.uint64)))


def read_all(environment: Environment) -> Contents:
    """Read every value, checksum-checked; CorruptionError for the first that is damaged."""
    contents: Contents = {}
    with environment.begin_read() as transaction:
        environment.check_structure(transaction)
        for table in Table:
            for key, value in transaction.items(table):
                contents[table, key] = _checked(table, key, value)
    return contents


def _checked(table: Table, key: bytes, value: memoryview) -> bytes:
    if table is Table.CHUNKS:
        check_chunk(key, value)
        return bytes(value[: CHUNK_HEADER_BYTES + CHUNK_ROWS * 4])
    return bytes(codec.open_value(table, key, value))


def contents_of(path: Path) -> Contents:
    """Open a directory, read everything, and check that it can be written."""
    with Environment.open_directory(path, map_bytes=MAP_BYTES, create=False) as environment:
        contents = read_all(environment)
        with environment.write() as transaction:
            put_struct(transaction, Table.STATE, b"written", {"by": "test"})
        return contents


def judge(path: Path, expected: Contents) -> str:
    """How a possibly damaged database ends: "found" with a CorruptionError, "sound" or "wrong" without."""
    try:
        contents = contents_of(path)
    except CorruptionError:
        return "found"
    return "sound" if contents == expected else "wrong"
