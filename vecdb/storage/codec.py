"""Seals values with checksums and turns records, slots, vectors, bitmaps and structs into value bytes and back.

A stored value is `crc32 (u32, big-endian) | payload`. The checksum covers the table's name, the key and the payload, so
a sound value found under another key or in another table is noticed as well as a flipped bit.

    ids      slot u32 (big-endian)
    records  id key length u16 (and EXPIRING) | version u64 | with EXPIRING: expires i64 | id key | metadata as msgpack
             (numbers big-endian)
    tail     the vector's bytes in the field's dtype (little-endian)
    dead     DEAD_BLOCK_SLOTS bits as little-endian u64 words, bit set = dead
    catalog, state, segments, log   msgpack

Promises: what `decode_*` returns passed its checksum; anything else raises CorruptionError that names table and key.
Invariants: datetimes with a zone come back as the same instant in UTC (metadata rules themselves: `vecdb.engine`).
`version` is the seq of the commit that wrote the record, `expires` microseconds since 1970 UTC, or NEVER.
Concurrency: pure functions. Not here: chunks, whose header has its own checksums (`chunks`).
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.config import DEAD_BLOCK_SLOTS, SLOTS_MAX
from vecdb.errors import CorruptionError, InvalidMetadataError
from vecdb.storage.keys import Table, describe_key, id_from_key
from vecdb.types import Metadata, RecordId

__all__ = [
    "NEVER",
    "NOT_MSGPACK",
    "SEEDS",
    "Value",
    "corrupt_value",
    "decode_bitmap",
    "decode_packed_records",
    "decode_record",
    "decode_record_heads",
    "decode_record_id",
    "decode_record_ids",
    "decode_records",
    "decode_slot",
    "decode_struct",
    "decode_vectors",
    "decode_whole_packed",
    "decode_whole_record",
    "decode_whole_records",
    "encode_bitmap",
    "encode_record",
    "encode_records",
    "encode_slots",
    "encode_struct",
    "encode_vectors",
    "open_value",
    "seal",
]

Value: TypeAlias = bytes | memoryview
T = TypeVar("T")

NEVER: Final = -(2**63)
"""`expires` of a record that does not."""

_INSTANTS: Final = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Microseconds since 1970 that a datetime can hold: the years 1 to 9999."""

_CRC_BYTES: Final = 4
SEEDS: Final = tuple(zlib.crc32(table.label.encode()) for table in Table)
_U16 = struct.Struct(">H")
_RECORD_HEAD = struct.Struct(">HQ")
_EXPIRING_HEAD = struct.Struct(">HQq")
EXPIRING: Final = 0x8000
"""Added to the length of the id key of a record that expires. Most do not, and 8 bytes are 3 % of a short record."""

_U32 = struct.Struct(">I")
_SEALED_HEAD = struct.Struct(">IH")  # checksum and id key length of a record
_BITMAP_BYTES: Final = DEAD_BLOCK_SLOTS // 8
_ID_START: Final = _CRC_BYTES + _RECORD_HEAD.size
_EXPIRING_START: Final = _CRC_BYTES + _EXPIRING_HEAD.size
NOT_MSGPACK: Final = (msgspec.MsgspecError, UnicodeDecodeError)
"""What decoding raises: text that is no UTF-8 is told by Python's own error where it is the key of a dict."""

_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode_msgpack = msgspec.msgpack.Decoder().decode

if sys.byteorder != "little":  # pragma: no cover - columns are mapped in place, so their byte order is the machine's
    raise ImportError("vecdb stores little-endian columns and runs on little-endian machines only")


def seal(table: Table, key: bytes, payload: Value) -> bytes:
    """Return the value to store: checksum over table, key and payload, then the payload."""
    crc = zlib.crc32(payload, zlib.crc32(key, SEEDS[table]))
    return crc.to_bytes(_CRC_BYTES, "big") + payload


