"""Defines the tables of a database and how their keys are spelled: big-endian, typed, in the order they sort.

Promises: keys sort bytewise in the order of their parts; every id has exactly one key and comes back as the type it
was.
Invariants: ints sort before strs, strs by code point, UUIDs last; no key is longer than ID_BYTES_MAX + 7 bytes.
Concurrency: pure functions. Not here: the values (`codec`).
"""

from __future__ import annotations

import operator
import struct
import uuid
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from vecdb.config import ID_BYTES_MAX, INT_ID_MAX
from vecdb.errors import CorruptionError, InvalidIdError
from vecdb.types import RecordId

__all__ = [
    "Table",
    "TableSet",
    "catalog_key",
    "chunk_key",
    "collection_prefix",
    "column_key",
    "column_prefix",
    "dead_key",
    "describe_key",
    "field_prefix",
    "id_from_key",
    "id_key",
    "id_table_key",
    "index_prefix",
    "kind_prefix",
    "log_key",
    "prefix_stop",
    "record_key",
    "record_keys",
    "segment_key",
    "segment_prefix",
    "seq_from_log_key",
    "slot_from_key",
    "tail_key",
    "tail_keys",
    "term_code_key",
    "term_key",
    "terms_prefix",
]


class TableSet(IntEnum):
    """The named LMDB databases of one kind of directory. The number is an index into handles and never stored."""

    @property
    def label(self) -> str:
        """Name of the LMDB database, and of the table in error messages."""
        return self.name.lower()


class Table(TableSet):
    """The tables of a database."""

    CATALOG = 0
    STATE = 1
    IDS = 2
    RECORDS = 3
    TAIL = 4
    DEAD = 5
    SEGMENTS = 6
    CHUNKS = 7
    LOG = 8
    COLUMNS = 9
    TERMS = 10


_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_COLLECTION_SLOT = struct.Struct(">II")
_COLLECTION_FIELD = struct.Struct(">IH")
_TAIL = struct.Struct(">IHI")
_CHUNK_KIND = struct.Struct(">IHIB")
_CHUNK = struct.Struct(">IHIBI")
_TERMS = struct.Struct(">IHB")
_COLUMN = struct.Struct(">IHBI")
_BY_TERM: Final = 0
_BY_CODE: Final = 1

_INT: Final = 1
_STR: Final = 2
_UUID: Final = 3


def id_key(record_id: RecordId) -> bytes:
    """Return the key of an id: a type byte, then u64, UTF-8 or the 16 bytes of a UUID. InvalidIdError otherwise."""
    kind = type(record_id)
    if kind is str:
        return _str_id_key(record_id)  # type: ignore[arg-type]
    if kind is int:
        return _int_id_key(record_id)  # type: ignore[arg-type]
    if isinstance(record_id, uuid.UUID):
        return b"\x03" + record_id.bytes
    if isinstance(record_id, str):
        return _str_id_key(str(record_id))
    if isinstance(record_id, bool):
        raise InvalidIdError("an id is a bool; use str, int or uuid.UUID", type="bool")
    try:
        return _int_id_key(operator.index(record_id))
    except TypeError:
        raise InvalidIdError(
            f"an id is of type {kind.__name__}; use str, int (0 to 2^64-1) or uuid.UUID", type=kind.__name__
        ) from None


