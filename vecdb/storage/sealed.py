"""Reads and writes values with checksums in the tables of journals and caches.

A value is `crc32 (u32, big-endian) | payload`; the checksum covers the table's name, the key and the payload, as that
of a database's values does (`codec`, which knows what is in those).
Promises: what comes out passed its checksum; anything else is a CorruptionError that names table and key.
Concurrency: pure functions over a transaction; views are valid as long as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vecdb.errors import CorruptionError
from vecdb.storage.keys import TableSet
from vecdb.storage.transactions import ReadTransaction, WriteTransaction

__all__ = ["CRC_BYTES", "get_sealed", "get_sealed_many", "put_sealed", "sealed_items", "table_seed", "unseal"]

CRC_BYTES: Final = 4


def table_seed(table: TableSet) -> int:
    """What the checksums of a table's values begin with."""
    return zlib.crc32(table.label.encode())


def unseal(table: TableSet, key: bytes, value: bytes | memoryview, seed: int | None = None) -> memoryview:
    """The payload, without a copy. `seed`, from `table_seed`, saves working it out for every value."""
    payload = memoryview(value)[CRC_BYTES:]
    start = table_seed(table) if seed is None else seed
    if zlib.crc32(payload, zlib.crc32(key, start)) != int.from_bytes(value[:CRC_BYTES], "big"):
        raise CorruptionError(
            f"a stored value does not match its checksum ({table.label}, key {key.hex()}); "
            "what is damaged cannot be used",
            table=table.label,
            key=key.hex(),
        )
    return payload


def put_sealed(transaction: WriteTransaction, table: TableSet, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Store payloads under their keys; in key order, which is faster where many are given."""
    seed, crc32 = table_seed(table), zlib.crc32
    sealed = [(key, crc32(payload, crc32(key, seed)).to_bytes(CRC_BYTES, "big") + payload) for key, payload in items]
    if sealed:
        sealed.sort()
        transaction.put_many(table, sealed)


def get_sealed(transaction: ReadTransaction | WriteTransaction, table: TableSet, key: bytes) -> memoryview | None:
    """The payload under a key, or None."""
    value = transaction.get(table, key)
    return None if value is None else unseal(table, key, value)


def get_sealed_many(
    transaction: ReadTransaction | WriteTransaction, table: TableSet, keys: Sequence[bytes]
) -> list[memoryview | None]:
    """The payloads in the order of `keys`, None where there is none. About 1 µs a key."""
    seed = table_seed(table)
    found = zip(keys, transaction.get_many(table, keys), strict=True)
    return [None if value is None else unseal(table, key, value, seed) for key, value in found]


def sealed_items(
    transaction: ReadTransaction | WriteTransaction, table: TableSet, start: bytes = b"", stop: bytes | None = None
) -> Iterator[tuple[bytes, memoryview]]:
    """Iterate over (key, payload) with start <= key < stop, in key order."""
    seed = table_seed(table)
    for key, value in transaction.items(table, start, stop):
        yield key, unseal(table, key, value, seed)