def open_value(table: Table, key: bytes, value: Value) -> memoryview:
    """Return the payload of a sealed value, without a copy. CorruptionError when the checksum does not fit."""
    view = memoryview(value)
    payload = view[_CRC_BYTES:]
    if zlib.crc32(payload, zlib.crc32(key, SEEDS[table])).to_bytes(_CRC_BYTES, "big") != view[:_CRC_BYTES]:
        raise corrupt_value(table, key)
    return payload


def corrupt_value(table: Table, key: bytes, problem: str = "does not match its checksum") -> CorruptionError:
    """The error for a damaged value; it names the place and what to do."""
    place = describe_key(table, bytes(key))
    return CorruptionError(
        f"a stored value {problem} ({place}); restore a backup, or run verify to see how much is damaged",
        table=table.label,
        key=bytes(key).hex(),
    )


# --- ids -----------------------------------------------------------------------------------------------------------


def encode_slots(keys: Sequence[bytes], slots: Iterable[int]) -> list[tuple[bytes, bytes]]:
    """Items of the ids table: `keys` from `id_table_key`, one slot each."""
    seed, crc32, pack = SEEDS[Table.IDS], zlib.crc32, _U32.pack
    items = []
    for key, slot in zip(keys, slots, strict=True):
        payload = pack(slot)
        items.append((key, pack(crc32(payload, crc32(key, seed))) + payload))
    return items


def decode_slot(key: bytes, value: Value) -> int:
    """Slot of an id."""
    payload = open_value(Table.IDS, key, value)
    slot = int.from_bytes(payload, "big")
    if len(payload) != _U32.size or slot > SLOTS_MAX:
        raise corrupt_value(Table.IDS, key, "is no slot")
    return slot


# --- records -------------------------------------------------------------------------------------------------------


def encode_record(key: bytes, id_key: bytes, metadata: Metadata, version: int, expires: int = NEVER) -> bytes:
    """Value of the records table. InvalidMetadataError for metadata msgpack cannot hold (a 65-bit int, an odd type)."""
    return encode_records((key,), (id_key,), (metadata,), version, (expires,))[0][1]