def _str_id_key(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise InvalidIdError("a str id contains a lone surrogate, which UTF-8 cannot hold") from None
    if not raw:
        raise InvalidIdError("a str id is empty; ids have at least one character")
    if len(raw) > ID_BYTES_MAX:
        raise InvalidIdError(
            f"a str id takes {len(raw)} bytes in UTF-8; at most {ID_BYTES_MAX} are allowed", bytes=len(raw)
        )
    return b"\x02" + raw


def _int_id_key(number: int) -> bytes:
    if not 0 <= number <= INT_ID_MAX:
        raise InvalidIdError("an int id is outside 0 to 2^64-1; use a str for larger or negative numbers")
    return b"\x01" + _U64.pack(number)


def id_from_key(key: bytes) -> RecordId:
    """Return the id whose `id_key` this is. CorruptionError when it is none (stored bytes are damaged)."""
    size = len(key)
    if size > 1:
        kind = key[0]
        if kind == 2:
            try:
                return key[1:].decode()
            except UnicodeDecodeError:
                pass
        elif kind == 1 and size == 9:
            return int.from_bytes(key[1:], "big")
        elif kind == 3 and size == 17:
            return uuid.UUID(bytes=key[1:])
    raise CorruptionError("a stored id cannot be decoded; restore a backup, or run verify to see what is damaged")


def collection_prefix(collection: int) -> bytes:
    """First part of every key of a collection, in all tables but catalog, state and log."""
    return _U32.pack(collection)


def field_prefix(collection: int, field: int) -> bytes:
    """First part of the keys of one field in tail, segments and chunks."""
    return _COLLECTION_FIELD.pack(collection, field)


def segment_prefix(collection: int, field: int, segment: int) -> bytes:
    """First part of the keys of one segment's chunks; the same bytes are its key in the segments table."""
    return _TAIL.pack(collection, field, segment)


def kind_prefix(collection: int, field: int, segment: int, kind: int) -> bytes:
    """First part of the keys of one column's chunks."""
    return _CHUNK_KIND.pack(collection, field, segment, kind)


def prefix_stop(prefix: bytes) -> bytes | None:
    """Return the first key after all keys that start with `prefix`, or None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes([stripped[-1] + 1])


def id_table_key(collection: int, key: bytes) -> bytes:
    """Key in the ids table, from `id_key` bytes."""
    return _U32.pack(collection) + key


def record_key(collection: int, slot: int) -> bytes:
    """Key in the records table."""
    return _COLLECTION_SLOT.pack(collection, slot)


def record_keys(collection: int, slots: Iterable[int]) -> list[bytes]:
    """Keys in the records table, in the order of `slots` (ints or numpy integers). About 0.15 µs each."""
    pack = _COLLECTION_SLOT.pack
    return [pack(collection, slot) for slot in slots]


def tail_key(collection: int, field: int, slot: int) -> bytes:
    """Key in the tail table."""
    return _TAIL.pack(collection, field, slot)


def tail_keys(collection: int, field: int, slots: Iterable[int]) -> list[bytes]:
    """Keys in the tail table, in the order of `slots`."""
    pack = _TAIL.pack
    return [pack(collection, field, slot) for slot in slots]


def slot_from_key(key: bytes) -> int:
    """The slot (or block, or segment) that ends a records, tail, dead, segments or columns key."""
    return int.from_bytes(key[-4:], "big")


def dead_key(collection: int, block: int) -> bytes:
    """Key in the dead table; a block is DEAD_BLOCK_SLOTS slots."""
    return _COLLECTION_SLOT.pack(collection, block)


def segment_key(collection: int, field: int, segment: int) -> bytes:
    """Key in the segments table."""
    return _TAIL.pack(collection, field, segment)


def chunk_key(collection: int, field: int, segment: int, kind: int, chunk: int) -> bytes:
    """Key in the chunks table."""
    return _CHUNK.pack(collection, field, segment, kind, chunk)


def column_prefix(collection: int, index: int, part: int) -> bytes:
    """First part of the keys of one column of a metadata index."""
    return _TERMS.pack(collection, index, part)


def column_key(collection: int, index: int, part: int, block: int) -> bytes:
    """Key in the columns table: `block` is BLOCK_SLOTS slots."""
    return _COLUMN.pack(collection, index, part, block)


def index_prefix(collection: int, index: int) -> bytes:
    """First part of the keys of one metadata index in columns and terms."""
    return _COLLECTION_FIELD.pack(collection, index)


def terms_prefix(collection: int, index: int) -> bytes:
    """First part of the keys of terms of one metadata index, in the order of their UTF-8, which is that of strs."""
    return _TERMS.pack(collection, index, _BY_TERM)


def term_key(collection: int, index: int, term: bytes) -> bytes:
    """Key in the terms table under which a term has its code."""
    return terms_prefix(collection, index) + term


def term_code_key(collection: int, index: int, code: int) -> bytes:
    """Key in the terms table under which a code has its term."""
    return _TERMS.pack(collection, index, _BY_CODE) + _U32.pack(code)


def catalog_key(name: str) -> bytes:
    """Key in the catalog table: the collection's name (config.NAME_PATTERN keeps it ASCII)."""
    return name.encode()


def log_key(seq: int) -> bytes:
    """Key in the log table."""
    return _U64.pack(seq)


def seq_from_log_key(key: bytes) -> int:
    """The seq of a log key."""
    return int.from_bytes(key, "big")


_PARTS: Final[dict[TableSet, tuple[tuple[str, int], ...]]] = {
    Table.RECORDS: (("collection", 4), ("slot", 4)),
    Table.TAIL: (("collection", 4), ("field", 2), ("slot", 4)),
    Table.DEAD: (("collection", 4), ("block", 4)),
    Table.SEGMENTS: (("collection", 4), ("field", 2), ("segment", 4)),
    Table.CHUNKS: (("collection", 4), ("field", 2), ("segment", 4), ("kind", 1), ("chunk", 4)),
    Table.LOG: (("seq", 8),),
    Table.COLUMNS: (("collection", 4), ("index", 2), ("part", 1), ("block", 4)),
}


def describe_key(table: TableSet, key: bytes) -> str:
    """Spell a key out for an error message, e.g. `records, collection 1, slot 7`. Ids appear as hexadecimal only."""
    parts = _PARTS.get(table, ())
    if not parts or len(key) != sum(size for _, size in parts):
        return f"{table.label}, key {key.hex()}"
    words, start = [table.label], 0
    for name, size in parts:
        words.append(f"{name} {int.from_bytes(key[start : start + size], 'big')}")
        start += size
    return ", ".join(words)