def encode_records(
    keys: Sequence[bytes],
    id_keys: Sequence[bytes],
    metadata: Sequence[Metadata | msgspec.Raw],
    version: int,
    expires: Sequence[int] | None = None,
) -> list[tuple[bytes, bytes]]:
    """Items of the records table, of one version. 1,000 records with five small fields take about 2 ms."""
    seed, crc32, pack_head, pack32 = SEEDS[Table.RECORDS], zlib.crc32, _RECORD_HEAD.pack, _U32.pack
    pack_expiring = _EXPIRING_HEAD.pack
    ends = (NEVER,) * len(keys) if expires is None else expires
    items = []
    try:
        for key, id_key, fields, end in zip(keys, id_keys, metadata, ends, strict=True):
            size = len(id_key)
            head = pack_head(size, version) if end == NEVER else pack_expiring(size | EXPIRING, version, end)
            payload = head + id_key + _encode_msgpack(fields)
            items.append((key, pack32(crc32(payload, crc32(key, seed))) + payload))
    except (TypeError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidMetadataError(f"metadata cannot be stored: {error}") from None
    return items


def _id_place(size: int) -> tuple[int, int]:
    """Where in a record's value its id key begins and ends; `size` is its first number."""
    if size & EXPIRING:
        return _EXPIRING_START, _EXPIRING_START + (size ^ EXPIRING)
    return _ID_START, _ID_START + size


def decode_record_id(key: bytes, value: Value) -> RecordId:
    """Id of a record, without decoding its metadata (the whole value is checked all the same)."""
    return decode_record_ids((key,), (value,))[0]


def decode_record_ids(keys: Sequence[bytes], values: Sequence[Value]) -> list[RecordId]:
    """Ids of records found under `keys`; about 0.8 µs each for short metadata."""
    seed, crc32, unpack = SEEDS[Table.RECORDS], zlib.crc32, _U32.unpack_from
    ids: list[RecordId] = []
    for key, value in zip(keys, values, strict=True):
        if len(value) < _ID_START or crc32(value[_CRC_BYTES:], crc32(key, seed)) != unpack(value)[0]:
            raise corrupt_value(Table.RECORDS, key)
        start, end = _id_place(value[4] << 8 | value[5])
        ids.append(id_from_key(bytes(value[start:end])))
    return ids


def decode_records(keys: Sequence[bytes], values: Sequence[Value]) -> tuple[list[RecordId], list[Metadata]]:
    """Ids and metadata of records found under `keys`. About 1.5 µs each for short metadata."""
    ids, packed = decode_packed_records(keys, values)
    return ids, [_metadata_of(key, raw) for key, raw in zip(keys, packed, strict=True)]


def _metadata_of(key: bytes, packed: bytes) -> Metadata:
    try:
        metadata = _decode_msgpack(packed)
    except NOT_MSGPACK:
        raise corrupt_value(Table.RECORDS, key, "holds no metadata") from None
    if type(metadata) is not dict:
        raise corrupt_value(Table.RECORDS, key, "holds no metadata")
    return metadata


def decode_record(key: bytes, value: Value) -> tuple[RecordId, Metadata]:
    """Id and metadata of one record."""
    [record_id], [metadata] = decode_records((key,), (value,))
    return record_id, metadata


def decode_packed_records(keys: Sequence[bytes], values: Sequence[Value]) -> tuple[list[RecordId], list[bytes]]:
    """Ids and metadata of records found under `keys`, the metadata as the msgpack that is stored; about 1 µs each.

    Each value is copied first: slices of bytes cost half of what slices of a memoryview do.
    """
    seed, crc32, unpack = SEEDS[Table.RECORDS], zlib.crc32, _SEALED_HEAD.unpack_from
    ids, metadata = list[RecordId](), list[bytes]()
    for key, value in zip(keys, values, strict=True):
        content = bytes(value)
        if len(content) < _ID_START:
            raise corrupt_value(Table.RECORDS, key, "is too short")
        check, size = unpack(content)
        if crc32(content[_CRC_BYTES:], crc32(key, seed)) != check:
            raise corrupt_value(Table.RECORDS, key)
        start, end = _id_place(size)
        ids.append(id_from_key(content[start:end]))
        metadata.append(content[end:])
    return ids, metadata


def decode_whole_record(key: bytes, value: Value) -> tuple[RecordId, Metadata, int, int]:
    """Id, metadata, version and expiry of a record."""
    record_id, metadata = decode_record(key, value)
    return record_id, metadata, *_head(key, value)


def decode_whole_records(keys: Sequence[bytes], values: Sequence[Value]) -> list[tuple[RecordId, Any, int, int]]:
    """The same of records found under `keys`."""
    return _with_heads(keys, values, *decode_records(keys, values))


def decode_whole_packed(keys: Sequence[bytes], values: Sequence[Value]) -> list[tuple[RecordId, Any, int, int]]:
    """The same, the metadata as the msgpack that is stored."""
    return _with_heads(keys, values, *decode_packed_records(keys, values))


def _with_heads(
    keys: Sequence[bytes], values: Sequence[Value], ids: Sequence[RecordId], metadata: Sequence[Any]
) -> list[tuple[RecordId, Any, int, int]]:
    heads = [_head(key, value) for key, value in zip(keys, values, strict=True)]
    return [(one, item, *head) for one, item, head in zip(ids, metadata, heads, strict=True)]


def decode_record_heads(keys: Sequence[bytes], values: Sequence[Value]) -> list[tuple[int, int]]:
    """Version and expiry of records found under `keys`; about 0.9 µs each for short metadata."""
    heads = []
    for key, value in zip(keys, values, strict=True):
        open_value(Table.RECORDS, key, value)
        heads.append(_head(key, value))
    return heads


def _head(key: bytes, value: Value) -> tuple[int, int]:
    """Version and expiry of a value whose checksum is known to be right."""
    if len(value) < _ID_START or len(value) < _id_place(value[4] << 8 | value[5])[0]:
        raise corrupt_value(Table.RECORDS, key, "is too short")
    if not value[4] << 8 & EXPIRING:
        return _RECORD_HEAD.unpack_from(value, _CRC_BYTES)[1], NEVER
    _, version, expires = _EXPIRING_HEAD.unpack_from(value, _CRC_BYTES)
    if expires not in _INSTANTS:
        raise corrupt_value(Table.RECORDS, key, "expires at no possible time")
    return version, expires


# --- tail vectors --------------------------------------------------------------------------------------------------


def encode_vectors(keys: Sequence[bytes], rows: npt.NDArray[Any]) -> list[tuple[bytes, bytes]]:
    """Items of the tail table: `rows` is (len(keys), dim), float32 or float16, C-contiguous."""
    seed, crc32, pack = SEEDS[Table.TAIL], zlib.crc32, _U32.pack
    raw = np.ascontiguousarray(rows).data.cast("B") if rows.size else memoryview(b"")
    stride = rows.shape[1] * rows.itemsize
    items, start = [], 0
    for key in keys:
        row = raw[start : start + stride]
        items.append((key, pack(crc32(row, crc32(key, seed))) + row))
        start += stride
    return items


def decode_vectors(
    keys: Sequence[bytes], values: Sequence[Value], dim: int, dtype: npt.DTypeLike
) -> npt.NDArray[np.floating[Any]]:
    """Rows (len(values), dim) of the tail table in one new array. CorruptionError for damage or another size."""
    seed, crc32, unpack = SEEDS[Table.TAIL], zlib.crc32, _U32.unpack_from
    row_type = np.dtype(dtype)
    size = _CRC_BYTES + dim * row_type.itemsize
    parts = []
    for key, value in zip(keys, values, strict=True):
        payload = value[_CRC_BYTES:]
        if len(value) != size or crc32(payload, crc32(key, seed)) != unpack(value)[0]:
            raise corrupt_value(Table.TAIL, key)
        parts.append(payload)
    rows: npt.NDArray[np.floating[Any]] = np.frombuffer(bytearray(b"").join(parts), dtype=row_type)
    return rows.reshape(len(parts), dim)


# --- bitmaps and structs -------------------------------------------------------------------------------------------


def encode_bitmap(key: bytes, words: npt.NDArray[np.uint64]) -> bytes:
    """Value of the dead table: DEAD_BLOCK_SLOTS / 64 words."""
    if words.size * 8 != _BITMAP_BYTES:
        raise AssertionError(f"a dead block has {_BITMAP_BYTES // 8} words, not {words.size}")
    return seal(Table.DEAD, key, words.astype("<u8", copy=False).tobytes())


def decode_bitmap(key: bytes, value: Value) -> npt.NDArray[np.uint64]:
    """Words of a dead block, as a new writable array."""
    payload = open_value(Table.DEAD, key, value)
    if len(payload) != _BITMAP_BYTES:
        raise corrupt_value(Table.DEAD, key, "has the wrong length")
    return np.frombuffer(payload, dtype="<u8").astype(np.uint64)


def encode_struct(table: Table, key: bytes, struct_: object) -> bytes:
    """Value of catalog, state, segments or log: plain values or a msgspec.Struct, as msgpack."""
    return seal(table, key, _encode_msgpack(struct_))


def decode_struct(table: Table, key: bytes, value: Value, type_: type[T]) -> T:
    """Decode a struct of the given type (`dict`, a msgspec.Struct, ...). CorruptionError when it is none."""
    payload = open_value(table, key, value)
    try:
        decoded: T = _decoder(type_).decode(payload)  # type: ignore[arg-type]
    except NOT_MSGPACK:
        raise corrupt_value(table, key, "is not what this table holds") from None
    return decoded


@cache
def _decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(type_)
